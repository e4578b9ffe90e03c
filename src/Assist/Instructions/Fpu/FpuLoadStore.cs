using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.Fpu;

/// <summary>FLD, FILD, FBLD; FST, FIST, FISTTP, FBSTP and their popping forms, to and from memory.</summary>
internal static unsafe class FpuLoadStore
{
    /// <summary>A store's format: converts, and writes what it converted to.</summary>
    private interface IStore
    {
        static abstract ulong Convert(ref FloatEnvironment env, Float80 value);

        static abstract ulong Indefinite { get; }

        static abstract void Write(X86Cpu cpu, Op* op, ulong value);
    }

    public static void Register()
    {
        InstructionTable.Register(Code.Fld_m32fp, &Load<Real32>);
        InstructionTable.Register(Code.Fld_m64fp, &Load<Real64>);
        InstructionTable.Register(Code.Fld_m80fp, &LoadExtended);
        InstructionTable.Register(Code.Fild_m16int, &Load<Integer16>);
        InstructionTable.Register(Code.Fild_m32int, &Load<Integer32>);
        InstructionTable.Register(Code.Fild_m64int, &Load<Integer64>);
        InstructionTable.Register(Code.Fbld_m80bcd, &Load<Decimal80>);

        InstructionTable.Register(Code.Fst_m32fp, &Store<Single, NoPop>);
        InstructionTable.Register(Code.Fstp_m32fp, &Store<Single, PopOnce>);
        InstructionTable.Register(Code.Fst_m64fp, &Store<Double, NoPop>);
        InstructionTable.Register(Code.Fstp_m64fp, &Store<Double, PopOnce>);
        InstructionTable.Register(Code.Fist_m16int, &Store<Int16, NoPop>);
        InstructionTable.Register(Code.Fistp_m16int, &Store<Int16, PopOnce>);
        InstructionTable.Register(Code.Fist_m32int, &Store<Int32, NoPop>);
        InstructionTable.Register(Code.Fistp_m32int, &Store<Int32, PopOnce>);
        InstructionTable.Register(Code.Fistp_m64int, &Store<Int64, PopOnce>);
        InstructionTable.Register(Code.Fisttp_m16int, &Store<Cut16, PopOnce>);
        InstructionTable.Register(Code.Fisttp_m32int, &Store<Cut32, PopOnce>);
        InstructionTable.Register(Code.Fisttp_m64int, &Store<Cut64, PopOnce>);
        InstructionTable.Register(Code.Fstp_m80fp, &StoreExtended);
        InstructionTable.Register(Code.Fbstp_m80bcd, &StoreDecimal);
    }

    private static void Load<TOperand>(X86Cpu cpu, Op* op)
        where TOperand : struct, IFpuOperand
    {
        if (!FpuUnit.Ready(cpu))
            return;
        FloatEnvironment env = FpuUnit.Environment(cpu.State);
        Float80 value = TOperand.Load(cpu, op, ref env);
        FpuUnit.NoteMemory(cpu, op);
        if (value.IsSignaling)
            Float80Math.HandlesNaN(ref env, value, out value);
        Push(cpu, env, value);
    }

    private static void LoadExtended(X86Cpu cpu, Op* op)
    {
        if (!FpuUnit.Ready(cpu))
            return;
        ulong ea = cpu.Ea(op);
        ulong mantissa = cpu.Read<ulong>(op->Segment, ea);
        ushort signExponent = cpu.Read<ushort>(op->Segment, (ea + 8) & op->AddressMask);
        FpuUnit.NoteMemory(cpu, op);
        Push(cpu, FpuUnit.Environment(cpu.State), new Float80(signExponent, mantissa));
    }

    private static void Push(X86Cpu cpu, in FloatEnvironment env, Float80 value)
    {
        CpuState* state = cpu.State;
        if (!FpuUnit.IsEmpty(state, 7))
        {
            if (FpuUnit.StackFault(cpu, overflow: true))
                FpuUnit.Push(state, Float80.Indefinite);
            return;
        }

        // A denormal operand is loaded even if its exception is unmasked.
        if ((FpuUnit.Report(state, env) & ~env.Masked & FloatException.Invalid) == 0)
            FpuUnit.Push(state, value);
    }

    private static void Store<TStore, TPops>(X86Cpu cpu, Op* op)
        where TStore : struct, IStore
        where TPops : struct, IPops
    {
        if (!FpuUnit.Ready(cpu))
            return;
        CpuState* state = cpu.State;
        if (FpuUnit.IsEmpty(state, 0))
        {
            if (Underflows(cpu))
            {
                TStore.Write(cpu, op, TStore.Indefinite);
                FpuUnit.StackFault(cpu);
                Pop(state, TPops.Count);
            }
            FpuUnit.NoteMemory(cpu, op);
            return;
        }
        FloatEnvironment env = FpuUnit.Environment(state);
        ulong value = TStore.Convert(ref env, FpuUnit.Read(state, 0));
        bool stores = FpuUnit.Stores(env);
        if (stores)
            TStore.Write(cpu, op, value);
        else
            env.Raised &= ~FloatException.Precision;
        FpuUnit.NoteMemory(cpu, op);
        FpuUnit.Report(state, env);
        if (stores)
            Pop(state, TPops.Count);
    }

    /// <summary>An empty register is to be stored: true when the indefinite value is (and the fault still to be recorded).</summary>
    private static bool Underflows(X86Cpu cpu)
    {
        if ((cpu.State->FpuControl & FloatException.Invalid) != 0)
            return true;
        FpuUnit.StackFault(cpu);
        return false;
    }

