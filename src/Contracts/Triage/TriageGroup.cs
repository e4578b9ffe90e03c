using Farm.Contracts.Guests;
using Orleans;

namespace Farm.Contracts.Triage;

/// <summary>The processor's mode at an unsupported opcode.</summary>
public enum CpuMode { Real, Vm86, Protected16, Protected32, Long64 }

/// <summary>One segment register with its descriptor cache.</summary>
[GenerateSerializer, Immutable, Alias("Farm.SegmentView")]
public sealed record SegmentView
{
    [Id(0)] public required string Name { get; init; }
    [Id(1)] public int Selector { get; init; }
    [Id(2)] public ulong Base { get; init; }
    [Id(3)] public uint Limit { get; init; }

    /// <summary>Access rights as in the VMCS: type 0-3, S 4, DPL 5-6, P 7, AVL 12, L 13, D/B 14, G 15, unusable 16.</summary>
    [Id(4)] public uint Attributes { get; init; }
}

/// <summary>A line of disassembly.</summary>
[GenerateSerializer, Immutable, Alias("Farm.CodeLine")]
public sealed record CodeLine
{
    /// <summary>As shown, e.g. <c>F000:E05B</c>.</summary>
    [Id(0)] public required string Address { get; init; }
    [Id(1)] public required string Bytes { get; init; }
    [Id(2)] public required string Text { get; init; }

    /// <summary>This is the instruction that was refused.</summary>
    [Id(3)] public bool Failing { get; init; }
}

/// <summary>An instruction that the assist, or the hardware's own emulation, could not execute, with all that is needed to fix it.</summary>
[GenerateSerializer, Immutable, Alias("Farm.UnsupportedOpcodeReport")]
public sealed record UnsupportedOpcodeReport
{
    /// <summary>The instruction's bytes, hex, at most 15.</summary>
    [Id(0)] public required string Bytes { get; init; }

    /// <summary>Prefix bytes, hex, in order; empty when none.</summary>
    [Id(1)] public string Prefixes { get; init; } = "";

    /// <summary>Iced's code, e.g. <c>Lmsw_rm16</c>; <c>INVALID</c> when it does not decode.</summary>
    [Id(2)] public required string Code { get; init; }
    [Id(3)] public required string Mnemonic { get; init; }

    /// <summary>Opcode in the manual's form, e.g. <c>0F 01 /6</c>.</summary>
    [Id(4)] public string Opcode { get; init; } = "";

    /// <summary>The whole instruction as text.</summary>
    [Id(5)] public string Text { get; init; } = "";
    [Id(6)] public required CpuMode Mode { get; init; }
    [Id(7)] public int CodeSegment { get; init; }
    [Id(8)] public ulong InstructionPointer { get; init; }
    [Id(9)] public ulong LinearAddress { get; init; }

    /// <summary>Who owns the address: <c>rombios</c>, <c>vgabios</c>, <c>option ROM</c>, <c>boot loader</c>, <c>kernel</c>.</summary>
    [Id(10)] public string Owner { get; init; } = "unknown";

    /// <summary>Why it came out: <c>assist</c>, <c>KVM emulation failure</c>, <c>WHP unsupported</c>.</summary>
    [Id(11)] public string ExitReason { get; init; } = "assist";

    /// <summary>General registers, flags and control registers by name.</summary>
    [Id(12)] public IReadOnlyList<RegisterView> Registers { get; init; } = [];
    [Id(13)] public IReadOnlyList<SegmentView> Segments { get; init; } = [];

    /// <summary>Memory around the instruction, hex, and the linear address of its first byte.</summary>
    [Id(14)] public string BytesAround { get; init; } = "";
    [Id(15)] public ulong BytesAroundAddress { get; init; }
    [Id(16)] public IReadOnlyList<CodeLine> Disassembly { get; init; } = [];

    /// <summary>Last taken branches, newest first, as <c>from -> to</c>.</summary>
    [Id(17)] public IReadOnlyList<string> LastBranches { get; init; } = [];
    [Id(18)] public IReadOnlyList<string> Screen { get; init; } = [];
    [Id(19)] public long Instructions { get; init; }
    [Id(20)] public double GuestSeconds { get; init; }
}

[GenerateSerializer, Immutable, Alias("Farm.RegisterView")]
public readonly record struct RegisterView([property: Id(0)] string Name, [property: Id(1)] ulong Value);

public enum TriageStatus { Open, FixClaimed, Closed }

