namespace Farm.Machine.Time;

/// <summary>
/// Guest time in nanoseconds since power-on. On the soft backend it is a function of executed instructions and of skipped idle
/// time; on KVM and WHP of the host's monotonic clock and of skipped idle time. Devices know no other clock.
/// </summary>
public interface IVirtualClock
{
    long Now { get; }

    /// <summary>A one-shot timer; <paramref name="callback"/> gets the deadline it was armed for (so periodic devices do not drift).</summary>
    IClockTimer CreateTimer(string name, Action<long> callback);
}

public interface IClockTimer
{
    bool Armed { get; }

    long Deadline { get; }

    /// <summary>Arms (or re-arms) for guest time <paramref name="deadline"/>; one in the past fires at the next opportunity.</summary>
    void Arm(long deadline);

    void Disarm();
}
