using System.Net;
using Farm.Contracts.Guests;

namespace Farm.Silo.Hosting;

/// <summary>The farm's clock: tests put a fake one here, without touching the runtime's.</summary>
public sealed record FarmClock(TimeProvider Time)
{
    public DateTimeOffset Now => Time.GetUtcNow();
}

/// <summary>The rules that keep leases honest.</summary>
public sealed record FarmTimings
{
    public TimeSpan BeatEvery { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>A worker that has not beaten for this long is dead; also the length of a lease.</summary>
    public TimeSpan DeadAfter { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>How often leases and beats are looked at.</summary>
    public TimeSpan SweepEvery { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Different jobs in a row with infrastructure trouble that put a worker into quarantine, and for how long.</summary>
    public int QuarantineAfter { get; init; } = 5;
    public TimeSpan Quarantine { get; init; } = TimeSpan.FromMinutes(10);
}

/// <summary>How a silo is run.</summary>
public sealed record FarmSiloOptions
{
    /// <summary>The Npgsql connection string of the farm's database.</summary>
    public required string ConnectionString { get; init; }

    /// <summary>The catalogue; null leaves the database's as it is.</summary>
    public IReadOnlyList<CatalogueEntry>? Catalogue { get; init; }

    /// <summary>Folder of the artifact store.</summary>
    public required string ArtifactFolder { get; init; }
    public long LargestArtifact { get; init; } = 256L << 20;
    public long ArtifactQuota { get; init; } = 20L << 30;

    /// <summary>Where HTTP listens (may be all addresses); port 0 takes a free one.</summary>
    public IPAddress HttpAddress { get; init; } = IPAddress.Loopback;
    public int HttpPort { get; init; }

    /// <summary>
    /// By what address workers and other silos reach this one when it is not the one it listens on: with all addresses, or behind address
    /// translation. Needed when it listens on all.
    /// </summary>
    public IPAddress? AdvertisedAddress { get; init; }

    /// <summary>Where other silos and workers are listened to (may be all addresses); ports 0 take free ones.</summary>
    public IPAddress SiloAddress { get; init; } = IPAddress.Loopback;
    public int SiloPort { get; init; }
    public int GatewayPort { get; init; }
    public string ClusterId { get; init; } = "farm";
    public string ServiceId { get; init; } = "farm";

    /// <summary>
    /// This is the only silo on the database (<c>farm up</c>): what a killed predecessor left in the membership table is cleared
    /// instead of waited out. A second sole silo is refused.
    /// </summary>
    public bool Sole { get; init; }
    public FarmTimings Timings { get; init; } = new();
    public TimeProvider Time { get; init; } = TimeProvider.System;
}
