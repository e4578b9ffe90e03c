using System.Runtime.Intrinsics;
using Farm.Assist.Cpu;
using Farm.Assist.Instructions.Fpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.Simd;

/// <summary>The CVT instructions.</summary>
internal static unsafe class FloatConvert
{
    /// <summary>From the lanes of a vector to those of another; what is left over above is zero.</summary>
    private interface IVectorConversion
    {
        static abstract Vector128<byte> Apply(ref FloatEnvironment env, Vector128<byte> source);

        /// <summary>Bytes that a memory operand has: 16 aligned, or 8.</summary>
        static abstract int SourceBytes { get; }
    }

    public static void Register()
    {
        Vector<Int32ToSingle>(Code.Cvtdq2ps_xmm_xmmm128);
        Vector<SingleToInt32>(Code.Cvtps2dq_xmm_xmmm128);
        Vector<SingleCutToInt32>(Code.Cvttps2dq_xmm_xmmm128);
        Vector<SingleToDouble>(Code.Cvtps2pd_xmm_xmmm64);
        Vector<DoubleToSingle>(Code.Cvtpd2ps_xmm_xmmm128);
        Vector<Int32ToDouble>(Code.Cvtdq2pd_xmm_xmmm64);
        Vector<DoubleToInt32>(Code.Cvtpd2dq_xmm_xmmm128);
        Vector<DoubleCutToInt32>(Code.Cvttpd2dq_xmm_xmmm128);

        InstructionTable.Register(Code.Cvtss2sd_xmm_xmmm32, &SingleToDoubleScalar, &SingleToDoubleScalarMem);
        InstructionTable.Register(Code.Cvtsd2ss_xmm_xmmm64, &DoubleToSingleScalar, &DoubleToSingleScalarMem);
        InstructionTable.Register(Code.Cvtsi2ss_xmm_rm32, &FromInt32<SingleFormat>, &FromInt32Mem<SingleFormat>);
        InstructionTable.Register(Code.Cvtsi2ss_xmm_rm64, &FromInt64<SingleFormat>, &FromInt64Mem<SingleFormat>);
        InstructionTable.Register(Code.Cvtsi2sd_xmm_rm32, &FromInt32<DoubleFormat>, &FromInt32Mem<DoubleFormat>);
        InstructionTable.Register(Code.Cvtsi2sd_xmm_rm64, &FromInt64<DoubleFormat>, &FromInt64Mem<DoubleFormat>);
        ToGeneral<Rounded>(Code.Cvtss2si_r32_xmmm32, Code.Cvtss2si_r64_xmmm32, Code.Cvtsd2si_r32_xmmm64, Code.Cvtsd2si_r64_xmmm64);
        ToGeneral<Cut>(Code.Cvttss2si_r32_xmmm32, Code.Cvttss2si_r64_xmmm32, Code.Cvttsd2si_r32_xmmm64, Code.Cvttsd2si_r64_xmmm64);

        InstructionTable.Register(Code.Cvtpi2ps_xmm_mmm64, &MmToSingles, &MmToSinglesMem);
        InstructionTable.Register(Code.Cvtpi2pd_xmm_mmm64, &MmToDoubles, &MmToDoublesMem);
        ToMm<SingleToInt32>(Code.Cvtps2pi_mm_xmmm64, &ToMmMem64<SingleToInt32>);
        ToMm<SingleCutToInt32>(Code.Cvttps2pi_mm_xmmm64, &ToMmMem64<SingleCutToInt32>);
        ToMm<DoubleToInt32>(Code.Cvtpd2pi_mm_xmmm128, &ToMmMem128<DoubleToInt32>);
        ToMm<DoubleCutToInt32>(Code.Cvttpd2pi_mm_xmmm128, &ToMmMem128<DoubleCutToInt32>);
    }

    private interface IRoundingChoice
    {
        static abstract Rounding Of(in FloatEnvironment env);
    }

    private static void Vector<T>(Code code)
        where T : struct, IVectorConversion => InstructionTable.Register(code, &VectorReg<T>, &VectorMem<T>);

    private static void ToMm<T>(Code code, delegate*<X86Cpu, Op*, void> memory)
        where T : struct, IVectorConversion => InstructionTable.Register(code, &ToMmReg<T>, memory);

    private static void ToGeneral<T>(Code single32, Code single64, Code double32, Code double64)
        where T : struct, IRoundingChoice
    {
        InstructionTable.Register(single32, &SingleToGeneral<T, Bits32>, &SingleToGeneralMem<T, Bits32>);
        InstructionTable.Register(single64, &SingleToGeneral<T, Bits64>, &SingleToGeneralMem<T, Bits64>);
        InstructionTable.Register(double32, &DoubleToGeneral<T, Bits32>, &DoubleToGeneralMem<T, Bits32>);
        InstructionTable.Register(double64, &DoubleToGeneral<T, Bits64>, &DoubleToGeneralMem<T, Bits64>);
    }

