namespace Farm.Assist.Instructions.Fpu;

/// <summary>F2XM1, FYL2X, FYL2XP1 (SDM vol. 1, 8.3.9; special cases by the tables of vol. 2).</summary>
internal static class Float80Logarithms
{
    /// <summary>2^x - 1 for x from -1 to 1; beyond, where the manual leaves the result open, x comes back.</summary>
    public static Float80 PowerMinus1(ref FloatEnvironment env, Float80 x)
    {
        if (Float80Math.HandlesNaN(ref env, x, out Float80 result))
            return result;
        FloatKind kind = x.Kind;
        if (kind == FloatKind.Zero)
            return x;
        if (kind == FloatKind.Infinity)
            return x.Sign ? Float80.One.Negated : x;
        Float80Math.NoteDenormal(ref env, x);
        if (x.Exponent >= Float80.Bias)
        {
            if (x.Exponent != Float80.Bias || x.Mantissa != Float80.IntegerBit)
                return OutOfRange(ref env, x);
            return x.Sign ? new Float80(0xBFFE, Float80.IntegerBit) : Float80.One;
        }
        WideFloat t = WideFloat.From(x.ToFinite()) * WideFloat.LogOf2;
        WideFloat sum = PowerSeries.Exponential.Sum(t.Magnitude.ToFraction(), alternating: t.Sign);
        return Round(ref env, t * sum);
    }

    /// <summary>y log2(x).</summary>
    public static Float80 Logarithm(ref FloatEnvironment env, Float80 y, Float80 x)
    {
        if (Float80Math.HandlesNaN(ref env, y, x, out Float80 result))
            return result;
        FloatKind kindX = x.Kind, kindY = y.Kind;
        if (kindX == FloatKind.Zero)
        {
            if (kindY == FloatKind.Zero)
                return Float80Math.Invalid(ref env);
            if (kindY != FloatKind.Infinity)
                env.Raised |= FloatException.ZeroDivide;
            return Float80.Infinity(!y.Sign);
        }
        if (x.Sign)
            return Float80Math.Invalid(ref env);
        bool one = x == Float80.One;
        if ((kindX == FloatKind.Infinity && kindY == FloatKind.Zero) || (one && kindY == FloatKind.Infinity))
            return Float80Math.Invalid(ref env);
        Float80Math.NoteDenormal(ref env, x);
        Float80Math.NoteDenormal(ref env, y);
        bool negative = kindX != FloatKind.Infinity && x.Exponent < Float80.Bias;
        if (kindX == FloatKind.Infinity || kindY == FloatKind.Infinity)
            return Float80.Infinity(y.Sign != negative);
        if (one || kindY == FloatKind.Zero)
            return Float80.Zero(y.Sign != negative);
        return Logarithm(ref env, y.ToFinite(), x.ToFinite());
    }

    /// <summary>y log2(1 + x), for x so near to 0 that 1 + x would lose it.</summary>
    public static Float80 LogarithmPlus1(ref FloatEnvironment env, Float80 y, Float80 x)
    {
        if (Float80Math.HandlesNaN(ref env, y, x, out Float80 result))
            return result;
        FloatKind kindX = x.Kind, kindY = y.Kind;
        if (kindX == FloatKind.Zero)
        {
            if (kindY == FloatKind.Infinity)
                return Float80Math.Invalid(ref env);
            Float80Math.NoteDenormal(ref env, y);
            return Float80.Zero(x.Sign != y.Sign);
        }
        if (kindX == FloatKind.Infinity)
        {
            if (x.Sign || kindY == FloatKind.Zero)
                return Float80Math.Invalid(ref env);
            Float80Math.NoteDenormal(ref env, y);
            return Float80.Infinity(y.Sign);
        }
        Float80Math.NoteDenormal(ref env, x);
        Float80Math.NoteDenormal(ref env, y);
        if (kindY == FloatKind.Infinity)
            return Float80.Infinity(x.Sign != y.Sign);
        if (kindY == FloatKind.Zero)
            return Float80.Zero(x.Sign != y.Sign);
        if (x.Sign && x.Exponent >= Float80.Bias)
            return OutOfRange(ref env, x);
        Finite argument = x.ToFinite();
        if (argument.Exponent >= Float80.Bias - 1)
        {
            // Out of the range that the manual promises: 1 + x is exact enough, but may need more than 64 bits.
            WideFloat sum = WideFloat.From(argument) + WideFloat.One;
            return Round(ref env, Log2(sum) * WideFloat.From(y.ToFinite()));
        }
        WideFloat wide = WideFloat.From(argument);
        WideFloat ratio = wide / (wide + WideFloat.One.Scaled(1));
        return Round(ref env, FromRatio(ratio) * WideFloat.From(y.ToFinite()));
    }

    /// <summary>Where the manual leaves the result open: x itself, inexact, as processors give it.</summary>
    private static Float80 OutOfRange(ref FloatEnvironment env, Float80 x)
    {
        env.Raised |= FloatException.Precision;
        return x;
    }

    private static Float80 Logarithm(ref FloatEnvironment env, Finite y, Finite x)
    {
        if (x.Significand == Float80.IntegerBit)
        {
            // A power of two: an exact product.
            int power = x.Exponent - Float80.Bias;
            Finite factor = Finite.Normalize(power < 0, Float80.Bias + 63, (ulong)Math.Abs(power));
            return FloatRounding.ToExtended(ref env, FiniteMath.Multiply(y, factor));
        }
        return Round(ref env, Log2(WideFloat.From(x)) * WideFloat.From(y));
    }

    /// <summary>log2 of a positive number other than 1, of full relative precision also near 1.</summary>
    private static WideFloat Log2(WideFloat x)
    {
        // x = 2^power m with m between the roots of 1/2 and 2.
        int power = x.Exponent;
        WideFloat m = x with { Exponent = 0 };
        if (m.Significand > new UInt128(0xB504F333F9DE6484, 0x597D89B3754ABE9F))
        {
            m = m.Scaled(-1);
            power++;
        }
        WideFloat logarithm = FromRatio((m - WideFloat.One) / (m + WideFloat.One));
        return WideFloat.FromInteger(power < 0, (UInt128)Math.Abs(power), 0) + logarithm;
    }

    /// <summary>log2((1 + s) / (1 - s)) = 2 atanh(s) / ln 2.</summary>
    private static WideFloat FromRatio(WideFloat s)
    {
        if (s.IsZero)
            return s;
        UInt128 square = (s * s).ToFraction();
        return (s * PowerSeries.OddReciprocals.Sum(square, alternating: false) * WideFloat.Log2OfE).Scaled(1);
    }

    private static Float80 Round(ref FloatEnvironment env, WideFloat value) => FloatRounding.ToExtended(ref env, value.ToExact());
}
