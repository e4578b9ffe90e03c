using Farm.Assist.Instructions.Fpu;

namespace Farm.Assist.Instructions.Simd;

/// <summary>Arithmetic on lanes with the special cases of SSE (SDM vol. 1, 11.5 and appendix E).</summary>
internal static class LaneMath<T>
    where T : struct, ILaneFormat
{
    public static ulong Add(ref FloatEnvironment env, ulong a, ulong b, bool subtract)
    {
        if (Prepare(ref env, ref a, ref b, out ulong result))
            return result;
        if (subtract)
            b ^= Lane<T>.SignBit;
        bool infiniteA = Lane<T>.IsInfinity(a), infiniteB = Lane<T>.IsInfinity(b);
        if (infiniteA && infiniteB && a != b)
            return Invalid(ref env);
        NoteDenormals(ref env, a, b);
        if (infiniteA || infiniteB)
            return infiniteA ? a : b;
        return Lane<T>.Round(ref env, FiniteMath.Add(Lane<T>.ToFinite(a), Lane<T>.ToFinite(b), env.Rounding));
    }

    public static ulong Multiply(ref FloatEnvironment env, ulong a, ulong b)
    {
        if (Prepare(ref env, ref a, ref b, out ulong result))
            return result;
        bool infinite = Lane<T>.IsInfinity(a) || Lane<T>.IsInfinity(b);
        if (infinite && (Lane<T>.IsZero(a) || Lane<T>.IsZero(b)))
            return Invalid(ref env);
        NoteDenormals(ref env, a, b);
        if (infinite)
            return Lane<T>.InfinityBits | Sign(a ^ b);
        return Lane<T>.Round(ref env, FiniteMath.Multiply(Lane<T>.ToFinite(a), Lane<T>.ToFinite(b)));
    }

    public static ulong Divide(ref FloatEnvironment env, ulong a, ulong b)
    {
        if (Prepare(ref env, ref a, ref b, out ulong result))
            return result;
        bool infiniteA = Lane<T>.IsInfinity(a), infiniteB = Lane<T>.IsInfinity(b);
        if ((infiniteA && infiniteB) || (Lane<T>.IsZero(a) && Lane<T>.IsZero(b)))
            return Invalid(ref env);
        if (Lane<T>.IsZero(b) && !infiniteA)
        {
            env.Raised |= FloatException.ZeroDivide;
            return Lane<T>.InfinityBits | Sign(a ^ b);
        }
        NoteDenormals(ref env, a, b);
        if (infiniteA)
            return Lane<T>.InfinityBits | Sign(a ^ b);
        if (infiniteB)
            return Sign(a ^ b);
        return Lane<T>.Round(ref env, FiniteMath.Divide(Lane<T>.ToFinite(a), Lane<T>.ToFinite(b)));
    }

    public static ulong SquareRoot(ref FloatEnvironment env, ulong a)
    {
        if (Lane<T>.IsNaN(a))
            return Quiet(ref env, a);
        a = Lane<T>.Operand(env, a);
        if (Lane<T>.IsZero(a))
            return a;
        if (Lane<T>.IsNegative(a))
            return Invalid(ref env);
        if (Lane<T>.IsInfinity(a))
            return a;
        NoteDenormal(ref env, a);
        return Lane<T>.Round(ref env, FiniteMath.SquareRoot(Lane<T>.ToFinite(a)));
    }

    /// <summary>MIN or MAX: the second operand where they are equal, both zeros, or unordered.</summary>
    public static ulong Extreme(ref FloatEnvironment env, ulong a, ulong b, FloatOrder wanted)
    {
        if (Lane<T>.IsNaN(a) || Lane<T>.IsNaN(b))
        {
            env.Raised |= FloatException.Invalid;
            return Lane<T>.IsNaN(b) ? b : Lane<T>.Operand(env, b);
        }
        a = Lane<T>.Operand(env, a);
        b = Lane<T>.Operand(env, b);
        NoteDenormals(ref env, a, b);
        return Order(a, b) == wanted ? a : b;
    }

    /// <summary>Compares; a quiet NaN is invalid too where <paramref name="signals"/>.</summary>
    public static FloatOrder Compare(ref FloatEnvironment env, ulong a, ulong b, bool signals)
    {
        if (Lane<T>.IsNaN(a) || Lane<T>.IsNaN(b))
        {
            if (signals || Lane<T>.IsSignaling(a) || Lane<T>.IsSignaling(b))
                env.Raised |= FloatException.Invalid;
            return FloatOrder.Unordered;
        }
        a = Lane<T>.Operand(env, a);
        b = Lane<T>.Operand(env, b);
        NoteDenormals(ref env, a, b);
        return Order(a, b);
    }

    /// <summary>To another format.</summary>
    public static ulong ConvertTo<TOther>(ref FloatEnvironment env, ulong a)
        where TOther : struct, ILaneFormat
    {
        ulong sign = Lane<T>.IsNegative(a) ? Lane<TOther>.SignBit : 0;
        if (Lane<T>.IsNaN(a))
        {
            ulong fraction = Quiet(ref env, a) & (Lane<T>.QuietBit | (Lane<T>.QuietBit - 1));
            int shift = TOther.FractionBits - T.FractionBits;
            return sign | Lane<TOther>.InfinityBits | (shift < 0 ? fraction >> -shift : fraction << shift);
        }
        if (Lane<T>.IsInfinity(a))
            return sign | Lane<TOther>.InfinityBits;
        a = Lane<T>.Operand(env, a);
        NoteDenormal(ref env, a);
        Finite value = Lane<T>.ToFinite(a);
        return value.IsZero ? sign : Lane<TOther>.Round(ref env, Exact.From(value));
    }

    /// <summary>To a signed integer of 32 or 64 bits; the least number where it does not fit.</summary>
    public static long ToInteger(ref FloatEnvironment env, ulong a, int bits, Rounding rounding)
    {
        long indefinite = long.MinValue >> (64 - bits);
        bool finite = !Lane<T>.IsNaN(a) && !Lane<T>.IsInfinity(a);
        Finite value = finite ? Lane<T>.ToFinite(Lane<T>.Operand(env, a)) : default;
        if (finite && value.IsZero)
            return 0;
        FloatEnvironment before = env;
        if (finite && value.Exponent < Float80.Bias + 64)
        {
            ulong magnitude = Float80Math.ToMagnitude(ref env, value, rounding);
            if (magnitude <= (1ul << (bits - 1)) - (value.Sign ? 0u : 1u))
                return value.Sign ? -(long)magnitude : (long)magnitude;
            env = before;
        }
        env.Raised |= FloatException.Invalid;
        return indefinite;
    }

    public static ulong FromInteger(ref FloatEnvironment env, long integer)
    {
        if (integer == 0)
            return 0;
        bool sign = integer < 0;
        Finite value = Finite.Normalize(sign, Float80.Bias + 63, sign ? (ulong)-integer : (ulong)integer);
        return Lane<T>.Round(ref env, Exact.From(value));
    }

    public static ulong Quiet(ref FloatEnvironment env, ulong a)
    {
        if (Lane<T>.IsSignaling(a))
            env.Raised |= FloatException.Invalid;
        return a | Lane<T>.QuietBit;
    }

    private static FloatOrder Order(ulong a, ulong b)
    {
        if (a == b || (Lane<T>.IsZero(a) && Lane<T>.IsZero(b)))
            return FloatOrder.Equal;
        bool negativeA = Lane<T>.IsNegative(a), negativeB = Lane<T>.IsNegative(b);
        if (negativeA != negativeB)
            return negativeA ? FloatOrder.Less : FloatOrder.Greater;
        return a < b != negativeA ? FloatOrder.Less : FloatOrder.Greater;
    }

    /// <summary>NaNs, of which the first operand's wins, and DAZ.</summary>
    private static bool Prepare(ref FloatEnvironment env, ref ulong a, ref ulong b, out ulong result)
    {
        bool nanA = Lane<T>.IsNaN(a), nanB = Lane<T>.IsNaN(b);
        if (!nanA && !nanB)
        {
            a = Lane<T>.Operand(env, a);
            b = Lane<T>.Operand(env, b);
            result = 0;
            return false;
        }
        if (Lane<T>.IsSignaling(a) || Lane<T>.IsSignaling(b))
            env.Raised |= FloatException.Invalid;
        result = (nanA ? a : b) | Lane<T>.QuietBit;
        return true;
    }

    private static void NoteDenormal(ref FloatEnvironment env, ulong a)
    {
        if (Lane<T>.IsDenormal(a))
            env.Raised |= FloatException.Denormal;
    }

    private static void NoteDenormals(ref FloatEnvironment env, ulong a, ulong b)
    {
        NoteDenormal(ref env, a);
        NoteDenormal(ref env, b);
    }

    private static ulong Invalid(ref FloatEnvironment env)
    {
        env.Raised |= FloatException.Invalid;
        return Lane<T>.Indefinite;
    }

    private static ulong Sign(ulong bits) => bits & Lane<T>.SignBit;
}
