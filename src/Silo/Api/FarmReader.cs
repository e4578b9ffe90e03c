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
        if (await Guests(guestId, cancel) is not [{ Guest: var guest }])
            return null;
        return MatrixFold.Fold(guest, kind, await cells.List(new() { GuestId = guestId }, cancel), await jobs.Active(guestId, cancel));
    }

    public Task<List<BuildInfo>> Builds(CancellationToken cancel = default) => cells.Builds(cancel);

    /// <param name="waits">Wait reasons by job.</param>
    public async Task<IReadOnlyList<MatrixRow>> Rows(MatrixQuery query, IReadOnlyDictionary<long, string> waits, CancellationToken cancel = default)
    {
        // what is queued or runs is of no build yet
        var active = (query.Build is null ? await jobs.Active(query.GuestId, cancel) : [])
            .Where(job => Fits(query.Backend, job.Stack.Backend) && Fits(query.Assist, job.Stack.Assist) && Fits(query.Firmware, job.Stack.Firmware))
            .Select(job => job with { WaitReason = waits.GetValueOrDefault(job.Id) });
        return Rows(await Guests(query.GuestId, cancel), await cells.List(query, cancel), active);

        static bool Fits<T>(T? asked, T has) where T : struct, Enum => asked is null || EqualityComparer<T>.Default.Equals(asked.Value, has);
    }

    /// <summary>Results alone: what is queued or runs may change either side.</summary>
    public async Task<IReadOnlyList<CellComparison>> Compare(MatrixQuery first, MatrixQuery second, CancellationToken cancel = default)
    {
        var entries = await Guests(first.GuestId, cancel);
        var others = second.GuestId == first.GuestId ? entries : await Guests(second.GuestId, cancel);
        return MatrixComparison.Compare(Rows(entries, await cells.List(first, cancel), []), Rows(others, await cells.List(second, cancel), []));
    }

    /// <param name="guestId">The one of them; null: all.</param>
    public async Task<IReadOnlyList<CatalogueEntry>> Guests(string? guestId = null, CancellationToken cancel = default)
    {
        var entries = guestId is null ? await guests.List(cancel) : await guests.Find(guestId, cancel) is { } one ? [one] : [];
        var alive = await Alive(cancel);
        return [.. entries.Select(entry => entry with { Guest = WithMedia(entry.Guest, alive) })];
    }

    /// <summary>Workers that take part: neither dead nor signed off.</summary>
    public async Task<IReadOnlyList<WorkerInfo>> Alive(CancellationToken cancel = default) =>
        [.. (await workers.List(cancel)).Where(worker => worker.State is not (WorkerState.Dead or WorkerState.Offline))];

    /// <summary>The guest with the state of its media, held by the workers given or to be had from the farm.</summary>
    private GuestInfo WithMedia(GuestInfo guest, IReadOnlyList<WorkerInfo> alive) => guest with
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

    private static IReadOnlyList<MatrixRow> Rows(IReadOnlyList<CatalogueEntry> entries, IEnumerable<MatrixCell> results, IEnumerable<ActiveJob> active)
    {
        var resultsOf = results.ToLookup(cell => cell.GuestId);
        var activeOf = active.ToLookup(job => job.GuestId);
        return [.. entries.Select(entry => MatrixFold.Row(entry.Guest, [.. resultsOf[entry.Guest.Id]], [.. activeOf[entry.Guest.Id]]))];
    }
}