    private static void VectorReg<T>(X86Cpu cpu, Op* op)
        where T : struct, IVectorConversion
    {
        SimdUnit.BeginSse(cpu);
        Convert<T>(cpu, op, *SimdUnit.Xmm(cpu.State, op->Reg1));
    }

    private static void VectorMem<T>(X86Cpu cpu, Op* op)
        where T : struct, IVectorConversion
    {
        SimdUnit.BeginSse(cpu);
        Convert<T>(cpu, op, T.SourceBytes == 16
            ? SimdUnit.ReadAligned(cpu, op)
            : Vector128.CreateScalar(cpu.Read<ulong>(op->Segment, cpu.Ea(op))).AsByte());
    }

    private static void Convert<T>(X86Cpu cpu, Op* op, Vector128<byte> source)
        where T : struct, IVectorConversion
    {
        FloatEnvironment env = SimdEnvironment.Of(cpu.State);
        Vector128<byte> result = T.Apply(ref env, source);
        SimdEnvironment.Complete(cpu, env);
        *SimdUnit.Xmm(cpu.State, op->Reg0) = result;
    }

    private static void SingleToDoubleScalar(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        SingleToDoubleOf(cpu, op, *(uint*)SimdUnit.Xmm(cpu.State, op->Reg1));
    }

    private static void SingleToDoubleScalarMem(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        SingleToDoubleOf(cpu, op, cpu.Read<uint>(op->Segment, cpu.Ea(op)));
    }

    private static void SingleToDoubleOf(X86Cpu cpu, Op* op, uint source)
    {
        FloatEnvironment env = SimdEnvironment.Of(cpu.State);
        ulong result = LaneMath<SingleFormat>.ConvertTo<DoubleFormat>(ref env, source);
        SimdEnvironment.Complete(cpu, env);
        *(ulong*)SimdUnit.Xmm(cpu.State, op->Reg0) = result;
    }

    private static void DoubleToSingleScalar(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        DoubleToSingleOf(cpu, op, *(ulong*)SimdUnit.Xmm(cpu.State, op->Reg1));
    }

    private static void DoubleToSingleScalarMem(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        DoubleToSingleOf(cpu, op, cpu.Read<ulong>(op->Segment, cpu.Ea(op)));
    }

    private static void DoubleToSingleOf(X86Cpu cpu, Op* op, ulong source)
    {
        FloatEnvironment env = SimdEnvironment.Of(cpu.State);
        var result = (uint)LaneMath<DoubleFormat>.ConvertTo<SingleFormat>(ref env, source);
        SimdEnvironment.Complete(cpu, env);
        *(uint*)SimdUnit.Xmm(cpu.State, op->Reg0) = result;
    }

    private static void FromInt32<T>(X86Cpu cpu, Op* op)
        where T : struct, ILaneFormat
    {
        SimdUnit.BeginSse(cpu);
        FromInteger<T>(cpu, op, (int)cpu.Reg<uint>(op->Reg1));
    }

    private static void FromInt32Mem<T>(X86Cpu cpu, Op* op)
        where T : struct, ILaneFormat
    {
        SimdUnit.BeginSse(cpu);
        FromInteger<T>(cpu, op, cpu.Read<int>(op->Segment, cpu.Ea(op)));
    }

    private static void FromInt64<T>(X86Cpu cpu, Op* op)
        where T : struct, ILaneFormat
    {
        SimdUnit.BeginSse(cpu);
        FromInteger<T>(cpu, op, (long)cpu.Reg<ulong>(op->Reg1));
    }

    private static void FromInt64Mem<T>(X86Cpu cpu, Op* op)
        where T : struct, ILaneFormat
    {
        SimdUnit.BeginSse(cpu);
        FromInteger<T>(cpu, op, cpu.Read<long>(op->Segment, cpu.Ea(op)));
    }

    private static void FromInteger<T>(X86Cpu cpu, Op* op, long value)
        where T : struct, ILaneFormat
    {
        FloatEnvironment env = SimdEnvironment.Of(cpu.State);
        ulong result = LaneMath<T>.FromInteger(ref env, value);
        SimdEnvironment.Complete(cpu, env);
        Vector128<byte>* target = SimdUnit.Xmm(cpu.State, op->Reg0);
        if (T.FractionBits > 23)
            *(ulong*)target = result;
        else
            *(uint*)target = (uint)result;
    }

    private interface IWidth
    {
        static abstract int Bits { get; }
    }

