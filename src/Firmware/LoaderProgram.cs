using System.Buffers.Binary;
using System.Text;
using Farm.Linking;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Firmware;

/// <summary>The loader's code and data, written with Iced's assembler.</summary>
internal sealed class LoaderProgram(IReadOnlyList<LoaderPayload> payloads, LoaderStrength strength, uint assistEntry, bool closeBios)
{
    private const ushort Code32 = 8, Data32 = 0x10, Code16 = 0x18, Data16 = 0x20;
    private const ushort DebugPort = 0xE9, PciAddress = 0xCF8, PciData = 0xCFC;
    private const uint Pam0 = 0x59, PamLast = 0x5F;

    // Offsets in a payload table entry.
    private const int Destination = 0, Source = 4, Size = 8, Sum = 12, Condition = 16, Name = 20;

    public byte[] Link()
    {
        var (code, labels) = LinkedCode.Link(MemoryMap.LoaderRom + LoaderImage.HeaderSize, Emit);
        List<byte> bytes = [.. new byte[LoaderImage.HeaderSize], .. code];
        foreach (var payload in payloads)
        {
            bytes.AddRange(new byte[(int)Align((uint)bytes.Count) - bytes.Count]);
            bytes.AddRange(payload.Padded());
        }
        byte[] image = [.. bytes];
        image[0] = 0xE9; // JMP rel32
        Put(1, labels["entry"] - (MemoryMap.LoaderRom + 5));
        Put(LoaderImage.MagicOffset, LoaderImage.Magic);
        Put(LoaderImage.StrengthOffset, (uint)strength);
        Put(LoaderImage.CountOffset, (uint)payloads.Count);
        Put(LoaderImage.TableOffset, labels["table"]);
        Put(LoaderImage.SizeOffset, (uint)image.Length);
        return image;

        void Put(int offset, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(offset), value);
    }

    private static uint Align(uint address) => (address + 15) & ~15u;

    private void Emit(LinkedCode code)
    {
        EmitMain(code);
        EmitPayloadLoop(code);
        EmitNative(code);
        EmitRoutines(code);
        EmitData(code);
    }

    private static void EmitMain(LinkedCode code)
    {
        var c = code.Asm;
        code.Place("entry");
        c.cli();
        c.cld();
        c.lgdt(__[code.At("gdtr")]);
        c.mov(ax, Data32);
        c.mov(ds, ax);
        c.mov(es, ax);
        c.mov(ss, ax);
        c.mov(esp, LoaderImage.StackTop);
        c.AddInstruction(Instruction.CreateBranch(Iced.Intel.Code.Jmp_ptr1632, Code32, code.At("flat")));
        code.Place("flat");
        c.push(edx); // processor signature, popped on the way out
        Print(code, "hello");
        c.mov(al, 0x30);
        c.mov(bl, 0x33);
        c.call(code["pam"]);
        // Cirrus Logic: SR6 reads 12h after the unlock value 12h was written.
        c.mov(dx, 0x3C4);
        c.mov(ax, 0x9206);
        c.@out(dx, ax);
        c.inc(edx);
        c.@in(al, dx);
        c.xor(ebp, ebp);
        c.cmp(al, 0x12);
        c.sete(al);
        c.movzx(ebp, al);
        c.inc(ebp); // LoaderCondition.StandardAdapter or CirrusAdapter
        c.mov(ebx, code.At("table"));
    }

