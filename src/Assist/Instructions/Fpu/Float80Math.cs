using System.Runtime.CompilerServices;

namespace Farm.Assist.Instructions.Fpu;

/// <summary>
/// Arithmetic on x87 registers with NaNs, infinities and exceptions (SDM vol. 1, 4.8 and 8.5). Results are rounded at the
/// environment's precision.
/// </summary>
internal static class Float80Math
{
    public static Float80 Add(ref FloatEnvironment env, Float80 a, Float80 b)
    {
        if (HandlesNaN(ref env, a, b, out Float80 result))
            return result;
        bool infiniteA = a.Exponent == Float80.MaxExponent, infiniteB = b.Exponent == Float80.MaxExponent;
        if (infiniteA && infiniteB && a.Sign != b.Sign)
            return Invalid(ref env);
        NoteDenormals(ref env, a, b);
        if (infiniteA)
            return a;
        if (infiniteB)
            return b;
        return FloatRounding.ToExtended(ref env, FiniteMath.Add(a.ToFinite(), b.ToFinite(), env.Rounding), env.Precision);
    }

    public static Float80 Subtract(ref FloatEnvironment env, Float80 a, Float80 b) =>
        b.IsNaN || b.Kind == FloatKind.Unsupported ? Add(ref env, a, b) : Add(ref env, a, b.Negated);

    public static Float80 Multiply(ref FloatEnvironment env, Float80 a, Float80 b)
    {
        if (HandlesNaN(ref env, a, b, out Float80 result))
            return result;
        FloatKind kindA = a.Kind, kindB = b.Kind;
        bool infinite = kindA == FloatKind.Infinity || kindB == FloatKind.Infinity;
        if (infinite && (kindA == FloatKind.Zero || kindB == FloatKind.Zero))
            return Invalid(ref env);
        NoteDenormals(ref env, a, b);
        if (infinite)
            return Float80.Infinity(a.Sign != b.Sign);
        return FloatRounding.ToExtended(ref env, FiniteMath.Multiply(a.ToFinite(), b.ToFinite()), env.Precision);
    }

    public static Float80 Divide(ref FloatEnvironment env, Float80 a, Float80 b)
    {
        if (HandlesNaN(ref env, a, b, out Float80 result))
            return result;
        FloatKind kindA = a.Kind, kindB = b.Kind;
        bool sign = a.Sign != b.Sign;
        bool infiniteA = kindA == FloatKind.Infinity, infiniteB = kindB == FloatKind.Infinity;
        if ((infiniteA && infiniteB) || (kindA == FloatKind.Zero && kindB == FloatKind.Zero))
            return Invalid(ref env);
        if (kindB == FloatKind.Zero && !infiniteA)
        {
            env.Raised |= FloatException.ZeroDivide;
            return Float80.Infinity(sign);
        }
        NoteDenormals(ref env, a, b);
        if (infiniteA)
            return Float80.Infinity(sign);
        if (infiniteB)
            return Float80.Zero(sign);
        return FloatRounding.ToExtended(ref env, FiniteMath.Divide(a.ToFinite(), b.ToFinite()), env.Precision);
    }

    public static Float80 SquareRoot(ref FloatEnvironment env, Float80 a)
    {
        if (HandlesNaN(ref env, a, out Float80 result))
            return result;
        FloatKind kind = a.Kind;
        if (kind == FloatKind.Zero)
            return a;
        if (a.Sign)
            return Invalid(ref env);
        if (kind == FloatKind.Infinity)
            return a;
        NoteDenormal(ref env, a);
        return FloatRounding.ToExtended(ref env, FiniteMath.SquareRoot(a.ToFinite()), env.Precision);
    }

