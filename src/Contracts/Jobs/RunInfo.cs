using Farm.Contracts.Guests;
using Farm.Contracts.Live;
using Farm.Contracts.Triage;
using Orleans;

namespace Farm.Contracts.Jobs;

/// <summary>What the guest did. The only axis that colours the matrix.</summary>
public enum GuestOutcome { Pass, Fail, UnsupportedOpcode, Hang, TripleFault, Timeout }

/// <summary>Whether the run says anything about the guest at all.</summary>
public enum RunHealth { Ok, Infrastructure, Cancelled, NoMedia }

/// <summary>How far a guest got, in the order of a boot.</summary>
public enum BootPhase
{
    None, Loader, Post, OptionRom, BootSector, BootLoader, ProtectedMode, Kernel, FirstDiskWrite, Prompt,
}

/// <summary>A phase was reached.</summary>
[GenerateSerializer, Immutable, Alias("Farm.PhaseEvent")]
public sealed record PhaseEvent
{
    [Id(0)] public required BootPhase Phase { get; init; }
    [Id(1)] public double GuestSeconds { get; init; }
    [Id(2)] public double HostSeconds { get; init; }
    [Id(3)] public long Instructions { get; init; }
    [Id(4)] public string? Detail { get; init; }
}

/// <summary>A named count, e.g. exits by reason or assist traps by mnemonic.</summary>
[GenerateSerializer, Immutable, Alias("Farm.NamedCount")]
public readonly record struct NamedCount([property: Id(0)] string Name, [property: Id(1)] long Count);

/// <summary>An artifact of a run; fetched from /api/artifacts/{sha256}.</summary>
[GenerateSerializer, Immutable, Alias("Farm.ArtifactInfo")]
public sealed record ArtifactInfo
{
    /// <summary>Name in the run, e.g. <c>serial0.log</c>, <c>screen.txt</c>, <c>screen.png</c>, <c>report.json</c>.</summary>
    [Id(0)] public required string Name { get; init; }

    /// <summary>Lower-case hex digest of the content: its address.</summary>
    [Id(1)] public required string Sha256 { get; init; }
    [Id(2)] public long Size { get; init; }
    [Id(3)] public string ContentType { get; init; } = "application/octet-stream";
    [Id(4)] public double GuestSeconds { get; init; }
}

/// <summary>What a finished run says. Written once, by the lease's holder.</summary>
[GenerateSerializer, Immutable, Alias("Farm.RunReport")]
public sealed record RunReport
{
    [Id(0)] public required RunHealth Health { get; init; }

    /// <summary>Null unless <see cref="Health"/> is <see cref="RunHealth.Ok"/>.</summary>
    [Id(1)] public GuestOutcome? Outcome { get; init; }
    [Id(2)] public BootPhase Furthest { get; init; }

    /// <summary>One sentence: what happened, to what.</summary>
    [Id(3)] public string Summary { get; init; } = "";
    [Id(4)] public double GuestSeconds { get; init; }
    [Id(5)] public double HostSeconds { get; init; }
    [Id(6)] public long Instructions { get; init; }

    /// <summary>Real-mode instructions that the backend ran by itself (<c>vm86</c> on a backend that cannot intercept CR0.PE).</summary>
    [Id(7)] public long NativeRealModeInstructions { get; init; }
    [Id(8)] public IReadOnlyList<NamedCount> Exits { get; init; } = [];
    [Id(9)] public IReadOnlyList<NamedCount> AssistTraps { get; init; } = [];
    [Id(10)] public IReadOnlyList<UnsupportedOpcodeReport> UnsupportedOpcodes { get; init; } = [];
    [Id(11)] public IReadOnlyList<ArtifactInfo> Artifacts { get; init; } = [];

    /// <summary>The last text screen, one string a row; empty in graphics mode.</summary>
    [Id(12)] public IReadOnlyList<string> FinalScreen { get; init; } = [];

    /// <summary>The stall classifier's words, e.g. <c>HLT with IF=0 at 0070:1234</c>.</summary>
    [Id(13)] public string? StallVerdict { get; init; }

    /// <summary><c>virtual</c>, <c>host-skip</c> (the host's, idle time skipped) or <c>host</c>.</summary>
    [Id(14)] public string ClockMode { get; init; } = "virtual";

    /// <summary>The script step at which the run ended, and of how many.</summary>
    [Id(15)] public int StepsDone { get; init; }
    [Id(16)] public int StepsTotal { get; init; }

    /// <summary>Digest over all screens and serial bytes: equal runs have equal digests.</summary>
    [Id(17)] public string? DeterminismDigest { get; init; }
    [Id(18)] public StackSpec? Stack { get; init; }
    [Id(19)] public IReadOnlyList<NamedCount> Interrupts { get; init; } = [];
}

/// <summary>One attempt of a job: one lease, one VM.</summary>
[GenerateSerializer, Immutable, Alias("Farm.RunInfo")]
public sealed record RunInfo
{
    [Id(0)] public required long Id { get; init; }
    [Id(1)] public required long JobId { get; init; }
    [Id(2)] public required long Epoch { get; init; }
    [Id(3)] public required string GuestId { get; init; }
    [Id(4)] public required JobKind Kind { get; init; }

    /// <summary>The stack with the backend resolved.</summary>
    [Id(5)] public required StackSpec Stack { get; init; }
    [Id(6)] public required string Worker { get; init; }
    [Id(7)] public DateTimeOffset LeasedAt { get; init; }
    [Id(8)] public DateTimeOffset? StartedAt { get; init; }
    [Id(9)] public DateTimeOffset? FinishedAt { get; init; }
    [Id(10)] public RunHealth? Health { get; init; }
    [Id(11)] public GuestOutcome? Outcome { get; init; }
    [Id(12)] public BootPhase Furthest { get; init; }
    [Id(13)] public string Summary { get; init; } = "";
    [Id(14)] public double Progress { get; init; }
}

/// <summary>A run with everything that is kept of it.</summary>
[GenerateSerializer, Immutable, Alias("Farm.RunDetail")]
public sealed record RunDetail
{
    [Id(0)] public required RunInfo Run { get; init; }
    [Id(1)] public IReadOnlyList<PhaseEvent> Phases { get; init; } = [];

    /// <summary>Null until the run is finished.</summary>
    [Id(2)] public RunReport? Report { get; init; }
    [Id(3)] public IReadOnlyList<ArtifactInfo> Artifacts { get; init; } = [];

    /// <summary>The live screen of a running run, or the last one kept.</summary>
    [Id(4)] public ScreenUpdate? Screen { get; init; }

    /// <summary>The tail of the serial output, at most 64 KiB.</summary>
    [Id(5)] public string SerialTail { get; init; } = "";

    /// <summary>Fingerprints of the run's unsupported opcodes: keys of the triage page.</summary>
    [Id(6)] public IReadOnlyList<string> Fingerprints { get; init; } = [];
}
