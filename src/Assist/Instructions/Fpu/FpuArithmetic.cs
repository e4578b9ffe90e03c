using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.Fpu;

/// <summary>FADD, FMUL, FSUB, FSUBR, FDIV, FDIVR with their integer and popping forms.</summary>
internal static unsafe class FpuArithmetic
{
    private interface IBinary
    {
        /// <param name="env">Controls and exceptions.</param>
        /// <param name="target">The register that takes the result.</param>
        /// <param name="source">The other operand.</param>
        static abstract Float80 Apply(ref FloatEnvironment env, Float80 target, Float80 source);
    }

    public static void Register()
    {
        Row<Add>(Code.Fadd_m32fp, Code.Fadd_m64fp, Code.Fiadd_m32int, Code.Fiadd_m16int, Code.Fadd_st0_sti, Code.Fadd_sti_st0, Code.Faddp_sti_st0);
        Row<Multiply>(Code.Fmul_m32fp, Code.Fmul_m64fp, Code.Fimul_m32int, Code.Fimul_m16int, Code.Fmul_st0_sti, Code.Fmul_sti_st0, Code.Fmulp_sti_st0);
        Row<Subtract>(Code.Fsub_m32fp, Code.Fsub_m64fp, Code.Fisub_m32int, Code.Fisub_m16int, Code.Fsub_st0_sti, Code.Fsub_sti_st0, Code.Fsubp_sti_st0);
        Row<SubtractFrom>(Code.Fsubr_m32fp, Code.Fsubr_m64fp, Code.Fisubr_m32int, Code.Fisubr_m16int, Code.Fsubr_st0_sti, Code.Fsubr_sti_st0, Code.Fsubrp_sti_st0);
        Row<Divide>(Code.Fdiv_m32fp, Code.Fdiv_m64fp, Code.Fidiv_m32int, Code.Fidiv_m16int, Code.Fdiv_st0_sti, Code.Fdiv_sti_st0, Code.Fdivp_sti_st0);
        Row<DivideInto>(Code.Fdivr_m32fp, Code.Fdivr_m64fp, Code.Fidivr_m32int, Code.Fidivr_m16int, Code.Fdivr_st0_sti, Code.Fdivr_sti_st0, Code.Fdivrp_sti_st0);
    }

    private static void Row<T>(Code m32, Code m64, Code i32, Code i16, Code st0Sti, Code stiSt0, Code popping)
        where T : struct, IBinary
    {
        InstructionTable.Register(m32, &Memory<T, Real32>);
        InstructionTable.Register(m64, &Memory<T, Real64>);
        InstructionTable.Register(i32, &Memory<T, Integer32>);
        InstructionTable.Register(i16, &Memory<T, Integer16>);
        InstructionTable.Register(st0Sti, &ToTop<T>);
        InstructionTable.Register(stiSt0, &ToRegister<T, NoPop>);
        InstructionTable.Register(popping, &ToRegister<T, PopOnce>);
    }

    private static void Memory<T, TOperand>(X86Cpu cpu, Op* op)
        where T : struct, IBinary
        where TOperand : struct, IFpuOperand
    {
        if (!FpuUnit.Ready(cpu))
            return;
        FloatEnvironment env = FpuUnit.Environment(cpu.State);
        Float80 source = TOperand.Load(cpu, op, ref env);
        FpuUnit.NoteMemory(cpu, op);
        if (FpuUnit.IsEmpty(cpu.State, 0))
        {
            if (FpuUnit.StackFault(cpu))
                FpuUnit.Write(cpu.State, 0, Float80.Indefinite);
            return;
        }
        Float80 result = T.Apply(ref env, FpuUnit.Read(cpu.State, 0), source);
        if (FpuUnit.Complete(cpu, env))
            FpuUnit.Write(cpu.State, 0, result);
    }

    private static void ToTop<T>(X86Cpu cpu, Op* op)
        where T : struct, IBinary => Registers<T, NoPop>(cpu, op, 0, op->Reg1);

    private static void ToRegister<T, TPops>(X86Cpu cpu, Op* op)
        where T : struct, IBinary
        where TPops : struct, IPops => Registers<T, TPops>(cpu, op, op->Reg0, 0);

    private static void Registers<T, TPops>(X86Cpu cpu, Op* op, int target, int source)
        where T : struct, IBinary
        where TPops : struct, IPops
    {
        if (!FpuUnit.Begin(cpu, op))
            return;
        CpuState* state = cpu.State;
        Float80 result = Float80.Indefinite;
        if (FpuUnit.IsEmpty(state, target) || FpuUnit.IsEmpty(state, source))
        {
            if (!FpuUnit.StackFault(cpu))
                return;
        }
        else
        {
            FloatEnvironment env = FpuUnit.Environment(state);
            result = T.Apply(ref env, FpuUnit.Read(state, target), FpuUnit.Read(state, source));
            if (!FpuUnit.Complete(cpu, env))
                return;
        }
        FpuUnit.Write(state, target, result);
        if (TPops.Count != 0)
            FpuUnit.Pop(state);
    }

    private readonly struct Add : IBinary
    {
        public static Float80 Apply(ref FloatEnvironment env, Float80 target, Float80 source) => Float80Math.Add(ref env, target, source);
    }

    private readonly struct Multiply : IBinary
    {
        public static Float80 Apply(ref FloatEnvironment env, Float80 target, Float80 source) => Float80Math.Multiply(ref env, target, source);
    }

    private readonly struct Subtract : IBinary
    {
        public static Float80 Apply(ref FloatEnvironment env, Float80 target, Float80 source) => Float80Math.Subtract(ref env, target, source);
    }

    private readonly struct SubtractFrom : IBinary
    {
        public static Float80 Apply(ref FloatEnvironment env, Float80 target, Float80 source) => Float80Math.Subtract(ref env, source, target);
    }

    private readonly struct Divide : IBinary
    {
        public static Float80 Apply(ref FloatEnvironment env, Float80 target, Float80 source) => Float80Math.Divide(ref env, target, source);
    }

    private readonly struct DivideInto : IBinary
    {
        public static Float80 Apply(ref FloatEnvironment env, Float80 target, Float80 source) => Float80Math.Divide(ref env, source, target);
    }
}
