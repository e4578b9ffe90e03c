using System.Numerics;
using System.Runtime.Intrinsics;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.Simd;

/// <summary>PSHUF, SHUFPS, SHUFPD, UNPCK, PINSRW, PEXTRW, PMOVMSKB, MOVMSK, MOVDDUP and kin.</summary>
internal static unsafe class SimdShuffles
{
    private interface IShuffle
    {
        static abstract Vector128<byte> Apply(Vector128<byte> target, Vector128<byte> source, int order);
    }

    public static void Register()
    {
        InstructionTable.Register(Code.Pshufw_mm_mmm64_imm8, &ShuffleMm, &ShuffleMmMem);
        Shuffle<Dwords>(Code.Pshufd_xmm_xmmm128_imm8);
        Shuffle<LowWords>(Code.Pshuflw_xmm_xmmm128_imm8);
        Shuffle<HighWords>(Code.Pshufhw_xmm_xmmm128_imm8);
        Shuffle<Singles>(Code.Shufps_xmm_xmmm128_imm8);
        Shuffle<Doubles>(Code.Shufpd_xmm_xmmm128_imm8);
        PackedIntegers.Xmm<UnpackLow<uint>>(Code.Unpcklps_xmm_xmmm128);
        PackedIntegers.Xmm<UnpackHigh<uint>>(Code.Unpckhps_xmm_xmmm128);
        PackedIntegers.Xmm<UnpackLow<ulong>>(Code.Unpcklpd_xmm_xmmm128);
        PackedIntegers.Xmm<UnpackHigh<ulong>>(Code.Unpckhpd_xmm_xmmm128);

        InstructionTable.Register(Code.Pinsrw_mm_r32m16_imm8, &InsertMm, &InsertMmMem);
        InstructionTable.Register(Code.Pinsrw_mm_r64m16_imm8, &InsertMm, &InsertMmMem);
        InstructionTable.Register(Code.Pinsrw_xmm_r32m16_imm8, &InsertXmm, &InsertXmmMem);
        InstructionTable.Register(Code.Pinsrw_xmm_r64m16_imm8, &InsertXmm, &InsertXmmMem);
        InstructionTable.Register(Code.Pextrw_r32_mm_imm8, &ExtractMm);
        InstructionTable.Register(Code.Pextrw_r64_mm_imm8, &ExtractMm);
        InstructionTable.Register(Code.Pextrw_r32_xmm_imm8, &ExtractXmm);
        InstructionTable.Register(Code.Pextrw_r64_xmm_imm8, &ExtractXmm);
        InstructionTable.Register(Code.Pmovmskb_r32_mm, &MaskMm);
        InstructionTable.Register(Code.Pmovmskb_r64_mm, &MaskMm);
        InstructionTable.Register(Code.Pmovmskb_r32_xmm, &MaskXmm<byte>);
        InstructionTable.Register(Code.Pmovmskb_r64_xmm, &MaskXmm<byte>);
        InstructionTable.Register(Code.Movmskps_r32_xmm, &MaskXmm<uint>);
        InstructionTable.Register(Code.Movmskps_r64_xmm, &MaskXmm<uint>);
        InstructionTable.Register(Code.Movmskpd_r32_xmm, &MaskXmm<ulong>);
        InstructionTable.Register(Code.Movmskpd_r64_xmm, &MaskXmm<ulong>);

        PackedIntegers.Xmm<EvenSingles>(Code.Movsldup_xmm_xmmm128);
        PackedIntegers.Xmm<OddSingles>(Code.Movshdup_xmm_xmmm128);
        InstructionTable.Register(Code.Movddup_xmm_xmmm64, &Duplicate, &DuplicateMem);
    }

    private static void Shuffle<T>(Code code)
        where T : struct, IShuffle => InstructionTable.Register(code, &ShuffleReg<T>, &ShuffleMem<T>);

    private static void ShuffleReg<T>(X86Cpu cpu, Op* op)
        where T : struct, IShuffle
    {
        SimdUnit.BeginSse(cpu);
        Vector128<byte>* target = SimdUnit.Xmm(cpu.State, op->Reg0);
        *target = T.Apply(*target, *SimdUnit.Xmm(cpu.State, op->Reg1), (byte)op->Imm);
    }

    private static void ShuffleMem<T>(X86Cpu cpu, Op* op)
        where T : struct, IShuffle
    {
        SimdUnit.BeginSse(cpu);
        Vector128<byte> source = SimdUnit.ReadAligned(cpu, op);
        Vector128<byte>* target = SimdUnit.Xmm(cpu.State, op->Reg0);
        *target = T.Apply(*target, source, (byte)op->Imm);
    }

    private static void ShuffleMm(X86Cpu cpu, Op* op)
    {
        if (SimdUnit.BeginMmx(cpu))
            ShuffleWords(cpu, op, SimdUnit.Mm(cpu.State, op->Reg1));
    }

    private static void ShuffleMmMem(X86Cpu cpu, Op* op)
    {
        if (SimdUnit.BeginMmx(cpu))
            ShuffleWords(cpu, op, cpu.Read<ulong>(op->Segment, cpu.Ea(op)));
    }

    private static void ShuffleWords(X86Cpu cpu, Op* op, ulong source)
    {
        SimdUnit.EnterMmx(cpu.State);
        SimdUnit.SetMm(cpu.State, op->Reg0, Words(source, (byte)op->Imm));
    }