    private static void Pop(CpuState* state, int count)
    {
        if (count != 0)
            FpuUnit.Pop(state);
    }

    private static void StoreExtended(X86Cpu cpu, Op* op)
    {
        if (!FpuUnit.Ready(cpu))
            return;
        CpuState* state = cpu.State;
        bool empty = FpuUnit.IsEmpty(state, 0);
        if (!empty || Underflows(cpu))
        {
            Float80 value = empty ? Float80.Indefinite : FpuUnit.Read(state, 0);
            WriteTen(cpu, op, value.Mantissa, value.SignExponent);
            if (empty)
                FpuUnit.StackFault(cpu);
            else
                FpuUnit.ClearC1(state);
            FpuUnit.Pop(state);
        }
        FpuUnit.NoteMemory(cpu, op);
    }

    private static void StoreDecimal(X86Cpu cpu, Op* op)
    {
        if (!FpuUnit.Ready(cpu))
            return;
        CpuState* state = cpu.State;
        if (FpuUnit.IsEmpty(state, 0))
        {
            if (Underflows(cpu))
            {
                WriteTen(cpu, op, 0xC000000000000000, 0xFFFF);
                FpuUnit.StackFault(cpu);
                FpuUnit.Pop(state);
            }
            FpuUnit.NoteMemory(cpu, op);
            return;
        }
        FloatEnvironment env = FpuUnit.Environment(state);
        (ulong low, ushort high) = Float80Conversion.ToBcd(ref env, FpuUnit.Read(state, 0));
        bool stores = FpuUnit.Stores(env);
        if (stores)
            WriteTen(cpu, op, low, high);
        FpuUnit.NoteMemory(cpu, op);
        FpuUnit.Report(state, env);
        if (stores)
            FpuUnit.Pop(state);
    }

    private static void WriteTen(X86Cpu cpu, Op* op, ulong low, ushort high)
    {
        ulong ea = cpu.Ea(op);
        ulong upper = (ea + 8) & op->AddressMask;
        cpu.ProbeWrite(op->Segment, upper, 2);
        cpu.Write(op->Segment, ea, low);
        cpu.Write(op->Segment, upper, high);
    }

    private readonly struct Single : IStore
    {
        public static ulong Indefinite => 0xFFC00000;

        public static ulong Convert(ref FloatEnvironment env, Float80 value) => Float80Conversion.ToSingle(ref env, value);

        public static void Write(X86Cpu cpu, Op* op, ulong value) => cpu.Write(op->Segment, cpu.Ea(op), (uint)value);
    }

    private readonly struct Double : IStore
    {
        public static ulong Indefinite => 0xFFF8000000000000;

        public static ulong Convert(ref FloatEnvironment env, Float80 value) => Float80Conversion.ToDouble(ref env, value);

        public static void Write(X86Cpu cpu, Op* op, ulong value) => cpu.Write(op->Segment, cpu.Ea(op), value);
    }

    private readonly struct Int16 : IStore
    {
        public static ulong Indefinite => 0x8000;

        public static ulong Convert(ref FloatEnvironment env, Float80 value) =>
            (ulong)Float80Conversion.ToInteger(ref env, value, 16, env.Rounding);

        public static void Write(X86Cpu cpu, Op* op, ulong value) => cpu.Write(op->Segment, cpu.Ea(op), (ushort)value);
    }

    private readonly struct Int32 : IStore
    {
        public static ulong Indefinite => 0x80000000;

        public static ulong Convert(ref FloatEnvironment env, Float80 value) =>
            (ulong)Float80Conversion.ToInteger(ref env, value, 32, env.Rounding);

        public static void Write(X86Cpu cpu, Op* op, ulong value) => cpu.Write(op->Segment, cpu.Ea(op), (uint)value);
    }

    private readonly struct Int64 : IStore
    {
        public static ulong Indefinite => 0x8000000000000000;

        public static ulong Convert(ref FloatEnvironment env, Float80 value) =>
            (ulong)Float80Conversion.ToInteger(ref env, value, 64, env.Rounding);

        public static void Write(X86Cpu cpu, Op* op, ulong value) => cpu.Write(op->Segment, cpu.Ea(op), value);
    }

    private readonly struct Cut16 : IStore
    {
        public static ulong Indefinite => Int16.Indefinite;

        public static ulong Convert(ref FloatEnvironment env, Float80 value) =>
            (ulong)Float80Conversion.ToInteger(ref env, value, 16, Rounding.Zero);

        public static void Write(X86Cpu cpu, Op* op, ulong value) => Int16.Write(cpu, op, value);
    }

    private readonly struct Cut32 : IStore
    {
        public static ulong Indefinite => Int32.Indefinite;

        public static ulong Convert(ref FloatEnvironment env, Float80 value) =>
            (ulong)Float80Conversion.ToInteger(ref env, value, 32, Rounding.Zero);

        public static void Write(X86Cpu cpu, Op* op, ulong value) => Int32.Write(cpu, op, value);
    }

    private readonly struct Cut64 : IStore
    {
        public static ulong Indefinite => Int64.Indefinite;

        public static ulong Convert(ref FloatEnvironment env, Float80 value) =>
            (ulong)Float80Conversion.ToInteger(ref env, value, 64, Rounding.Zero);

        public static void Write(X86Cpu cpu, Op* op, ulong value) => Int64.Write(cpu, op, value);
    }
}
