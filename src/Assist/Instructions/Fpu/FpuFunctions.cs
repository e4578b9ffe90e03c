using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.Fpu;

/// <summary>FSQRT, FRNDINT, FSCALE, FXTRACT, FPREM, FPREM1.</summary>
internal static unsafe class FpuFunctions
{
    public static void Register()
    {
        InstructionTable.Register(Code.Fsqrt, &SquareRoot);
        InstructionTable.Register(Code.Frndint, &RoundToInteger);
        InstructionTable.Register(Code.Fscale, &Scale);
        InstructionTable.Register(Code.Fxtract, &Extract);
        InstructionTable.Register(Code.Fprem, &Remainder);
        InstructionTable.Register(Code.Fprem1, &RemainderNearest);
    }

    /// <summary>Begins an instruction on ST(0); false when there is none and the stack fault has been dealt with.</summary>
    public static bool BeginUnary(X86Cpu cpu, Op* op)
    {
        if (!FpuUnit.Begin(cpu, op))
            return false;
        if (!FpuUnit.IsEmpty(cpu.State, 0))
            return true;
        if (FpuUnit.StackFault(cpu))
            FpuUnit.Write(cpu.State, 0, Float80.Indefinite);
        return false;
    }

    /// <summary>Begins an instruction on ST(0) and ST(1) that leaves its result in ST(0).</summary>
    public static bool BeginBinary(X86Cpu cpu, Op* op)
    {
        if (!FpuUnit.Begin(cpu, op))
            return false;
        if (!FpuUnit.IsEmpty(cpu.State, 0) && !FpuUnit.IsEmpty(cpu.State, 1))
            return true;
        if (FpuUnit.StackFault(cpu))
            FpuUnit.Write(cpu.State, 0, Float80.Indefinite);
        return false;
    }

    private static void SquareRoot(X86Cpu cpu, Op* op)
    {
        if (!BeginUnary(cpu, op))
            return;
        FloatEnvironment env = FpuUnit.Environment(cpu.State);
        Float80 result = Float80Math.SquareRoot(ref env, FpuUnit.Read(cpu.State, 0));
        if (FpuUnit.Complete(cpu, env))
            FpuUnit.Write(cpu.State, 0, result);
    }

    private static void RoundToInteger(X86Cpu cpu, Op* op)
    {
        if (!BeginUnary(cpu, op))
            return;
        FloatEnvironment env = FpuUnit.Environment(cpu.State);
        Float80 result = Float80Math.RoundToInteger(ref env, FpuUnit.Read(cpu.State, 0));
        if (FpuUnit.Complete(cpu, env))
            FpuUnit.Write(cpu.State, 0, result);
    }

    private static void Scale(X86Cpu cpu, Op* op)
    {
        if (!BeginBinary(cpu, op))
            return;
        FloatEnvironment env = FpuUnit.Environment(cpu.State);
        Float80 result = Float80Math.Scale(ref env, FpuUnit.Read(cpu.State, 0), FpuUnit.Read(cpu.State, 1));
        if (FpuUnit.Complete(cpu, env))
            FpuUnit.Write(cpu.State, 0, result);
    }

    private static void Extract(X86Cpu cpu, Op* op)
    {
        if (!FpuUnit.Begin(cpu, op))
            return;
        CpuState* state = cpu.State;
        bool room = FpuUnit.IsEmpty(state, 7), empty = FpuUnit.IsEmpty(state, 0);
        if (empty || !room)
        {
            if (FpuUnit.StackFault(cpu, overflow: !empty))
            {
                FpuUnit.Write(state, 0, Float80.Indefinite);
                FpuUnit.Push(state, Float80.Indefinite);
            }
            return;
        }
        FloatEnvironment env = FpuUnit.Environment(state);
        (Float80 exponent, Float80 significand) = Float80Math.Extract(ref env, FpuUnit.Read(state, 0));
        if (!FpuUnit.Complete(cpu, env))
            return;
        FpuUnit.Write(state, 0, exponent);
        FpuUnit.Push(state, significand);
    }

    private static void Remainder(X86Cpu cpu, Op* op) => Remainder(cpu, op, nearest: false);

    private static void RemainderNearest(X86Cpu cpu, Op* op) => Remainder(cpu, op, nearest: true);

    private static void Remainder(X86Cpu cpu, Op* op, bool nearest)
    {
        CpuState* state = cpu.State;
        if (!FpuUnit.Ready(cpu))
            return;
        FpuUnit.SetConditions(state, FpuUnit.C2, 0);
        if (!BeginBinary(cpu, op))
            return;
        FloatEnvironment env = FpuUnit.Environment(state);
        Float80 result = Float80Remainder.Reduce(ref env, FpuUnit.Read(state, 0), FpuUnit.Read(state, 1), nearest, out long quotient);
        if (!FpuUnit.Complete(cpu, env))
            return;
        FpuUnit.Write(state, 0, result);

        // C2: not there yet; else C0 C3 C1 are bits 2, 1, 0 of the quotient.
        if (quotient == Float80Remainder.NoQuotient)
            return;
        int conditions = quotient == Float80Remainder.Incomplete ? FpuUnit.C2
            : ((quotient & 4) != 0 ? FpuUnit.C0 : 0) | ((quotient & 2) != 0 ? FpuUnit.C3 : 0) | ((quotient & 1) != 0 ? FpuUnit.C1 : 0);
        FpuUnit.SetConditions(state, FpuUnit.ConditionCodes, conditions);
    }
}