    private static ulong Words(ulong source, int order)
    {
        ulong result = 0;
        for (int i = 0; i < 4; i++)
            result |= (ulong)(ushort)(source >> (((order >> (i * 2)) & 3) * 16)) << (i * 16);
        return result;
    }

    private static void InsertMm(X86Cpu cpu, Op* op)
    {
        if (SimdUnit.BeginMmx(cpu))
            InsertMm(cpu, op, cpu.Reg<ushort>(op->Reg1));
    }

    private static void InsertMmMem(X86Cpu cpu, Op* op)
    {
        if (SimdUnit.BeginMmx(cpu))
            InsertMm(cpu, op, cpu.Read<ushort>(op->Segment, cpu.Ea(op)));
    }

    private static void InsertMm(X86Cpu cpu, Op* op, ushort value)
    {
        int shift = ((int)op->Imm & 3) * 16;
        SimdUnit.EnterMmx(cpu.State);
        ulong old = SimdUnit.Mm(cpu.State, op->Reg0);
        SimdUnit.SetMm(cpu.State, op->Reg0, (old & ~(0xFFFFul << shift)) | ((ulong)value << shift));
    }

    private static void InsertXmm(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        InsertXmm(cpu, op, cpu.Reg<ushort>(op->Reg1));
    }

    private static void InsertXmmMem(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        InsertXmm(cpu, op, cpu.Read<ushort>(op->Segment, cpu.Ea(op)));
    }

    private static void InsertXmm(X86Cpu cpu, Op* op, ushort value) =>
        ((ushort*)SimdUnit.Xmm(cpu.State, op->Reg0))[op->Imm & 7] = value;

    private static void ExtractMm(X86Cpu cpu, Op* op)
    {
        if (!SimdUnit.BeginMmx(cpu))
            return;
        SimdUnit.EnterMmx(cpu.State);
        cpu.SetReg(op->Reg0, (uint)(ushort)(SimdUnit.Mm(cpu.State, op->Reg1) >> (((int)op->Imm & 3) * 16)));
    }

    private static void ExtractXmm(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        cpu.SetReg(op->Reg0, (uint)((ushort*)SimdUnit.Xmm(cpu.State, op->Reg1))[op->Imm & 7]);
    }

    private static void MaskMm(X86Cpu cpu, Op* op)
    {
        if (!SimdUnit.BeginMmx(cpu))
            return;
        SimdUnit.EnterMmx(cpu.State);
        Vector128<byte> value = Vector128.CreateScalar(SimdUnit.Mm(cpu.State, op->Reg1)).AsByte();
        cpu.SetReg(op->Reg0, value.ExtractMostSignificantBits());
    }

    private static void MaskXmm<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>
    {
        SimdUnit.BeginSse(cpu);
        cpu.SetReg(op->Reg0, SimdUnit.Xmm(cpu.State, op->Reg1)->As<byte, T>().ExtractMostSignificantBits());
    }

    private static void Duplicate(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        Duplicate(cpu, op, *(ulong*)SimdUnit.Xmm(cpu.State, op->Reg1));
    }

    private static void DuplicateMem(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        Duplicate(cpu, op, cpu.Read<ulong>(op->Segment, cpu.Ea(op)));
    }

    private static void Duplicate(X86Cpu cpu, Op* op, ulong value) =>
        *SimdUnit.Xmm(cpu.State, op->Reg0) = Vector128.Create(value).AsByte();

    private readonly struct Dwords : IShuffle
    {
        public static Vector128<byte> Apply(Vector128<byte> target, Vector128<byte> source, int order)
        {
            Vector128<uint> from = source.AsUInt32();
            return Vector128.Create(from[order & 3], from[(order >> 2) & 3], from[(order >> 4) & 3], from[order >> 6]).AsByte();
        }
    }

    private readonly struct LowWords : IShuffle
    {
        public static Vector128<byte> Apply(Vector128<byte> target, Vector128<byte> source, int order) =>
            source.AsUInt64().WithElement(0, Words(source.AsUInt64()[0], order)).AsByte();
    }

    private readonly struct HighWords : IShuffle
    {
        public static Vector128<byte> Apply(Vector128<byte> target, Vector128<byte> source, int order) =>
            source.AsUInt64().WithElement(1, Words(source.AsUInt64()[1], order)).AsByte();
    }

    private readonly struct Singles : IShuffle
    {
        public static Vector128<byte> Apply(Vector128<byte> target, Vector128<byte> source, int order)
        {
            Vector128<uint> low = target.AsUInt32(), high = source.AsUInt32();
            return Vector128.Create(low[order & 3], low[(order >> 2) & 3], high[(order >> 4) & 3], high[order >> 6]).AsByte();
        }
    }

    private readonly struct Doubles : IShuffle
    {
        public static Vector128<byte> Apply(Vector128<byte> target, Vector128<byte> source, int order) =>
            Vector128.Create(target.AsUInt64()[order & 1], source.AsUInt64()[(order >> 1) & 1]).AsByte();
    }

    private readonly struct EvenSingles : IVectorOp
    {
        public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => Dwords.Apply(a, b, 0b10_10_00_00);
    }

    private readonly struct OddSingles : IVectorOp
    {
        public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => Dwords.Apply(a, b, 0b11_11_01_01);
    }
}