    /// <summary>FRNDINT.</summary>
    public static Float80 RoundToInteger(ref FloatEnvironment env, Float80 a)
    {
        if (HandlesNaN(ref env, a, out Float80 result))
            return result;
        FloatKind kind = a.Kind;
        if (kind is FloatKind.Zero or FloatKind.Infinity)
            return a;
        NoteDenormal(ref env, a);
        if (a.Exponent >= Float80.Bias + 63)
            return a;
        ulong integer = ToMagnitude(ref env, a.ToFinite(), env.Rounding);
        if (integer == 0)
            return Float80.Zero(a.Sign);
        Finite rounded = Finite.Normalize(a.Sign, Float80.Bias + 63, integer);
        return Float80.Create(a.Sign, rounded.Exponent, rounded.Significand);
    }

    /// <summary>FSCALE: a x 2^(b cut to an integer).</summary>
    public static Float80 Scale(ref FloatEnvironment env, Float80 a, Float80 b)
    {
        if (HandlesNaN(ref env, a, b, out Float80 result))
            return result;
        FloatKind kindA = a.Kind, kindB = b.Kind;
        if (kindB == FloatKind.Infinity)
        {
            bool invalid = b.Sign ? kindA == FloatKind.Infinity : kindA == FloatKind.Zero;
            if (invalid)
                return Invalid(ref env);
            NoteDenormal(ref env, a);
            return b.Sign ? Float80.Zero(a.Sign) : Float80.Infinity(a.Sign);
        }
        NoteDenormals(ref env, a, b);
        if (kindA is FloatKind.Zero or FloatKind.Infinity)
            return a;
        int power = 0;
        if (kindB == FloatKind.Normal && b.Exponent >= Float80.Bias)
        {
            // Beyond 2^17 the result overflows or vanishes whatever a is.
            int shift = b.Exponent - Float80.Bias;
            int magnitude = shift > 16 ? 0x20000 : (int)(b.Mantissa >> (63 - shift));
            power = b.Sign ? -magnitude : magnitude;
        }
        Finite value = a.ToFinite();
        return FloatRounding.ToExtended(ref env, Exact.From(value with { Exponent = value.Exponent + power }));
    }

    /// <summary>FXTRACT: the exponent as a number, and the significand with exponent 0.</summary>
    public static (Float80 Exponent, Float80 Significand) Extract(ref FloatEnvironment env, Float80 a)
    {
        if (HandlesNaN(ref env, a, out Float80 result))
            return (result, result);
        FloatKind kind = a.Kind;
        if (kind == FloatKind.Zero)
        {
            env.Raised |= FloatException.ZeroDivide;
            return (Float80.Infinity(true), a);
        }
        if (kind == FloatKind.Infinity)
            return (Float80.Infinity(false), a);
        NoteDenormal(ref env, a);
        Finite value = a.ToFinite();
        return (Float80.FromInteger(value.Exponent - Float80.Bias), Float80.Create(a.Sign, Float80.Bias, value.Significand));
    }

    /// <summary>An ordering as condition codes C3 C2 C0 tell it.</summary>
    public static FloatOrder Compare(ref FloatEnvironment env, Float80 a, Float80 b, bool quiet)
    {
        FloatKind kindA = a.Kind, kindB = b.Kind;
        if (kindA >= FloatKind.QuietNaN || kindB >= FloatKind.QuietNaN)
        {
            if (!quiet || kindA >= FloatKind.SignalingNaN || kindB >= FloatKind.SignalingNaN)
                env.Raised |= FloatException.Invalid;
            return FloatOrder.Unordered;
        }
        NoteDenormals(ref env, a, b);
        if (kindA == FloatKind.Zero && kindB == FloatKind.Zero)
            return FloatOrder.Equal;
        if (a.Sign != b.Sign)
            return a.Sign ? FloatOrder.Less : FloatOrder.Greater;

        // Pseudo-denormals have the exponent of the smallest normals.
        int exponentA = Math.Max(a.Exponent, 1), exponentB = Math.Max(b.Exponent, 1);
        int order = exponentA != exponentB ? exponentA.CompareTo(exponentB) : a.Mantissa.CompareTo(b.Mantissa);
        if (kindA == FloatKind.Zero || kindB == FloatKind.Zero)
            order = kindA == FloatKind.Zero ? -1 : 1;
        if (order == 0)
            return FloatOrder.Equal;
        return order < 0 == a.Sign ? FloatOrder.Greater : FloatOrder.Less;
    }

