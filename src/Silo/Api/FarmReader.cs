using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;
using Farm.Contracts.Workers;
using Farm.Silo.Scheduling;
using Farm.Silo.Storage;
using Farm.Silo.Verdicts;

namespace Farm.Silo.Api;

/// <summary>Reads that lay several tables together.</summary>
public sealed class FarmReader(GuestStore guests, CellStore cells, JobStore jobs, WorkerStore workers, IMediaShelf shelf)
{
    public Task<JobInfo?> Job(long id, CancellationToken cancel = default) => jobs.Find(id, cancel);

    public Task<WorkerInfo?> Worker(string id, CancellationToken cancel = default) => workers.Find(id, cancel);

    /// <summary>The folded cell of a guest that is in the catalogue.</summary>
    public async Task<MatrixCell?> Cell(string guestId, JobKind kind, CancellationToken cancel = default)
    {
        if (await guests.Find(guestId, cancel) is not { } entry)
            return null;
        var guest = WithMedia(entry.Guest, await Alive(cancel));
        return MatrixFold.Fold(guest, kind, await cells.List(new() { GuestId = guestId }, cancel), await jobs.Active(guestId, cancel));
    }

    public Task<List<BuildInfo>> Builds(CancellationToken cancel = default) => cells.Builds(cancel);

    /// <param name="waits">Wait reasons by job; null: results alone, without what is queued or runs.</param>
    public async Task<IReadOnlyList<MatrixRow>> Rows(MatrixQuery query, IReadOnlyDictionary<long, string>? waits, CancellationToken cancel = default)
    {
        var entries = query.GuestId is { } id ? (await guests.Find(id, cancel) is { } one ? [one] : []) : await guests.List(cancel);
        var results = (await cells.List(query, cancel)).ToLookup(cell => cell.GuestId);
        // what is queued or runs is of no build yet
        var active = (waits is not null && query.Build is null ? await jobs.Active(query.GuestId, cancel) : [])
            .Where(job => Fits(query.Backend, job.Stack.Backend) && Fits(query.Assist, job.Stack.Assist) && Fits(query.Firmware, job.Stack.Firmware))
            .Select(job => job with { WaitReason = waits?.GetValueOrDefault(job.Id) }).ToLookup(job => job.GuestId);
        var alive = await Alive(cancel);
        return
        [
            .. entries.Select(entry => MatrixFold.Row(WithMedia(entry.Guest, alive), [.. results[entry.Guest.Id]], [.. active[entry.Guest.Id]])),
        ];

        static bool Fits<T>(T? asked, T has) where T : struct, Enum => asked is null || EqualityComparer<T>.Default.Equals(asked.Value, has);
    }

    public async Task<IReadOnlyList<CatalogueEntry>> Guests(CancellationToken cancel = default)
    {
        var alive = await Alive(cancel);
        return [.. (await guests.List(cancel)).Select(entry => entry with { Guest = WithMedia(entry.Guest, alive) })];
    }

    /// <summary>Workers that take part: neither dead nor signed off.</summary>
    public async Task<IReadOnlyList<WorkerInfo>> Alive(CancellationToken cancel = default) =>
        [.. (await workers.List(cancel)).Where(worker => worker.State is not (WorkerState.Dead or WorkerState.Offline))];

    /// <summary>The guest with the state of its media, held by the workers given or to be had from the farm.</summary>
    public GuestInfo WithMedia(GuestInfo guest, IReadOnlyList<WorkerInfo> alive) => guest with
    {
        Media =
        [
            .. guest.Media.Select(medium =>
            {
                var holders = alive.Where(worker => worker.Media.Any(have => have.Is(medium))).Select(worker => worker.Id).ToList();
                return medium with { HeldBy = holders, State = holders.Count > 0 || shelf.Held.Any(have => have.Is(medium)) ? MediaState.Present : MediaState.Missing };
            }),
        ],
    };
}
