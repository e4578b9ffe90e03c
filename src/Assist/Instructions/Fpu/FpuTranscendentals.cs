using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.Fpu;

/// <summary>FSIN, FCOS, FSINCOS, FPTAN, FPATAN, F2XM1, FYL2X, FYL2XP1.</summary>
internal static unsafe class FpuTranscendentals
{
    public static void Register()
    {
        InstructionTable.Register(Code.Fsin, &Sine);
        InstructionTable.Register(Code.Fcos, &Cosine);
        InstructionTable.Register(Code.Fsincos, &SineAndCosine);
        InstructionTable.Register(Code.Fptan, &Tangent);
        InstructionTable.Register(Code.Fpatan, &ArcTangent);
        InstructionTable.Register(Code.F2xm1, &PowerMinus1);
        InstructionTable.Register(Code.Fyl2x, &Logarithm);
        InstructionTable.Register(Code.Fyl2xp1, &LogarithmPlus1);
    }

    /// <summary>Begins a function of an angle: C2 tells whether it is in range. False: nothing more to do.</summary>
    private static bool BeginAngle(X86Cpu cpu, Op* op)
    {
        CpuState* state = cpu.State;
        if (!FpuUnit.Ready(cpu))
            return false;
        FpuUnit.SetConditions(state, FpuUnit.C2, 0);
        if (!FpuFunctions.BeginUnary(cpu, op))
            return false;
        if (!Float80Trigonometry.IsOutOfRange(FpuUnit.Read(state, 0)))
            return true;
        FpuUnit.SetConditions(state, FpuUnit.C2 | FpuUnit.C1, FpuUnit.C2);
        return false;
    }

    private static void Sine(X86Cpu cpu, Op* op)
    {
        if (!BeginAngle(cpu, op))
            return;
        FloatEnvironment env = FpuUnit.Environment(cpu.State);
        Float80 result = Float80Trigonometry.Sine(ref env, FpuUnit.Read(cpu.State, 0));
        if (FpuUnit.Complete(cpu, env))
            FpuUnit.Write(cpu.State, 0, result);
    }

    private static void Cosine(X86Cpu cpu, Op* op)
    {
        if (!BeginAngle(cpu, op))
            return;
        FloatEnvironment env = FpuUnit.Environment(cpu.State);
        Float80 result = Float80Trigonometry.Cosine(ref env, FpuUnit.Read(cpu.State, 0));
        if (FpuUnit.Complete(cpu, env))
            FpuUnit.Write(cpu.State, 0, result);
    }

    private static void SineAndCosine(X86Cpu cpu, Op* op)
    {
        if (!BeginPushing(cpu, op))
            return;
        CpuState* state = cpu.State;
        FloatEnvironment env = FpuUnit.Environment(state);
        Float80 value = FpuUnit.Read(state, 0);
        Float80 sine = Float80Trigonometry.Sine(ref env, value);
        Float80 cosine = Float80Trigonometry.Cosine(ref env, value);
        PushSecond(cpu, env, sine, cosine);
    }

    private static void Tangent(X86Cpu cpu, Op* op)
    {
        if (!BeginPushing(cpu, op))
            return;
        CpuState* state = cpu.State;
        FloatEnvironment env = FpuUnit.Environment(state);
        Float80 tangent = Float80Trigonometry.Tangent(ref env, FpuUnit.Read(state, 0));
        PushSecond(cpu, env, tangent, tangent.IsNaN ? tangent : Float80.One);
    }

    /// <summary>As <see cref="BeginAngle"/> for two results: there must be room for the second.</summary>
    private static bool BeginPushing(X86Cpu cpu, Op* op)
    {
        CpuState* state = cpu.State;
        if (!FpuUnit.Ready(cpu))
            return false;
        FpuUnit.Note(cpu, op);
        FpuUnit.SetConditions(state, FpuUnit.C2, 0);
        bool empty = FpuUnit.IsEmpty(state, 0);
        if (empty || !FpuUnit.IsEmpty(state, 7))
        {
            if (FpuUnit.StackFault(cpu, overflow: !empty))
            {
                FpuUnit.Write(state, 0, Float80.Indefinite);
                FpuUnit.Push(state, Float80.Indefinite);
            }
            return false;
        }
        if (!Float80Trigonometry.IsOutOfRange(FpuUnit.Read(state, 0)))
            return true;
        FpuUnit.SetConditions(state, FpuUnit.C2 | FpuUnit.C1, FpuUnit.C2);
        return false;
    }

    private static void PushSecond(X86Cpu cpu, in FloatEnvironment env, Float80 first, Float80 second)
    {
        if (!FpuUnit.Complete(cpu, env))
            return;
        FpuUnit.Write(cpu.State, 0, first);
        FpuUnit.Push(cpu.State, second);
    }

    private static void PowerMinus1(X86Cpu cpu, Op* op)
    {
        if (!FpuFunctions.BeginUnary(cpu, op))
            return;
        FloatEnvironment env = FpuUnit.Environment(cpu.State);
        Float80 result = Float80Logarithms.PowerMinus1(ref env, FpuUnit.Read(cpu.State, 0));
        if (FpuUnit.Complete(cpu, env))
            FpuUnit.Write(cpu.State, 0, result);
    }

    private static void ArcTangent(X86Cpu cpu, Op* op)
    {
        if (!BeginPopping(cpu, op))
            return;
        FloatEnvironment env = FpuUnit.Environment(cpu.State);
        Float80 result = Float80Trigonometry.ArcTangent(ref env, FpuUnit.Read(cpu.State, 1), FpuUnit.Read(cpu.State, 0));
        Finish(cpu, env, result);
    }

    private static void Logarithm(X86Cpu cpu, Op* op)
    {
        if (!BeginPopping(cpu, op))
            return;
        FloatEnvironment env = FpuUnit.Environment(cpu.State);
        Float80 result = Float80Logarithms.Logarithm(ref env, FpuUnit.Read(cpu.State, 1), FpuUnit.Read(cpu.State, 0));
        Finish(cpu, env, result);
    }

    private static void LogarithmPlus1(X86Cpu cpu, Op* op)
    {
        if (!BeginPopping(cpu, op))
            return;
        FloatEnvironment env = FpuUnit.Environment(cpu.State);
        Float80 result = Float80Logarithms.LogarithmPlus1(ref env, FpuUnit.Read(cpu.State, 1), FpuUnit.Read(cpu.State, 0));
        Finish(cpu, env, result);
    }

    /// <summary>Two operands, the result in ST(1), then a pop.</summary>
    private static bool BeginPopping(X86Cpu cpu, Op* op)
    {
        if (!FpuUnit.Begin(cpu, op))
            return false;
        CpuState* state = cpu.State;
        if (!FpuUnit.IsEmpty(state, 0) && !FpuUnit.IsEmpty(state, 1))
            return true;
        if (FpuUnit.StackFault(cpu))
        {
            FpuUnit.Write(state, 1, Float80.Indefinite);
            FpuUnit.Pop(state);
        }
        return false;
    }

    private static void Finish(X86Cpu cpu, in FloatEnvironment env, Float80 result)
    {
        if (!FpuUnit.Complete(cpu, env))
            return;
        FpuUnit.Write(cpu.State, 1, result);
        FpuUnit.Pop(cpu.State);
    }
}
