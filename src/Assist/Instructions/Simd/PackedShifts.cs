using System.Runtime.Intrinsics;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.Simd;

/// <summary>PSLL, PSRL, PSRA by register, memory or immediate; PSLLDQ, PSRLDQ.</summary>
internal static unsafe class PackedShifts
{
    private interface IShift
    {
        /// <param name="value">Lanes.</param>
        /// <param name="count">Any count; beyond the lane's width the result is zeros, or signs.</param>
        static abstract Vector128<byte> Apply(Vector128<byte> value, ulong count);
    }

    public static void Register()
    {
        Rows<LeftWords>(Code.Psllw_mm_mmm64, Code.Psllw_mm_imm8, Code.Psllw_xmm_xmmm128, Code.Psllw_xmm_imm8);
        Rows<LeftDwords>(Code.Pslld_mm_mmm64, Code.Pslld_mm_imm8, Code.Pslld_xmm_xmmm128, Code.Pslld_xmm_imm8);
        Rows<LeftQwords>(Code.Psllq_mm_mmm64, Code.Psllq_mm_imm8, Code.Psllq_xmm_xmmm128, Code.Psllq_xmm_imm8);
        Rows<RightWords>(Code.Psrlw_mm_mmm64, Code.Psrlw_mm_imm8, Code.Psrlw_xmm_xmmm128, Code.Psrlw_xmm_imm8);
        Rows<RightDwords>(Code.Psrld_mm_mmm64, Code.Psrld_mm_imm8, Code.Psrld_xmm_xmmm128, Code.Psrld_xmm_imm8);
        Rows<RightQwords>(Code.Psrlq_mm_mmm64, Code.Psrlq_mm_imm8, Code.Psrlq_xmm_xmmm128, Code.Psrlq_xmm_imm8);
        Rows<ArithmeticWords>(Code.Psraw_mm_mmm64, Code.Psraw_mm_imm8, Code.Psraw_xmm_xmmm128, Code.Psraw_xmm_imm8);
        Rows<ArithmeticDwords>(Code.Psrad_mm_mmm64, Code.Psrad_mm_imm8, Code.Psrad_xmm_xmmm128, Code.Psrad_xmm_imm8);
        InstructionTable.Register(Code.Pslldq_xmm_imm8, &LeftBytes);
        InstructionTable.Register(Code.Psrldq_xmm_imm8, &RightBytes);
    }

    private static void Rows<T>(Code mmx, Code mmxImmediate, Code xmm, Code xmmImmediate)
        where T : struct, IShift
    {
        InstructionTable.Register(mmx, &MmxReg<T>, &MmxMem<T>);
        InstructionTable.Register(mmxImmediate, &MmxImmediate<T>);
        InstructionTable.Register(xmm, &XmmReg<T>, &XmmMem<T>);
        InstructionTable.Register(xmmImmediate, &XmmImmediate<T>);
    }

    private static void MmxReg<T>(X86Cpu cpu, Op* op)
        where T : struct, IShift
    {
        if (SimdUnit.BeginMmx(cpu))
            Mmx<T>(cpu.State, op, SimdUnit.Mm(cpu.State, op->Reg1));
    }

    private static void MmxMem<T>(X86Cpu cpu, Op* op)
        where T : struct, IShift
    {
        if (SimdUnit.BeginMmx(cpu))
            Mmx<T>(cpu.State, op, cpu.Read<ulong>(op->Segment, cpu.Ea(op)));
    }

    private static void MmxImmediate<T>(X86Cpu cpu, Op* op)
        where T : struct, IShift
    {
        if (SimdUnit.BeginMmx(cpu))
            Mmx<T>(cpu.State, op, (byte)op->Imm);
    }

