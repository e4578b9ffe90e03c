using Farm.Contracts.Guests;
using Orleans;

namespace Farm.Contracts.Jobs;

public enum JobState { Queued, Leased, Running, Finished }

/// <summary>What a user asks for; also the body of POST /api/jobs.</summary>
[GenerateSerializer, Immutable, Alias("Farm.JobRequest")]
public sealed record JobRequest
{
    [Id(0)] public required IReadOnlyList<string> Guests { get; init; }

    /// <summary>Null asks for every kind that the guest defines.</summary>
    [Id(1)] public JobKind? Kind { get; init; }
    [Id(2)] public StackSpec Stack { get; init; } = new();

    /// <summary>-100..100, higher goes first.</summary>
    [Id(3)] public int Priority { get; init; }

    /// <summary>Who asks, for the audit; null is "api".</summary>
    [Id(4)] public string? RequestedBy { get; init; }

    /// <summary>Queue only the cells whose media some worker holds; the others are named in the answer.</summary>
    [Id(5)] public bool OnlyWithMedia { get; init; }
}

/// <summary>Answer to a <see cref="JobRequest"/>.</summary>
[GenerateSerializer, Immutable, Alias("Farm.JobsCreated")]
public sealed record JobsCreated
{
    [Id(0)] public required IReadOnlyList<JobInfo> Jobs { get; init; }

    /// <summary>One sentence per cell that was not queued.</summary>
    [Id(1)] public IReadOnlyList<string> Skipped { get; init; } = [];
}

/// <summary>One job: guest x kind x stack.</summary>
[GenerateSerializer, Immutable, Alias("Farm.JobSpec")]
public sealed record JobSpec
{
    [Id(0)] public required string GuestId { get; init; }
    [Id(1)] public required JobKind Kind { get; init; }
    [Id(2)] public required StackSpec Stack { get; init; }
    [Id(3)] public required GuestPlan Plan { get; init; }
    [Id(4)] public int Priority { get; init; }
}

/// <summary>A job as lists show it.</summary>
[GenerateSerializer, Immutable, Alias("Farm.JobInfo")]
public sealed record JobInfo
{
    [Id(0)] public required long Id { get; init; }
    [Id(1)] public required string GuestId { get; init; }
    [Id(2)] public required JobKind Kind { get; init; }
    [Id(3)] public required StackSpec Stack { get; init; }
    [Id(4)] public required JobState State { get; init; }
    [Id(5)] public int Priority { get; init; }
    [Id(6)] public DateTimeOffset CreatedAt { get; init; }
    [Id(7)] public DateTimeOffset? StartedAt { get; init; }
    [Id(8)] public DateTimeOffset? FinishedAt { get; init; }

    /// <summary>The lease's fencing number: raised by every lease.</summary>
    [Id(9)] public long Epoch { get; init; }
    [Id(10)] public string? Worker { get; init; }

    /// <summary>How often infrastructure trouble has sent the job back to the queue.</summary>
    [Id(11)] public int InfrastructureRetries { get; init; }

    /// <summary>One sentence: why a queued job is not running yet. Null in other states.</summary>
    [Id(12)] public string? WaitReason { get; init; }

    /// <summary>When the job is expected to start (queued) or end (running), from history; null when unknown.</summary>
    [Id(13)] public DateTimeOffset? Eta { get; init; }

    /// <summary>The newest run, or null before the first lease.</summary>
    [Id(14)] public long? RunId { get; init; }
    [Id(15)] public GuestOutcome? Outcome { get; init; }
    [Id(16)] public RunHealth? Health { get; init; }
    [Id(17)] public BootPhase Phase { get; init; }

    /// <summary>0..1: script steps done of all, or elapsed of expected time.</summary>
    [Id(18)] public double Progress { get; init; }
    [Id(19)] public string? RequestedBy { get; init; }

    /// <summary>The job whose rerun this is.</summary>
    [Id(20)] public long? RerunOf { get; init; }
    [Id(21)] public bool CancelRequested { get; init; }

    /// <summary>One sentence about the end.</summary>
    [Id(22)] public string? Summary { get; init; }
}

/// <summary>A job with its runs.</summary>
[GenerateSerializer, Immutable, Alias("Farm.JobDetail")]
public sealed record JobDetail
{
    [Id(0)] public required JobInfo Job { get; init; }
    [Id(1)] public required JobSpec Spec { get; init; }
    [Id(2)] public IReadOnlyList<RunInfo> Runs { get; init; } = [];
}

/// <summary>Filter of a job list.</summary>
[GenerateSerializer, Immutable, Alias("Farm.JobQuery")]
public sealed record JobQuery
{
    [Id(0)] public JobState? State { get; init; }
    [Id(1)] public string? GuestId { get; init; }
    [Id(2)] public JobKind? Kind { get; init; }
    [Id(3)] public string? Worker { get; init; }

    /// <summary>Only jobs with a smaller id: the cursor of the next page.</summary>
    [Id(4)] public long? Before { get; init; }

    /// <summary>1..500.</summary>
    [Id(5)] public int Limit { get; init; } = 100;
}
