using System.Runtime.Intrinsics;
using Farm.Assist.Cpu;
using Farm.Assist.Instructions.Fpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.Simd;

/// <summary>CMPPS, CMPSS, CMPPD, CMPSD with their eight predicates; COMIS and UCOMIS.</summary>
internal static unsafe class FloatCompare
{
    public static void Register()
    {
        InstructionTable.Register(Code.Cmpps_xmm_xmmm128_imm8, &Packed<SingleFormat>, &PackedMem<SingleFormat>);
        InstructionTable.Register(Code.Cmppd_xmm_xmmm128_imm8, &Packed<DoubleFormat>, &PackedMem<DoubleFormat>);
        InstructionTable.Register(Code.Cmpss_xmm_xmmm32_imm8, &Scalar32, &Scalar32Mem);
        InstructionTable.Register(Code.Cmpsd_xmm_xmmm64_imm8, &Scalar64, &Scalar64Mem);
        InstructionTable.Register(Code.Comiss_xmm_xmmm32, &Flags32<Signaling>, &Flags32Mem<Signaling>);
        InstructionTable.Register(Code.Ucomiss_xmm_xmmm32, &Flags32<Quiet>, &Flags32Mem<Quiet>);
        InstructionTable.Register(Code.Comisd_xmm_xmmm64, &Flags64<Signaling>, &Flags64Mem<Signaling>);
        InstructionTable.Register(Code.Ucomisd_xmm_xmmm64, &Flags64<Quiet>, &Flags64Mem<Quiet>);
    }

    private interface ISignals
    {
        static abstract bool Value { get; }
    }

    /// <summary>EQ, LT, LE, UNORD and their negations (SDM vol. 2, table 3-1). LT and LE signal for quiet NaNs.</summary>
    private static bool Holds<T>(ref FloatEnvironment env, ulong a, ulong b, int predicate)
        where T : struct, ILaneFormat
    {
        int basic = predicate & 3;
        FloatOrder order = LaneMath<T>.Compare(ref env, a, b, signals: basic is 1 or 2);
        bool holds = basic switch
        {
            0 => order == FloatOrder.Equal,
            1 => order == FloatOrder.Less,
            2 => order is FloatOrder.Less or FloatOrder.Equal,
            _ => order == FloatOrder.Unordered,
        };
        return holds != ((predicate & 4) != 0);
    }

    private static void Packed<T>(X86Cpu cpu, Op* op)
        where T : struct, ILaneFormat
    {
        SimdUnit.BeginSse(cpu);
        Compare<T>(cpu, op, *SimdUnit.Xmm(cpu.State, op->Reg1));
    }

    private static void PackedMem<T>(X86Cpu cpu, Op* op)
        where T : struct, ILaneFormat
    {
        SimdUnit.BeginSse(cpu);
        Compare<T>(cpu, op, SimdUnit.ReadAligned(cpu, op));
    }

    private static void Compare<T>(X86Cpu cpu, Op* op, Vector128<byte> source)
        where T : struct, ILaneFormat
    {
        FloatEnvironment env = SimdEnvironment.Of(cpu.State);
        Vector128<byte>* target = SimdUnit.Xmm(cpu.State, op->Reg0);
        Vector128<byte> result = default;
        bool wide = T.FractionBits > 23;
        for (int i = 0; i < (wide ? 2 : 4); i++)
        {
            ulong a = wide ? ((ulong*)target)[i] : ((uint*)target)[i];
            ulong b = wide ? ((ulong*)&source)[i] : ((uint*)&source)[i];
            ulong mask = Holds<T>(ref env, a, b, (int)op->Imm & 7) ? ulong.MaxValue : 0;
            if (wide)
                ((ulong*)&result)[i] = mask;
            else
                ((uint*)&result)[i] = (uint)mask;
        }
        SimdEnvironment.Complete(cpu, env);
        *target = result;
    }

    private static void Scalar32(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        Scalar32(cpu, op, *(uint*)SimdUnit.Xmm(cpu.State, op->Reg1));
    }

    private static void Scalar32Mem(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        Scalar32(cpu, op, cpu.Read<uint>(op->Segment, cpu.Ea(op)));
    }

    private static void Scalar32(X86Cpu cpu, Op* op, uint source)
    {
        FloatEnvironment env = SimdEnvironment.Of(cpu.State);
        var target = (uint*)SimdUnit.Xmm(cpu.State, op->Reg0);
        bool holds = Holds<SingleFormat>(ref env, *target, source, (int)op->Imm & 7);
        SimdEnvironment.Complete(cpu, env);
        *target = holds ? uint.MaxValue : 0;
    }

    private static void Scalar64(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        Scalar64(cpu, op, *(ulong*)SimdUnit.Xmm(cpu.State, op->Reg1));
    }

    private static void Scalar64Mem(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        Scalar64(cpu, op, cpu.Read<ulong>(op->Segment, cpu.Ea(op)));
    }

    private static void Scalar64(X86Cpu cpu, Op* op, ulong source)
    {
        FloatEnvironment env = SimdEnvironment.Of(cpu.State);
        var target = (ulong*)SimdUnit.Xmm(cpu.State, op->Reg0);
        bool holds = Holds<DoubleFormat>(ref env, *target, source, (int)op->Imm & 7);
        SimdEnvironment.Complete(cpu, env);
        *target = holds ? ulong.MaxValue : 0;
    }

    private static void Flags32<TSignals>(X86Cpu cpu, Op* op)
        where TSignals : struct, ISignals
    {
        SimdUnit.BeginSse(cpu);
        SetFlags<SingleFormat>(cpu, *(uint*)SimdUnit.Xmm(cpu.State, op->Reg0), *(uint*)SimdUnit.Xmm(cpu.State, op->Reg1), TSignals.Value);
    }

    private static void Flags32Mem<TSignals>(X86Cpu cpu, Op* op)
        where TSignals : struct, ISignals
    {
        SimdUnit.BeginSse(cpu);
        uint source = cpu.Read<uint>(op->Segment, cpu.Ea(op));
        SetFlags<SingleFormat>(cpu, *(uint*)SimdUnit.Xmm(cpu.State, op->Reg0), source, TSignals.Value);
    }

    private static void Flags64<TSignals>(X86Cpu cpu, Op* op)
        where TSignals : struct, ISignals
    {
        SimdUnit.BeginSse(cpu);
        SetFlags<DoubleFormat>(cpu, *(ulong*)SimdUnit.Xmm(cpu.State, op->Reg0), *(ulong*)SimdUnit.Xmm(cpu.State, op->Reg1), TSignals.Value);
    }

    private static void Flags64Mem<TSignals>(X86Cpu cpu, Op* op)
        where TSignals : struct, ISignals
    {
        SimdUnit.BeginSse(cpu);
        ulong source = cpu.Read<ulong>(op->Segment, cpu.Ea(op));
        SetFlags<DoubleFormat>(cpu, *(ulong*)SimdUnit.Xmm(cpu.State, op->Reg0), source, TSignals.Value);
    }

    private static void SetFlags<T>(X86Cpu cpu, ulong a, ulong b, bool signals)
        where T : struct, ILaneFormat
    {
        FloatEnvironment env = SimdEnvironment.Of(cpu.State);
        FloatOrder order = LaneMath<T>.Compare(ref env, a, b, signals);
        SimdEnvironment.Complete(cpu, env);
        cpu.ArithmeticFlags = FpuCompare.FlagsOf(order);
    }

    private readonly struct Signaling : ISignals
    {
        public static bool Value => true;
    }

    private readonly struct Quiet : ISignals
    {
        public static bool Value => false;
    }
}
