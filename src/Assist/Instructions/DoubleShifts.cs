using System.Numerics;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions;

/// <summary>
/// SHLD and SHRD. A 16-bit count above 16 is undefined by the manual; as on Intel processors the bits then shifted in come from
/// the destination again.
/// </summary>
internal static unsafe class DoubleShifts
{
    public static void Register()
    {
        Row<Left, Shifts.ByImmediate>(Code.Shld_rm16_r16_imm8);
        Row<Left, Shifts.ByCl>(Code.Shld_rm16_r16_CL);
        Row<Right, Shifts.ByImmediate>(Code.Shrd_rm16_r16_imm8);
        Row<Right, Shifts.ByCl>(Code.Shrd_rm16_r16_CL);
    }

    private static void Row<TShift, TCount>(Code rm16)
        where TShift : struct, IDoubleShift
        where TCount : struct, ICount
    {
        InstructionTable.Register(rm16, &Reg<TShift, TCount, ushort>, &Mem<TShift, TCount, ushort>);
        InstructionTable.Register(rm16 + 1, &Reg<TShift, TCount, uint>, &Mem<TShift, TCount, uint>);
        InstructionTable.Register(rm16 + 2, &Reg<TShift, TCount, ulong>, &Mem<TShift, TCount, ulong>);
    }

    private static void Reg<TShift, TCount, T>(X86Cpu cpu, Op* op)
        where TShift : struct, IDoubleShift
        where TCount : struct, ICount
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T> =>
        cpu.SetReg(op->Reg0, Apply<TShift, TCount, T>(cpu, op, cpu.Reg<T>(op->Reg0)));

    private static void Mem<TShift, TCount, T>(X86Cpu cpu, Op* op)
        where TShift : struct, IDoubleShift
        where TCount : struct, ICount
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        T value = cpu.ReadRmw<T>(op->Segment, cpu.Ea(op));
        cpu.WriteRmw(Apply<TShift, TCount, T>(cpu, op, value));
    }

    private static T Apply<TShift, TCount, T>(X86Cpu cpu, Op* op, T value)
        where TShift : struct, IDoubleShift
        where TCount : struct, ICount
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        int count = TCount.Get(cpu, op) & (sizeof(T) == 8 ? 63 : 31);
        if (count == 0)
            return value;
        ulong destination = ulong.CreateTruncating(value);
        ulong source = ulong.CreateTruncating(cpu.Reg<T>(op->Reg1));
        (ulong shifted, bool cf) = TShift.Shift(destination, source, count, sizeof(T) * 8);
        T result = T.CreateTruncating(shifted);
        cpu.SetResult(result, cf, TShift.Overflow(value, result, cf));
        return result;
    }

    private interface IDoubleShift
    {
        static abstract (ulong Result, bool Carry) Shift(ulong destination, ulong source, int count, int bits);

        static abstract bool Overflow<T>(T before, T after, bool carry)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>;
    }

    private readonly struct Left : IDoubleShift
    {
        public static (ulong Result, bool Carry) Shift(ulong destination, ulong source, int count, int bits)
        {
            if (bits == 16)
            {
                ulong chain = (destination << 32) | (source << 16) | destination;
                return (chain >> (32 - count), ((chain >> (48 - count)) & 1) != 0);
            }
            return ((destination << count) | (source >> (bits - count)), ((destination >> (bits - count)) & 1) != 0);
        }

        public static bool Overflow<T>(T before, T after, bool carry)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T> => carry ^ Bits.Msb(after);
    }

    private readonly struct Right : IDoubleShift
    {
        public static (ulong Result, bool Carry) Shift(ulong destination, ulong source, int count, int bits)
        {
            if (bits == 16)
            {
                ulong chain = (destination << 32) | (source << 16) | destination;
                return (chain >> count, ((chain >> (count - 1)) & 1) != 0);
            }
            return ((destination >> count) | (source << (bits - count)), ((destination >> (count - 1)) & 1) != 0);
        }

        public static bool Overflow<T>(T before, T after, bool carry)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T> => Bits.Msb(after) ^ Bits.Msb2(after);
    }
}
