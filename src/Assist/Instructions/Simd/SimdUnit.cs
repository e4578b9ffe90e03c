using System.Runtime.Intrinsics;
using Farm.Assist.Cpu;
using Farm.Assist.Instructions.Fpu;

namespace Farm.Assist.Instructions.Simd;

/// <summary>MMX and XMM registers, and what every instruction on them starts with (SDM vol. 1, 9.6, 11.6; vol. 3, 12 and 13.1).</summary>
internal static unsafe class SimdUnit
{
    /// <summary>#UD with CR0.EM, #NM with TS, a pending x87 exception. False: the processor is frozen before the instruction (FERR#).</summary>
    public static bool BeginMmx(X86Cpu cpu)
    {
        if ((cpu.State->Cr0 & (ControlRegisters.Cr0EM | ControlRegisters.Cr0TS)) != 0)
            throw cpu.Fault((cpu.State->Cr0 & ControlRegisters.Cr0EM) != 0 ? Vectors.UD : Vectors.NM);
        return (cpu.State->FpuStatus & FpuUnit.Summary) == 0 || cpu.TakeMathFault();
    }

    /// <summary>Every MMX instruction but EMMS: all registers valid, TOP 0.</summary>
    public static void EnterMmx(CpuState* state)
    {
        FpuUnit.SetTop(state, 0);
        state->FpuTag = 0;
    }

    public static ulong Mm(CpuState* state, int index) => state->Fpr[index * 2];

    /// <summary>Writes an MMX register; its exponent and sign read as ones from then on.</summary>
    public static void SetMm(CpuState* state, int index, ulong value)
    {
        state->Fpr[index * 2] = value;
        state->Fpr[(index * 2) + 1] = 0xFFFF;
    }

    /// <summary>#UD with CR0.EM or without CR4.OSFXSR, #NM with TS.</summary>
    public static void BeginSse(X86Cpu cpu)
    {
        CpuState* state = cpu.State;
        if ((state->Cr4 & ControlRegisters.Cr4OSFXSR) == 0 || (state->Cr0 & ControlRegisters.Cr0EM) != 0)
            throw cpu.Fault(Vectors.UD);
        if ((state->Cr0 & ControlRegisters.Cr0TS) != 0)
            throw cpu.Fault(Vectors.NM);
    }

    public static Vector128<byte>* Xmm(CpuState* state, int index) => (Vector128<byte>*)(state->Xmm + (index * 2));

    /// <summary>Effective address of a 16-byte operand: #GP(0) unless its linear address is aligned.</summary>
    public static ulong AlignedEa(X86Cpu cpu, Op* op)
    {
        ulong ea = cpu.Ea(op);
        bool based = !cpu.Mode64 || op->Segment >= Seg.Fs;
        if (((ea + (based ? cpu.Segment(op->Segment).Base : 0)) & 15) != 0)
            throw cpu.Fault(Vectors.GP, 0);
        return ea;
    }

    public static Vector128<byte> ReadAligned(X86Cpu cpu, Op* op) => cpu.Read<Vector128<byte>>(op->Segment, AlignedEa(cpu, op));
}
