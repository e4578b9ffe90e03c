using Farm.Machine.Time;

namespace Farm.Machine.Bus;

/// <summary>Something odd that the guest did: never an error of the host. Events are told apart by source and message.</summary>
public sealed class MachineEvent(long time, string source, string message)
{
    /// <summary>Guest time of the first occurrence, in nanoseconds.</summary>
    public long Time { get; } = time;

    /// <summary>Device or bus.</summary>
    public string Source { get; } = source;

    public string Message { get; } = message;

    /// <summary>Number of occurrences, this one included.</summary>
    public long Count { get; internal set; } = 1;

    public override string ToString() => Count == 1 ? $"{Source}: {Message}" : $"{Source}: {Message} ({Count} times)";
}

/// <summary>
/// The machine's bounded list of events. A repeated event counts up instead of growing the list; beyond
/// <see cref="Capacity"/> new ones are only counted in <see cref="Dropped"/>.
/// </summary>
public sealed class EventLog(IVirtualClock? clock = null, int capacity = EventLog.DefaultCapacity)
{
    public const int DefaultCapacity = 1024;

    private readonly List<MachineEvent> _events = [];
    private readonly Dictionary<(string Source, string Message), MachineEvent> _byText = [];

    public int Capacity { get; } = capacity;

    public IReadOnlyList<MachineEvent> Events => _events;

    public long Dropped { get; private set; }

    public void Report(string source, string message)
    {
        if (_byText.TryGetValue((source, message), out var known))
        {
            known.Count++;
            return;
        }
        if (_events.Count >= Capacity)
        {
            Dropped++;
            return;
        }
        var added = new MachineEvent(clock?.Now ?? 0, source, message);
        _events.Add(added);
        _byText.Add((source, message), added);
    }
}
