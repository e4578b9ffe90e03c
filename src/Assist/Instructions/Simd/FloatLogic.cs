using System.Runtime.Intrinsics;
using Farm.Assist.Cpu;
using Farm.Assist.Instructions.Fpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.Simd;

/// <summary>ANDPS and kin, and the approximations RCPPS and RSQRTPS.</summary>
internal static unsafe class FloatLogic
{
    private interface IApproximation
    {
        static abstract uint Apply(uint value);
    }

    public static void Register()
    {
        PackedIntegers.Xmm<And>(Code.Andps_xmm_xmmm128);
        PackedIntegers.Xmm<And>(Code.Andpd_xmm_xmmm128);
        PackedIntegers.Xmm<AndNot>(Code.Andnps_xmm_xmmm128);
        PackedIntegers.Xmm<AndNot>(Code.Andnpd_xmm_xmmm128);
        PackedIntegers.Xmm<Or>(Code.Orps_xmm_xmmm128);
        PackedIntegers.Xmm<Or>(Code.Orpd_xmm_xmmm128);
        PackedIntegers.Xmm<Xor>(Code.Xorps_xmm_xmmm128);
        PackedIntegers.Xmm<Xor>(Code.Xorpd_xmm_xmmm128);
        InstructionTable.Register(Code.Rcpps_xmm_xmmm128, &Packed<Reciprocal>, &PackedMem<Reciprocal>);
        InstructionTable.Register(Code.Rcpss_xmm_xmmm32, &Scalar<Reciprocal>, &ScalarMem<Reciprocal>);
        InstructionTable.Register(Code.Rsqrtps_xmm_xmmm128, &Packed<ReciprocalRoot>, &PackedMem<ReciprocalRoot>);
        InstructionTable.Register(Code.Rsqrtss_xmm_xmmm32, &Scalar<ReciprocalRoot>, &ScalarMem<ReciprocalRoot>);
    }

    private static void Packed<T>(X86Cpu cpu, Op* op)
        where T : struct, IApproximation
    {
        SimdUnit.BeginSse(cpu);
        Approximate<T>(cpu, op, *SimdUnit.Xmm(cpu.State, op->Reg1));
    }

    private static void PackedMem<T>(X86Cpu cpu, Op* op)
        where T : struct, IApproximation
    {
        SimdUnit.BeginSse(cpu);
        Approximate<T>(cpu, op, SimdUnit.ReadAligned(cpu, op));
    }

    private static void Approximate<T>(X86Cpu cpu, Op* op, Vector128<byte> source)
        where T : struct, IApproximation
    {
        var target = (uint*)SimdUnit.Xmm(cpu.State, op->Reg0);
        for (int i = 0; i < 4; i++)
            target[i] = T.Apply(((uint*)&source)[i]);
    }

    private static void Scalar<T>(X86Cpu cpu, Op* op)
        where T : struct, IApproximation
    {
        SimdUnit.BeginSse(cpu);
        *(uint*)SimdUnit.Xmm(cpu.State, op->Reg0) = T.Apply(*(uint*)SimdUnit.Xmm(cpu.State, op->Reg1));
    }

    private static void ScalarMem<T>(X86Cpu cpu, Op* op)
        where T : struct, IApproximation
    {
        SimdUnit.BeginSse(cpu);
        *(uint*)SimdUnit.Xmm(cpu.State, op->Reg0) = T.Apply(cpu.Read<uint>(op->Segment, cpu.Ea(op)));
    }

    /// <summary>Cuts a positive or negative normal result to the twelve bits that the approximations carry; tiny ones become zeros.</summary>
    private static uint Cut(double value)
    {
        uint bits = BitConverter.SingleToUInt32Bits((float)value);
        if ((bits & 0x7F800000) == 0)
            return bits & 0x80000000;
        return (bits + 0x400) & ~0x7FFu;
    }

    /// <summary>1/x with a relative error below 1.5 x 2^-12; denormals count as zeros whatever MXCSR says; no exceptions.</summary>
    private readonly struct Reciprocal : IApproximation
    {
        public static uint Apply(uint value)
        {
            uint sign = value & 0x80000000, magnitude = value & 0x7FFFFFFF;
            if (magnitude > 0x7F800000)
                return value | 0x400000;
            if (magnitude < 0x00800000)
                return sign | 0x7F800000;
            return magnitude == 0x7F800000 ? sign : Cut(1.0 / BitConverter.UInt32BitsToSingle(value));
        }
    }

    /// <summary>1/sqrt(x), as above; negative numbers give the indefinite NaN.</summary>
    private readonly struct ReciprocalRoot : IApproximation
    {
        public static uint Apply(uint value)
        {
            uint sign = value & 0x80000000, magnitude = value & 0x7FFFFFFF;
            if (magnitude > 0x7F800000)
                return value | 0x400000;
            if (magnitude < 0x00800000)
                return sign | 0x7F800000;
            if (sign != 0)
                return (uint)Lane<SingleFormat>.Indefinite;
            return magnitude == 0x7F800000 ? 0 : Cut(1.0 / Math.Sqrt(BitConverter.UInt32BitsToSingle(value)));
        }
    }
}
