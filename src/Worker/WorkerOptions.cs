using Farm.Contracts;
using Farm.Contracts.Workers;
using Farm.Vm;
using Farm.Worker.VmHost;

namespace Farm.Worker;

/// <summary>How a worker is run.</summary>
public sealed record WorkerOptions
{
    public const int DefaultMediaCacheMiB = 20 * 1024;

    /// <summary>Unique in the farm, and the same after a restart.</summary>
    public string Id { get; init; } = Environment.MachineName.ToLowerInvariant();

    /// <summary>VMs at the same time.</summary>
    public int Slots { get; init; } = Math.Max(1, Environment.ProcessorCount);
    public required WorkerCapabilities Capabilities { get; init; }

    /// <summary>Folder for runs and the digests of media.</summary>
    public required string Folder { get; init; }

    /// <summary>Folders with media.</summary>
    public IReadOnlyList<string> MediaFolders { get; init; } = [];
    public VmHostCommand Command { get; init; } = VmHostCommand.Self();

    /// <summary>What ran: goes into a stack whose run does not name its build.</summary>
    public string Build { get; init; } = BuildIdentity.OfThisProgram;

    public TimeSpan BatchEvery { get; init; } = TimeSpan.FromMilliseconds(250);
    public TimeSpan ScanEvery { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>MiB of media fetched from the farm that are kept.</summary>
    public int MediaCacheMiB { get; init; } = DefaultMediaCacheMiB;

    /// <summary>The farm's HTTP API, when not at the address that the silo names.</summary>
    public Uri? ApiUrl { get; init; }
    public TimeProvider Time { get; init; } = TimeProvider.System;

    internal string RunsFolder => Path.Combine(Path.GetFullPath(Folder), "runs", Id);
}
