using System.Globalization;
using System.Text;
using Farm.Assist.Cpu;
using Farm.Assist.Monitor;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.Monitor;

/// <summary>
/// Random real-mode programs leave the same registers and the same memory under vm86, full and native. A program is a row of
/// 16-byte slots with one instruction each; a handler of a fault goes on with the next slot. Interrupts come from a port, so
/// that they arrive at the same instruction everywhere.
/// </summary>
public sealed unsafe class StrengthsAgreeTests
{
    private const int Slots = 96, SlotSize = 16, CodeAt = 0x10000;
    private const ushort InterruptPort = 0x42;

    private static readonly AssemblerRegister16[] s_words = [ax, cx, dx, bx, bp, si, di];
    private static readonly AssemblerRegister32[] s_dwords = [eax, ecx, edx, ebx, ebp, esi, edi];
    private static readonly AssemblerRegisterSegment[] s_segments = [ds, es, fs, gs];
    private static readonly AssemblerRegisterDR[] s_debug = [dr0, dr1, dr2, dr3];

    public static TheoryData<int> Seeds
    {
        get
        {
            var seeds = new TheoryData<int>();
            for (int seed = 1; seed <= 10; seed++)
                seeds.Add(seed);
            return seeds;
        }
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Random_programs_end_alike(int seed)
    {
        int conclusive = 0;
        for (int round = 0; round < 8; round++)
        {
            int program = (seed * 1000) + round;
            var (ended, expected, memory, _) = Execute(AssistStrength.Native, program);
            // Random code may also loop for ever.
            if (!ended)
                continue;
            conclusive++;
            foreach (var (strength, storesUnseen) in new[] { (AssistStrength.Vm86, false), (AssistStrength.Vm86, true), (AssistStrength.Full, false) })
            {
                var (_, actual, ram, traps) = Execute(strength, program, storesUnseen);
                Assert.True(expected == actual, $"program {program} under {strength} ({traps}):\nnative {expected}\nassist {actual}");
                int difference = memory.AsSpan().CommonPrefixLength(ram);
                Assert.True(difference == memory.Length, $"program {program} under {strength}: memory differs at {difference:X}h");
            }
        }
        Assert.True(conclusive >= 6, $"{conclusive} of 8 programs came to an end");
    }

    private static (bool Ended, string State, byte[] Memory, string Traps) Execute(AssistStrength strength, int seed, bool storesUnseen = false)
    {
        using var bed = new AssistBed(strength, storesUnseen: storesUnseen);
        var random = new Random(seed);
        SetUp(bed, random);
        bed.OnWrite = (port, value) =>
        {
            if (port == InterruptPort)
                bed.Interrupt((byte)(value % 2 == 0 ? 0x08 : 0x0D));
        };
        var step = bed.Run(200_000);
        // HLT slots in the middle wait with interrupts on or off: wake what can be woken.
        for (int i = 0; i < Slots && step == AssistStep.Halted && (bed.Guest->Rflags & Eflags.IF) != 0; i++)
        {
            bed.Interrupt(8);
            step = bed.Run(200_000);
        }
        bool ended = step == AssistStep.Shutdown || (step == AssistStep.Halted && (bed.Guest->Rflags & Eflags.IF) == 0);
        return (ended, Describe(bed, step), bed.Ram[..0x110000].ToArray(), string.Join(", ", bed.Assist.Statistics.TrapsByMnemonic));
    }

    private static void SetUp(AssistBed bed, Random random)
    {
        // IOPL 3 from the start: virtual-8086 mode cannot show another in pushed flags.
        bed.Assemble(0xFFF80, 0xFF80, 16, c =>
        {
            c.mov(ax, 0x3000);
            c.mov(ss, ax);
            c.mov(sp, 0x7000);
            c.push(0x3002);
            c.popf();
            foreach (var segment in s_segments)
            {
                c.mov(ax, (ushort)random.Next(0x4000, 0x7000));
                c.mov(segment, ax);
            }
            c.AddInstruction(Instruction.CreateBranch(Code.Jmp_ptr1616, CodeAt >> 4, 0));
        }, halt: false);
        bed.Assemble(0xFFFF0, 0xFFF0, 16, c =>
        {
            c.AddInstruction(Instruction.CreateBranch(Code.Jmp_ptr1616, 0xF000, 0xFF80));
        }, halt: false);
        foreach (int vector in new[] { 1, 2, 3, 4, 8, 0x21, 0x60, 0xFF })
            bed.Handler(vector);
        // IRQ 5 at the vector of #GP cannot be told from it, in a PC neither: both go on with the next slot.
        foreach (int vector in new[] { 0, 5, 6, 7, 12, 13 })
            bed.Handler(vector, c => NextSlot(c, vector));
        byte[] fill = new byte[0x50000];
        random.NextBytes(fill);
        fill.CopyTo(bed.Ram[0x30000..]);
        for (int slot = 0; slot < Slots; slot++)
        {
            bed.Ram.Slice(CodeAt + (slot * SlotSize), SlotSize).Fill(0x90);
            bed.Assemble((uint)(CodeAt + (slot * SlotSize)), (uint)(slot * SlotSize), 16, c => Emit(c, random), halt: false);
        }
        bed.Ram[CodeAt + (Slots * SlotSize)] = 0xFA; // CLI
        bed.Ram[CodeAt + (Slots * SlotSize) + 1] = 0xF4;
    }

    private static void NextSlot(Assembler c, int vector)
    {
        c.inc(__word_ptr.cs[0x8000 + (vector * 2)]);
        c.push(bp);
        c.mov(bp, sp);
        c.and(__word_ptr[bp + 2], unchecked((short)0xFFF0));
        c.add(__word_ptr[bp + 2], SlotSize);
        c.pop(bp);
        c.iret();
    }

    private static void Emit(Assembler c, Random r)
    {
        var w = s_words[r.Next(s_words.Length)];
        var w2 = s_words[r.Next(s_words.Length)];
        var d = s_dwords[r.Next(s_dwords.Length)];
        var segment = s_segments[r.Next(s_segments.Length)];
        short disp = (short)r.Next(0x8000);
        switch (r.Next(46))
        {
            case 0: case 1: c.mov(w, (ushort)r.Next(0x10000)); break;
            case 2: c.mov(d, r.Next()); break;
            case 3: c.mov(d, r.Next(0x20000)); break;
            case 4: c.add(w, w2); break;
            case 5: c.sbb(w, w2); break;
            case 6: c.imul(w, w2); break;
            case 7: c.mov(__word_ptr[bx + si + disp], w); break;
            case 8: c.mov(w, __word_ptr[bx + di + disp]); break;
            case 9: c.mov(w, __word_ptr[0xFFFF]); break; // #GP
            case 10: c.xor(d, __dword_ptr[ebp + disp]); break; // #SS sometimes
            case 11: c.push(w); break;
            case 12: c.push(d); break;
            case 13: c.pop(w); break;
            case 14: c.mov(w, (ushort)r.Next(0x4000, 0x7000)); c.mov(segment, w); break;
            case 15: c.mov(w, segment); break;
            case 16: c.@int((byte)(r.Next(2) == 0 ? 0x21 : 0x60)); break;
            case 17: c.@int((byte)(r.Next(2) == 0 ? 0x0D : 0xFF)); break;
            case 18: c.div(cl); break; // #DE sometimes
            case 19: c.ud2(); break;
            case 20: c.int3(); break;
            case 21: c.into(); break;
            case 22: c.mov(d, __dword_ptr[edx + (ecx * 4)]); break; // mostly #GP
            case 23: c.mov(ecx, r.Next(12)); c.rep.movsb(); break;
            case 24: c.mov(ecx, r.Next(12)); c.rep.stosw(); break;
            case 25: c.cli(); break;
            case 26: c.sti(); break;
            case 27: c.@out((byte)InterruptPort, al); break;
            case 28: c.sti(); c.hlt(); break;
            case 29: c.@in(al, 0x60); break;
            case 30: c.mov(eax, cr0); break;
            case 31: c.smsw(w); break;
            case 32: c.sgdt(__[0x5000]); break;
            case 33: c.sidt(__[0x5008]); break;
            case 34: c.mov(s_debug[r.Next(4)], ebx); break;
            case 35: c.mov(ebx, s_debug[r.Next(4)]); break;
            case 36: c.pushf(); break;
            case 37: c.push((short)(0x3002 | (r.Next(0x1000) & ~0x100 & 0xFD5))); c.popf(); break;
            case 38: c.push(0x3302); c.popf(); c.nop(); c.push(0x3002); c.popf(); break; // TF for a while
            case 39: c.enter((short)r.Next(32), 1); c.leave(); break;
            case 40: c.cli(); c.mov(dx, r.Next(2) == 0 ? MonitorLayout.Port : (ushort)0x80); c.@out(dx, al); break;
            case 41: c.lgdt(__[0x4000 + r.Next(64)]); break;
            case 42: c.wbinvd(); break;
            case 43: c.clts(); break;
            case 44: c.bound(w, __dword_ptr[0x5010]); break; // #BR
            default: c.xchg(__word_ptr[si], w); break;
        }
    }

    private static string Describe(AssistBed bed, AssistStep step)
    {
        var text = new StringBuilder();
        CpuState* state = bed.Guest;
        text.Append(CultureInfo.InvariantCulture, $"{step} {state->Cs.Selector:X4}:{state->Rip:X4} fl={state->Rflags & 0xFFFF:X4} cr0={state->Cr0:X} gdt={state->Gdtr.Base:X}");
        for (int i = 0; i < 8; i++)
            text.Append(CultureInfo.InvariantCulture, $" {state->Gpr[i]:X8}");
        SegmentCache* segment = &state->Es;
        for (int i = 0; i < 6; i++)
            text.Append(CultureInfo.InvariantCulture, $" {segment[i].Selector:X4}/{segment[i].Base:X}/{segment[i].Limit:X}/{segment[i].Access:X}");
        for (int i = 0; i < 4; i++)
            text.Append(CultureInfo.InvariantCulture, $" dr{i}={state->Dr[i]:X}");
        return text.ToString();
    }
}
