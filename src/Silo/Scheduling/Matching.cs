using Farm.Contracts;
using Farm.Contracts.Guests;
using Farm.Contracts.Workers;

namespace Farm.Silo.Scheduling;

/// <summary>Why a worker does not take a job, in the order of the checks: the later, the nearer it is to taking it.</summary>
public enum Obstacle { State, Backend, Firmware, Assist, CpuModel, Media, TooSmall, Disk, Avoided, Memory, Busy, None }

/// <summary>A worker with what it is using.</summary>
public sealed record WorkerRoom(WorkerInfo Worker, int Busy, int MemoryInUseMiB);

/// <summary>The outcome of holding a job against a worker: the backend it would get, or what is in the way.</summary>
public readonly record struct Match(Obstacle Obstacle, Backend Backend, string Detail);

/// <summary>Holds jobs against workers. Pure.</summary>
public static class Matching
{
    /// <summary>A worker with less free disk than this takes nothing; a worker that does not say is trusted.</summary>
    public const long LeastFreeDiskMiB = 512;

    /// <param name="shelf">Media that any worker can have from the farm.</param>
    public static Match Match(WaitingJob job, WorkerRoom room, IReadOnlyList<HeldMedia> shelf)
    {
        var worker = room.Worker;
        var can = worker.Capabilities;
        if (worker.State is not WorkerState.Online)
            return No(Obstacle.State, $"{worker.Id} is {worker.State.ToString().ToLowerInvariant()}");
        if (Resolve(job.Stack.Backend, can) is not { } backend)
            return No(Obstacle.Backend, BackendMissing(job.Stack.Backend, worker));
        if (!can.Firmware.Contains(job.Stack.Firmware))
            return No(Obstacle.Firmware, $"{worker.Id} has no {Name(job.Stack.Firmware)} firmware");
        if (!can.Assist.Contains(job.Stack.Assist))
            return No(Obstacle.Assist, $"{worker.Id} does not offer --assist {Name(job.Stack.Assist)}");
        if (job.CpuModel is { } model && can.CpuModels.Count > 0 && !can.CpuModels.Contains(model))
            return No(Obstacle.CpuModel, $"{worker.Id} has no CPU model {model}");
        if (Missing(job.Media, worker.Media, shelf) is { } missing)
            return No(Obstacle.Media, missing.Describe());
        if (can.MemoryMiB > 0 && job.MemoryMiB > can.MemoryMiB)
            return No(Obstacle.TooSmall, $"{worker.Id} has {can.MemoryMiB} MiB for guests");
        if (worker.FreeDiskMiB is > 0 and < LeastFreeDiskMiB)
            return No(Obstacle.Disk, $"{worker.Id} has {worker.FreeDiskMiB} MiB of disk left");
        if (job.Avoid.Contains(worker.Id))
            return No(Obstacle.Avoided, worker.Id);
        if (can.MemoryMiB > 0 && room.MemoryInUseMiB + job.MemoryMiB > can.MemoryMiB)
            return No(Obstacle.Memory, $"{worker.Id} has {can.MemoryMiB - room.MemoryInUseMiB} of {can.MemoryMiB} MiB free");
        if (room.Busy >= worker.Slots)
            return No(Obstacle.Busy, worker.Id);
        return new(Obstacle.None, backend, worker.Id);
    }

    /// <summary>The backend that a worker uses for a request, or null; <c>auto</c> is its best.</summary>
    public static Backend? Resolve(Backend asked, WorkerCapabilities can) =>
        asked is Backend.Auto ? can.Backends.Cast<Backend?>().FirstOrDefault()
        : can.Backends.Contains(asked) ? asked
        : null;

    /// <summary>The first medium that is neither held nor to be had from the farm, or null.</summary>
    public static MediaInfo? Missing(IReadOnlyList<MediaInfo> needed, IReadOnlyList<HeldMedia> held, IReadOnlyList<HeldMedia> shelf)
    {
        foreach (var medium in needed)
        {
            if (!held.Any(have => have.Is(medium)) && !shelf.Any(have => have.Is(medium)))
                return medium;
        }
        return null;
    }

    internal static string Name(Enum value) => value.ToString().ToLowerInvariant();

    private static string BackendMissing(Backend asked, WorkerInfo worker)
    {
        var name = Name(asked);
        var why = worker.Capabilities.Missing.FirstOrDefault(line => line.StartsWith(name + ":", StringComparison.OrdinalIgnoreCase));
        return why is null ? $"{worker.Id} has no {name} backend" : $"{worker.Id}: {why}";
    }

    private static Match No(Obstacle obstacle, string detail) => new(obstacle, Backend.Auto, detail);
}
