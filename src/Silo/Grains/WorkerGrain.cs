using Farm.Contracts.Grains;
using Farm.Contracts.Workers;
using Farm.Silo.Hosting;
using Farm.Silo.Storage;
using Microsoft.Extensions.Logging;

namespace Farm.Silo.Grains;

/// <inheritdoc cref="IWorkerGrain"/>
internal sealed partial class WorkerGrain(
    WorkerStore workers, JobStore jobs, FarmNews news, FarmClock clock, FarmTimings timings, ApiAddress api, ILogger<WorkerGrain> log) : Grain, IWorkerGrain
{
    private IWorkerObserver? _observer;
    private bool _workWaiting;
    private WorkerState? _told;

    private string Id => this.GetPrimaryKeyString();

    public async Task<WorkerSession> Register(WorkerRegistration registration)
    {
        var session = await workers.Register(Id, registration with { Slots = Math.Clamp(registration.Slots, 0, 1024) }, clock.Now);
        _observer = null;
        _told = WorkerState.Online;
        // what an earlier session of this id still holds cannot be running any more
        foreach (var lease in await jobs.HeldBy(Id))
            await GrainFactory.GetGrain<IJobGrain>(lease.JobId).Expire(lease.Epoch, $"Worker {Id} signed on anew.", trouble: true);
        LogRegistered(Id, session, registration.Slots, registration.Media.Count);
        await news.WorkerChanged(Id);
        await GrainFactory.GetGrain<IQueueGrain>(0).Changed();
        return new() { Session = session, BeatEvery = timings.BeatEvery, DeadAfter = timings.DeadAfter, ApiUrl = api.Advertised };
    }

    public async Task<BeatReply> Beat(WorkerBeat beat)
    {
        if (await workers.Beat(Id, beat, clock.Now) is not { } state)
            return new() { SessionValid = false, Lost = beat.Leases };
        var renewed = await jobs.Renew(Id, beat.Leases, clock.Now + timings.DeadAfter);
        var held = renewed.Select(lease => lease.Lease).ToHashSet();
        if (state != _told || beat.Media is not null)
        {
            _told = state;
            await news.WorkerChanged(Id);
            await GrainFactory.GetGrain<IQueueGrain>(0).Changed();
        }
        var waiting = _workWaiting;
        _workWaiting = false;
        return new()
        {
            SessionValid = true,
            Lost = [.. beat.Leases.Where(lease => !held.Contains(lease))],
            Cancel = [.. renewed.Where(lease => lease.Cancel).Select(lease => lease.Lease)],
            WorkWaiting = waiting,
            ApiUrl = api.Advertised,
        };
    }

    public async Task<IReadOnlyList<Lease>> Claim(long session, int slots) =>
        await workers.HasSession(Id, session) ? await GrainFactory.GetGrain<IQueueGrain>(0).Claim(Id, session, slots) : [];

    public async Task SignOff(long session)
    {
        if (!await workers.SignOff(Id, session))
            return;
        _observer = null;
        _told = WorkerState.Offline;
        foreach (var lease in await jobs.HeldBy(Id))
            await GrainFactory.GetGrain<IJobGrain>(lease.JobId).Expire(lease.Epoch, $"Worker {Id} signed off.", trouble: false);
        await news.WorkerChanged(Id);
        await GrainFactory.GetGrain<IQueueGrain>(0).Changed();
    }

    public async Task Ran(long jobId, bool infrastructureTrouble)
    {
        if (await workers.Ran(Id, jobId, infrastructureTrouble, timings.QuarantineAfter, clock.Now, timings.Quarantine))
        {
            LogQuarantined(Id);
            await GrainFactory.GetGrain<IQueueGrain>(0).Changed();
        }
        await news.WorkerChanged(Id);
    }

    public async Task<bool> Release(string by)
    {
        if (!await workers.Release(Id))
            return false;
        await workers.Audit(by, "release", Id, clock.Now);
        await news.WorkerChanged(Id);
        await GrainFactory.GetGrain<IQueueGrain>(0).Changed();
        return true;
    }

    public async Task Attach(long session, IWorkerObserver observer)
    {
        if (await workers.HasSession(Id, session))
            _observer = observer;
    }

    public async Task Hint(WorkerHint hint)
    {
        _workWaiting |= hint.WorkWaiting;
        if (_observer is { } observer)
            await observer.OnHint(hint);
    }

    public Task<WorkerInfo?> Get() => workers.Find(Id);

    [LoggerMessage(Level = LogLevel.Information, Message = "Worker {Worker} signed on as session {Session}: {Slots} slots, {Media} media")]
    private partial void LogRegistered(string worker, long session, int slots, int media);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Worker {Worker} is in quarantine: its runs keep ending in infrastructure trouble")]
    private partial void LogQuarantined(string worker);
}
