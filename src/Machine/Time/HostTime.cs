using System.Diagnostics;

namespace Farm.Machine.Time;

/// <summary>
/// Guest time of backends that run on real processors: the host's monotonic clock since the machine was built, and the idle time that was
/// skipped. Everything that a guest waits for in HLT is an event of guest time, so nothing is missed by going there at once.
/// </summary>
/// <param name="kickAfter">Makes the processor's run end after so many nanoseconds.</param>
/// <param name="worked">Processor time in nanoseconds; null: the backend cannot tell.</param>
/// <param name="skipsIdle">False where the processors' time-stamp counters cannot be moved along: idle time then really passes.</param>
public sealed class HostTime(Action<long> kickAfter, Func<long?> worked, bool skipsIdle) : IMachineTime
{
    /// <summary>Bound on what the assist interprets between two looks at the clock: well under a millisecond's worth.</summary>
    private const long MostInterpreted = 10_000;

    private const long Millisecond = 1_000_000;

    private readonly long _start = Stopwatch.GetTimestamp();
    private long _skipped;

    public string Mode => skipsIdle ? "host-skip" : "host";

    public bool SkipsIdle => skipsIdle;

    public long Now => Elapsed + _skipped;

    public long Worked => worked() ?? Elapsed;

    private long Elapsed => (long)((Int128)(Stopwatch.GetTimestamp() - _start) * 1_000_000_000 / Stopwatch.Frequency);

    /// <summary>
    /// Arms the kick at <paramref name="deadline"/>, each time: a run may have ended by an earlier kick that took this one's place. The
    /// number bounds interpretation only.
    /// </summary>
    public ulong BudgetUntil(long deadline)
    {
        long left = deadline - Now;
        kickAfter(Math.Max(1, left));
        return (ulong)Math.Clamp(left / InstructionTime.NanosecondsPerInstruction, 1, MostInterpreted);
    }

    public long IdleUntil(long deadline, WaitHandle wake)
    {
        if (!skipsIdle)
        {
            Sleep(deadline, wake);
            return 0;
        }
        long skipped = Math.Max(0, deadline - Now);
        _skipped += skipped;
        return skipped;
    }

    /// <summary>The last fraction of a millisecond is slept in short turns, so that a timer is not late by a whole one.</summary>
    private void Sleep(long deadline, WaitHandle wake)
    {
        while (true)
        {
            long remaining = deadline - Now;
            if (remaining <= 0)
                return;
            if (remaining < Millisecond)
                Thread.Yield();
            else if (wake.WaitOne((int)Math.Min(remaining / Millisecond, 1000)))
                return;
        }
    }
}
