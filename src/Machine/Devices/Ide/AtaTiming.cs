namespace Farm.Machine.Devices.Ide;

/// <summary>How long a drive takes, in nanoseconds of guest time. Short, never zero: a guest must be able to see BSY.</summary>
public sealed record AtaTiming
{
    public static AtaTiming Default { get; } = new();

    /// <summary>From a command to its first data request or its end.</summary>
    public long CommandNs { get; init; } = 10_000;

    /// <summary>For each sector that moves between medium and buffer.</summary>
    public long SectorNs { get; init; } = 2_000;

    /// <summary>Hardware reset, software reset and diagnostics.</summary>
    public long ResetNs { get; init; } = 50_000;
}
