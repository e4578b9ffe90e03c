namespace Farm.Machine.Time;

/// <summary>
/// An oscillator: <paramref name="Ticks"/> per <paramref name="Nanoseconds"/>, exact, so that tick counts never drift against guest
/// time.
/// </summary>
public readonly record struct ClockRate(long Ticks, long Nanoseconds)
{
    /// <summary>The 8254's input, 14.31818 MHz / 12 = 105/88 MHz.</summary>
    public static ClockRate Pit => new(105, 88_000);

    /// <summary>The ACPI PM timer, 3.579545 MHz = 315/88 MHz.</summary>
    public static ClockRate PmTimer => new(315, 88_000);

    /// <summary>The clock crystal of the MC146818.</summary>
    public static ClockRate Rtc => new(32_768, 1_000_000_000);

    /// <summary>Whole ticks passed at guest time <paramref name="time"/>.</summary>
    public long TicksAt(long time) => MultiplyDivide(time, Ticks, Nanoseconds, 0);

    /// <summary>The earliest guest time at which <paramref name="ticks"/> have passed.</summary>
    public long TimeOf(long ticks) => MultiplyDivide(ticks, Nanoseconds, Ticks, Ticks - 1);

    private static long MultiplyDivide(long value, long multiplier, long divisor, long round)
    {
        if (value <= 0)
            return 0;
        long high = Math.BigMul(value, multiplier, out long low);
        if (high == 0 && low >= 0 && low <= long.MaxValue - round)
            return (low + round) / divisor;
        var result = ((Int128)value * multiplier + round) / divisor;
        return result > long.MaxValue ? long.MaxValue : (long)result;
    }
}
