namespace Farm.Machine.Time;

/// <summary>How guest time passes on a backend.</summary>
public interface IMachineTime
{
    /// <summary>virtual or host, as in the report.</summary>
    string Mode { get; }

    /// <summary>Guest time in nanoseconds, exact whenever a device asks.</summary>
    long Now { get; }

    /// <summary>How many instructions may run before guest time reaches <paramref name="deadline"/>; at least 1.</summary>
    ulong BudgetUntil(long deadline);

    /// <summary>The processors are idle: let guest time pass until <paramref name="deadline"/>, or until <paramref name="wake"/> is set where time is the host's.</summary>
    void IdleUntil(long deadline, WaitHandle wake);
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

    private long _idle;

    public string Mode => "virtual";

    public long Now => _idle + ((long)instructions() * NanosecondsPerInstruction);

    /// <summary>Time passes within an instruction.</summary>
    public void Pass(long nanoseconds) => _idle += nanoseconds;

    public ulong BudgetUntil(long deadline)
    {
        long remaining = deadline - Now;
        return remaining <= NanosecondsPerInstruction ? 1 : (ulong)((remaining + NanosecondsPerInstruction - 1) / NanosecondsPerInstruction);
    }

    public void IdleUntil(long deadline, WaitHandle wake)
    {
        long remaining = deadline - Now;
        if (remaining > 0)
            _idle += remaining;
    }
}
