using Farm.Contracts.Guests;
using Orleans;

namespace Farm.Contracts.Workers;

public enum WorkerState
{
    /// <summary>Beats, and takes jobs.</summary>
    Online,
    /// <summary>Beats, finishes what it has, takes nothing new.</summary>
    Draining,
    /// <summary>Beats, but too many of its runs ended in infrastructure trouble: takes nothing until released.</summary>
    Quarantined,
    /// <summary>Missed its beats; its leases are void.</summary>
    Dead,
    /// <summary>Signed off.</summary>
    Offline,
}

/// <summary>A medium that a worker holds, hashed by itself.</summary>
[GenerateSerializer, Immutable, Alias("Farm.HeldMedia")]
public sealed record HeldMedia
{
    [Id(0)] public required string Sha256 { get; init; }

    /// <summary>File name without folders.</summary>
    [Id(1)] public required string File { get; init; }
    [Id(2)] public long Size { get; init; }

    /// <summary>By digest when the catalogue has one, else by file name: for who matches a job and for who fetches its media alike.</summary>
    public bool Is(MediaInfo medium) => medium.Sha256 is { } digest
        ? string.Equals(digest, Sha256, StringComparison.OrdinalIgnoreCase)
        : medium.Files.Contains(File, StringComparer.OrdinalIgnoreCase);
}

/// <summary>What a worker can run.</summary>
[GenerateSerializer, Immutable, Alias("Farm.WorkerCapabilities")]
public sealed record WorkerCapabilities
{
    /// <summary>Best first: <c>auto</c> takes the first.</summary>
    [Id(0)] public required IReadOnlyList<Backend> Backends { get; init; }
    [Id(1)] public required IReadOnlyList<FirmwareSet> Firmware { get; init; }
    [Id(2)] public IReadOnlyList<AssistMode> Assist { get; init; } = [AssistMode.Vm86, AssistMode.Full, AssistMode.Native];

    /// <summary>Guest memory that all its VMs may use together.</summary>
    [Id(3)] public int MemoryMiB { get; init; }

    /// <summary>CPU models by name; empty is any.</summary>
    [Id(4)] public IReadOnlyList<string> CpuModels { get; init; } = [];
    [Id(5)] public string Host { get; init; } = "";
    [Id(6)] public string OperatingSystem { get; init; } = "";
    [Id(7)] public string Version { get; init; } = "";

    /// <summary>Why a backend that the host might have is not offered, e.g. <c>kvm: no permission for /dev/kvm (group kvm)</c>.</summary>
    [Id(8)] public IReadOnlyList<string> Missing { get; init; } = [];
}

/// <summary>A worker as lists show it.</summary>
[GenerateSerializer, Immutable, Alias("Farm.WorkerInfo")]
public sealed record WorkerInfo
{
    [Id(0)] public required string Id { get; init; }
    [Id(1)] public required WorkerState State { get; init; }
    [Id(2)] public required WorkerCapabilities Capabilities { get; init; }
    [Id(3)] public int Slots { get; init; }
    [Id(4)] public int Busy { get; init; }
    [Id(5)] public IReadOnlyList<HeldMedia> Media { get; init; } = [];
    [Id(6)] public DateTimeOffset RegisteredAt { get; init; }
    [Id(7)] public DateTimeOffset LastBeat { get; init; }

    /// <summary>Jobs it holds leases on.</summary>
    [Id(8)] public IReadOnlyList<long> Jobs { get; init; } = [];

    /// <summary>Consecutive runs that ended in infrastructure trouble.</summary>
    [Id(9)] public int InfrastructureStreak { get; init; }

    /// <summary>One sentence about its state.</summary>
    [Id(10)] public string Note { get; init; } = "";
    [Id(11)] public long FreeDiskMiB { get; init; }
    [Id(12)] public double Load { get; init; }
}

/// <summary>A worker's sign-on. A second sign-on of the same id voids the first one's session.</summary>
[GenerateSerializer, Immutable, Alias("Farm.WorkerRegistration")]
public sealed record WorkerRegistration
{
    [Id(0)] public required WorkerCapabilities Capabilities { get; init; }
    [Id(1)] public required int Slots { get; init; }
    [Id(2)] public IReadOnlyList<HeldMedia> Media { get; init; } = [];
}

/// <summary>The answer to a sign-on.</summary>
[GenerateSerializer, Immutable, Alias("Farm.WorkerSession")]
public sealed record WorkerSession
{
    /// <summary>Goes with every later call; an older number is refused.</summary>
    [Id(0)] public required long Session { get; init; }
    [Id(1)] public required TimeSpan BeatEvery { get; init; }
    [Id(2)] public required TimeSpan DeadAfter { get; init; }

    /// <summary>Where artifacts go: the base URL of the HTTP API, or null when the silo serves none.</summary>
    [Id(3)] public string? ApiUrl { get; init; }
}

/// <summary>The right to run a job, void once the job's epoch has gone on.</summary>
[GenerateSerializer, Immutable, Alias("Farm.LeaseKey")]
public readonly record struct LeaseKey([property: Id(0)] long JobId, [property: Id(1)] long Epoch);

/// <summary>A leased job with all that the worker needs.</summary>
[GenerateSerializer, Immutable, Alias("Farm.Lease")]
public sealed record Lease
{
    [Id(0)] public required long JobId { get; init; }
    [Id(1)] public required long Epoch { get; init; }
    [Id(2)] public required long RunId { get; init; }
    [Id(3)] public required string Worker { get; init; }
    [Id(4)] public required Jobs.JobSpec Spec { get; init; }

    /// <summary>The stack with the backend resolved for this worker.</summary>
    [Id(5)] public required StackSpec Stack { get; init; }
    [Id(6)] public DateTimeOffset ExpiresAt { get; init; }
    public LeaseKey Key => new(JobId, Epoch);
}

/// <summary>A worker's beat.</summary>
[GenerateSerializer, Immutable, Alias("Farm.WorkerBeat")]
public sealed record WorkerBeat
{
    [Id(0)] public required long Session { get; init; }

    /// <summary>Every lease it works on: these are renewed.</summary>
    [Id(1)] public IReadOnlyList<LeaseKey> Leases { get; init; } = [];
    [Id(2)] public bool Draining { get; init; }

    /// <summary>Set when the media at hand have changed.</summary>
    [Id(3)] public IReadOnlyList<HeldMedia>? Media { get; init; }
    [Id(4)] public long FreeDiskMiB { get; init; }
    [Id(5)] public double Load { get; init; }
}

/// <summary>The farm's answer to a beat.</summary>
[GenerateSerializer, Immutable, Alias("Farm.BeatReply")]
public sealed record BeatReply
{
    /// <summary>False: the session is void; stop every child, sign on again.</summary>
    [Id(0)] public required bool SessionValid { get; init; }

    /// <summary>Leases that are void: end their children, report nothing.</summary>
    [Id(1)] public IReadOnlyList<LeaseKey> Lost { get; init; } = [];

    /// <summary>Leases whose job shall be cancelled: end the child, complete as cancelled.</summary>
    [Id(2)] public IReadOnlyList<LeaseKey> Cancel { get; init; } = [];

    /// <summary>Queued jobs wait that this worker could take: claim now.</summary>
    [Id(3)] public bool WorkWaiting { get; init; }

    /// <summary>Where artifacts go now (see <see cref="WorkerSession.ApiUrl"/>): a silo that starts anew may listen elsewhere.</summary>
    [Id(4)] public string? ApiUrl { get; init; }
}
