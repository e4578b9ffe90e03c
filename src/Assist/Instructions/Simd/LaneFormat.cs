using Farm.Assist.Instructions.Fpu;

namespace Farm.Assist.Instructions.Simd;

/// <summary>An IEEE format of an XMM lane; values travel as bits in a ulong.</summary>
internal interface ILaneFormat
{
    static abstract int FractionBits { get; }

    /// <summary>The exponent field of infinities.</summary>
    static abstract int Infinite { get; }

    static abstract FloatFormat Format { get; }
}

internal readonly struct SingleFormat : ILaneFormat
{
    public static int FractionBits => 23;

    public static int Infinite => 0xFF;

    public static FloatFormat Format => FloatFormat.Single;
}

internal readonly struct DoubleFormat : ILaneFormat
{
    public static int FractionBits => 52;

    public static int Infinite => 0x7FF;

    public static FloatFormat Format => FloatFormat.Double;
}

/// <summary>Reading and rounding lanes of a format.</summary>
internal static class Lane<T>
    where T : struct, ILaneFormat
{

    private static int ExponentBits => T.Infinite == 0xFF ? 8 : 11;

    private static ulong FractionMask => (1ul << T.FractionBits) - 1;

    public static ulong SignBit => 1ul << (T.FractionBits + ExponentBits);

    public static ulong InfinityBits => (ulong)T.Infinite << T.FractionBits;

    public static ulong QuietBit => 1ul << (T.FractionBits - 1);

    /// <summary>QNaN floating-point indefinite.</summary>
    public static ulong Indefinite => SignBit | InfinityBits | QuietBit;

    public static bool IsNegative(ulong bits) => (bits & SignBit) != 0;

    public static bool IsNaN(ulong bits) => (bits & ~SignBit) > InfinityBits;

    public static bool IsSignaling(ulong bits) => IsNaN(bits) && (bits & QuietBit) == 0;

    public static bool IsInfinity(ulong bits) => (bits & ~SignBit) == InfinityBits;

    public static bool IsZero(ulong bits) => (bits & ~SignBit) == 0;

    public static bool IsDenormal(ulong bits) => (bits & InfinityBits) == 0 && !IsZero(bits);

    /// <summary>A denormal operand becomes a zero under DAZ.</summary>
    public static ulong Operand(in FloatEnvironment env, ulong bits) =>
        env.DenormalsAreZeros && IsDenormal(bits) ? bits & SignBit : bits;

    /// <summary>The value of a finite lane.</summary>
    public static Finite ToFinite(ulong bits)
    {
        int exponent = (int)(bits >> T.FractionBits) & T.Infinite;
        ulong significand = (bits & FractionMask) << (63 - T.FractionBits);
        if (exponent == 0)
            exponent = 1;
        else
            significand |= Float80.IntegerBit;
        return Finite.Normalize(IsNegative(bits), exponent - T.Format.Rebias, significand);
    }

    public static ulong Round(ref FloatEnvironment env, in Exact value)
    {
        (int exponent, ulong significand) = FloatRounding.Round(ref env, value, T.Format);
        return (value.Sign ? SignBit : 0) | ((ulong)exponent << T.FractionBits) | ((significand >> (63 - T.FractionBits)) & FractionMask);
    }

    /// <summary>True when both are ordinary (normal or zero): their sum, product or quotient raises nothing but by its own value.</summary>
    public static bool AreOrdinary(ulong a, ulong b) => IsOrdinary(a) && IsOrdinary(b);

    /// <summary>A result so far from both ends of the range that only the precision exception can have come with it.</summary>
    public static bool IsSafeResult(ulong bits)
    {
        int exponent = (int)(bits >> T.FractionBits) & T.Infinite;
        return exponent >= 2 && exponent < T.Infinite - 1;
    }

    private static bool IsOrdinary(ulong bits)
    {
        int exponent = (int)(bits >> T.FractionBits) & T.Infinite;
        return (exponent != 0 && exponent != T.Infinite) || (bits & ~SignBit) == 0;
    }
}
