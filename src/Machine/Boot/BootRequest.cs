namespace Farm.Machine.Boot;

/// <summary>One VM to boot with no farm around it: what <c>farm boot</c> and a worker's child process run.</summary>
public sealed record BootRequest
{
    public required MachineOptions Machine { get; init; }

    /// <summary>auto, soft, kvm or whp.</summary>
    public string Backend { get; init; } = "auto";

    /// <summary>What to expect, type, insert...; an empty script waits for the guest to power off.</summary>
    public required GuestScript Script { get; init; }

    /// <summary>See <see cref="ScriptRunner.Settle"/>.</summary>
    public TimeSpan Settle { get; init; }

    /// <summary>Limit in host time; null: none.</summary>
    public TimeSpan? HostTimeout { get; init; }

    /// <summary>Limit in guest time.</summary>
    public TimeSpan GuestTimeout { get; init; } = TimeSpan.FromMinutes(30);
}