/// <summary>A cell that a fingerprint blocks.</summary>
[GenerateSerializer, Immutable, Alias("Farm.BlockedCell")]
public sealed record BlockedCell
{
    [Id(0)] public required string GuestId { get; init; }
    [Id(1)] public required JobKind Kind { get; init; }
    [Id(2)] public required StackSpec Stack { get; init; }
    [Id(3)] public required long RunId { get; init; }
    [Id(4)] public DateTimeOffset At { get; init; }
}

/// <summary>All failures with one fingerprint: opcode, prefixes, CPU mode, exit reason.</summary>
[GenerateSerializer, Immutable, Alias("Farm.TriageGroup")]
public sealed record TriageGroup
{
    /// <summary>12 hex digits.</summary>
    [Id(0)] public required string Fingerprint { get; init; }

    /// <summary>E.g. <c>0F 01 /6 LMSW in vm86 (rombios)</c>.</summary>
    [Id(1)] public required string Title { get; init; }
    [Id(2)] public required string Mnemonic { get; init; }
    [Id(3)] public required string Opcode { get; init; }
    [Id(4)] public string Prefixes { get; init; } = "";
    [Id(5)] public CpuMode Mode { get; init; }
    [Id(6)] public string ExitReason { get; init; } = "";
    [Id(7)] public long Occurrences { get; init; }
    [Id(8)] public DateTimeOffset FirstSeen { get; init; }
    [Id(9)] public DateTimeOffset LastSeen { get; init; }

    /// <summary>Guests with a cell that this fingerprint blocks now: the groups are ranked by their number.</summary>
    [Id(10)] public IReadOnlyList<string> GuestsBlocked { get; init; } = [];

    /// <summary>Cells whose newest result is this failure.</summary>
    [Id(11)] public IReadOnlyList<BlockedCell> CellsBlocked { get; init; } = [];
    [Id(12)] public TriageStatus Status { get; init; }
    [Id(13)] public string? Note { get; init; }
}

/// <summary>A group with its newest full reports.</summary>
[GenerateSerializer, Immutable, Alias("Farm.TriageDetail")]
public sealed record TriageDetail
{
    [Id(0)] public required TriageGroup Group { get; init; }

    /// <summary>Newest first, one per run, at most 20.</summary>
    [Id(1)] public IReadOnlyList<TriageSample> Samples { get; init; } = [];

    /// <summary>One per blocked cell: whose fault it is, by what other strengths and backends did with the same guest.</summary>
    [Id(2)] public IReadOnlyList<TriageComparison> Comparisons { get; init; } = [];
}

/// <summary>Whose fault an unsupported opcode is.</summary>
public enum TriageVerdict
{
    /// <summary>No other strength or backend has run the cell.</summary>
    NotCompared,

    /// <summary>Another strength or backend passes: the guest is right.</summary>
    AssistGap,

    /// <summary>Another strength or backend lacks an opcode too.</summary>
    ProcessorGap,

    /// <summary>No other strength or backend passes, and none lacks an opcode.</summary>
    GuestBug,
}

/// <summary>A blocked cell beside the same guest, kind and firmware on other strengths and backends.</summary>
[GenerateSerializer, Immutable, Alias("Farm.TriageComparison")]
public sealed record TriageComparison
{
    [Id(0)] public required string GuestId { get; init; }
    [Id(1)] public required JobKind Kind { get; init; }
    [Id(2)] public required StackSpec Stack { get; init; }
    [Id(3)] public required TriageVerdict Verdict { get; init; }

    /// <summary>The verdict in a sentence, with the runs that it rests on.</summary>
    [Id(4)] public required string Text { get; init; }

    /// <summary>The newest runs of the other stacks.</summary>
    [Id(5)] public IReadOnlyList<long> Runs { get; init; } = [];
}

[GenerateSerializer, Immutable, Alias("Farm.TriageSample")]
public sealed record TriageSample
{
    [Id(0)] public required long RunId { get; init; }
    [Id(1)] public required string GuestId { get; init; }
    [Id(2)] public required JobKind Kind { get; init; }
    [Id(3)] public required StackSpec Stack { get; init; }
    [Id(4)] public DateTimeOffset At { get; init; }
    [Id(5)] public required UnsupportedOpcodeReport Report { get; init; }
}

/// <summary>Body of PATCH /api/triage/{fingerprint}.</summary>
[GenerateSerializer, Immutable, Alias("Farm.TriageEdit")]
public sealed record TriageEdit
{
    [Id(0)] public TriageStatus? Status { get; init; }
    [Id(1)] public string? Note { get; init; }
    [Id(2)] public string? By { get; init; }
}
