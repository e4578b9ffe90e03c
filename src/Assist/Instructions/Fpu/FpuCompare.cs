using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.Fpu;

/// <summary>FCOM, FUCOM, FICOM, FCOMI, FUCOMI and their popping forms, FTST, FXAM, FCMOVcc.</summary>
internal static unsafe class FpuCompare
{
    private interface IQuiet
    {
        /// <summary>A quiet NaN is no invalid operation: FUCOM.</summary>
        static abstract bool Value { get; }
    }

    public static void Register()
    {
        InstructionTable.Register(Code.Fcom_m32fp, &Memory<Real32, NoPop>);
        InstructionTable.Register(Code.Fcomp_m32fp, &Memory<Real32, PopOnce>);
        InstructionTable.Register(Code.Fcom_m64fp, &Memory<Real64, NoPop>);
        InstructionTable.Register(Code.Fcomp_m64fp, &Memory<Real64, PopOnce>);
        InstructionTable.Register(Code.Ficom_m16int, &Memory<Integer16, NoPop>);
        InstructionTable.Register(Code.Ficomp_m16int, &Memory<Integer16, PopOnce>);
        InstructionTable.Register(Code.Ficom_m32int, &Memory<Integer32, NoPop>);
        InstructionTable.Register(Code.Ficomp_m32int, &Memory<Integer32, PopOnce>);

        InstructionTable.Register(Code.Fcom_st0_sti, &Registers<Signaling, NoPop>);
        InstructionTable.Register(Code.Fcom_st0_sti_DCD0, &Registers<Signaling, NoPop>);
        InstructionTable.Register(Code.Fcomp_st0_sti, &Registers<Signaling, PopOnce>);
        InstructionTable.Register(Code.Fcomp_st0_sti_DCD8, &Registers<Signaling, PopOnce>);
        InstructionTable.Register(Code.Fcomp_st0_sti_DED0, &Registers<Signaling, PopOnce>);
        InstructionTable.Register(Code.Fcompp, &Top2<Signaling>);
        InstructionTable.Register(Code.Fucom_st0_sti, &Registers<Quiet, NoPop>);
        InstructionTable.Register(Code.Fucomp_st0_sti, &Registers<Quiet, PopOnce>);
        InstructionTable.Register(Code.Fucompp, &Top2<Quiet>);

        InstructionTable.Register(Code.Fcomi_st0_sti, &Flags<Signaling, NoPop>);
        InstructionTable.Register(Code.Fcomip_st0_sti, &Flags<Signaling, PopOnce>);
        InstructionTable.Register(Code.Fucomi_st0_sti, &Flags<Quiet, NoPop>);
        InstructionTable.Register(Code.Fucomip_st0_sti, &Flags<Quiet, PopOnce>);

        InstructionTable.Register(Code.Ftst, &Ftst);
        InstructionTable.Register(Code.Fxam, &Fxam);

        // FCMOVcc by condition code: B, E, BE, U (as P), and their negations.
        InstructionTable.Register(Code.Fcmovb_st0_sti, &MoveB);
        InstructionTable.Register(Code.Fcmove_st0_sti, &MoveE);
        InstructionTable.Register(Code.Fcmovbe_st0_sti, &MoveBe);
        InstructionTable.Register(Code.Fcmovu_st0_sti, &MoveU);
        InstructionTable.Register(Code.Fcmovnb_st0_sti, &MoveNb);
        InstructionTable.Register(Code.Fcmovne_st0_sti, &MoveNe);
        InstructionTable.Register(Code.Fcmovnbe_st0_sti, &MoveNbe);
        InstructionTable.Register(Code.Fcmovnu_st0_sti, &MoveNu);
    }

    private static int Conditions(FloatOrder order) => order switch
    {
        FloatOrder.Less => FpuUnit.C0,
        FloatOrder.Equal => FpuUnit.C3,
        FloatOrder.Greater => 0,
        _ => FpuUnit.C3 | FpuUnit.C2 | FpuUnit.C0,
    };

    private static void Memory<TOperand, TPops>(X86Cpu cpu, Op* op)
        where TOperand : struct, IFpuOperand
        where TPops : struct, IPops
    {
        if (!FpuUnit.Ready(cpu))
            return;
        FloatEnvironment env = FpuUnit.Environment(cpu.State);
        Float80 source = TOperand.Load(cpu, op, ref env);
        FpuUnit.NoteMemory(cpu, op);
        Compare(cpu, ref env, FpuUnit.IsEmpty(cpu.State, 0), source, quiet: false, TPops.Count);
    }

    private static void Registers<TQuiet, TPops>(X86Cpu cpu, Op* op)
        where TQuiet : struct, IQuiet
        where TPops : struct, IPops => Registers<TQuiet>(cpu, op, op->Reg1, TPops.Count);

    private static void Top2<TQuiet>(X86Cpu cpu, Op* op)
        where TQuiet : struct, IQuiet => Registers<TQuiet>(cpu, op, 1, 2);

    private static void Registers<TQuiet>(X86Cpu cpu, Op* op, int index, int pops)
        where TQuiet : struct, IQuiet
    {
        if (!FpuUnit.Begin(cpu, op))
            return;
        CpuState* state = cpu.State;
        FloatEnvironment env = FpuUnit.Environment(state);
        bool empty = FpuUnit.IsEmpty(state, 0) || FpuUnit.IsEmpty(state, index);
        Compare(cpu, ref env, empty, FpuUnit.Read(state, index), TQuiet.Value, pops);
    }