    private void EmitPayloadLoop(LinkedCode code)
    {
        var c = code.Asm;
        code.Place("payload");
        c.cmp(ebx, code.At("table") + (uint)(payloads.Count * LoaderImage.EntrySize));
        c.jae(code["loaded"]);
        c.mov(eax, __dword_ptr[ebx + Condition]);
        c.test(eax, eax);
        c.jz(code["copy"]);
        c.cmp(eax, (int)LoaderCondition.Assisted);
        c.je(code["assist_wanted"]);
        c.cmp(eax, ebp);
        c.je(code["copy"]);
        c.jmp(code["next"]);
        code.Place("assist_wanted");
        c.cmp(__word_ptr[MemoryMap.LoaderRom + LoaderImage.StrengthOffset], (int)LoaderStrength.Native);
        c.je(code["next"]);

        code.Place("copy");
        c.mov(esi, __dword_ptr[ebx + Source]);
        c.mov(edi, __dword_ptr[ebx + Destination]);
        c.mov(ecx, __dword_ptr[ebx + Size]);
        c.add(ecx, 3);
        c.shr(ecx, 2);
        c.push(ecx);
        c.rep.movsd();
        // What counts is what the guest will read: the sum is taken at the destination.
        c.pop(ecx);
        c.mov(esi, __dword_ptr[ebx + Destination]);
        c.xor(edx, edx);
        code.Place("sum");
        c.lodsd();
        c.add(edx, eax);
        c.dec(ecx);
        c.jnz(code["sum"]);
        c.mov(edi, edx);
        c.mov(esi, code.At("prefix"));
        c.call(code["puts"]);
        c.mov(esi, __dword_ptr[ebx + Name]);
        c.call(code["puts"]);
        PrintHex(code, "at", () => c.mov(eax, __dword_ptr[ebx + Destination]));
        PrintHex(code, "size", () => c.mov(eax, __dword_ptr[ebx + Size]));
        PrintHex(code, "sum_text", () => c.mov(eax, edi));
        c.cmp(edi, __dword_ptr[ebx + Sum]);
        c.jne(code["damaged"]);
        Print(code, "newline");
        code.Place("next");
        c.add(ebx, LoaderImage.EntrySize);
        c.jmp(code["payload"]);

        code.Place("damaged");
        PrintHex(code, "expected", () => c.mov(eax, __dword_ptr[ebx + Sum]));
        Print(code, "halted");
        code.Place("halt");
        c.cli();
        c.hlt();
        c.jmp(code["halt"]);

        code.Place("loaded");
        if (closeBios)
        {
            c.mov(al, 0);
            c.call(code["pam_bios"]);
        }
        c.pop(ecx);
        c.movzx(eax, __word_ptr[MemoryMap.LoaderRom + LoaderImage.StrengthOffset]);
        c.cmp(eax, (int)LoaderStrength.Native);
        c.je(code["native"]);
        c.push(eax);
        Print(code, "to_assist");
        c.pop(eax);
        c.xor(ebx, ebx);
        c.xor(edx, edx);
        c.mov(edi, MemoryMap.AssistBlob + assistEntry);
        c.jmp(edi);
    }

    private static void EmitNative(LinkedCode code)
    {
        var c = code.Asm;
        code.Place("native");
        c.push(ecx);
        Print(code, "to_native");
        c.pop(edx);
        c.lidt(__[code.At("real_idtr")]);
        c.xor(ebx, ebx);
        c.xor(ecx, ecx);
        c.xor(esi, esi);
        c.xor(edi, edi);
        c.xor(ebp, ebp);
        c.xor(esp, esp);
        c.AddInstruction(Instruction.CreateBranch(Iced.Intel.Code.Jmp_ptr1632, Code16, code.At("native16") - MemoryMap.LoaderRom));
        code.Place("native16");
        c.db(Native16());
    }

    /// <summary>The trampoline: 64 KiB segments, CR0.PE off, F000:FFF0 with EDX the processor signature, all other registers 0.</summary>
    private static byte[] Native16()
    {
        var c = new Assembler(16);
        c.mov(ax, Data16);
        c.mov(ds, ax);
        c.mov(es, ax);
        c.mov(fs, ax);
        c.mov(gs, ax);
        c.mov(ss, ax);
        c.mov(eax, cr0);
        c.and(al, 0xFE);
        c.mov(cr0, eax);
        c.xor(eax, eax);
        c.mov(ds, ax);
        c.mov(es, ax);
        c.mov(fs, ax);
        c.mov(gs, ax);
        c.mov(ss, ax);
        c.AddInstruction(Instruction.CreateBranch(Iced.Intel.Code.Jmp_ptr1616, 0xF000, 0xFFF0));
        using var stream = new MemoryStream();
        c.Assemble(new StreamCodeWriter(stream), 0);
        return stream.ToArray();
    }

