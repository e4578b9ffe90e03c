using Farm.Linking;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;
using Layout = Farm.Assist.Monitor.MonitorLayout;

namespace Farm.Assist.Monitor;

/// <summary>The monitor's code: flat 32-bit ring 0, no paging, interrupts always off.</summary>
internal static class MonitorProgram
{
    private const int FrameVector = 0x20, FrameEip = 0x28, FrameCs = 0x2C, FrameFlags = 0x30, FrameEsp = 0x34, FrameSs = 0x38;
    private const uint FlagIf = 0x200, FlagTf = 0x100, FlagRf = 0x10000, FlagAc = 0x40000, FlagId = 0x200000, FlagVm = 0x20000, FlagsIopl3 = 0x3002;
    private const uint SliceMask = ~(Layout.SliceSize - 1);
    private const int CpuidVme = 2, Cr4Vme = 1;

    public static string GateLabel(int vector) => $"gate{vector}";

    /// <summary>Exceptions that push an error code (SDM vol. 3, table 6-1).</summary>
    public static bool HasErrorCode(int vector) => vector is 8 or 10 or 11 or 12 or 13 or 14 or 17;

    /// <summary>Entry of the blob at D0000h: moves the monitor to its place and starts it. The four parameter registers are kept.</summary>
    public static void EmitBlobEntry(LinkedCode code, uint start)
    {
        var c = code.Asm;
        code.Place("entry");
        c.cli();
        c.cld();
        c.mov(ebp, ecx);
        c.mov(esi, code.At("monitor"));
        c.mov(edi, Layout.Base);
        c.mov(ecx, Layout.ImageSize / 4);
        c.rep.movsd();
        c.mov(ecx, ebp);
        c.mov(esi, start);
        c.jmp(esi);
        code.Place("monitor");
        c.nop();
    }

    public static void Emit(LinkedCode code)
    {
        EmitStart(code);
        EmitGates(code);
        EmitReflect(code);
        EmitHostCalls(code);
        var c = code.Asm;
        code.Place("gdtr");
        c.dw(Layout.GdtLimit);
        c.dd(Layout.Base + Layout.GdtOffset);
        code.Place("idtr");
        c.dw(Layout.IdtLimit);
        c.dd(Layout.Base + Layout.IdtOffset);
        code.Place("code_end");
        c.nop();
    }

    /// <summary>Start of a processor: own tables, slice, TR, VME, the Enter call, then virtual-8086 mode.</summary>
    private static void EmitStart(LinkedCode code)
    {
        var c = code.Asm;
        code.Place("start");
        c.cli();
        c.cld();
        c.lgdt(__[code.At("gdtr")]);
        c.lidt(__[code.At("idtr")]);
        c.AddInstruction(Instruction.CreateBranch(Code.Jmp_ptr1632, Layout.CodeSelector, code.At("flat")));
        code.Place("flat");
        c.mov(ax, Layout.DataSelector);
        c.mov(ds, ax);
        c.mov(es, ax);
        c.mov(ss, ax);
        c.xor(eax, eax);
        c.mov(fs, ax);
        c.mov(gs, ax);
        c.mov(esi, edx);
        c.imul(esi, esi, Layout.SliceSize);
        c.add(esi, Layout.Base + Layout.SharedSize);
        c.lea(esp, esi + Layout.Tss);
        c.push(ecx); // processor signature
        c.push(ebx); // SIPI vector
        c.push(edx); // processor number

        // The slice but for the stack: data page, then the TSS with an all-zero redirection bitmap (INT n goes to the guest's own
        // vector table) and an I/O bitmap that opens every port but the private one.
        c.xor(eax, eax);
        c.mov(edi, esi);
        c.mov(ecx, 4);
        c.rep.stosd();
        c.lea(edi, esi + Layout.Tss);
        c.mov(ecx, (Layout.TssLimit + 4) / 4);
        c.rep.stosd();
        c.lea(eax, esi + Layout.Tss);
        c.mov(__dword_ptr[esi + Layout.Tss + 4], eax);
        c.mov(__word_ptr[esi + Layout.Tss + 8], Layout.DataSelector);
        c.mov(__word_ptr[esi + Layout.Tss + 0x66], (ushort)(Layout.IoBitmap - Layout.Tss));
        c.mov(__byte_ptr[esi + Layout.IoBitmap + (Layout.Port / 8)], 1 << (Layout.Port % 8));
        c.mov(__byte_ptr[esi + Layout.Tss + Layout.TssLimit], 0xFF);
        c.mov(__byte_ptr[esi + Layout.PlainIvt], 1);

        // A processor that starts again finds its descriptor busy.
        c.lea(edx, edx * 8 + Layout.FirstTssSelector);
        c.and(__byte_ptr[edx + (Layout.Base + Layout.GdtOffset + 5)], 0xFD);
        c.ltr(dx);
        c.xor(eax, eax);
        c.lldt(ax);
        EmitEnableVme(code);

        c.mov(__byte_ptr[esi + Layout.Calling], 1);
        c.mov(al, (byte)MonitorCall.Enter);
        EmitCall(code, "entered", esi);

        // What RESET or SIPI leaves: F000:FFF0, or vector << 8 : 0; all registers 0 but EDX.
        c.pop(edi);
        c.pop(ecx);
        c.pop(edx);
        c.xor(eax, eax);
        c.push(eax); // GS
        c.push(eax); // FS
        c.push(eax); // DS
        c.push(eax); // ES
        c.push(eax); // SS
        c.push(eax); // ESP
        c.push(FlagVm | FlagsIopl3);
        c.mov(ebx, 0xF000);
        c.mov(ebp, 0xFFF0);
        c.or(edi, ecx);
        c.jz(code["bootstrap"]);
        c.shl(ecx, 8);
        c.mov(ebx, ecx);
        c.xor(ebp, ebp);
        code.Place("bootstrap");
        c.push(ebx);
        c.push(ebp);
        c.xor(ebx, ebx);
        c.xor(ecx, ecx);
        c.xor(esi, esi);
        c.xor(edi, edi);
        c.xor(ebp, ebp);
        c.iretd();
    }