    private static void Compare(X86Cpu cpu, ref FloatEnvironment env, bool empty, Float80 source, bool quiet, int pops)
    {
        CpuState* state = cpu.State;
        var order = FloatOrder.Unordered;
        bool done;
        if (empty)
        {
            done = FpuUnit.StackFault(cpu);
        }
        else
        {
            order = Float80Math.Compare(ref env, FpuUnit.Read(state, 0), source, quiet);
            done = FpuUnit.Complete(cpu, env);
        }
        FpuUnit.SetConditions(state, FpuUnit.C0 | FpuUnit.C2 | FpuUnit.C3, Conditions(order));
        for (int i = 0; done && i < pops; i++)
            FpuUnit.Pop(state);
    }

    private static void Flags<TQuiet, TPops>(X86Cpu cpu, Op* op)
        where TQuiet : struct, IQuiet
        where TPops : struct, IPops
    {
        if (!FpuUnit.Begin(cpu, op))
            return;
        CpuState* state = cpu.State;
        var order = FloatOrder.Unordered;
        bool done;
        if (FpuUnit.IsEmpty(state, 0) || FpuUnit.IsEmpty(state, op->Reg1))
        {
            done = FpuUnit.StackFault(cpu);
        }
        else
        {
            FloatEnvironment env = FpuUnit.Environment(state);
            order = Float80Math.Compare(ref env, FpuUnit.Read(state, 0), FpuUnit.Read(state, op->Reg1), TQuiet.Value);
            done = FpuUnit.Complete(cpu, env);
        }
        cpu.ArithmeticFlags = FlagsOf(order);
        if (done && TPops.Count != 0)
            FpuUnit.Pop(state);
    }

    /// <summary>ZF, PF and CF as COMISS and FCOMI set them; the other arithmetic flags are 0.</summary>
    public static uint FlagsOf(FloatOrder order) => order switch
    {
        FloatOrder.Less => Eflags.CF,
        FloatOrder.Equal => Eflags.ZF,
        FloatOrder.Greater => 0,
        _ => Eflags.ZF | Eflags.PF | Eflags.CF,
    };

    private static void Ftst(X86Cpu cpu, Op* op)
    {
        if (!FpuUnit.Begin(cpu, op))
            return;
        FloatEnvironment env = FpuUnit.Environment(cpu.State);
        Compare(cpu, ref env, FpuUnit.IsEmpty(cpu.State, 0), Float80.Zero(false), quiet: false, 0);
    }

    // SDM vol. 2, table 3-38: unsupported 000, NaN 001, normal 010, infinity 011, zero 100, empty 101, denormal 110 (C3 C2 C0).
    private static void Fxam(X86Cpu cpu, Op* op)
    {
        if (!FpuUnit.Begin(cpu, op))
            return;
        CpuState* state = cpu.State;
        Float80 value = FpuUnit.Read(state, 0);
        int code = FpuUnit.IsEmpty(state, 0) ? FpuUnit.C3 | FpuUnit.C0 : value.Kind switch
        {
            FloatKind.Zero => FpuUnit.C3,
            FloatKind.Normal => FpuUnit.C2,
            FloatKind.Denormal => FpuUnit.C3 | FpuUnit.C2,
            FloatKind.Infinity => FpuUnit.C2 | FpuUnit.C0,
            FloatKind.Unsupported => 0,
            _ => FpuUnit.C0,
        };
        FpuUnit.SetConditions(state, FpuUnit.ConditionCodes, code | (value.Sign ? FpuUnit.C1 : 0));
    }

    private static void MoveB(X86Cpu cpu, Op* op) => Move(cpu, op, cpu.Cf);

    private static void MoveE(X86Cpu cpu, Op* op) => Move(cpu, op, cpu.Zf);

    private static void MoveBe(X86Cpu cpu, Op* op) => Move(cpu, op, cpu.Cf || cpu.Zf);

    private static void MoveU(X86Cpu cpu, Op* op) => Move(cpu, op, cpu.Pf);

    private static void MoveNb(X86Cpu cpu, Op* op) => Move(cpu, op, !cpu.Cf);

    private static void MoveNe(X86Cpu cpu, Op* op) => Move(cpu, op, !cpu.Zf);

    private static void MoveNbe(X86Cpu cpu, Op* op) => Move(cpu, op, !cpu.Cf && !cpu.Zf);

    private static void MoveNu(X86Cpu cpu, Op* op) => Move(cpu, op, !cpu.Pf);

    private static void Move(X86Cpu cpu, Op* op, bool met)
    {
        if (!FpuUnit.Begin(cpu, op))
            return;
        CpuState* state = cpu.State;
        if (FpuUnit.IsEmpty(state, 0) || FpuUnit.IsEmpty(state, op->Reg1))
        {
            if (FpuUnit.StackFault(cpu))
                FpuUnit.Write(state, 0, Float80.Indefinite);
            return;
        }
        if (met)
            FpuUnit.Write(state, 0, FpuUnit.Read(state, op->Reg1));
    }

    private readonly struct Signaling : IQuiet
    {
        public static bool Value => false;
    }

    private readonly struct Quiet : IQuiet
    {
        public static bool Value => true;
    }
}
