namespace Farm.Machine.Time;

/// <summary>How guest time passes on a backend.</summary>
public interface IMachineTime
{
    /// <summary>As in the report: virtual, host-skip (the host's, idle time skipped) or host.</summary>
    string Mode { get; }

    /// <summary>Idle time costs nothing.</summary>
    bool SkipsIdle { get; }

    /// <summary>Guest time in nanoseconds, exact whenever a device asks.</summary>
    long Now { get; }

    /// <summary>
    /// Of guest time, what the processors may have worked, in nanoseconds: without skipped idle time and, where the backend can tell, without
    /// the time that the host gave to others. Differences count.
    /// </summary>
    long Worked { get; }

    /// <summary>How many instructions may run before guest time reaches <paramref name="deadline"/>; at least 1.</summary>
    ulong BudgetUntil(long deadline);

    /// <summary>
    /// The processors are idle: guest time passes until <paramref name="deadline"/>, or until <paramref name="wake"/> is set where it really
    /// has to. Returns how much was skipped: the processors' time-stamp counters have to be told of it.
    /// </summary>
    long IdleUntil(long deadline, WaitHandle wake);
}

/// <summary>
/// Virtual time: a function of the executed instructions, of bus cycles and of skipped idle time, a model of a PC of 100 MIPS with an ISA bus. Bit-for-bit
/// repeatable; idle time costs nothing.
/// </summary>
/// <param name="instructions">Instructions executed so far, exact inside a run.</param>
public sealed class InstructionTime(Func<ulong> instructions) : IMachineTime
{
    public const long NanosecondsPerInstruction = 10;

    /// <summary>
    /// An 8-bit I/O cycle of the ISA bus at 8.33 MHz with its standard wait states takes about a microsecond: what old programs wait by
    /// (ports 80h and 84h), and the pace of every loop that reads the interval timer.
    /// </summary>
    public const long NanosecondsPerBusCycle = 1000;

    private long _busCycles, _idle;

    public string Mode => "virtual";

    public bool SkipsIdle => true;

    public long Now => _idle + Worked;

    public long Worked => _busCycles + ((long)instructions() * NanosecondsPerInstruction);

    /// <summary>Time passes within an instruction.</summary>
    public void Pass(long nanoseconds) => _busCycles += nanoseconds;

    public ulong BudgetUntil(long deadline)
    {
        long remaining = deadline - Now;
        return remaining <= NanosecondsPerInstruction ? 1 : (ulong)((remaining + NanosecondsPerInstruction - 1) / NanosecondsPerInstruction);
    }

    public long IdleUntil(long deadline, WaitHandle wake)
    {
        long skipped = Math.Max(0, deadline - Now);
        _idle += skipped;
        return skipped;
    }
}