    private static void SingleToGeneral<T, TWidth>(X86Cpu cpu, Op* op)
        where T : struct, IRoundingChoice
        where TWidth : struct, IWidth
    {
        SimdUnit.BeginSse(cpu);
        ToGeneral<SingleFormat, T, TWidth>(cpu, op, *(uint*)SimdUnit.Xmm(cpu.State, op->Reg1));
    }

    private static void SingleToGeneralMem<T, TWidth>(X86Cpu cpu, Op* op)
        where T : struct, IRoundingChoice
        where TWidth : struct, IWidth
    {
        SimdUnit.BeginSse(cpu);
        ToGeneral<SingleFormat, T, TWidth>(cpu, op, cpu.Read<uint>(op->Segment, cpu.Ea(op)));
    }

    private static void DoubleToGeneral<T, TWidth>(X86Cpu cpu, Op* op)
        where T : struct, IRoundingChoice
        where TWidth : struct, IWidth
    {
        SimdUnit.BeginSse(cpu);
        ToGeneral<DoubleFormat, T, TWidth>(cpu, op, *(ulong*)SimdUnit.Xmm(cpu.State, op->Reg1));
    }

    private static void DoubleToGeneralMem<T, TWidth>(X86Cpu cpu, Op* op)
        where T : struct, IRoundingChoice
        where TWidth : struct, IWidth
    {
        SimdUnit.BeginSse(cpu);
        ToGeneral<DoubleFormat, T, TWidth>(cpu, op, cpu.Read<ulong>(op->Segment, cpu.Ea(op)));
    }

    private static void ToGeneral<TFormat, T, TWidth>(X86Cpu cpu, Op* op, ulong source)
        where TFormat : struct, ILaneFormat
        where T : struct, IRoundingChoice
        where TWidth : struct, IWidth
    {
        FloatEnvironment env = SimdEnvironment.Of(cpu.State);
        long result = LaneMath<TFormat>.ToInteger(ref env, source, TWidth.Bits, T.Of(env));
        SimdEnvironment.Complete(cpu, env);
        if (TWidth.Bits == 64)
            cpu.SetReg(op->Reg0, (ulong)result);
        else
            cpu.SetReg(op->Reg0, (uint)result);
    }

    private static void MmToSingles(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        if (!SimdUnit.BeginMmx(cpu))
            return;
        SimdUnit.EnterMmx(cpu.State);
        ToSingles(cpu, op, SimdUnit.Mm(cpu.State, op->Reg1));
    }

    // With a memory operand these two leave the x87 state alone (SDM vol. 2, CVTPI2PD; processors do so for CVTPI2PS too).
    private static void MmToSinglesMem(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        ToSingles(cpu, op, cpu.Read<ulong>(op->Segment, cpu.Ea(op)));
    }

    private static void ToSingles(X86Cpu cpu, Op* op, ulong source)
    {
        FloatEnvironment env = SimdEnvironment.Of(cpu.State);
        Vector128<byte> result = Int32ToSingle.Apply(ref env, Vector128.CreateScalar(source).AsByte());
        SimdEnvironment.Complete(cpu, env);
        *(ulong*)SimdUnit.Xmm(cpu.State, op->Reg0) = result.AsUInt64().ToScalar();
    }

    private static void MmToDoubles(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        if (!SimdUnit.BeginMmx(cpu))
            return;
        SimdUnit.EnterMmx(cpu.State);
        Convert<Int32ToDouble>(cpu, op, Vector128.CreateScalar(SimdUnit.Mm(cpu.State, op->Reg1)).AsByte());
    }

    private static void MmToDoublesMem(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        Convert<Int32ToDouble>(cpu, op, Vector128.CreateScalar(cpu.Read<ulong>(op->Segment, cpu.Ea(op))).AsByte());
    }

    private static void ToMmReg<T>(X86Cpu cpu, Op* op)
        where T : struct, IVectorConversion
    {
        SimdUnit.BeginSse(cpu);
        if (SimdUnit.BeginMmx(cpu))
            ToMm<T>(cpu, op, *SimdUnit.Xmm(cpu.State, op->Reg1));
    }

    private static void ToMmMem64<T>(X86Cpu cpu, Op* op)
        where T : struct, IVectorConversion
    {
        SimdUnit.BeginSse(cpu);
        if (SimdUnit.BeginMmx(cpu))
            ToMm<T>(cpu, op, Vector128.CreateScalar(cpu.Read<ulong>(op->Segment, cpu.Ea(op))).AsByte());
    }

    private static void ToMmMem128<T>(X86Cpu cpu, Op* op)
        where T : struct, IVectorConversion
    {
        SimdUnit.BeginSse(cpu);
        if (SimdUnit.BeginMmx(cpu))
            ToMm<T>(cpu, op, SimdUnit.ReadAligned(cpu, op));
    }

