using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.Fpu;

/// <summary>Moves within the register stack, constants, sign changes, and the stack pointer itself.</summary>
internal static unsafe class FpuRegisters
{
    public static void Register()
    {
        InstructionTable.Register(Code.Fld_sti, &Load);
        InstructionTable.Register(Code.Fst_sti, &Store<NoPop>);
        InstructionTable.Register(Code.Fstp_sti, &Store<PopOnce>);
        InstructionTable.Register(Code.Fstp_sti_DFD0, &Store<PopOnce>);
        InstructionTable.Register(Code.Fstp_sti_DFD8, &Store<PopOnce>);
        InstructionTable.Register(Code.Fstpnce_sti, &StoreUnchecked);
        InstructionTable.Register(Code.Fxch_st0_sti, &Exchange);
        InstructionTable.Register(Code.Fxch_st0_sti_DDC8, &Exchange);
        InstructionTable.Register(Code.Fxch_st0_sti_DFC8, &Exchange);
        InstructionTable.Register(Code.Fchs, &ChangeSign);
        InstructionTable.Register(Code.Fabs, &Absolute);
        InstructionTable.Register(Code.Ffree_sti, &Free);
        InstructionTable.Register(Code.Ffreep_sti, &FreeAndPop);
        InstructionTable.Register(Code.Fincstp, &Increment);
        InstructionTable.Register(Code.Fdecstp, &Decrement);
        InstructionTable.Register(Code.Fnop, &Nothing);

        InstructionTable.Register(Code.Fld1, &One);
        InstructionTable.Register(Code.Fldz, &Zero);
        InstructionTable.Register(Code.Fldpi, &Pi);
        InstructionTable.Register(Code.Fldl2t, &Log2Of10);
        InstructionTable.Register(Code.Fldl2e, &Log2OfE);
        InstructionTable.Register(Code.Fldlg2, &Log10Of2);
        InstructionTable.Register(Code.Fldln2, &LogOf2);
    }

    private static void Load(X86Cpu cpu, Op* op)
    {
        if (!FpuUnit.Begin(cpu, op))
            return;
        CpuState* state = cpu.State;
        bool empty = FpuUnit.IsEmpty(state, op->Reg0);
        if (empty || !FpuUnit.IsEmpty(state, 7))
        {
            if (FpuUnit.StackFault(cpu, overflow: !empty))
                FpuUnit.Push(state, Float80.Indefinite);
            return;
        }
        FpuUnit.ClearC1(state);
        FpuUnit.Push(state, FpuUnit.Read(state, op->Reg0));
    }

    private static void Store<TPops>(X86Cpu cpu, Op* op)
        where TPops : struct, IPops
    {
        if (!FpuUnit.Begin(cpu, op))
            return;
        CpuState* state = cpu.State;
        Float80 value = FpuUnit.Read(state, 0);
        if (FpuUnit.IsEmpty(state, 0))
        {
            if (!FpuUnit.StackFault(cpu))
                return;
            value = Float80.Indefinite;
        }
        else
        {
            FpuUnit.ClearC1(state);
        }
        FpuUnit.Write(state, op->Reg0, value);
        if (TPops.Count != 0)
            FpuUnit.Pop(state);
    }

    // D9 D8+i: FSTP that takes an empty register without complaint and stores nothing then.
    private static void StoreUnchecked(X86Cpu cpu, Op* op)
    {
        if (!FpuUnit.Begin(cpu, op))
            return;
        CpuState* state = cpu.State;
        FpuUnit.ClearC1(state);
        if (!FpuUnit.IsEmpty(state, 0))
            FpuUnit.Write(state, op->Reg0, FpuUnit.Read(state, 0));
        FpuUnit.Pop(state);
    }

    private static void Exchange(X86Cpu cpu, Op* op)
    {
        if (!FpuUnit.Begin(cpu, op))
            return;
        CpuState* state = cpu.State;
        Float80 top = FpuUnit.Read(state, 0), other = FpuUnit.Read(state, op->Reg1);
        bool topEmpty = FpuUnit.IsEmpty(state, 0), otherEmpty = FpuUnit.IsEmpty(state, op->Reg1);
        if (topEmpty || otherEmpty)
        {
            if (!FpuUnit.StackFault(cpu))
                return;
            top = topEmpty ? Float80.Indefinite : top;
            other = otherEmpty ? Float80.Indefinite : other;
        }
        else
        {
            FpuUnit.ClearC1(state);
        }
        FpuUnit.Write(state, 0, other);
        FpuUnit.Write(state, op->Reg1, top);
    }

