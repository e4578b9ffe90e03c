using System.Numerics;

namespace Farm.Assist.Instructions.Fpu;

/// <summary>Between registers and the formats of memory operands (SDM vol. 1, 4.2 and 8.1.2).</summary>
internal static class Float80Conversion
{
    private const ulong DoubleFraction = 0x000FFFFFFFFFFFFF;
    private const uint SingleFraction = 0x007FFFFF;

    /// <summary>Widens; a signaling NaN stays one, a denormal is noted.</summary>
    public static Float80 FromSingle(ref FloatEnvironment env, uint value)
    {
        bool sign = (int)value < 0;
        int exponent = (int)(value >> 23) & 0xFF;
        ulong fraction = (ulong)(value & SingleFraction) << 40;
        return Widen(ref env, sign, exponent, 0xFF, Float80.Bias - 127, fraction);
    }

    public static Float80 FromDouble(ref FloatEnvironment env, ulong value)
    {
        bool sign = (long)value < 0;
        int exponent = (int)(value >> 52) & 0x7FF;
        ulong fraction = (value & DoubleFraction) << 11;
        return Widen(ref env, sign, exponent, 0x7FF, Float80.Bias - 1023, fraction);
    }

    public static uint ToSingle(ref FloatEnvironment env, Float80 value)
    {
        uint sign = value.Sign ? 1u << 31 : 0;
        switch (value.Kind)
        {
            case FloatKind.Zero:
                return sign;
            case FloatKind.Infinity:
                return sign | 0x7F800000;
            case FloatKind.QuietNaN or FloatKind.SignalingNaN:
                Float80Math.HandlesNaN(ref env, value, out Float80 quiet);
                return sign | 0x7F800000 | ((uint)(quiet.Mantissa >> 40) & SingleFraction);
            case FloatKind.Unsupported:
                env.Raised |= FloatException.Invalid;
                return 0xFFC00000;
            default:
                return FloatRounding.ToSingle(ref env, Exact.From(value.ToFinite()));
        }
    }

    public static ulong ToDouble(ref FloatEnvironment env, Float80 value)
    {
        ulong sign = value.Sign ? 1ul << 63 : 0;
        switch (value.Kind)
        {
            case FloatKind.Zero:
                return sign;
            case FloatKind.Infinity:
                return sign | 0x7FF0000000000000;
            case FloatKind.QuietNaN or FloatKind.SignalingNaN:
                Float80Math.HandlesNaN(ref env, value, out Float80 quiet);
                return sign | 0x7FF0000000000000 | ((quiet.Mantissa >> 11) & DoubleFraction);
            case FloatKind.Unsupported:
                env.Raised |= FloatException.Invalid;
                return 0xFFF8000000000000;
            default:
                return FloatRounding.ToDouble(ref env, Exact.From(value.ToFinite()));
        }
    }

    /// <summary>To a signed integer of 16, 32 or 64 bits; the integer indefinite (the least number) where it does not fit.</summary>
    public static long ToInteger(ref FloatEnvironment env, Float80 value, int bits, Rounding rounding)
    {
        long indefinite = long.MinValue >> (64 - bits);
        if (value.Kind == FloatKind.Zero)
            return 0;
        if (value.Kind >= FloatKind.Infinity || value.Exponent > Float80.Bias + 63)
            return InvalidInteger(ref env, indefinite);
        FloatEnvironment before = env;
        ulong magnitude = Float80Math.ToMagnitude(ref env, value.ToFinite(), rounding);
        ulong limit = (1ul << (bits - 1)) - (value.Sign ? 0u : 1u);
        bool wrapped = magnitude == 0 && value.Exponent >= Float80.Bias + 63;
        if (magnitude > limit || wrapped)
        {
            env = before;
            return InvalidInteger(ref env, indefinite);
        }
        return value.Sign ? -(long)magnitude : (long)magnitude;
    }

    /// <summary>Eighteen packed decimal digits and a sign byte (SDM vol. 1, 4.7), exactly.</summary>
    public static Float80 FromBcd(ulong low, ushort high)
    {
        ulong value = 0;
        for (int i = 9; i >= 0; i--)
        {
            // The two digits of byte 8 come first.
            uint pair = i >= 8 ? (i == 8 ? (byte)high : 0u) : (byte)(low >> (i * 8));
            value = (value * 100) + ((pair >> 4) * 10) + (pair & 15);
        }
        return Float80.FromInteger((long)value).WithSign((high & 0x8000) != 0);
    }

    /// <summary>Rounds to an integer of eighteen decimal digits; packed decimal indefinite where it does not fit.</summary>
    public static (ulong Low, ushort High) ToBcd(ref FloatEnvironment env, Float80 value)
    {
        const long Limit = 999_999_999_999_999_999;
        FloatEnvironment before = env;
        long integer = ToInteger(ref env, value, 64, env.Rounding);
        if (integer is > Limit or < -Limit)
        {
            env = before;
            env.Raised |= FloatException.Invalid;
        }
        if (((env.Raised & ~before.Raised) & FloatException.Invalid) != 0)
            return (0xC000000000000000, 0xFFFF);
        var rest = (ulong)Math.Abs(integer);
        UInt128 digits = UInt128.Zero;
        for (int i = 0; i < 18; i++)
        {
            (rest, ulong digit) = Math.DivRem(rest, 10);
            digits |= (UInt128)digit << (i * 4);
        }
        return ((ulong)digits, (ushort)((ushort)(digits >> 64) | (value.Sign ? 0x8000 : 0)));
    }

    private static long InvalidInteger(ref FloatEnvironment env, long indefinite)
    {
        env.Raised |= FloatException.Invalid;
        return indefinite;
    }

    private static Float80 Widen(ref FloatEnvironment env, bool sign, int exponent, int infinite, int rebias, ulong fraction)
    {
        if (exponent == infinite)
            return Float80.Create(sign, Float80.MaxExponent, fraction | Float80.IntegerBit);
        if (exponent != 0)
            return Float80.Create(sign, exponent + rebias, fraction | Float80.IntegerBit);
        if (fraction == 0)
            return Float80.Zero(sign);
        env.Raised |= FloatException.Denormal;
        int shift = BitOperations.LeadingZeroCount(fraction);
        return Float80.Create(sign, 1 + rebias - shift, fraction << shift);
    }
}