    /// <summary>The integer part of the magnitude, below 2^64, rounded; the precision exception and C1 come with it.</summary>
    public static ulong ToMagnitude(ref FloatEnvironment env, Finite value, Rounding rounding)
    {
        (ulong integer, ulong fraction) = value.Exponent < Float80.Bias + 63
            ? FloatRounding.ShiftRightJam(value.Significand, 0, Float80.Bias + 63 - value.Exponent)
            : (value.Significand, 0ul);
        if (fraction == 0)
            return integer;
        env.Raised |= FloatException.Precision;
        env.RoundedUp = FloatRounding.RoundsUp(rounding, value.Sign, integer, fraction, 0);
        return env.RoundedUp ? integer + 1 : integer;
    }

    public static Float80 Invalid(ref FloatEnvironment env)
    {
        env.Raised |= FloatException.Invalid;
        return Float80.Indefinite;
    }

    public static void NoteDenormal(ref FloatEnvironment env, Float80 a)
    {
        if (a.Exponent == 0 && a.Mantissa != 0)
            env.Raised |= FloatException.Denormal;
    }

    /// <summary>The result where the operand is a NaN or no number at all.</summary>
    public static bool HandlesNaN(ref FloatEnvironment env, Float80 a, out Float80 result)
    {
        result = a;
        switch (a.Kind)
        {
            case FloatKind.Unsupported:
                result = Invalid(ref env);
                return true;
            case FloatKind.SignalingNaN:
                env.Raised |= FloatException.Invalid;
                result = a.Quieted;
                return true;
            case FloatKind.QuietNaN:
                return true;
            default:
                return false;
        }
    }

    /// <summary>As above for two operands, by the rules of SDM vol. 1, table 4-7.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool HandlesNaN(ref FloatEnvironment env, Float80 a, Float80 b, out Float80 result)
    {
        if (a.Kind >= FloatKind.QuietNaN || b.Kind >= FloatKind.QuietNaN)
            return HandlesNaN(ref env, a, b, a.Kind, b.Kind, out result);
        result = default;
        return false;
    }

    private static bool HandlesNaN(ref FloatEnvironment env, Float80 a, Float80 b, FloatKind kindA, FloatKind kindB, out Float80 result)
    {
        // A denormal memory operand beside a NaN does not count.
        env.Raised &= ~FloatException.Denormal;
        if (kindA == FloatKind.Unsupported || kindB == FloatKind.Unsupported)
        {
            result = Invalid(ref env);
            return true;
        }
        bool signalingA = kindA == FloatKind.SignalingNaN, signalingB = kindB == FloatKind.SignalingNaN;
        if (signalingA || signalingB)
            env.Raised |= FloatException.Invalid;
        bool nanA = kindA >= FloatKind.QuietNaN, nanB = kindB >= FloatKind.QuietNaN;
        if (!nanA || !nanB)
            result = nanA ? a : b;
        else if (signalingA != signalingB)
            result = signalingA ? b : a;
        else
            result = Larger(a.Quieted, b.Quieted);
        result = result.Quieted;
        return true;
    }

    private static Float80 Larger(Float80 a, Float80 b)
    {
        if (a.Mantissa != b.Mantissa)
            return a.Mantissa > b.Mantissa ? a : b;
        return a.Sign ? b : a;
    }

    private static void NoteDenormals(ref FloatEnvironment env, Float80 a, Float80 b)
    {
        NoteDenormal(ref env, a);
        NoteDenormal(ref env, b);
    }
}

internal enum FloatOrder
{
    Less,
    Equal,
    Greater,
    Unordered,
}
