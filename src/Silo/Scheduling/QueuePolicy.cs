using Farm.Contracts;
using Farm.Contracts.Guests;
using Farm.Contracts.Workers;

namespace Farm.Silo.Scheduling;

/// <summary>A queued job as the policy sees it.</summary>
public sealed record WaitingJob
{
    public required long Id { get; init; }
    public required string GuestId { get; init; }
    public required JobKind Kind { get; init; }
    public required StackSpec Stack { get; init; }
    public IReadOnlyList<MediaInfo> Media { get; init; } = [];
    public int MemoryMiB { get; init; }
    public string? CpuModel { get; init; }
    public int Priority { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>Workers where it ended in infrastructure trouble: taken again only when no other worker can.</summary>
    public IReadOnlyList<string> Avoid { get; init; } = [];
}

/// <summary>A leased or running job as the policy sees it.</summary>
public sealed record OccupyingJob(long Id, string GuestId, JobKind Kind, Backend Backend, string Worker, int MemoryMiB, DateTimeOffset Since);

/// <summary>What the policy works on.</summary>
public sealed record QueueState(
    IReadOnlyList<WaitingJob> Waiting, IReadOnlyList<OccupyingJob> Occupying, IReadOnlyList<WorkerInfo> Workers, DurationHistory Durations)
{
    /// <summary>Media that any worker can have from the farm.</summary>
    public IReadOnlyList<HeldMedia> Shelf { get; init; } = [];

    /// <summary>The state after these leases were given.</summary>
    public QueueState With(IReadOnlyList<Lease> leases, DateTimeOffset now)
    {
        var taken = leases.Select(lease => lease.JobId).ToHashSet();
        return this with
        {
            Waiting = [.. Waiting.Where(job => !taken.Contains(job.Id))],
            Occupying =
            [
                .. Occupying,
                .. leases.Select(lease => new OccupyingJob(
                    lease.JobId, lease.Spec.GuestId, lease.Spec.Kind, lease.Stack.Backend, lease.Worker, lease.Stack.MemoryMiB ?? lease.Spec.Plan.MemoryMiB, now)),
            ],
            Workers = [.. Workers.Select(worker => worker with { Busy = worker.Busy + leases.Count(lease => lease.Worker == worker.Id) })],
        };
    }
}

/// <summary>A job for a worker, with the backend that the worker shall use.</summary>
public readonly record struct Assignment(long JobId, Backend Backend);

/// <summary>Which waiting job goes where: priority with ageing, then capability and media, then load. Pure.</summary>
public static class QueuePolicy
{
    /// <summary>A job gains one point of priority for this much waiting, so that none starves.</summary>
    public static readonly TimeSpan AgeingStep = TimeSpan.FromMinutes(1);

    /// <summary>Priority with what waiting has added.</summary>
    public static double EffectivePriority(WaitingJob job, DateTimeOffset now) =>
        job.Priority + Math.Max(0, (now - job.CreatedAt) / AgeingStep);

    /// <summary>Waiting jobs, the next to go first.</summary>
    public static IReadOnlyList<WaitingJob> Order(IEnumerable<WaitingJob> jobs, DateTimeOffset now) =>
        [.. jobs.OrderByDescending(job => Math.Floor(EffectivePriority(job, now))).ThenBy(job => job.CreatedAt).ThenBy(job => job.Id)];

    /// <summary>Up to <paramref name="slots"/> jobs for a worker, best first.</summary>
    public static IReadOnlyList<Assignment> Pick(QueueState state, string workerId, int slots, DateTimeOffset now)
    {
        var worker = state.Workers.FirstOrDefault(candidate => candidate.Id == workerId);
        if (worker is null || slots <= 0)
            return [];
        var occupied = state.Occupying.Where(job => job.Worker == workerId).ToList();
        var room = new WorkerRoom(worker, occupied.Count, occupied.Sum(job => job.MemoryMiB));
        var picked = new List<Assignment>();
        foreach (var job in Order(state.Waiting, now))
        {
            if (picked.Count == slots || room.Busy == worker.Slots)
                break;
            var match = Matching.Match(job, room, state.Shelf);
            if (match.Obstacle is Obstacle.Avoided && !OtherCanRun(job, worker, state))
                match = Matching.Match(job with { Avoid = [] }, room, state.Shelf);
            if (match.Obstacle is not Obstacle.None)
                continue;
            picked.Add(new(job.Id, match.Backend));
            room = room with { Busy = room.Busy + 1, MemoryInUseMiB = room.MemoryInUseMiB + job.MemoryMiB };
        }
        return picked;
    }

    /// <summary>Whether some other worker, now or when it has room, would take the job.</summary>
    internal static bool OtherCanRun(WaitingJob job, WorkerInfo worker, QueueState state) =>
        state.Workers.Any(other => other.Id != worker.Id && Matching.Match(job, new(other, 0, 0), state.Shelf).Obstacle is Obstacle.None);
}
