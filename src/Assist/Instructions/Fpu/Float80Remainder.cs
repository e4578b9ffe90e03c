namespace Farm.Assist.Instructions.Fpu;

/// <summary>FPREM and FPREM1 (SDM vol. 2): exact remainders, in steps when the exponents lie far apart.</summary>
internal static class Float80Remainder
{
    /// <summary>Values of a quotient: more steps are needed; there is none (NaN, invalid operation).</summary>
    public const long Incomplete = -1, NoQuotient = -2;

    /// <summary>One step. <paramref name="quotient"/> holds the low bits of the quotient when it is complete.</summary>
    /// <param name="env">Exceptions go here.</param>
    /// <param name="a">Dividend.</param>
    /// <param name="b">Divisor.</param>
    /// <param name="nearest">FPREM1: the quotient is rounded to nearest; FPREM cuts it.</param>
    /// <param name="quotient">See summary.</param>
    public static Float80 Reduce(ref FloatEnvironment env, Float80 a, Float80 b, bool nearest, out long quotient)
    {
        quotient = NoQuotient;
        if (Float80Math.HandlesNaN(ref env, a, b, out Float80 result))
            return result;
        if (a.Kind == FloatKind.Infinity || b.Kind == FloatKind.Zero)
            return Float80Math.Invalid(ref env);
        quotient = 0;
        Float80Math.NoteDenormal(ref env, a);
        Float80Math.NoteDenormal(ref env, b);
        if (a.Kind == FloatKind.Zero)
            return a;
        Finite dividend = a.ToFinite();
        if (b.Kind == FloatKind.Infinity)
            return FloatRounding.ToExtended(ref env, Exact.From(dividend));
        Finite divisor = b.ToFinite();
        int distance = dividend.Exponent - divisor.Exponent;
        if (distance >= 64)
        {
            // N of the manual: between 32 and 63, such that the rest of the way is a multiple of 32.
            int steps = (distance & 31) | 32;
            ulong partial = Divide(dividend.Significand, divisor.Significand, steps, out _);
            quotient = Incomplete;
            return Pack(ref env, a.Sign, divisor.Exponent + (distance - steps), partial);
        }
        if (distance < -1 || (distance < 0 && !nearest))
            return FloatRounding.ToExtended(ref env, Exact.From(dividend));

        // With the exponents equal the dividend may be up to twice the divisor; one below, half of it.
        ulong rest = distance < 0 ? dividend.Significand >> 1 : Divide(dividend.Significand, divisor.Significand, distance, out quotient);
        bool lost = distance < 0 && (dividend.Significand & 1) != 0;
        if (!nearest)
            return Pack(ref env, a.Sign, divisor.Exponent, rest);
        return Nearest(ref env, a, dividend, divisor, rest, lost, ref quotient);
    }

    private static Float80 Nearest(ref FloatEnvironment env, Float80 a, Finite dividend, Finite divisor, ulong rest, bool lost, ref long quotient)
    {
        ulong complement = divisor.Significand - rest;
        bool above = rest > complement || (rest == complement && (lost || (quotient & 1) != 0));
        if (!above)
        {
            return lost || dividend.Exponent < divisor.Exponent
                ? FloatRounding.ToExtended(ref env, Exact.From(dividend))
                : Pack(ref env, a.Sign, divisor.Exponent, rest);
        }
        quotient++;
        if (!lost)
            return Pack(ref env, !a.Sign, divisor.Exponent, complement);

        // complement - 1/2, exactly.
        return Pack(ref env, !a.Sign, divisor.Exponent - 1, (complement << 1) - 1);
    }

    /// <summary>(dividend x 2^steps) mod divisor; low bits of the quotient.</summary>
    private static ulong Divide(ulong dividend, ulong divisor, int steps, out long quotient)
    {
        ulong rest = dividend, bits = 0;
        if (rest >= divisor)
        {
            rest -= divisor;
            bits = 1;
        }
        for (int i = 0; i < steps; i++)
        {
            bool carry = (rest & Float80.IntegerBit) != 0;
            rest <<= 1;
            bits <<= 1;
            if (carry || rest >= divisor)
            {
                rest -= divisor;
                bits |= 1;
            }
        }
        quotient = (long)(bits & long.MaxValue);
        return rest;
    }

    private static Float80 Pack(ref FloatEnvironment env, bool sign, int exponent, ulong significand)
    {
        Finite value = Finite.Normalize(sign, exponent, significand);
        return value.IsZero ? Float80.Zero(sign) : FloatRounding.ToExtended(ref env, Exact.From(value));
    }
}
