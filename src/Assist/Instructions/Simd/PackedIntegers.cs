using System.Runtime.Intrinsics;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.Simd;

/// <summary>Two-operand integer instructions, the MMX and the XMM form of each.</summary>
internal static unsafe class PackedIntegers
{
    public static void Register()
    {
        Both<AddBytes>(Code.Paddb_mm_mmm64, Code.Paddb_xmm_xmmm128);
        Both<AddWords>(Code.Paddw_mm_mmm64, Code.Paddw_xmm_xmmm128);
        Both<AddDwords>(Code.Paddd_mm_mmm64, Code.Paddd_xmm_xmmm128);
        Both<AddQwords>(Code.Paddq_mm_mmm64, Code.Paddq_xmm_xmmm128);
        Both<AddSignedBytes>(Code.Paddsb_mm_mmm64, Code.Paddsb_xmm_xmmm128);
        Both<AddSignedWords>(Code.Paddsw_mm_mmm64, Code.Paddsw_xmm_xmmm128);
        Both<AddUnsignedBytes>(Code.Paddusb_mm_mmm64, Code.Paddusb_xmm_xmmm128);
        Both<AddUnsignedWords>(Code.Paddusw_mm_mmm64, Code.Paddusw_xmm_xmmm128);
        Both<SubtractBytes>(Code.Psubb_mm_mmm64, Code.Psubb_xmm_xmmm128);
        Both<SubtractWords>(Code.Psubw_mm_mmm64, Code.Psubw_xmm_xmmm128);
        Both<SubtractDwords>(Code.Psubd_mm_mmm64, Code.Psubd_xmm_xmmm128);
        Both<SubtractQwords>(Code.Psubq_mm_mmm64, Code.Psubq_xmm_xmmm128);
        Both<SubtractSignedBytes>(Code.Psubsb_mm_mmm64, Code.Psubsb_xmm_xmmm128);
        Both<SubtractSignedWords>(Code.Psubsw_mm_mmm64, Code.Psubsw_xmm_xmmm128);
        Both<SubtractUnsignedBytes>(Code.Psubusb_mm_mmm64, Code.Psubusb_xmm_xmmm128);
        Both<SubtractUnsignedWords>(Code.Psubusw_mm_mmm64, Code.Psubusw_xmm_xmmm128);
        Both<And>(Code.Pand_mm_mmm64, Code.Pand_xmm_xmmm128);
        Both<AndNot>(Code.Pandn_mm_mmm64, Code.Pandn_xmm_xmmm128);
        Both<Or>(Code.Por_mm_mmm64, Code.Por_xmm_xmmm128);
        Both<Xor>(Code.Pxor_mm_mmm64, Code.Pxor_xmm_xmmm128);
        Both<EqualBytes>(Code.Pcmpeqb_mm_mmm64, Code.Pcmpeqb_xmm_xmmm128);
        Both<EqualWords>(Code.Pcmpeqw_mm_mmm64, Code.Pcmpeqw_xmm_xmmm128);
        Both<EqualDwords>(Code.Pcmpeqd_mm_mmm64, Code.Pcmpeqd_xmm_xmmm128);
        Both<GreaterBytes>(Code.Pcmpgtb_mm_mmm64, Code.Pcmpgtb_xmm_xmmm128);
        Both<GreaterWords>(Code.Pcmpgtw_mm_mmm64, Code.Pcmpgtw_xmm_xmmm128);
        Both<GreaterDwords>(Code.Pcmpgtd_mm_mmm64, Code.Pcmpgtd_xmm_xmmm128);
        Both<MultiplyLow>(Code.Pmullw_mm_mmm64, Code.Pmullw_xmm_xmmm128);
        Both<MultiplyHigh>(Code.Pmulhw_mm_mmm64, Code.Pmulhw_xmm_xmmm128);
        Both<MultiplyHighUnsigned>(Code.Pmulhuw_mm_mmm64, Code.Pmulhuw_xmm_xmmm128);
        Both<MultiplyDwords>(Code.Pmuludq_mm_mmm64, Code.Pmuludq_xmm_xmmm128);
        Both<MultiplyAndAdd>(Code.Pmaddwd_mm_mmm64, Code.Pmaddwd_xmm_xmmm128);
        Both<AverageBytes>(Code.Pavgb_mm_mmm64, Code.Pavgb_xmm_xmmm128);
        Both<AverageWords>(Code.Pavgw_mm_mmm64, Code.Pavgw_xmm_xmmm128);
        Both<MinimumBytes>(Code.Pminub_mm_mmm64, Code.Pminub_xmm_xmmm128);
        Both<MaximumBytes>(Code.Pmaxub_mm_mmm64, Code.Pmaxub_xmm_xmmm128);
        Both<MinimumWords>(Code.Pminsw_mm_mmm64, Code.Pminsw_xmm_xmmm128);
        Both<MaximumWords>(Code.Pmaxsw_mm_mmm64, Code.Pmaxsw_xmm_xmmm128);
        Both<SumOfDifferences>(Code.Psadbw_mm_mmm64, Code.Psadbw_xmm_xmmm128);
        Both<PackWords>(Code.Packsswb_mm_mmm64, Code.Packsswb_xmm_xmmm128);
        Both<PackDwords>(Code.Packssdw_mm_mmm64, Code.Packssdw_xmm_xmmm128);
        Both<PackUnsigned>(Code.Packuswb_mm_mmm64, Code.Packuswb_xmm_xmmm128);
        Both<UnpackHigh<byte>>(Code.Punpckhbw_mm_mmm64, Code.Punpckhbw_xmm_xmmm128);
        Both<UnpackHigh<ushort>>(Code.Punpckhwd_mm_mmm64, Code.Punpckhwd_xmm_xmmm128);
        Both<UnpackHigh<uint>>(Code.Punpckhdq_mm_mmm64, Code.Punpckhdq_xmm_xmmm128);
        UnpackLow<byte>(Code.Punpcklbw_mm_mmm32, Code.Punpcklbw_xmm_xmmm128);
        UnpackLow<ushort>(Code.Punpcklwd_mm_mmm32, Code.Punpcklwd_xmm_xmmm128);
        UnpackLow<uint>(Code.Punpckldq_mm_mmm32, Code.Punpckldq_xmm_xmmm128);
        Xmm<UnpackLow<ulong>>(Code.Punpcklqdq_xmm_xmmm128);
        Xmm<UnpackHigh<ulong>>(Code.Punpckhqdq_xmm_xmmm128);
    }