    private static void ToMm<T>(X86Cpu cpu, Op* op, Vector128<byte> source)
        where T : struct, IVectorConversion
    {
        // Two results: of single-precision sources only the lower two count.
        if (T.SourceBytes == 16 && typeof(T) != typeof(DoubleToInt32) && typeof(T) != typeof(DoubleCutToInt32))
            source = Vector128.CreateScalar(source.AsUInt64().ToScalar()).AsByte();
        FloatEnvironment env = SimdEnvironment.Of(cpu.State);
        Vector128<byte> result = T.Apply(ref env, source);
        SimdEnvironment.Complete(cpu, env);
        SimdUnit.EnterMmx(cpu.State);
        SimdUnit.SetMm(cpu.State, op->Reg0, result.AsUInt64().ToScalar());
    }

    private static Vector128<byte> ToInt32<T>(ref FloatEnvironment env, Vector128<byte> source, Rounding rounding)
        where T : struct, ILaneFormat
    {
        Vector128<byte> result = default;
        bool wide = T.FractionBits > 23;
        for (int i = 0; i < (wide ? 2 : 4); i++)
        {
            ulong lane = wide ? ((ulong*)&source)[i] : ((uint*)&source)[i];
            ((int*)&result)[i] = (int)LaneMath<T>.ToInteger(ref env, lane, 32, rounding);
        }
        return result;
    }

    private readonly struct Int32ToSingle : IVectorConversion
    {
        public static int SourceBytes => 16;

        public static Vector128<byte> Apply(ref FloatEnvironment env, Vector128<byte> source)
        {
            Vector128<byte> result = default;
            for (int i = 0; i < 4; i++)
                ((uint*)&result)[i] = (uint)LaneMath<SingleFormat>.FromInteger(ref env, ((int*)&source)[i]);
            return result;
        }
    }

    private readonly struct Int32ToDouble : IVectorConversion
    {
        public static int SourceBytes => 8;

        public static Vector128<byte> Apply(ref FloatEnvironment env, Vector128<byte> source)
        {
            Vector128<byte> result = default;
            for (int i = 0; i < 2; i++)
                ((double*)&result)[i] = ((int*)&source)[i];
            return result;
        }
    }

    private readonly struct SingleToInt32 : IVectorConversion
    {
        public static int SourceBytes => 16;

        public static Vector128<byte> Apply(ref FloatEnvironment env, Vector128<byte> source) => ToInt32<SingleFormat>(ref env, source, env.Rounding);
    }

    private readonly struct SingleCutToInt32 : IVectorConversion
    {
        public static int SourceBytes => 16;

        public static Vector128<byte> Apply(ref FloatEnvironment env, Vector128<byte> source) => ToInt32<SingleFormat>(ref env, source, Rounding.Zero);
    }

    private readonly struct DoubleToInt32 : IVectorConversion
    {
        public static int SourceBytes => 16;

        public static Vector128<byte> Apply(ref FloatEnvironment env, Vector128<byte> source) => ToInt32<DoubleFormat>(ref env, source, env.Rounding);
    }

    private readonly struct DoubleCutToInt32 : IVectorConversion
    {
        public static int SourceBytes => 16;

        public static Vector128<byte> Apply(ref FloatEnvironment env, Vector128<byte> source) => ToInt32<DoubleFormat>(ref env, source, Rounding.Zero);
    }

    private readonly struct SingleToDouble : IVectorConversion
    {
        public static int SourceBytes => 8;

        public static Vector128<byte> Apply(ref FloatEnvironment env, Vector128<byte> source)
        {
            Vector128<byte> result = default;
            for (int i = 0; i < 2; i++)
                ((ulong*)&result)[i] = LaneMath<SingleFormat>.ConvertTo<DoubleFormat>(ref env, ((uint*)&source)[i]);
            return result;
        }
    }

    private readonly struct DoubleToSingle : IVectorConversion
    {
        public static int SourceBytes => 16;

        public static Vector128<byte> Apply(ref FloatEnvironment env, Vector128<byte> source)
        {
            Vector128<byte> result = default;
            for (int i = 0; i < 2; i++)
                ((uint*)&result)[i] = (uint)LaneMath<DoubleFormat>.ConvertTo<SingleFormat>(ref env, ((ulong*)&source)[i]);
            return result;
        }
    }

    private readonly struct Rounded : IRoundingChoice
    {
        public static Rounding Of(in FloatEnvironment env) => env.Rounding;
    }

    private readonly struct Cut : IRoundingChoice
    {
        public static Rounding Of(in FloatEnvironment env) => Rounding.Zero;
    }

    private readonly struct Bits32 : IWidth
    {
        public static int Bits => 32;
    }

    private readonly struct Bits64 : IWidth
    {
        public static int Bits => 64;
    }
}
