using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;
using Farm.Contracts.Workers;
using Orleans;

namespace Farm.Contracts.Live;

public enum FarmEventKind
{
    /// <summary>The reader asked for events that are gone: read everything again, then go on from this sequence number.</summary>
    Reset,
    CellChanged, JobChanged, WorkerChanged, TriageChanged, GuestsChanged,
}

/// <summary>
/// A change that the whole farm may care about. Sequence numbers only grow, also over a restart; they need not be dense.
/// Exactly the property named by <see cref="Kind"/> is set.
/// </summary>
[GenerateSerializer, Immutable, Alias("Farm.FarmEvent")]
public sealed record FarmEvent
{
    [Id(0)] public long Sequence { get; init; }
    [Id(1)] public DateTimeOffset At { get; init; }
    [Id(2)] public required FarmEventKind Kind { get; init; }

    /// <summary>The folded cell (its variants are re-read from the matrix when needed).</summary>
    [Id(3)] public MatrixCell? Cell { get; init; }
    [Id(4)] public JobInfo? Job { get; init; }
    [Id(5)] public WorkerInfo? Worker { get; init; }
    [Id(6)] public string? Fingerprint { get; init; }
}

/// <summary>
/// What happens in one run, batched. Every part may be empty. <see cref="Finished"/> is set on the last one.
/// </summary>
[GenerateSerializer, Immutable, Alias("Farm.RunEvent")]
public sealed record RunEvent
{
    [Id(0)] public required long RunId { get; init; }
    [Id(1)] public long Sequence { get; init; }
    [Id(2)] public IReadOnlyList<PhaseEvent> Phases { get; init; } = [];

    /// <summary>Always a full screen here.</summary>
    [Id(3)] public ScreenUpdate? Screen { get; init; }

    /// <summary>Serial output since the event before.</summary>
    [Id(4)] public string Serial { get; init; } = "";

    /// <summary>What the guest script does now, e.g. <c>expect A:\\&gt; (3 of 9)</c>.</summary>
    [Id(5)] public string? Step { get; init; }
    [Id(6)] public double Progress { get; init; }
    [Id(7)] public double GuestSeconds { get; init; }
    [Id(8)] public long Instructions { get; init; }
    [Id(9)] public RunInfo? Finished { get; init; }

    /// <summary>Everything so far: it replaces what the reader has, instead of adding to it.</summary>
    [Id(10)] public bool Snapshot { get; init; }
}
