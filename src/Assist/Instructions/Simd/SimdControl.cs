using Farm.Assist.Cpu;
using Farm.Assist.Instructions.Fpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.Simd;

/// <summary>EMMS, LDMXCSR, STMXCSR and the fences.</summary>
internal static unsafe class SimdControl
{
    public static void Register()
    {
        InstructionTable.Register(Code.Emms, &Emms);
        InstructionTable.Register(Code.Ldmxcsr_m32, &LoadControl);
        InstructionTable.Register(Code.Stmxcsr_m32, &StoreControl);

        // One processor that executes in order: every access is globally visible at once.
        foreach (Code code in Enum.GetValues<Code>())
        {
            if (code.Mnemonic() is Mnemonic.Sfence or Mnemonic.Lfence or Mnemonic.Mfence)
                InstructionTable.Register(code, &Fence);
        }
    }

    private static void Fence(X86Cpu cpu, Op* op)
    {
    }

    private static void Emms(X86Cpu cpu, Op* op)
    {
        if (!SimdUnit.BeginMmx(cpu))
            return;
        FpuUnit.SetTop(cpu.State, 0);
        cpu.State->FpuTag = 0xFFFF;
    }

    private static void LoadControl(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        uint value = cpu.Read<uint>(op->Segment, cpu.Ea(op));
        if ((value & ~FpuExtendedState.MxcsrMask(cpu)) != 0)
            throw cpu.Fault(Vectors.GP, 0);
        cpu.State->Mxcsr = value;
    }

    private static void StoreControl(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        cpu.Write(op->Segment, cpu.Ea(op), cpu.State->Mxcsr);
    }
}
