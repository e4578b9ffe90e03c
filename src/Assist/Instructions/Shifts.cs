using System.Numerics;
using System.Runtime.CompilerServices;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions;

/// <summary>A shift or rotate by a count that is already masked and not zero.</summary>
internal interface IShift
{
    static abstract T Apply<T>(X86Cpu cpu, T value, int count)
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>;
}

/// <summary>Where a shift takes its count from.</summary>
internal unsafe interface ICount
{
    static abstract int Get(X86Cpu cpu, Op* op);
}

/// <summary>
/// ROL, ROR, RCL, RCR, SHL/SAL, SHR, SAR. Counts are taken modulo 32 (64 with 64-bit operands), as on every processor since the
/// 80186. OF after a count above 1, undefined by the manual, follows the same formula as for 1, which is what Intel
/// processors do.
/// </summary>
internal static unsafe class Shifts
{
    public static void Register()
    {
        Rows<Rol>(Code.Rol_rm8_imm8, Code.Rol_rm16_imm8, Code.Rol_rm8_1, Code.Rol_rm16_1, Code.Rol_rm8_CL, Code.Rol_rm16_CL);
        Rows<Ror>(Code.Ror_rm8_imm8, Code.Ror_rm16_imm8, Code.Ror_rm8_1, Code.Ror_rm16_1, Code.Ror_rm8_CL, Code.Ror_rm16_CL);
        Rows<Rcl>(Code.Rcl_rm8_imm8, Code.Rcl_rm16_imm8, Code.Rcl_rm8_1, Code.Rcl_rm16_1, Code.Rcl_rm8_CL, Code.Rcl_rm16_CL);
        Rows<Rcr>(Code.Rcr_rm8_imm8, Code.Rcr_rm16_imm8, Code.Rcr_rm8_1, Code.Rcr_rm16_1, Code.Rcr_rm8_CL, Code.Rcr_rm16_CL);
        Rows<Shl>(Code.Shl_rm8_imm8, Code.Shl_rm16_imm8, Code.Shl_rm8_1, Code.Shl_rm16_1, Code.Shl_rm8_CL, Code.Shl_rm16_CL);
        Rows<Shr>(Code.Shr_rm8_imm8, Code.Shr_rm16_imm8, Code.Shr_rm8_1, Code.Shr_rm16_1, Code.Shr_rm8_CL, Code.Shr_rm16_CL);
        Rows<Shl>(Code.Sal_rm8_imm8, Code.Sal_rm16_imm8, Code.Sal_rm8_1, Code.Sal_rm16_1, Code.Sal_rm8_CL, Code.Sal_rm16_CL);
        Rows<Sar>(Code.Sar_rm8_imm8, Code.Sar_rm16_imm8, Code.Sar_rm8_1, Code.Sar_rm16_1, Code.Sar_rm8_CL, Code.Sar_rm16_CL);
    }

    private static void Rows<TShift>(Code rm8Imm, Code rm16Imm, Code rm8One, Code rm16One, Code rm8Cl, Code rm16Cl)
        where TShift : struct, IShift
    {
        Row<TShift, ByImmediate>(rm8Imm, rm16Imm);
        Row<TShift, ByOne>(rm8One, rm16One);
        Row<TShift, ByCl>(rm8Cl, rm16Cl);
    }

    private static void Row<TShift, TCount>(Code rm8, Code rm16)
        where TShift : struct, IShift
        where TCount : struct, ICount
    {
        InstructionTable.Register(rm8, &Reg<TShift, TCount, byte>, &Mem<TShift, TCount, byte>);
        InstructionTable.Register(rm16, &Reg<TShift, TCount, ushort>, &Mem<TShift, TCount, ushort>);
        InstructionTable.Register(rm16 + 1, &Reg<TShift, TCount, uint>, &Mem<TShift, TCount, uint>);
        InstructionTable.Register(rm16 + 2, &Reg<TShift, TCount, ulong>, &Mem<TShift, TCount, ulong>);
    }