    private static void Both<T>(Code mmx, Code xmm)
        where T : struct, IVectorOp
    {
        InstructionTable.Register(mmx, &MmxReg<T>, &MmxMem<T>);
        Xmm<T>(xmm);
    }

    private static void UnpackLow<T>(Code mmx, Code xmm)
        where T : unmanaged
    {
        InstructionTable.Register(mmx, &MmxReg<Simd.UnpackLow<T>>, &MmxMem32<Simd.UnpackLow<T>>);
        Xmm<Simd.UnpackLow<T>>(xmm);
    }

    /// <summary>An XMM instruction with a 16-byte aligned second operand.</summary>
    public static void Xmm<T>(Code code)
        where T : struct, IVectorOp => InstructionTable.Register(code, &XmmReg<T>, &XmmMem<T>);

    private static void MmxReg<T>(X86Cpu cpu, Op* op)
        where T : struct, IVectorOp
    {
        if (SimdUnit.BeginMmx(cpu))
            Mmx<T>(cpu.State, op, SimdUnit.Mm(cpu.State, op->Reg1));
    }

    private static void MmxMem<T>(X86Cpu cpu, Op* op)
        where T : struct, IVectorOp
    {
        if (SimdUnit.BeginMmx(cpu))
            Mmx<T>(cpu.State, op, cpu.Read<ulong>(op->Segment, cpu.Ea(op)));
    }

    private static void MmxMem32<T>(X86Cpu cpu, Op* op)
        where T : struct, IVectorOp
    {
        if (SimdUnit.BeginMmx(cpu))
            Mmx<T>(cpu.State, op, cpu.Read<uint>(op->Segment, cpu.Ea(op)));
    }

    private static void Mmx<T>(CpuState* state, Op* op, ulong source)
        where T : struct, IVectorOp
    {
        Vector128<byte> a = Vector128.CreateScalar(SimdUnit.Mm(state, op->Reg0)).AsByte();
        Vector128<byte> result = T.Apply(a, Vector128.CreateScalar(source).AsByte(), 8);
        SimdUnit.EnterMmx(state);
        SimdUnit.SetMm(state, op->Reg0, result.AsUInt64().ToScalar());
    }

    private static void XmmReg<T>(X86Cpu cpu, Op* op)
        where T : struct, IVectorOp
    {
        SimdUnit.BeginSse(cpu);
        Vector128<byte>* target = SimdUnit.Xmm(cpu.State, op->Reg0);
        *target = T.Apply(*target, *SimdUnit.Xmm(cpu.State, op->Reg1), 16);
    }

    private static void XmmMem<T>(X86Cpu cpu, Op* op)
        where T : struct, IVectorOp
    {
        SimdUnit.BeginSse(cpu);
        Vector128<byte> source = SimdUnit.ReadAligned(cpu, op);
        Vector128<byte>* target = SimdUnit.Xmm(cpu.State, op->Reg0);
        *target = T.Apply(*target, source, 16);
    }
}
