namespace Farm.Assist.Instructions.Fpu;

/// <summary>
/// A power series with falling positive coefficients, the first of which is 1, in fixed point with 126 fraction bits, summed by
/// Horner's rule.
/// </summary>
internal sealed class PowerSeries
{
    private const int FractionBits = 126;
    private static readonly UInt128 One = UInt128.One << FractionBits;

    private readonly UInt128[] _coefficients;

    private PowerSeries(UInt128[] coefficients) => _coefficients = coefficients;

    /// <summary>sin(x) / x in x², signs alternating.</summary>
    public static PowerSeries Sine { get; } = Factorials(18, 2, 3);

    /// <summary>cos(x) in x², signs alternating.</summary>
    public static PowerSeries Cosine { get; } = Factorials(19, 1, 2);

    /// <summary>(e^x - 1) / x in x.</summary>
    public static PowerSeries Exponential { get; } = new(Exponentials(34));

    /// <summary>atanh(x) / x in x²; with signs alternating atan(x) / x.</summary>
    public static PowerSeries OddReciprocals { get; } = new([.. Enumerable.Range(0, 26).Select(static k => One / (UInt128)((2 * k) + 1))]);

    /// <summary>Sum at z (a fraction of 2^128), all terms positive or with alternating signs, over at most <paramref name="terms"/> terms.</summary>
    public WideFloat Sum(UInt128 z, bool alternating, int terms = int.MaxValue)
    {
        int last = Math.Min(terms, _coefficients.Length) - 1;
        UInt128 sum = _coefficients[last];
        for (int i = last - 1; i >= 0; i--)
        {
            UInt128 rest = WideFloat.MultiplyHigh(sum, z);
            sum = alternating ? _coefficients[i] - rest : _coefficients[i] + rest;
        }
        return WideFloat.FromInteger(false, sum, -FractionBits);
    }

    /// <summary>1, then each divided by first(first+1)... of the next two factors.</summary>
    private static PowerSeries Factorials(int count, uint first, uint second)
    {
        var coefficients = new UInt128[count];
        coefficients[0] = One;
        for (uint i = 1; i < count; i++)
            coefficients[i] = coefficients[i - 1] / ((first + (2 * (i - 1))) * (second + (2 * (i - 1))));
        return new PowerSeries(coefficients);
    }

    private static UInt128[] Exponentials(int count)
    {
        var coefficients = new UInt128[count];
        coefficients[0] = One;
        for (uint i = 1; i < count; i++)
            coefficients[i] = coefficients[i - 1] / (i + 1);
        return coefficients;
    }
}
