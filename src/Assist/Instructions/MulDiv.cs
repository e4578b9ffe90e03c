using System.Numerics;
using System.Runtime.CompilerServices;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions;

/// <summary>
/// MUL, IMUL, DIV, IDIV. CF and OF tell whether the product needs its upper half; the undefined SF, ZF and PF follow the lower half
/// and AF is cleared. A division leaves the flags alone; a zero divisor or a quotient that does not fit is #DE.
/// </summary>
internal static unsafe class MulDiv
{
    public static void Register()
    {
        Row<Mul>(Code.Mul_rm8, Code.Mul_rm16);
        Row<Imul>(Code.Imul_rm8, Code.Imul_rm16);
        Row<Div>(Code.Div_rm8, Code.Div_rm16);
        Row<Idiv>(Code.Idiv_rm8, Code.Idiv_rm16);
        Signed<ushort>(Code.Imul_r16_rm16, Code.Imul_r16_rm16_imm16, Code.Imul_r16_rm16_imm8);
        Signed<uint>(Code.Imul_r32_rm32, Code.Imul_r32_rm32_imm32, Code.Imul_r32_rm32_imm8);
        Signed<ulong>(Code.Imul_r64_rm64, Code.Imul_r64_rm64_imm32, Code.Imul_r64_rm64_imm8);
    }

    private static void Row<TOp>(Code rm8, Code rm16)
        where TOp : struct, IWideOp
    {
        InstructionTable.Register(rm8, &Reg<TOp, byte>, &Mem<TOp, byte>);
        InstructionTable.Register(rm16, &Reg<TOp, ushort>, &Mem<TOp, ushort>);
        InstructionTable.Register(rm16 + 1, &Reg<TOp, uint>, &Mem<TOp, uint>);
        InstructionTable.Register(rm16 + 2, &Reg<TOp, ulong>, &Mem<TOp, ulong>);
    }

