namespace Farm.Machine.Time;

/// <summary>The event queue of guest time. Single-threaded; timers due at the same time fire in the order of arming.</summary>
public sealed class VirtualClock : IVirtualClock
{
    private readonly PriorityQueue<(Timer Timer, long Generation), (long Deadline, long Sequence)> _queue = new();
    private long _sequence;
    private long _now;

    /// <summary>Reads guest time from the running vCPU where one runs; null: time stands at <see cref="AdvanceTo"/>'s last value.</summary>
    public Func<long>? Source { get; set; }

    /// <summary>Called when a timer is armed earlier than every other, so that a running vCPU can shorten its run.</summary>
    public Action<long>? DeadlineChanged { get; set; }

    public long Now => Source is { } source ? source() : _now;

    /// <summary>Deadline of the next timer, or <see cref="long.MaxValue"/>.</summary>
    public long NextDeadline
    {
        get
        {
            DropStale();
            return _queue.TryPeek(out _, out var key) ? key.Deadline : long.MaxValue;
        }
    }

    public IClockTimer CreateTimer(string name, Action<long> callback) => new Timer(this, name, callback);

    /// <summary>Moves time forward to <paramref name="now"/> and fires every timer due up to then, in order.</summary>
    public void AdvanceTo(long now)
    {
        while (true)
        {
            DropStale();
            if (!_queue.TryPeek(out var entry, out var key) || key.Deadline > now)
                break;
            _queue.Dequeue();
            _now = Math.Max(_now, key.Deadline);
            entry.Timer.Fire();
        }
        _now = Math.Max(_now, now);
    }

    private void DropStale()
    {
        while (_queue.TryPeek(out var entry, out _) && entry.Generation != entry.Timer.Generation)
            _queue.Dequeue();
    }

    private void Enqueue(Timer timer)
    {
        bool earliest = timer.Deadline < NextDeadline;
        _queue.Enqueue((timer, timer.Generation), (timer.Deadline, _sequence++));
        if (earliest)
            DeadlineChanged?.Invoke(timer.Deadline);
    }

    private sealed class Timer(VirtualClock clock, string name, Action<long> callback) : IClockTimer
    {
        public long Generation { get; private set; }

        public bool Armed { get; private set; }

        public long Deadline { get; private set; }

        public void Arm(long deadline)
        {
            if (Armed && deadline == Deadline)
                return;
            Generation++;
            Armed = true;
            Deadline = deadline;
            clock.Enqueue(this);
        }

        public void Disarm()
        {
            Generation++;
            Armed = false;
        }

        public void Fire()
        {
            Generation++;
            Armed = false;
            callback(Deadline);
        }

        public override string ToString() => Armed ? $"{name} at {Deadline} ns" : $"{name} (off)";
    }
}
