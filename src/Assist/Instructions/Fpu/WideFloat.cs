using System.Numerics;

namespace Farm.Assist.Instructions.Fpu;

/// <summary>
/// A number with 128 significant bits, for the insides of transcendental functions: significand / 2^127 x 2^exponent, bit 127 set
/// unless zero. Results are cut, not rounded: each operation is good to a unit of bit 127.
/// </summary>
internal readonly record struct WideFloat(bool Sign, int Exponent, UInt128 Significand)
{
    public static readonly WideFloat Pi = new(false, 1, new UInt128(0xC90FDAA22168C234, 0xC4C6628B80DC1CD1));
    public static readonly WideFloat LogOf2 = new(false, -1, new UInt128(0xB17217F7D1CF79AB, 0xC9E3B39803F2F6AF));
    public static readonly WideFloat Log2OfE = new(false, 0, new UInt128(0xB8AA3B295C17F0BB, 0xBE87FED0691D3E88));
    public static readonly WideFloat One = new(false, 0, UInt128.One << 127);

    public bool IsZero => Significand == UInt128.Zero;

    public WideFloat Magnitude => this with { Sign = false };

    public static WideFloat From(Finite value) => new(value.Sign, value.Exponent - Float80.Bias, new UInt128(value.Significand, 0));

    /// <summary>integer x 2^exponent.</summary>
    public static WideFloat FromInteger(bool sign, UInt128 integer, int exponent)
    {
        if (integer == UInt128.Zero)
            return new WideFloat(sign, 0, 0);
        int shift = (int)UInt128.LeadingZeroCount(integer);
        return new WideFloat(sign, exponent + 127 - shift, integer << shift);
    }

    public WideFloat Scaled(int power) => this with { Exponent = Exponent + power };

    public WideFloat Negated(bool negate = true) => this with { Sign = Sign != negate };

    public static WideFloat operator *(WideFloat a, WideFloat b)
    {
        if (a.IsZero || b.IsZero)
            return new WideFloat(a.Sign != b.Sign, 0, 0);
        UInt128 product = MultiplyHigh(a.Significand, b.Significand);
        int carry = (int)(product >> 127);
        return new WideFloat(a.Sign != b.Sign, a.Exponent + b.Exponent + carry, carry != 0 ? product : product << 1);
    }

    public static WideFloat operator /(WideFloat a, WideFloat b)
    {
        if (a.IsZero)
            return a with { Sign = a.Sign != b.Sign };
        UInt128 quotient = 0, rest = a.Significand;
        int exponent = a.Exponent - b.Exponent;
        bool carry = false;
        if (rest < b.Significand)
        {
            exponent--;
            carry = (rest >> 127) != UInt128.Zero;
            rest <<= 1;
        }
        for (int i = 0; i < 128; i++)
        {
            quotient <<= 1;
            if (carry || rest >= b.Significand)
            {
                rest -= b.Significand;
                quotient |= 1;
            }
            carry = (rest >> 127) != UInt128.Zero;
            rest <<= 1;
        }
        return new WideFloat(a.Sign != b.Sign, exponent, quotient);
    }

    public static WideFloat operator +(WideFloat a, WideFloat b)
    {
        if (a.IsZero)
            return b;
        if (b.IsZero)
            return a;
        if (a.Exponent < b.Exponent || (a.Exponent == b.Exponent && a.Significand < b.Significand))
            (a, b) = (b, a);
        int distance = a.Exponent - b.Exponent;
        UInt128 other = distance > 127 ? 0 : b.Significand >> distance;
        if (a.Sign != b.Sign)
            return FromInteger(a.Sign, a.Significand - other, a.Exponent - 127);
        UInt128 sum = a.Significand + other;
        if (sum >= a.Significand)
            return a with { Significand = sum };
        return new WideFloat(a.Sign, a.Exponent + 1, (sum >> 1) | (UInt128.One << 127));
    }

    public static WideFloat operator -(WideFloat a, WideFloat b) => a + b.Negated();

    /// <summary>For rounding; always inexact, as every value of these functions is that is not handled as a special case.</summary>
    public Exact ToExact() => new(Sign, Exponent + Float80.Bias, (ulong)(Significand >> 64), (ulong)Significand | 1);

    /// <summary>Floor of a number below 1 x 2^128: a fixed-point fraction.</summary>
    public UInt128 ToFraction() => Exponent < -128 ? 0 : Significand >> (-1 - Exponent);

    /// <summary>Integer part of a number from 0 to below 2^31.</summary>
    public int ToInteger() => Exponent < 0 ? 0 : (int)(Significand >> (127 - Exponent));

    /// <summary>The upper half of a product.</summary>
    public static UInt128 MultiplyHigh(UInt128 a, UInt128 b)
    {
        ulong a1 = (ulong)(a >> 64), a0 = (ulong)a, b1 = (ulong)(b >> 64), b0 = (ulong)b;
        UInt128 middle1 = Math.BigMul(a1, b0), middle0 = Math.BigMul(a0, b1);
        UInt128 carries = (ulong)middle1 + (UInt128)(ulong)middle0 + Math.BigMul(a0, b0, out _);
        return Math.BigMul(a1, b1) + (middle1 >> 64) + (middle0 >> 64) + (carries >> 64);
    }
}
