namespace Farm.Assist.Instructions.Fpu;

/// <summary>
/// FSIN, FCOS, FPTAN, FPATAN. Arguments are reduced with the 66-bit pi of Intel's processors (SDM vol. 1, 8.3.8), so that results
/// near multiples of pi are theirs and not the mathematician's.
/// </summary>
internal static class Float80Trigonometry
{
    /// <summary>Pi/2 x 2^67.</summary>
    private static readonly UInt128 HalfPi = new(0xC, 0x90FDAA22168C234C);

    private const int ArcSteps = 16, TinyExponent = -60;
    private static readonly WideFloat[] ArcTable = BuildArcTable();

    /// <summary>Exponents from here on are out of range: C2 is set and nothing done.</summary>
    public static bool IsOutOfRange(Float80 value) => value.Kind == FloatKind.Normal && value.Exponent >= Float80.Bias + 63;

    public static Float80 Sine(ref FloatEnvironment env, Float80 value)
    {
        if (HandlesSpecial(ref env, value, out Float80 result))
            return result;
        if (value.Kind == FloatKind.Zero)
            return value;
        Angle angle = Reduce(value.ToFinite());
        return Round(ref env, SineOf(angle));
    }

    public static Float80 Cosine(ref FloatEnvironment env, Float80 value)
    {
        if (HandlesSpecial(ref env, value, out Float80 result))
            return result;
        if (value.Kind == FloatKind.Zero)
            return Float80.One;
        Angle angle = Reduce(value.ToFinite());
        return Round(ref env, CosineOf(angle));
    }

    public static Float80 Tangent(ref FloatEnvironment env, Float80 value)
    {
        if (HandlesSpecial(ref env, value, out Float80 result))
            return result;
        if (value.Kind == FloatKind.Zero)
            return value;
        Angle angle = Reduce(value.ToFinite());
        if (angle.IsTiny && angle.Quadrant == 0)
            return Round(ref env, angle.Rest);
        return Round(ref env, SineOf(angle) / CosineOf(angle));
    }

    /// <summary>The angle of the point (x, y).</summary>
    public static Float80 ArcTangent(ref FloatEnvironment env, Float80 y, Float80 x)
    {
        if (Float80Math.HandlesNaN(ref env, y, x, out Float80 result))
            return result;
        FloatKind kindX = x.Kind, kindY = y.Kind;
        Float80Math.NoteDenormal(ref env, x);
        Float80Math.NoteDenormal(ref env, y);
        if (kindY == FloatKind.Infinity)
        {
            WideFloat angle = kindX != FloatKind.Infinity ? WideFloat.Pi.Scaled(-1)
                : x.Sign ? WideFloat.Pi.Scaled(-1) + WideFloat.Pi.Scaled(-2) : WideFloat.Pi.Scaled(-2);
            return Round(ref env, angle.Negated(y.Sign));
        }
        if (kindY == FloatKind.Zero || kindX == FloatKind.Infinity)
            return x.Sign ? Round(ref env, WideFloat.Pi.Negated(y.Sign)) : Float80.Zero(y.Sign);
        if (kindX == FloatKind.Zero)
            return Round(ref env, WideFloat.Pi.Scaled(-1).Negated(y.Sign));
        return ArcTangent(ref env, y.ToFinite(), x.ToFinite());
    }

    private static Float80 ArcTangent(ref FloatEnvironment env, Finite y, Finite x)
    {
        WideFloat up = WideFloat.From(y).Magnitude, across = WideFloat.From(x).Magnitude;
        bool steep = up.Exponent > across.Exponent || (up.Exponent == across.Exponent && up.Significand > across.Significand);
        if (!steep && !x.Sign && up.Exponent - across.Exponent < TinyExponent)
        {
            // The quotient itself, a breath smaller.
            Exact quotient = FiniteMath.Divide(y, x);
            return FloatRounding.ToExtended(ref env, Below(quotient));
        }
        WideFloat angle = ArcOf(steep ? across / up : up / across);
        if (steep)
            angle = WideFloat.Pi.Scaled(-1) - angle;
        if (x.Sign)
            angle = WideFloat.Pi - angle;
        return Round(ref env, angle.Negated(y.Sign));
    }

    /// <summary>atan of a number from 0 to 1.</summary>
    private static WideFloat ArcOf(WideFloat t)
    {
        // t = tan(a + b) with tan(a) = i/16 next to it: tan(b) = (t - i/16) / (1 + t i/16).
        int step = t.Exponent < -6 ? 0 : (t.Scaled(5).ToInteger() + 1) >> 1;
        if (step == 0)
            return SmallArcOf(t);
        WideFloat near = WideFloat.FromInteger(false, (UInt128)step, -4);
        return ArcTable[step] + SmallArcOf((t - near) / (WideFloat.One + (t * near)));
    }

