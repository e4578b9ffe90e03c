using System.Text.Json;
using System.Text.Json.Serialization;
using Farm.Assist.Reports;

namespace Farm.Machine.Boot;

/// <summary>How a run ended, seen from the guest.</summary>
public enum BootOutcome
{
    /// <summary>All expectations were met, or (with none) the guest powered off.</summary>
    Pass,

    /// <summary>The guest showed one of its failure patterns, or ended before its expectations were met.</summary>
    Fail,

    /// <summary>The assist or the backend met an instruction that it cannot emulate.</summary>
    UnsupportedOpcode,

    /// <summary>The guest can make no progress: HLT with interrupts off, or a loop that nothing can leave.</summary>
    Hang,

    TripleFault,

    /// <summary>A limit in guest time, instructions or host time was reached.</summary>
    Timeout,
}

/// <summary>One step on the way from the loader to the prompt.</summary>
/// <param name="Name">loader, post, option-rom, boot-sector, boot-loader, protected-mode, kernel, first-disk-write, or a script's own phase.</param>
/// <param name="GuestSeconds">Guest time at which it was reached.</param>
/// <param name="HostSeconds">Host time since the start of the run.</param>
/// <param name="Instructions">Guest instructions executed until then.</param>
public sealed record PhaseReached(string Name, double GuestSeconds, double HostSeconds, ulong Instructions);

/// <summary>What went over a network card's cable.</summary>
/// <param name="Card">ne2k, ne2k-isa, rtl8139 or virtio.</param>
/// <param name="FramesSent">Frames that the guest sent.</param>
/// <param name="BytesSent">Their bytes.</param>
/// <param name="FramesReceived">Frames that reached the guest's card.</param>
/// <param name="BytesReceived">Their bytes.</param>
/// <param name="FramesDropped">Frames of no possible size, and those that the guest did not fetch in time.</param>
/// <param name="Hash">SHA-256 of every frame both ways, in order.</param>
public sealed record NetworkTraffic(string Card, long FramesSent, long BytesSent, long FramesReceived, long BytesReceived, long FramesDropped, string Hash);

/// <summary>What the guest showed when an expectation of the script was met.</summary>
/// <param name="Step">The step in a few words.</param>
/// <param name="GuestSeconds">Guest time.</param>
/// <param name="Screen">Lines of the text screen; empty in a graphics mode.</param>
public sealed record StepMet(string Step, double GuestSeconds, IReadOnlyList<string> Screen);

/// <summary>The result of one boot, as <c>--report</c> writes it.</summary>
public sealed record BootReport
{
    public required BootOutcome Outcome { get; init; }

    /// <summary>One sentence: what ended the run.</summary>
    public required string Reason { get; init; }

    public required string Backend { get; init; }

    public required string AssistStrength { get; init; }

    public required string Firmware { get; init; }

    public required string CpuModel { get; init; }

    public required int MemoryMiB { get; init; }

    /// <summary>virtual (a function of executed instructions), host-skip (the host's clock, idle time skipped) or host.</summary>
    public required string ClockMode { get; init; }

    public required double GuestSeconds { get; init; }

    public required double HostSeconds { get; init; }

    /// <summary>Guest instructions, where the backend counts them: on the vCPU and in the assist's interpreter together.</summary>
    public required ulong Instructions { get; init; }

    /// <summary>Of these, interpreted by the assist's host half.</summary>
    public required ulong AssistInstructions { get; init; }

    /// <summary>Of these, executed by the vCPU itself in real mode: 0 under vm86 and full.</summary>
    public required ulong RealModeInstructions { get; init; }

    /// <summary>What the guest was doing instead of making progress, when the run ended as Hang, TripleFault or Timeout; null: nothing of the kind.</summary>
    public Stall? Stall { get; init; }

    public required string FurthestPhase { get; init; }

    public required IReadOnlyList<PhaseReached> Phases { get; init; }

    /// <summary>The expectations met, in order.</summary>
    public required IReadOnlyList<StepMet> Steps { get; init; }

    /// <summary>Exits of the vCPU by reason, and accesses through its door by kind.</summary>
    public required IReadOnlyDictionary<string, ulong> Exits { get; init; }

    /// <summary>Traps of the monitor by the mnemonic of the instruction that trapped.</summary>
    public required IReadOnlyDictionary<string, ulong> AssistTraps { get; init; }

    public required ulong AssistTrapsTotal { get; init; }

    public required IReadOnlyList<UnsupportedOpcodeEvent> UnsupportedOpcodes { get; init; }

    /// <summary>External interrupts delivered, by IRQ.</summary>
    public required IReadOnlyDictionary<string, ulong> Interrupts { get; init; }

    /// <summary>POST codes written to port 80h, in order (the last 256).</summary>
    public required IReadOnlyList<byte> PostCodes { get; init; }

    public required IReadOnlyList<string> Screen { get; init; }

    /// <summary>Hash of what the screen shows at the end, text or graphics.</summary>
    public required string ScreenHash { get; init; }

    /// <summary>Number of different screens that followed each other, as sampled in guest time.</summary>
    public required int Screens { get; init; }

    /// <summary>SHA-256 over the hashes of all these screens, in order.</summary>
    public required string ScreensHash { get; init; }

    /// <summary>SHA-256 of every byte the guest sent to COM1.</summary>
    public required string SerialHash { get; init; }

    /// <summary>SHA-256 of every sector that the guest wrote, in order.</summary>
    public required string DiskWriteHash { get; init; }

    /// <summary>One entry for each network card.</summary>
    public required IReadOnlyList<NetworkTraffic> Network { get; init; }

    /// <summary>Oddities noted by buses and devices (bounded).</summary>
    public required IReadOnlyList<string> Events { get; init; }

    public string ToJson() => JsonSerializer.Serialize(this, BootJson.Kebab.BootReport);

    public static BootReport? FromJson(string json) => JsonSerializer.Deserialize(json, BootJson.Kebab.BootReport);
}

/// <summary>The report's JSON. Its code is made by the compiler: a program compiled ahead has no reflection to do it by.</summary>
[JsonSerializable(typeof(BootReport))]
internal sealed partial class BootJson : JsonSerializerContext
{
    /// <summary>Enums by name, in kebab-case.</summary>
    public static BootJson Kebab { get; } = new(new JsonSerializerOptions(JsonSerializerDefaults.Web)
    {
        WriteIndented = true,
        Converters =
        {
            new JsonStringEnumConverter<BootOutcome>(JsonNamingPolicy.KebabCaseLower), new JsonStringEnumConverter<StallKind>(JsonNamingPolicy.KebabCaseLower),
            new JsonStringEnumConverter<CpuMode>(JsonNamingPolicy.KebabCaseLower),
        },
    });
}
