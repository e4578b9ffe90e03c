namespace Farm.Assist.Instructions.Fpu;

/// <summary>Rounding control as in the control word and MXCSR (SDM vol. 1, table 4-8).</summary>
internal enum Rounding
{
    Nearest,
    Down,
    Up,
    Zero,
}

/// <summary>Exception bits in the order that status word, control word and MXCSR share.</summary>
internal static class FloatException
{
    public const uint Invalid = 1, Denormal = 2, ZeroDivide = 4, Overflow = 8, Underflow = 16, Precision = 32, All = 63;

    /// <summary>Status word only: the invalid operation was a stack overflow or underflow.</summary>
    public const uint StackFault = 64;
}

/// <summary>Controls of one operation, and the exceptions that it raised.</summary>
internal struct FloatEnvironment
{
    public Rounding Rounding;

    /// <summary>Significand bits of an x87 result: 24, 53 or 64.</summary>
    public int Precision;

    /// <summary>MXCSR.FZ: a tiny result becomes zero where underflow is masked.</summary>
    public bool FlushToZero;

    /// <summary>MXCSR.DAZ: denormal operands count as zeros.</summary>
    public bool DenormalsAreZeros;

    /// <summary>Exceptions that are masked.</summary>
    public uint Masked;

    public uint Raised;

    /// <summary>The last rounding went away from zero: C1.</summary>
    public bool RoundedUp;

    public readonly bool IsMasked(uint exception) => (Masked & exception) != 0;
}

/// <summary>A destination format of <see cref="FloatRounding"/>.</summary>
/// <param name="Bits">Significand bits including the integer bit.</param>
/// <param name="Rebias">What to add to an exponent biased by 16383.</param>
/// <param name="Infinite">The exponent field of infinities.</param>
/// <param name="Wrap">What is added to or taken from the exponent of an unmasked underflow or overflow (SDM vol. 1, 4.9.1.4).</param>
internal readonly record struct FloatFormat(int Bits, int Rebias, int Infinite, int Wrap)
{
    public static readonly FloatFormat Single = new(24, 127 - Float80.Bias, 0xFF, 0);
    public static readonly FloatFormat Double = new(53, 1023 - Float80.Bias, 0x7FF, 0);

    public static FloatFormat Extended(int bits) => new(bits, 0, Float80.MaxExponent, 0x6000);
}