    private static void ChangeSign(X86Cpu cpu, Op* op)
    {
        if (BeginUnary(cpu, op))
            FpuUnit.Write(cpu.State, 0, FpuUnit.Read(cpu.State, 0).Negated);
    }

    private static void Absolute(X86Cpu cpu, Op* op)
    {
        if (BeginUnary(cpu, op))
            FpuUnit.Write(cpu.State, 0, FpuUnit.Read(cpu.State, 0).WithSign(false));
    }

    /// <summary>False when there is no operand: the stack fault has been dealt with.</summary>
    private static bool BeginUnary(X86Cpu cpu, Op* op)
    {
        if (!FpuUnit.Begin(cpu, op))
            return false;
        if (FpuUnit.IsEmpty(cpu.State, 0))
        {
            if (FpuUnit.StackFault(cpu))
                FpuUnit.Write(cpu.State, 0, Float80.Indefinite);
            return false;
        }
        FpuUnit.ClearC1(cpu.State);
        return true;
    }

    private static void Free(X86Cpu cpu, Op* op)
    {
        if (!FpuUnit.Begin(cpu, op))
            return;
        FpuUnit.ClearC1(cpu.State);
        FpuUnit.Free(cpu.State, op->Reg0);
    }

    private static void FreeAndPop(X86Cpu cpu, Op* op)
    {
        if (!FpuUnit.Begin(cpu, op))
            return;
        FpuUnit.ClearC1(cpu.State);
        FpuUnit.Free(cpu.State, op->Reg0);
        FpuUnit.Pop(cpu.State);
    }

    private static void Increment(X86Cpu cpu, Op* op) => Turn(cpu, op, 1);

    private static void Decrement(X86Cpu cpu, Op* op) => Turn(cpu, op, -1);

    private static void Turn(X86Cpu cpu, Op* op, int step)
    {
        if (!FpuUnit.Begin(cpu, op))
            return;
        FpuUnit.ClearC1(cpu.State);
        FpuUnit.SetTop(cpu.State, FpuUnit.Top(cpu.State) + step);
    }

    private static void Nothing(X86Cpu cpu, Op* op) => FpuUnit.Begin(cpu, op);

    private static void One(X86Cpu cpu, Op* op) => Constant(cpu, op, 0x3FFF, 0x8000000000000000, 0, 0);

    private static void Zero(X86Cpu cpu, Op* op) => Constant(cpu, op, 0, 0, 0, 0);

    private static void Pi(X86Cpu cpu, Op* op) => Constant(cpu, op, 0x4000, 0xC90FDAA22168C235, -1, 0);

    private static void Log2Of10(X86Cpu cpu, Op* op) => Constant(cpu, op, 0x4000, 0xD49A784BCD1B8AFE, 0, 1);

    private static void Log2OfE(X86Cpu cpu, Op* op) => Constant(cpu, op, 0x3FFF, 0xB8AA3B295C17F0BC, -1, 0);

    private static void Log10Of2(X86Cpu cpu, Op* op) => Constant(cpu, op, 0x3FFD, 0x9A209A84FBCFF799, -1, 0);

    private static void LogOf2(X86Cpu cpu, Op* op) => Constant(cpu, op, 0x3FFE, 0xB17217F7D1CF79AC, -1, 0);

    /// <summary>Pushes a constant rounded as RC says: to nearest, with what to add for rounding down (or to zero) and up.</summary>
    private static void Constant(X86Cpu cpu, Op* op, ushort exponent, ulong mantissa, int down, int up)
    {
        if (!FpuUnit.Begin(cpu, op))
            return;
        CpuState* state = cpu.State;
        if (!FpuUnit.IsEmpty(state, 7))
        {
            if (FpuUnit.StackFault(cpu, overflow: true))
                FpuUnit.Push(state, Float80.Indefinite);
            return;
        }
        int adjust = FpuUnit.Environment(state).Rounding switch
        {
            Rounding.Down or Rounding.Zero => down,
            Rounding.Up => up,
            _ => 0,
        };
        FpuUnit.ClearC1(state);
        FpuUnit.Push(state, new Float80(exponent, mantissa + (ulong)adjust));
    }
}
