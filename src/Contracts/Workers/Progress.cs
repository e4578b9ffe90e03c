using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Orleans;

namespace Farm.Contracts.Workers;

/// <summary>Progress of a run since the batch before: one short call, at most a few a second.</summary>
[GenerateSerializer, Immutable, Alias("Farm.ProgressBatch")]
public sealed record ProgressBatch
{
    [Id(0)] public required long Epoch { get; init; }
    [Id(1)] public IReadOnlyList<PhaseEvent> Phases { get; init; } = [];
    [Id(2)] public ScreenUpdate? Screen { get; init; }

    /// <summary>Serial output, at most 64 KiB a batch.</summary>
    [Id(3)] public string Serial { get; init; } = "";
    [Id(4)] public string? Step { get; init; }
    [Id(5)] public double Progress { get; init; }
    [Id(6)] public double GuestSeconds { get; init; }
    [Id(7)] public long Instructions { get; init; }
}

/// <summary>The job's answer to a call of its lease's holder.</summary>
[GenerateSerializer, Immutable, Alias("Farm.LeaseReply")]
public sealed record LeaseReply
{
    /// <summary>False: the epoch is not the job's; nothing was written; end the child.</summary>
    [Id(0)] public required bool Valid { get; init; }
    [Id(1)] public bool CancelRequested { get; init; }

    /// <summary>A screen update was missed: send the next one full.</summary>
    [Id(2)] public bool NeedFullScreen { get; init; }
}