    private static void Mmx<T>(CpuState* state, Op* op, ulong count)
        where T : struct, IShift
    {
        Vector128<byte> value = Vector128.CreateScalar(SimdUnit.Mm(state, op->Reg0)).AsByte();
        SimdUnit.EnterMmx(state);
        SimdUnit.SetMm(state, op->Reg0, T.Apply(value, count).AsUInt64().ToScalar());
    }

    private static void XmmReg<T>(X86Cpu cpu, Op* op)
        where T : struct, IShift
    {
        SimdUnit.BeginSse(cpu);
        Shift<T>(cpu, op, SimdUnit.Xmm(cpu.State, op->Reg1)->AsUInt64().ToScalar());
    }

    private static void XmmMem<T>(X86Cpu cpu, Op* op)
        where T : struct, IShift
    {
        SimdUnit.BeginSse(cpu);
        Shift<T>(cpu, op, SimdUnit.ReadAligned(cpu, op).AsUInt64().ToScalar());
    }

    private static void XmmImmediate<T>(X86Cpu cpu, Op* op)
        where T : struct, IShift
    {
        SimdUnit.BeginSse(cpu);
        Shift<T>(cpu, op, (byte)op->Imm);
    }

    private static void Shift<T>(X86Cpu cpu, Op* op, ulong count)
        where T : struct, IShift
    {
        Vector128<byte>* target = SimdUnit.Xmm(cpu.State, op->Reg0);
        *target = T.Apply(*target, count);
    }

    private static void LeftBytes(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        var value = (UInt128*)SimdUnit.Xmm(cpu.State, op->Reg0);
        int count = (byte)op->Imm;
        *value = count > 15 ? UInt128.Zero : *value << (count * 8);
    }

    private static void RightBytes(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        var value = (UInt128*)SimdUnit.Xmm(cpu.State, op->Reg0);
        int count = (byte)op->Imm;
        *value = count > 15 ? UInt128.Zero : *value >> (count * 8);
    }

    private readonly struct LeftWords : IShift
    {
        public static Vector128<byte> Apply(Vector128<byte> value, ulong count) =>
            count > 15 ? default : Vector128.ShiftLeft(value.AsUInt16(), (int)count).AsByte();
    }

    private readonly struct LeftDwords : IShift
    {
        public static Vector128<byte> Apply(Vector128<byte> value, ulong count) =>
            count > 31 ? default : Vector128.ShiftLeft(value.AsUInt32(), (int)count).AsByte();
    }

    private readonly struct LeftQwords : IShift
    {
        public static Vector128<byte> Apply(Vector128<byte> value, ulong count) =>
            count > 63 ? default : Vector128.ShiftLeft(value.AsUInt64(), (int)count).AsByte();
    }

    private readonly struct RightWords : IShift
    {
        public static Vector128<byte> Apply(Vector128<byte> value, ulong count) =>
            count > 15 ? default : Vector128.ShiftRightLogical(value.AsUInt16(), (int)count).AsByte();
    }

    private readonly struct RightDwords : IShift
    {
        public static Vector128<byte> Apply(Vector128<byte> value, ulong count) =>
            count > 31 ? default : Vector128.ShiftRightLogical(value.AsUInt32(), (int)count).AsByte();
    }

    private readonly struct RightQwords : IShift
    {
        public static Vector128<byte> Apply(Vector128<byte> value, ulong count) =>
            count > 63 ? default : Vector128.ShiftRightLogical(value.AsUInt64(), (int)count).AsByte();
    }

    private readonly struct ArithmeticWords : IShift
    {
        public static Vector128<byte> Apply(Vector128<byte> value, ulong count) =>
            Vector128.ShiftRightArithmetic(value.AsInt16(), (int)Math.Min(count, 15)).AsByte();
    }

    private readonly struct ArithmeticDwords : IShift
    {
        public static Vector128<byte> Apply(Vector128<byte> value, ulong count) =>
            Vector128.ShiftRightArithmetic(value.AsInt32(), (int)Math.Min(count, 31)).AsByte();
    }
}
