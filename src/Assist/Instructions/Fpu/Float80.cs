namespace Farm.Assist.Instructions.Fpu;

/// <summary>What a floating-point encoding stands for (SDM vol. 1, tables 4-2 and 8-3).</summary>
internal enum FloatKind
{
    Zero,
    Normal,
    Denormal,
    Infinity,
    QuietNaN,
    SignalingNaN,

    /// <summary>Pseudo-NaN, pseudo-infinity, unnormal: encodings that the 387 and later refuse.</summary>
    Unsupported,
}

/// <summary>An x87 register's contents: double extended precision with its explicit integer bit.</summary>
internal readonly record struct Float80(ushort SignExponent, ulong Mantissa)
{
    public const int Bias = 16383;
    public const int MaxExponent = 0x7FFF;
    public const ulong IntegerBit = 1ul << 63, QuietBit = 1ul << 62;

    /// <summary>Real indefinite: the masked response to an invalid operation.</summary>
    public static readonly Float80 Indefinite = new(0xFFFF, 0xC000000000000000);

    public static readonly Float80 One = new(0x3FFF, IntegerBit);

    public bool Sign => (SignExponent & 0x8000) != 0;

    public int Exponent => SignExponent & 0x7FFF;

    public bool IsNaN => Exponent == MaxExponent && Mantissa > IntegerBit;

    public bool IsSignaling => IsNaN && (Mantissa & QuietBit) == 0;

    public FloatKind Kind
    {
        get
        {
            if (Exponent == 0)
                return Mantissa == 0 ? FloatKind.Zero : FloatKind.Denormal;
            if ((Mantissa & IntegerBit) == 0)
                return FloatKind.Unsupported;
            if (Exponent != MaxExponent)
                return FloatKind.Normal;
            if (Mantissa == IntegerBit)
                return FloatKind.Infinity;
            return (Mantissa & QuietBit) != 0 ? FloatKind.QuietNaN : FloatKind.SignalingNaN;
        }
    }

    public Float80 Quieted => this with { Mantissa = Mantissa | QuietBit };

    public static Float80 Zero(bool sign) => new(sign ? (ushort)0x8000 : (ushort)0, 0);

    public static Float80 Infinity(bool sign) => new((ushort)(sign ? 0xFFFF : 0x7FFF), IntegerBit);

    public static Float80 Create(bool sign, int exponent, ulong mantissa) => new((ushort)((sign ? 0x8000 : 0) | exponent), mantissa);

    public Float80 WithSign(bool sign) => new((ushort)((SignExponent & 0x7FFF) | (sign ? 0x8000 : 0)), Mantissa);

    public Float80 Negated => new((ushort)(SignExponent ^ 0x8000), Mantissa);

    /// <summary>The value of a zero, denormal or normal.</summary>
    public Finite ToFinite() => Finite.Normalize(Sign, Exponent == 0 ? 1 : Exponent, Mantissa);

    /// <summary>An integer, exactly.</summary>
    public static Float80 FromInteger(long value)
    {
        if (value == 0)
            return Zero(false);
        bool sign = value < 0;
        Finite finite = Finite.Normalize(sign, Bias + 63, sign ? (ulong)-value : (ulong)value);
        return Create(sign, finite.Exponent, finite.Significand);
    }
}

/// <summary>
/// A finite number: significand / 2^63 x 2^(exponent - 16383), bit 63 of the significand set unless it is zero. The exponent
/// is not bounded.
/// </summary>
internal readonly record struct Finite(bool Sign, int Exponent, ulong Significand)
{
    public bool IsZero => Significand == 0;

    public static Finite Normalize(bool sign, int exponent, ulong significand)
    {
        if (significand == 0)
            return new Finite(sign, 0, 0);
        int shift = System.Numerics.BitOperations.LeadingZeroCount(significand);
        return new Finite(sign, exponent - shift, significand << shift);
    }
}

/// <summary>
/// The result of an operation before rounding: (high:low) / 2^127 x 2^(exponent - 16383), bit 63 of high set; bit 0 of low also
/// stands for whatever lies below it. Zero is an exact zero with the sign that nearest rounding gives.
/// </summary>
internal readonly record struct Exact(bool Sign, int Exponent, ulong High, ulong Low)
{
    public bool IsZero => (High | Low) == 0;

    public static Exact Zero(bool sign) => new(sign, 0, 0, 0);

    public static Exact From(Finite value) => new(value.Sign, value.Exponent, value.Significand, 0);
}