    /// <summary>atan of a number of magnitude up to 1/16, by its series.</summary>
    private static WideFloat SmallArcOf(WideFloat t)
    {
        UInt128 square = (t * t).ToFraction();
        return t * PowerSeries.OddReciprocals.Sum(square, alternating: true, terms: 18);
    }

    private static WideFloat[] BuildArcTable()
    {
        // atan(i/16) - atan((i-1)/16) = atan(16 / (256 + i(i-1))).
        var table = new WideFloat[ArcSteps + 1];
        for (int i = 1; i <= ArcSteps; i++)
        {
            WideFloat step = WideFloat.FromInteger(false, 16, 0) / WideFloat.FromInteger(false, (UInt128)(256 + (i * (i - 1))), 0);
            table[i] = table[i - 1] + SmallArcOf(step);
        }
        return table;
    }

    /// <summary>An angle of Quadrant right angles and a rest of at most half of one.</summary>
    private readonly record struct Angle(int Quadrant, WideFloat Rest)
    {
        /// <summary>Below 2^-60: the sine and the tangent differ from the angle by less than the series can tell.</summary>
        public bool IsTiny => Rest.Exponent < TinyExponent;
    }

    private static Angle Reduce(Finite value)
    {
        int exponent = value.Exponent - Float80.Bias;
        if (exponent < -1)
            return new Angle(0, WideFloat.From(value));

        // |value| x 2^67 modulo pi/2 x 2^67, in integers.
        UInt128 rest = value.Significand;
        int quadrant = 0;
        for (int i = exponent + 4; i > 0; i--)
        {
            rest <<= 1;
            quadrant <<= 1;
            if (rest >= HalfPi)
            {
                rest -= HalfPi;
                quadrant |= 1;
            }
        }
        bool beyond = rest + rest > HalfPi;
        if (beyond)
        {
            rest = HalfPi - rest;
            quadrant++;
        }
        var angle = WideFloat.FromInteger(beyond, rest, -67);
        return value.Sign ? new Angle(-quadrant & 3, angle.Negated()) : new Angle(quadrant & 3, angle);
    }

    private static WideFloat SineOf(Angle angle) => (angle.Quadrant & 1) == 0
        ? SeriesSine(angle.Rest).Negated((angle.Quadrant & 2) != 0)
        : SeriesCosine(angle.Rest).Negated((angle.Quadrant & 2) != 0);

    private static WideFloat CosineOf(Angle angle) => (angle.Quadrant & 1) == 0
        ? SeriesCosine(angle.Rest).Negated((angle.Quadrant & 2) != 0)
        : SeriesSine(angle.Rest).Negated((angle.Quadrant & 2) == 0);

    private static WideFloat SeriesSine(WideFloat x)
    {
        // A breath smaller than the angle where the series says no more.
        if (x.Exponent < TinyExponent)
            return WideFloat.FromInteger(x.Sign, x.Significand - 1, x.Exponent - 127);
        return x * PowerSeries.Sine.Sum((x * x).ToFraction(), alternating: true);
    }

    private static WideFloat SeriesCosine(WideFloat x)
    {
        // Never quite 1.
        WideFloat cosine = PowerSeries.Cosine.Sum((x * x).ToFraction(), alternating: true);
        return cosine == WideFloat.One ? new WideFloat(false, -1, UInt128.MaxValue) : cosine;
    }

    private static bool HandlesSpecial(ref FloatEnvironment env, Float80 value, out Float80 result)
    {
        if (Float80Math.HandlesNaN(ref env, value, out result))
            return true;
        if (value.Kind == FloatKind.Infinity)
        {
            result = Float80Math.Invalid(ref env);
            return true;
        }
        Float80Math.NoteDenormal(ref env, value);
        return false;
    }

    private static Exact Below(Exact value)
    {
        if (value.Low != 0)
            return value with { Low = value.Low - 1 | 1 };
        ulong high = value.High - 1;
        return (high & Float80.IntegerBit) != 0
            ? value with { High = high, Low = ulong.MaxValue }
            : value with { Exponent = value.Exponent - 1, High = ulong.MaxValue, Low = ulong.MaxValue };
    }

    private static Float80 Round(ref FloatEnvironment env, WideFloat value) => FloatRounding.ToExtended(ref env, value.ToExact());
}