    private static void EmitRoutines(LinkedCode code)
    {
        var c = code.Asm;
        // PAM registers by PCI configuration mechanism #1: AL for F0000h, BL for the others.
        code.Place("pam");
        for (uint register = Pam0; register <= PamLast; register++)
        {
            if (register == Pam0 + 1)
                c.mov(al, bl);
            WritePam(register);
        }
        c.ret();

        // AL for E0000h-FFFFFh.
        code.Place("pam_bios");
        WritePam(Pam0);
        WritePam(PamLast - 1);
        WritePam(PamLast);
        c.ret();

        void WritePam(uint register)
        {
            c.mov(ecx, eax);
            c.mov(eax, 0x80000000 | (register & 0xFC));
            c.mov(dx, PciAddress);
            c.@out(dx, eax);
            c.mov(eax, ecx);
            c.mov(dx, (short)(PciData + (register & 3)));
            c.@out(dx, al);
        }

        // Zero-terminated text at ESI to the debug port; EAX and ESI change.
        code.Place("puts");
        c.lodsb();
        c.test(al, al);
        c.jz(code["puts_end"]);
        c.@out((byte)DebugPort, al);
        c.jmp(code["puts"]);
        code.Place("puts_end");
        c.ret();

        // EAX as eight hexadecimal digits; EAX, ECX and EDX change.
        code.Place("hex");
        c.mov(edx, eax);
        c.mov(ecx, 8);
        code.Place("hex_digit");
        c.rol(edx, 4);
        c.mov(al, dl);
        c.and(al, 0x0F);
        c.cmp(al, 10);
        c.jb(code["hex_low"]);
        c.add(al, (byte)('A' - '0' - 10));
        code.Place("hex_low");
        c.add(al, (byte)'0');
        c.@out((byte)DebugPort, al);
        c.dec(ecx);
        c.jnz(code["hex_digit"]);
        c.ret();
    }

    private void EmitData(LinkedCode code)
    {
        var c = code.Asm;
        Text("hello", $"Farm loader: {payloads.Count} payloads, assist strength {strength.ToString().ToLowerInvariant()}\n");
        Text("prefix", "Farm loader: ");
        Text("at", " at ");
        Text("size", "h, size ");
        Text("sum_text", "h, sum ");
        Text("newline", "h\n");
        Text("expected", "h, expected ");
        Text("halted", "h: payload damaged or shadow RAM not writable, halted\n");
        Text("to_assist", "Farm loader: entering the assist\n");
        Text("to_native", "Farm loader: entering real mode at F000:FFF0\n");
        code.Place("real_idtr");
        c.dw(0x3FF);
        c.dd(0);
        code.Place("gdtr");
        c.dw(5 * 8 - 1);
        c.dd(code.At("gdt"));
        // Accessed bits are set: the table lies in ROM.
        code.Place("gdt");
        ulong code16 = 0x0000_9B00_0000_FFFF | ((ulong)(MemoryMap.LoaderRom & 0xFFFFFF) << 16) | ((ulong)(MemoryMap.LoaderRom >> 24) << 56);
        foreach (ulong descriptor in new ulong[] { 0, 0x00CF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF, code16, 0x0000_9300_0000_FFFF })
            c.dq(descriptor);
        for (int i = 0; i < payloads.Count; i++)
        {
            code.Place($"name{i}");
            c.db(payloads[i].CString());
        }
        code.Place("table");
        uint source = Align(code.At("end") + 4);
        for (int i = 0; i < payloads.Count; i++)
        {
            var payload = payloads[i];
            c.dd(payload.Destination, source, (uint)payload.Bytes.Length, payload.Sum);
            c.dd((uint)payload.Condition, code.At($"name{i}"), 0, 0);
            source = Align(source + (uint)payload.Bytes.Length);
        }
        code.Place("end");
        c.dd(LoaderImage.Magic);

        void Text(string label, string text)
        {
            code.Place(label);
            c.db([.. Encoding.ASCII.GetBytes(text), 0]);
        }
    }

    private static void Print(LinkedCode code, string text)
    {
        code.Asm.mov(esi, code.At(text));
        code.Asm.call(code["puts"]);
    }

    private static void PrintHex(LinkedCode code, string text, Action loadEax)
    {
        Print(code, text);
        loadEax();
        code.Asm.call(code["hex"]);
    }
}
