using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Orleans;

namespace Farm.Contracts.Matrix;

/// <summary>A cell of the matrix. The first two show as <c>(-)</c> and <c>(-) no media</c>.</summary>
public enum CellState { NotTried, NoMedia, Queued, Running, Yes, No, Flaky }

/// <summary>The newest result beside the older ones of the same cell.</summary>
public enum CellTrend { None, NeverPassed, Regressed, Fixed, Same, Flaky }

/// <summary>One cell: guest x kind x stack, or the fold of all stacks.</summary>
[GenerateSerializer, Immutable, Alias("Farm.MatrixCell")]
public sealed record MatrixCell
{
    [Id(0)] public required string GuestId { get; init; }
    [Id(1)] public required JobKind Kind { get; init; }

    /// <summary>What to show now.</summary>
    [Id(2)] public required CellState State { get; init; }

    /// <summary>The last verdict (Yes, No, Flaky or NotTried), also while a new job is queued or running.</summary>
    [Id(3)] public CellState Verdict { get; init; }

    /// <summary>The stack of this cell; in a folded cell that of the result shown; null when nothing ran yet.</summary>
    [Id(4)] public StackSpec? Stack { get; init; }

    /// <summary>How far the guest got in the newest result, or has got by now when running.</summary>
    [Id(5)] public BootPhase Furthest { get; init; }
    [Id(6)] public GuestOutcome? Outcome { get; init; }

    /// <summary>0..1 when running.</summary>
    [Id(7)] public double Progress { get; init; }

    /// <summary>When the newest result came in.</summary>
    [Id(8)] public DateTimeOffset? At { get; init; }

    /// <summary>The run of the newest result, or the running one.</summary>
    [Id(9)] public long? RunId { get; init; }

    /// <summary>The waiting or running job.</summary>
    [Id(10)] public long? JobId { get; init; }

    /// <summary>Results kept of this cell, and how many of them passed.</summary>
    [Id(11)] public int Results { get; init; }
    [Id(12)] public int Passes { get; init; }

    /// <summary>0..1: changes of verdict between neighbouring results of the last 20, over their number less one.</summary>
    [Id(13)] public double FlakeRate { get; init; }
    [Id(14)] public CellTrend Trend { get; init; }

    /// <summary>One sentence: the result's summary, the wait reason, or what media are missing.</summary>
    [Id(15)] public string Note { get; init; } = "";

    /// <summary>The result is of an older definition of the guest.</summary>
    [Id(16)] public bool Stale { get; init; }

    /// <summary>In a folded cell: stacks differ in verdict.</summary>
    [Id(17)] public bool Disagreement { get; init; }

    /// <summary>The guest's catalogue entry does not define this kind.</summary>
    [Id(18)] public bool Undefined { get; init; }
}

/// <summary>One guest's row: its two columns, folded, and every stack that has a cell.</summary>
[GenerateSerializer, Immutable, Alias("Farm.MatrixRow")]
public sealed record MatrixRow
{
    [Id(0)] public required GuestInfo Guest { get; init; }
    [Id(1)] public required MatrixCell Install { get; init; }
    [Id(2)] public required MatrixCell Disk { get; init; }

    /// <summary>One cell per kind and stack that was ever queued.</summary>
    [Id(3)] public IReadOnlyList<MatrixCell> Variants { get; init; } = [];
}

/// <summary>The matrix: one small read of the table of current cells.</summary>
[GenerateSerializer, Immutable, Alias("Farm.MatrixView")]
public sealed record MatrixView
{
    [Id(0)] public required IReadOnlyList<MatrixRow> Rows { get; init; }

    /// <summary>Sequence number of the event feed at the read: subscribe after it.</summary>
    [Id(1)] public long Sequence { get; init; }
    [Id(2)] public DateTimeOffset At { get; init; }
}

/// <summary>Restricts the fold to some stacks; null is any.</summary>
[GenerateSerializer, Immutable, Alias("Farm.MatrixQuery")]
public sealed record MatrixQuery
{
    [Id(0)] public Backend? Backend { get; init; }
    [Id(1)] public AssistMode? Assist { get; init; }
    [Id(2)] public FirmwareSet? Firmware { get; init; }
    [Id(3)] public string? GuestId { get; init; }

    /// <summary>Of each cell only the results kept that are of a build (<see cref="StackSpec.FirmwareBuild"/>) whose name begins so.</summary>
    [Id(4)] public string? Build { get; init; }
}

/// <summary>A build of firmware, assist and machine that cells have results of.</summary>
[GenerateSerializer, Immutable, Alias("Farm.BuildInfo")]
public sealed record BuildInfo
{
    [Id(0)] public required string Build { get; init; }
    [Id(1)] public DateTimeOffset First { get; init; }
    [Id(2)] public DateTimeOffset Last { get; init; }

    /// <summary>Cells that have a result of it.</summary>
    [Id(3)] public int Cells { get; init; }
}
