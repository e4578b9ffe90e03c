using Orleans;

namespace Farm.Contracts;

/// <summary>What executes the guest's instructions. <see cref="Auto"/> stands only in requests: a run always names one.</summary>
public enum Backend { Auto, Soft, Kvm, Whp }

/// <summary>How much of the guest's real-mode code the assist interprets (the <c>--assist</c> option).</summary>
public enum AssistMode { Vm86, Full, Native }

/// <summary>The firmware set that the guest boots with.</summary>
public enum FirmwareSet { Bochs, Seabios }

/// <summary>The axes of a matrix cell besides guest and kind, and the machine's size.</summary>
[GenerateSerializer, Immutable, Alias("Farm.StackSpec")]
public sealed record StackSpec
{
    [Id(0)] public Backend Backend { get; init; } = Backend.Auto;
    [Id(1)] public AssistMode Assist { get; init; } = AssistMode.Vm86;
    [Id(2)] public FirmwareSet Firmware { get; init; } = FirmwareSet.Bochs;

    /// <summary>Guest memory; null takes the catalogue's value.</summary>
    [Id(3)] public int? MemoryMiB { get; init; }

    /// <summary>A CPU model by name (<c>486</c>, <c>pentium</c>, <c>p3</c>, <c>x86-64</c>); null takes the catalogue's value.</summary>
    [Id(4)] public string? CpuModel { get; init; }

    /// <summary>The build of firmware and assist that ran (a digest or version); filled in by the run, null in a request.</summary>
    [Id(5)] public string? FirmwareBuild { get; init; }
}
