using System.Runtime.CompilerServices;

namespace Farm.Assist.Instructions.Fpu;

/// <summary>Rounding to a format with overflow, underflow and precision exceptions (SDM vol. 1, 4.8.4 and 4.9.1).</summary>
internal static class FloatRounding
{
    /// <summary>Rounds to the format; the significand comes top-aligned in 64 bits, 0 with exponent 0 for zero.</summary>
    public static (int Exponent, ulong Significand) Round(ref FloatEnvironment env, in Exact value, in FloatFormat format)
    {
        if (value.IsZero)
            return (0, 0);
        int exponent = value.Exponent + format.Rebias;
        ulong high = value.High, low = value.Low;
        int cut = 64 - format.Bits;
        if (exponent <= 0)
        {
            bool tiny = exponent < 0 || !RoundsToNextPower(env.Rounding, value.Sign, high, low, cut);
            if (tiny && env.FlushToZero && env.IsMasked(FloatException.Underflow))
            {
                env.Raised |= FloatException.Underflow | FloatException.Precision;
                return (0, 0);
            }
            if (!tiny || env.IsMasked(FloatException.Underflow) || format.Wrap == 0)
                return RoundDenormal(ref env, value, exponent, cut, tiny);
            env.Raised |= FloatException.Underflow;
            exponent += format.Wrap;

            // FSCALE only: what wrapping does not bring back is zero whatever the rounding.
            if (exponent <= 0)
            {
                NoteInexact(ref env, true, false);
                return (0, 0);
            }
        }

        bool inexact = IsInexact(high, low, cut);
        bool up = inexact && RoundsUp(env.Rounding, value.Sign, high, low, cut);
        high = Cut(high, cut, up, out bool carried);
        if (carried)
        {
            high = Float80.IntegerBit;
            exponent++;
        }
        if (exponent >= format.Infinite)
        {
            env.Raised |= FloatException.Overflow;
            if (env.IsMasked(FloatException.Overflow) || format.Wrap == 0)
                return Overflow(ref env, value.Sign, cut, format.Infinite);

            // FSCALE only: what wrapping does not bring back is infinite whatever the rounding.
            if (exponent - format.Wrap >= format.Infinite)
            {
                NoteInexact(ref env, true, true);
                return (format.Infinite, Float80.IntegerBit);
            }
            exponent -= format.Wrap;
        }
        NoteInexact(ref env, inexact, up);
        return (exponent, high);
    }

    /// <summary>Rounds to an x87 register, at the precision of the control word if <paramref name="precision"/> is 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float80 ToExtended(ref FloatEnvironment env, in Exact value, int precision = 64)
    {
        (int exponent, ulong significand) = Round(ref env, value, FloatFormat.Extended(precision));
        return Float80.Create(value.Sign, exponent, significand);
    }

    public static ulong ToDouble(ref FloatEnvironment env, in Exact value)
    {
        (int exponent, ulong significand) = Round(ref env, value, FloatFormat.Double);
        return (value.Sign ? 1ul << 63 : 0) | ((ulong)exponent << 52) | ((significand >> 11) & 0x000FFFFFFFFFFFFF);
    }

    public static uint ToSingle(ref FloatEnvironment env, in Exact value)
    {
        (int exponent, ulong significand) = Round(ref env, value, FloatFormat.Single);
        return (value.Sign ? 1u << 31 : 0) | ((uint)exponent << 23) | ((uint)(significand >> 40) & 0x007FFFFF);
    }

    /// <summary>True when rounding moves the magnitude away from zero. The part cut off is the low bits of high, then low.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool RoundsUp(Rounding rounding, bool sign, ulong high, ulong low, int cut)
    {
        if (rounding != Rounding.Nearest)
            return rounding == (sign ? Rounding.Down : Rounding.Up);
        ulong half = 1ul << (cut == 0 ? 63 : cut - 1);
        ulong first = cut == 0 ? low : high & ((1ul << cut) - 1);
        ulong rest = cut == 0 ? 0 : low;
        if (first != half || rest != 0)
            return first >= half;
        return ((high >> cut) & 1) != 0;
    }

    /// <summary>Shifts right; bits that fall out stay visible in bit 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (ulong High, ulong Low) ShiftRightJam(ulong high, ulong low, int count)
    {
        if (count == 0)
            return (high, low);
        if (count < 64)
        {
            bool lost = low << (64 - count) != 0;
            return (high >> count, (high << (64 - count)) | (low >> count) | (lost ? 1u : 0));
        }
        if (count == 64)
            return (0, high | (low != 0 ? 1u : 0));
        if (count < 128)
        {
            bool lost = high << (128 - count) != 0 || low != 0;
            return (0, (high >> (count - 64)) | (lost ? 1u : 0));
        }
        return (0, (high | low) != 0 ? 1u : 0);
    }

    private static (int Exponent, ulong Significand) RoundDenormal(ref FloatEnvironment env, in Exact value, int exponent, int cut, bool tiny)
    {
        (ulong high, ulong low) = ShiftRightJam(value.High, value.Low, 1 - exponent);
        bool inexact = IsInexact(high, low, cut);
        bool up = inexact && RoundsUp(env.Rounding, value.Sign, high, low, cut);
        high = Cut(high, cut, up, out _);
        if (tiny && (inexact || !env.IsMasked(FloatException.Underflow)))
            env.Raised |= FloatException.Underflow;
        NoteInexact(ref env, inexact, up);
        return ((high & Float80.IntegerBit) != 0 ? 1 : 0, high);
    }

    private static (int Exponent, ulong Significand) Overflow(ref FloatEnvironment env, bool sign, int cut, int infinite)
    {
        bool toInfinity = env.Rounding == Rounding.Nearest || env.Rounding == (sign ? Rounding.Down : Rounding.Up);
        NoteInexact(ref env, true, toInfinity);
        return toInfinity ? (infinite, Float80.IntegerBit) : (infinite - 1, ulong.MaxValue << cut);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void NoteInexact(ref FloatEnvironment env, bool inexact, bool up)
    {
        env.RoundedUp = up;
        if (inexact)
            env.Raised |= FloatException.Precision;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool IsInexact(ulong high, ulong low, int cut) => ((high & ((1ul << cut) - 1)) | low) != 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Cut(ulong high, int cut, bool up, out bool carried)
    {
        high &= ulong.MaxValue << cut;
        ulong rounded = up ? high + (1ul << cut) : high;
        carried = rounded < high;
        return rounded;
    }

    private static bool RoundsToNextPower(Rounding rounding, bool sign, ulong high, ulong low, int cut)
    {
        if (!IsInexact(high, low, cut) || !RoundsUp(rounding, sign, high, low, cut))
            return false;
        Cut(high, cut, true, out bool carried);
        return carried;
    }
}
