using Farm.Contracts;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Live;

namespace Farm.Vm;

/// <summary>
/// What the worker writes as one line of JSON on the child's standard input. The input stays open for the run's length: its end
/// means that the worker is gone, and ends the child.
/// </summary>
public sealed record VmJob
{
    public required long JobId { get; init; }
    public required long RunId { get; init; }
    public required GuestPlan Plan { get; init; }

    /// <summary>The backend is resolved here; memory and CPU model of the request go before the plan's.</summary>
    public required StackSpec Stack { get; init; }

    /// <summary>Files of the plan's media by the medium's name. To be opened read-only.</summary>
    public required IReadOnlyDictionary<string, string> Media { get; init; }

    /// <summary>How many times as long as the plan's limits in time the run may take, on a slow host.</summary>
    public double Patience { get; init; } = 1;

    /// <summary>Seconds for which the text screen is to stand still before the script goes on from an expectation: what two runs show can then be compared.</summary>
    public double SettleSeconds { get; init; }

    /// <summary>An empty folder of this run's own, deleted after it: overlays, blank disks, artifacts before their upload.</summary>
    public required string Folder { get; init; }
}

/// <summary>
/// One line of JSON on the child's standard output: exactly one of the properties is set. A child ends with a
/// <see cref="Report"/>, then exit code 0; any other end is infrastructure trouble.
/// </summary>
public sealed record VmMessage
{
    /// <summary>The VM has started, on this stack.</summary>
    public StackSpec? Started { get; init; }
    public VmProgress? Progress { get; init; }
    public VmArtifact? Artifact { get; init; }
    public RunReport? Report { get; init; }
}

/// <summary>What has happened since the message before. The worker batches: as often as it is convenient.</summary>
public sealed record VmProgress
{
    public IReadOnlyList<PhaseEvent> Phases { get; init; } = [];

    /// <summary>The whole screen; the worker works out what changed. Its sequence number is not used.</summary>
    public ScreenUpdate? Screen { get; init; }
    public string Serial { get; init; } = "";
    public string? Step { get; init; }

    /// <summary>0..1</summary>
    public double Progress { get; init; }
    public double GuestSeconds { get; init; }
    public long Instructions { get; init; }
}

/// <summary>A finished file in <see cref="VmJob.Folder"/> that shall be kept.</summary>
public sealed record VmArtifact
{
    /// <summary>Name in the run: letters, digits, dots, dashes, underscores.</summary>
    public required string Name { get; init; }

    /// <summary>Path relative to the folder.</summary>
    public required string File { get; init; }
    public string ContentType { get; init; } = "application/octet-stream";
    public double GuestSeconds { get; init; }
}
