using System.Numerics;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions;

/// <summary>NOP, PAUSE, the hinting NOPs (0F 0D, 0F 18 to 0F 1F, whatever later names they carry), CLFLUSH, UD0, UD1, UD2 and BOUND.</summary>
internal static unsafe class Nops
{
    public static void Register()
    {
        Nop(Code.Nopw, Code.Nopq);
        Nop(Code.Pause, Code.Pause);
        Nop(Code.Nop_rm16, Code.Nop_rm64);
        Nop(Code.Reservednop_rm16_r16_0F0D, Code.Reservednop_rm64_r64_0F0D);
        Nop(Code.Reservednop_rm16_r16_0F18, Code.Reservednop_rm64_r64_0F1F);
        Nop(Code.Prefetch_m8, Code.Prefetchwt1_m8);
        Nop(Code.Prefetchreserved3_m8, Code.Prefetchreserved7_m8);
        Nop(Code.Prefetchnta_m8, Code.Prefetcht2_m8);
        Nop(Code.Endbr64, Code.Endbr64);
        Nop(Code.Endbr32, Code.Endbr32);
        Nop(Code.Rdsspd_r32, Code.Rdsspq_r64);
        Nop(Code.Cldemote_m8, Code.Cldemote_m8);
        InstructionTable.Register(Code.Clflush_m8, &FlushLine);
        InstructionTable.Register(Code.Ud0, &Undefined, &Undefined);
        foreach (Code first in (ReadOnlySpan<Code>)[Code.Ud0_r16_rm16, Code.Ud1_r16_rm16])
        {
            for (Code code = first; code < first + 3; code++)
                InstructionTable.Register(code, &Undefined, &Undefined);
        }
        InstructionTable.Register(Code.Ud2, &Undefined);
        InstructionTable.Register(Code.Bound_r16_m1616, &Bound<short>);
        InstructionTable.Register(Code.Bound_r32_m3232, &Bound<int>);
    }

    private static void Nop(Code first, Code last)
    {
        for (Code code = first; code <= last; code++)
            InstructionTable.Register(code, &Nothing, &Nothing);
    }

    private static void Nothing(X86Cpu cpu, Op* op)
    {
    }

    // No cache to flush, but the faults of a load.
    private static void FlushLine(X86Cpu cpu, Op* op) => cpu.ProbeRead(op->Segment, cpu.Ea(op), 1);

    private static void Undefined(X86Cpu cpu, Op* op) => cpu.Raise(Vectors.UD);

    private static void Bound<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>, ISignedNumber<T>
    {
        ulong offset = cpu.Ea(op);
        T lower = cpu.Read<T>(op->Segment, offset);
        T upper = cpu.Read<T>(op->Segment, (offset + (ulong)sizeof(T)) & op->AddressMask);
        T index = cpu.Reg<T>(op->Reg0);
        if (index < lower || index > upper)
            throw cpu.Fault(Vectors.BR);
    }
}