    private static void Reg<TShift, TCount, T>(X86Cpu cpu, Op* op)
        where TShift : struct, IShift
        where TCount : struct, ICount
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        T value = cpu.Reg<T>(op->Reg0);
        int count = TCount.Get(cpu, op) & (sizeof(T) == 8 ? 63 : 31);
        if (count != 0)
            value = TShift.Apply(cpu, value, count);
        cpu.SetReg(op->Reg0, value);
    }

    private static void Mem<TShift, TCount, T>(X86Cpu cpu, Op* op)
        where TShift : struct, IShift
        where TCount : struct, ICount
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        T value = cpu.ReadRmw<T>(op->Segment, cpu.Ea(op));
        int count = TCount.Get(cpu, op) & (sizeof(T) == 8 ? 63 : 31);
        if (count != 0)
            value = TShift.Apply(cpu, value, count);
        cpu.WriteRmw(value);
    }

    internal readonly struct ByImmediate : ICount
    {
        public static int Get(X86Cpu cpu, Op* op) => (int)op->Imm;
    }

    private readonly struct ByOne : ICount
    {
        public static int Get(X86Cpu cpu, Op* op) => 1;
    }

    internal readonly struct ByCl : ICount
    {
        public static int Get(X86Cpu cpu, Op* op) => cpu.Reg<byte>(Gpr.Cx);
    }

    private readonly struct Shl : IShift
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(X86Cpu cpu, T value, int count)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
        {
            ulong x = ulong.CreateTruncating(value);
            T result = T.CreateTruncating(x << count);
            bool cf = sizeof(T) == 8 ? ((x >> (64 - count)) & 1) != 0 : (((x << count) >> (sizeof(T) * 8)) & 1) != 0;
            cpu.SetResult(result, cf, cf ^ Bits.Msb(result));
            return result;
        }
    }

    private readonly struct Shr : IShift
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(X86Cpu cpu, T value, int count)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
        {
            ulong x = ulong.CreateTruncating(value);
            T result = T.CreateTruncating(x >> count);
            cpu.SetResult(result, ((x >> (count - 1)) & 1) != 0, Bits.Msb(result) ^ Bits.Msb2(result));
            return result;
        }
    }

    private readonly struct Sar : IShift
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(X86Cpu cpu, T value, int count)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
        {
            long x = Bits.Signed(value);
            T result = T.CreateTruncating(x >> count);
            cpu.SetResult(result, ((x >> (count - 1)) & 1) != 0, false);
            return result;
        }
    }

    private readonly struct Rol : IShift
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(X86Cpu cpu, T value, int count)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
        {
            T result = T.RotateLeft(value, count & ((sizeof(T) * 8) - 1));
            bool cf = (result & T.One) != T.Zero;
            cpu.Cf = cf;
            cpu.Of = cf ^ Bits.Msb(result);
            return result;
        }
    }

    private readonly struct Ror : IShift
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(X86Cpu cpu, T value, int count)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
        {
            T result = T.RotateRight(value, count & ((sizeof(T) * 8) - 1));
            bool cf = Bits.Msb(result);
            cpu.Cf = cf;
            cpu.Of = cf ^ Bits.Msb2(result);
            return result;
        }
    }

    private readonly struct Rcl : IShift
    {
        public static T Apply<T>(X86Cpu cpu, T value, int count)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
        {
            int bits = sizeof(T) * 8;
            if (sizeof(T) < 4)
                count %= bits + 1;
            ulong x = ulong.CreateTruncating(value);
            ulong carry = cpu.Cf ? 1ul : 0;
            ulong rotated;
            bool cf;
            if (sizeof(T) == 8)
            {
                rotated = (x << count) | (carry << (count - 1)) | ((x >> 1) >> (64 - count));
                cf = ((x >> (64 - count)) & 1) != 0;
            }
            else
            {
                x |= carry << bits;
                rotated = (x << count) | (x >> (bits + 1 - count));
                cf = ((rotated >> bits) & 1) != 0;
            }
            T result = T.CreateTruncating(rotated);
            cpu.Cf = cf;
            cpu.Of = cf ^ Bits.Msb(result);
            return result;
        }
    }

    private readonly struct Rcr : IShift
    {
        public static T Apply<T>(X86Cpu cpu, T value, int count)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
        {
            int bits = sizeof(T) * 8;
            if (sizeof(T) < 4)
                count %= bits + 1;
            ulong x = ulong.CreateTruncating(value);
            ulong carry = cpu.Cf ? 1ul : 0;
            ulong rotated;
            bool cf;
            if (sizeof(T) == 8)
            {
                rotated = (x >> count) | (carry << (64 - count)) | ((x << 1) << (64 - count));
                cf = ((x >> (count - 1)) & 1) != 0;
            }
            else
            {
                x |= carry << bits;
                rotated = (x >> count) | (x << (bits + 1 - count));
                cf = ((rotated >> bits) & 1) != 0;
            }
            T result = T.CreateTruncating(rotated);
            cpu.Cf = cf;
            cpu.Of = Bits.Msb(result) ^ Bits.Msb2(result);
            return result;
        }
    }
}
