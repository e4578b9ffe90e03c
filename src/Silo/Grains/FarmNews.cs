using Farm.Contracts.Grains;
using Farm.Contracts.Guests;
using Farm.Contracts.Live;
using Farm.Silo.Api;
using Farm.Silo.Hosting;

namespace Farm.Silo.Grains;

/// <summary>Tells the feed what has changed, with the state that is in the database now.</summary>
public sealed class FarmNews(IGrainFactory grains, FarmReader reader, FarmClock clock)
{
    public async Task JobChanged(long jobId)
    {
        if (await reader.Job(jobId) is not { } job)
            return;
        var events = new List<FarmEvent> { new() { Kind = FarmEventKind.JobChanged, At = clock.Now, Job = job } };
        if (await reader.Cell(job.GuestId, job.Kind) is { } cell)
            events.Add(new() { Kind = FarmEventKind.CellChanged, At = clock.Now, Cell = cell });
        await Publish(events);
    }

    public async Task WorkerChanged(string workerId)
    {
        if (await reader.Worker(workerId) is { } worker)
            await Publish([new() { Kind = FarmEventKind.WorkerChanged, At = clock.Now, Worker = worker }]);
    }

    public Task TriageChanged(IEnumerable<string> fingerprints) =>
        Publish([.. fingerprints.Distinct().Select(fingerprint => new FarmEvent { Kind = FarmEventKind.TriageChanged, At = clock.Now, Fingerprint = fingerprint })]);

    public Task GuestsChanged() => Publish([new() { Kind = FarmEventKind.GuestsChanged, At = clock.Now }]);

    private Task Publish(List<FarmEvent> events) =>
        events.Count == 0 ? Task.CompletedTask : grains.GetGrain<IFeedGrain>(0).Publish(events);
}
