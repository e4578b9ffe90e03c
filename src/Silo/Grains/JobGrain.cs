using Farm.Contracts;
using Farm.Contracts.Grains;
using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Farm.Contracts.Workers;
using Farm.Silo.Hosting;
using Farm.Silo.Storage;
using Farm.Silo.Verdicts;
using Microsoft.Extensions.Logging;
using Orleans.Utilities;

namespace Farm.Silo.Grains;

/// <inheritdoc cref="IJobGrain"/>
internal sealed partial class JobGrain(
    JobStore jobs, RunStore runs, LeaseStore leases, FarmNews news, FarmClock clock, FarmTimings timings, ILogger<JobGrain> log) : Grain, IJobGrain
{
    /// <summary>Progress without a new phase is written and told to the feed at most this often.</summary>
    private static readonly TimeSpan s_quiet = TimeSpan.FromSeconds(1);

    private readonly ObserverManager<IRunObserver> _observers = new(TimeSpan.FromMinutes(1), log);
    private RunLiveView? _live;
    private long _epoch = -1;
    private DateTimeOffset _toldAt;

    private long Id => this.GetPrimaryKeyLong();

    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        if (await jobs.Find(Id, cancellationToken) is { State: JobState.Leased or JobState.Running, RunId: { } run } job)
        {
            _epoch = job.Epoch;
            _live = new(run);
        }
    }

    public async Task<Lease?> Lease(string worker, long session, Backend backend)
    {
        var lease = await jobs.Lease(Id, worker, session, backend, clock.Now, timings.DeadAfter);
        if (lease is null)
            return null;
        _epoch = lease.Epoch;
        _live = new(lease.RunId);
        LogLeased(Id, worker, lease.Epoch);
        await news.JobChanged(Id);
        return lease;
    }

    public async Task<LeaseReply> Start(long epoch, StackSpec stack)
    {
        if (await leases.Start(Id, epoch, stack, clock.Now) is not { } cancel)
            return Refuse(epoch);
        await news.JobChanged(Id);
        return new() { Valid = true, CancelRequested = cancel };
    }

    public async Task<LeaseReply> Report(ProgressBatch batch)
    {
        if (batch.Epoch != _epoch || _live is null)
            return Refuse(batch.Epoch);
        var live = _live;
        var change = live.Add(batch);
        var cancel = false;
        if (change.Phases.Count > 0 || clock.Now - _toldAt >= s_quiet)
        {
            if (await leases.Progress(Id, batch.Epoch, change.Phases, Math.Clamp(batch.Progress, 0, 1)) is not { } asked)
                return Refuse(batch.Epoch);
            cancel = asked;
            _toldAt = clock.Now;
            await news.JobChanged(Id);
        }
        await _observers.Notify(observer => observer.OnRun(change));
        return new() { Valid = true, CancelRequested = cancel, NeedFullScreen = !live.ScreenInStep };
    }

    public async Task<LeaseReply> Complete(long epoch, RunReport report)
    {
        report = RunReports.Bound(report);
        var worker = (await jobs.Find(Id))?.Worker;
        var end = await leases.Complete(Id, epoch, report, Tail(epoch), Picture(epoch), clock.Now);
        if (end is LeaseEnd.Void)
            return Refuse(epoch);
        if (end is not LeaseEnd.Already)
        {
            await Ended(epoch, end, report.Summary);
            await news.TriageChanged(report.UnsupportedOpcodes.Select(Fingerprint.Of));
            if (worker is not null && report.Health is RunHealth.Ok or RunHealth.Infrastructure)
                await GrainFactory.GetGrain<IWorkerGrain>(worker).Ran(Id, report.Health is RunHealth.Infrastructure);
        }
        return new() { Valid = true };
    }

    public async Task Expire(long epoch, string reason, bool trouble)
    {
        var worker = (await jobs.Find(Id))?.Worker;
        var end = await leases.Expire(Id, epoch, reason, trouble, Tail(epoch), Picture(epoch), clock.Now);
        if (end is LeaseEnd.Void)
            return;
        await Ended(epoch, end, reason);
        // its worker learns at its next beat, if it lives
        if (worker is not null)
            await news.WorkerChanged(worker);
    }

    public async Task<bool> Cancel(string by)
    {
        var (accepted, worker, epoch) = await leases.Cancel(Id, by, clock.Now);
        if (!accepted)
            return false;
        await news.JobChanged(Id);
        if (worker is not null)
            await GrainFactory.GetGrain<IWorkerGrain>(worker).Hint(new() { Cancel = new(Id, epoch) });
        else
            await GrainFactory.GetGrain<IQueueGrain>(0).Changed();
        return true;
    }

    public Task<RunEvent?> Snapshot() => Task.FromResult(_live?.Snapshot());

    public Task Watch(IRunObserver observer)
    {
        _observers.Subscribe(observer, observer);
        return Task.CompletedTask;
    }

    public Task Unwatch(IRunObserver observer)
    {
        _observers.Unsubscribe(observer);
        return Task.CompletedTask;
    }

    private async Task Ended(long epoch, LeaseEnd end, string summary)
    {
        LogEnded(Id, epoch, end, summary);
        if (_live is { } live && epoch == _epoch && await runs.Find(live.RunId) is { } run)
        {
            var last = live.End(run);
            await _observers.Notify(observer => observer.OnRun(last));
        }
        _live = null;
        _epoch = -1;
        await news.JobChanged(Id);
        await GrainFactory.GetGrain<IQueueGrain>(0).Changed();
    }

    private string Tail(long epoch) => epoch == _epoch && _live is { } live ? live.Serial : "";

    private ScreenUpdate? Picture(long epoch) => epoch == _epoch ? _live?.Screen : null;

    private LeaseReply Refuse(long epoch)
    {
        LogRefused(Id, epoch, _epoch);
        return new() { Valid = false };
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "Job {Job} leased to {Worker} as epoch {Epoch}")]
    private partial void LogLeased(long job, string worker, long epoch);

    [LoggerMessage(Level = LogLevel.Information, Message = "Job {Job} epoch {Epoch} ended, {End}: {Summary}")]
    private partial void LogEnded(long job, long epoch, LeaseEnd end, string summary);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Job {Job} refused a write of epoch {Epoch}: the lease is {Current}")]
    private partial void LogRefused(long job, long epoch, long current);
}