    private static void Signed<T>(Code two, Code three, Code threeByte)
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        InstructionTable.Register(two, &RegReg<T>, &RegMem<T>);
        InstructionTable.Register(three, &RegRegImm<T>, &RegMemImm<T>);
        InstructionTable.Register(threeByte, &RegRegImm<T>, &RegMemImm<T>);
    }

    private static void Reg<TOp, T>(X86Cpu cpu, Op* op)
        where TOp : struct, IWideOp
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T> => TOp.Apply(cpu, cpu.Reg<T>(op->Reg0));

    private static void Mem<TOp, T>(X86Cpu cpu, Op* op)
        where TOp : struct, IWideOp
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T> => TOp.Apply(cpu, cpu.Read<T>(op->Segment, cpu.Ea(op)));

    private static void RegReg<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T> =>
        cpu.SetReg(op->Reg0, Truncated(cpu, cpu.Reg<T>(op->Reg0), cpu.Reg<T>(op->Reg1)));

    private static void RegMem<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T> =>
        cpu.SetReg(op->Reg0, Truncated(cpu, cpu.Reg<T>(op->Reg0), cpu.Read<T>(op->Segment, cpu.Ea(op))));

    private static void RegRegImm<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T> =>
        cpu.SetReg(op->Reg0, Truncated(cpu, cpu.Reg<T>(op->Reg1), *(T*)&op->Imm));

    private static void RegMemImm<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T> =>
        cpu.SetReg(op->Reg0, Truncated(cpu, cpu.Read<T>(op->Segment, cpu.Ea(op)), *(T*)&op->Imm));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T Truncated<T>(X86Cpu cpu, T a, T b)
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        T low;
        bool overflow;
        if (sizeof(T) == 8)
        {
            long high = Math.BigMul(Bits.Signed(a), Bits.Signed(b), out long lower);
            low = T.CreateTruncating(lower);
            overflow = high != lower >> 63;
        }
        else
        {
            long product = Bits.Signed(a) * Bits.Signed(b);
            low = T.CreateTruncating(product);
            overflow = product != Bits.Signed(low);
        }
        cpu.SetResult(low, overflow, overflow);
        return low;
    }

    // (E/R)AX is the low half, (E/R)DX the high half; with bytes AX holds both.
    private static void SetPair<T>(X86Cpu cpu, ulong high, ulong low)
        where T : unmanaged, IBinaryInteger<T>
    {
        if (sizeof(T) == 1)
        {
            cpu.SetReg(Gpr.Ax, (ushort)((high << 8) | (low & 0xFF)));
        }
        else
        {
            cpu.SetReg(Gpr.Ax, T.CreateTruncating(low));
            cpu.SetReg(Gpr.Dx, T.CreateTruncating(high));
        }
    }

    private interface IWideOp
    {
        static abstract void Apply<T>(X86Cpu cpu, T source)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>;
    }

    private readonly struct Mul : IWideOp
    {
        public static void Apply<T>(X86Cpu cpu, T source)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
        {
            ulong a = ulong.CreateTruncating(cpu.Reg<T>(Gpr.Ax));
            ulong b = ulong.CreateTruncating(source);
            ulong high = Math.BigMul(a, b, out ulong low);
            if (sizeof(T) < 8)
                high = low >> (sizeof(T) * 8);
            SetPair<T>(cpu, high, low);
            bool wide = high != 0;
            cpu.SetResult(T.CreateTruncating(low), wide, wide);
        }
    }

    private readonly struct Imul : IWideOp
    {
        public static void Apply<T>(X86Cpu cpu, T source)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
        {
            long high = Math.BigMul(Bits.Signed(cpu.Reg<T>(Gpr.Ax)), Bits.Signed(source), out long low);
            if (sizeof(T) < 8)
                high = low >> (sizeof(T) * 8);
            T truncated = T.CreateTruncating(low);
            SetPair<T>(cpu, (ulong)high, (ulong)low);
            bool wide = high != Bits.Signed(truncated) >> 63;
            cpu.SetResult(truncated, wide, wide);
        }
    }

    private readonly struct Div : IWideOp
    {
        public static void Apply<T>(X86Cpu cpu, T source)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
        {
            ulong divisor = ulong.CreateTruncating(source);
            if (sizeof(T) == 8)
            {
                ulong high = cpu.Reg<ulong>(Gpr.Dx);
                if (high >= divisor)
                {
                    cpu.Raise(Vectors.DE);
                    return;
                }
                UInt128 dividend = new(high, cpu.Reg<ulong>(Gpr.Ax));
                UInt128 quotient = dividend / divisor;
                SetPair<T>(cpu, (ulong)(dividend - (quotient * divisor)), (ulong)quotient);
            }
            else
            {
                ulong dividend = Dividend<T>(cpu);
                if (dividend >> (sizeof(T) * 8) >= divisor)
                {
                    cpu.Raise(Vectors.DE);
                    return;
                }
                (ulong quotient, ulong remainder) = Math.DivRem(dividend, divisor);
                SetPair<T>(cpu, remainder, quotient);
            }
        }
    }

    private readonly struct Idiv : IWideOp
    {
        public static void Apply<T>(X86Cpu cpu, T source)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
        {
            long divisor = Bits.Signed(source);
            if (divisor == 0)
            {
                cpu.Raise(Vectors.DE);
                return;
            }
            if (sizeof(T) == 8)
            {
                // Magnitudes: Int128.MinValue / -1 would overflow in signed arithmetic.
                Int128 dividend = new(cpu.Reg<ulong>(Gpr.Dx), cpu.Reg<ulong>(Gpr.Ax));
                UInt128 magnitude = dividend < 0 ? UInt128.Zero - (UInt128)dividend : (UInt128)dividend;
                ulong by = divisor < 0 ? 0 - (ulong)divisor : (ulong)divisor;
                UInt128 quotient = magnitude / by;
                ulong remainder = (ulong)(magnitude - (quotient * by));
                bool negative = (dividend < 0) != (divisor < 0);
                if (quotient > (negative ? 1ul << 63 : long.MaxValue))
                {
                    cpu.Raise(Vectors.DE);
                    return;
                }
                SetPair<T>(cpu, dividend < 0 ? 0 - remainder : remainder, negative ? 0 - (ulong)quotient : (ulong)quotient);
            }
            else
            {
                int shift = 64 - (sizeof(T) * 16);
                long dividend = (long)(Dividend<T>(cpu) << shift) >> shift;
                if (dividend == long.MinValue && divisor == -1)
                {
                    cpu.Raise(Vectors.DE);
                    return;
                }
                (long quotient, long remainder) = Math.DivRem(dividend, divisor);
                if (quotient != Bits.Signed(T.CreateTruncating(quotient)))
                {
                    cpu.Raise(Vectors.DE);
                    return;
                }
                SetPair<T>(cpu, (ulong)remainder, (ulong)quotient);
            }
        }
    }

    // The double-width dividend of the operand sizes below 64 bits.
    private static ulong Dividend<T>(X86Cpu cpu)
        where T : unmanaged, IBinaryInteger<T> => sizeof(T) switch
        {
            1 => cpu.Reg<ushort>(Gpr.Ax),
            2 => ((ulong)cpu.Reg<ushort>(Gpr.Dx) << 16) | cpu.Reg<ushort>(Gpr.Ax),
            _ => ((ulong)cpu.Reg<uint>(Gpr.Dx) << 32) | cpu.Reg<uint>(Gpr.Ax),
        };
}