    /// <summary>CR4.VME where CPUID has it: INT n then needs no gate.</summary>
    private static void EmitEnableVme(LinkedCode code)
    {
        var c = code.Asm;
        c.pushfd();
        c.pop(eax);
        c.mov(ecx, eax);
        c.xor(eax, (int)FlagId);
        c.push(eax);
        c.popfd();
        c.pushfd();
        c.pop(eax);
        c.xor(eax, ecx);
        c.test(eax, (int)FlagId);
        c.jz(code["no_vme"]);
        c.mov(eax, 1);
        c.cpuid();
        c.test(dl, CpuidVme);
        c.jz(code["no_vme"]);
        c.mov(eax, cr4);
        c.or(eax, Cr4Vme);
        c.mov(cr4, eax);
        code.Place("no_vme");
    }

    private static void EmitGates(LinkedCode code)
    {
        var c = code.Asm;
        for (int vector = 0; vector < 256; vector++)
        {
            code.Place(GateLabel(vector));
            if (!HasErrorCode(vector))
                c.push(0);
            c.push((sbyte)vector);
            c.jmp(code["common"]);
        }
    }

    /// <summary>Reflects the event to the guest's vector table as a processor in real mode does, or calls the host half.</summary>
    private static void EmitReflect(LinkedCode code)
    {
        var c = code.Asm;
        code.Place("common");
        c.cld();
        c.pushad();
        c.mov(ax, Layout.DataSelector);
        c.mov(ds, ax);
        c.mov(es, ax);
        c.mov(ebp, esp);
        c.and(ebp, unchecked((int)SliceMask));
        c.movzx(ebx, __byte_ptr[esp + FrameVector]);
        c.test(__dword_ptr[esp + FrameFlags], FlagVm);
        c.jz(code["in_monitor"]);
        c.cmp(bl, 13);
        c.je(code["trap"]);
        c.cmp(bl, 12);
        c.je(code["trap"]);
        c.cmp(bl, Layout.InterruptGate);
        c.jne(code["vector_known"]);
        c.movzx(ebx, __byte_ptr[ebp + Layout.InterruptVector]);
        code.Place("vector_known");
        c.cmp(__byte_ptr[ebp + Layout.PlainIvt], 0);
        c.je(code["to_host"]);
        c.movzx(ecx, __word_ptr[esp + FrameEsp]);
        c.sub(ecx, 6);
        c.jb(code["to_host"]);
        c.movzx(edx, __word_ptr[esp + FrameSs]);
        c.shl(edx, 4);
        c.add(edx, ecx);
        c.mov(eax, __dword_ptr[esp + FrameFlags]);
        c.mov(__word_ptr[edx + 4], ax);
        c.mov(eax, __dword_ptr[esp + FrameCs]);
        c.mov(__word_ptr[edx + 2], ax);
        c.mov(eax, __dword_ptr[esp + FrameEip]);
        c.mov(__word_ptr[edx], ax);
        c.mov(__word_ptr[esp + FrameEsp], cx);
        c.and(__dword_ptr[esp + FrameFlags], ~(FlagIf | FlagTf | FlagRf | FlagAc));
        c.mov(eax, __dword_ptr[ebx * 4]);
        c.movzx(ecx, ax);
        c.mov(__dword_ptr[esp + FrameEip], ecx);
        c.shr(eax, 16);
        c.mov(__dword_ptr[esp + FrameCs], eax);
        c.inc(__dword_ptr[ebp + Layout.Reflected]);
        c.jmp(code["resume"]);
    }

    private static void EmitHostCalls(LinkedCode code)
    {
        var c = code.Asm;
        code.Place("to_host");
        c.mov(__byte_ptr[ebp + Layout.CallVector], bl);
        c.mov(al, (byte)MonitorCall.Reflect);
        c.jmp(code["call"]);
        // A data breakpoint on the guest's stack, or an NMI, in the monitor itself passes unseen; anything else is the end.
        code.Place("in_monitor");
        c.cmp(bl, 1);
        c.je(code["resume"]);
        c.cmp(bl, 2);
        c.je(code["resume"]);
        c.mov(al, (byte)MonitorCall.Panic);
        c.jmp(code["call"]);
        code.Place("trap");
        c.mov(al, (byte)MonitorCall.Trap);
        code.Place("call");
        c.mov(__byte_ptr[ebp + Layout.Calling], 1);
        EmitCall(code, "called", ebp);
        code.Place("resume");
        c.popad();
        c.add(esp, 8);
        c.iretd();
    }

    /// <summary>OUT to the private port, then a wait until the host half has cleared the flag: a backend may stop a little late.</summary>
    private static void EmitCall(LinkedCode code, string label, AssemblerRegister32 slice)
    {
        var c = code.Asm;
        c.mov(edx, Layout.Port);
        c.@out(dx, al);
        code.Place(label);
        c.cmp(__byte_ptr[slice + Layout.Calling], 0);
        c.jne(code[label]);
    }
}
