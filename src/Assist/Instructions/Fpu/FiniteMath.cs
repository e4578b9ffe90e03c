using System.Numerics;

namespace Farm.Assist.Instructions.Fpu;

/// <summary>The four operations and the square root on finite numbers, exact but for a sticky bit.</summary>
internal static class FiniteMath
{
    /// <summary>a + b. The zero that x - x gives has the sign of the rounding mode; the sum of two zeros keeps a common sign.</summary>
    public static Exact Add(Finite a, Finite b, Rounding rounding)
    {
        if (a.IsZero || b.IsZero)
        {
            if (a.IsZero && b.IsZero)
                return Exact.Zero(a.Sign == b.Sign ? a.Sign : rounding == Rounding.Down);
            return Exact.From(a.IsZero ? b : a);
        }
        if (a.Exponent < b.Exponent)
            (a, b) = (b, a);
        (ulong high, ulong low) = FloatRounding.ShiftRightJam(b.Significand, 0, a.Exponent - b.Exponent);
        if (a.Sign == b.Sign)
        {
            ulong sum = a.Significand + high;
            if (sum >= a.Significand)
                return new Exact(a.Sign, a.Exponent, sum, low);
            (sum, low) = FloatRounding.ShiftRightJam(sum, low, 1);
            return new Exact(a.Sign, a.Exponent + 1, sum | Float80.IntegerBit, low);
        }
        return Subtract(a, high, low, rounding);
    }

    public static Exact Multiply(Finite a, Finite b)
    {
        bool sign = a.Sign != b.Sign;
        if (a.IsZero || b.IsZero)
            return Exact.Zero(sign);
        ulong high = Math.BigMul(a.Significand, b.Significand, out ulong low);
        return Normalize(sign, a.Exponent + b.Exponent - Float80.Bias + 1, high, low);
    }

    /// <summary>a / b, b not zero.</summary>
    public static Exact Divide(Finite a, Finite b)
    {
        bool sign = a.Sign != b.Sign;
        if (a.IsZero)
            return Exact.Zero(sign);
        ulong high = DivideWide(a.Significand >> 1, a.Significand << 63, b.Significand, out ulong remainder);
        ulong low = DivideWide(remainder, 0, b.Significand, out remainder);
        return Normalize(sign, a.Exponent - b.Exponent + Float80.Bias, high, low | (remainder != 0 ? 1u : 0));
    }

    /// <summary>Square root of a number that is not negative.</summary>
    public static Exact SquareRoot(Finite a)
    {
        if (a.IsZero)
            return Exact.Zero(a.Sign);

        // a = radicand x 2^even, radicand in [2^126, 2^128): its root has 64 bits.
        int power = a.Exponent - Float80.Bias;
        bool odd = (power & 1) != 0;
        var radicand = new UInt128(odd ? a.Significand : a.Significand >> 1, odd ? 0 : a.Significand << 63);
        UInt128 root = Root(radicand);
        UInt128 remainder = radicand - (root * root);

        // Two more bits by hand, the rest is sticky.
        ulong low = 0;
        for (int i = 0; i < 2; i++)
        {
            remainder <<= 2;
            UInt128 trial = (root << 2) | 1;
            root <<= 1;
            low <<= 1;
            if (remainder >= trial)
            {
                remainder -= trial;
                root |= 1;
                low |= 1;
            }
        }
        return new Exact(false, ((power - (odd ? 1 : 0)) / 2) + Float80.Bias, (ulong)(root >> 2), (low << 62) | (remainder != 0 ? 1u : 0));
    }

    /// <summary>(high:low) / divisor, high below divisor, divisor's bit 63 set (Knuth, TAOCP 4.3.1, algorithm D with two digits).</summary>
    public static ulong DivideWide(ulong high, ulong low, ulong divisor, out ulong remainder)
    {
        ulong upper = divisor >> 32, lower = (uint)divisor;
        ulong first = Digit(high, low >> 32, divisor, upper, lower, out ulong rest);
        ulong second = Digit(rest, (uint)low, divisor, upper, lower, out remainder);
        return (first << 32) | second;
    }

    private static ulong Digit(ulong high, ulong next, ulong divisor, ulong upper, ulong lower, out ulong rest)
    {
        (ulong digit, ulong left) = Math.DivRem(high, upper);
        while (digit > uint.MaxValue || digit * lower > ((left << 32) | next))
        {
            digit--;
            left += upper;
            if (left > uint.MaxValue)
                break;
        }
        rest = ((high << 32) | next) - (digit * divisor);
        return digit;
    }

    public static Exact Normalize(bool sign, int exponent, ulong high, ulong low)
    {
        if (high == 0)
        {
            if (low == 0)
                return Exact.Zero(sign);
            high = low;
            low = 0;
            exponent -= 64;
        }
        int shift = BitOperations.LeadingZeroCount(high);
        if (shift == 0)
            return new Exact(sign, exponent, high, low);
        return new Exact(sign, exponent - shift, (high << shift) | (low >> (64 - shift)), low << shift);
    }

    private static Exact Subtract(Finite a, ulong high, ulong low, Rounding rounding)
    {
        // |a| >= |b| unless the exponents are equal.
        bool sign = a.Sign;
        ulong differenceLow = 0 - low;
        ulong difference = a.Significand - high - (low != 0 ? 1u : 0);
        if (a.Significand < high)
        {
            sign = !sign;
            difference = high - a.Significand;
            differenceLow = 0;
        }
        if ((difference | differenceLow) == 0)
            return Exact.Zero(rounding == Rounding.Down);
        return Normalize(sign, a.Exponent, difference, differenceLow);
    }

    private static UInt128 Root(UInt128 radicand)
    {
        // A double's estimate is good to 52 bits; one Newton step brings 64, the loop settles the last unit.
        var estimate = (ulong)Math.Min(Math.Sqrt((double)radicand), 18446744073709549568.0);
        UInt128 root = (estimate + (radicand / estimate)) >> 1;
        if (root > ulong.MaxValue)
            root = ulong.MaxValue;
        while (root * root > radicand)
            root--;
        while (root < ulong.MaxValue && (root + 1) * (root + 1) <= radicand)
            root++;
        return root;
    }
}
