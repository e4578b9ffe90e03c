using Farm.Contracts.Grains;
using Farm.Contracts.Workers;
using Farm.Silo.Hosting;
using Farm.Silo.Scheduling;
using Farm.Silo.Storage;
using Microsoft.Extensions.Logging;

namespace Farm.Silo.Grains;

/// <inheritdoc cref="IQueueGrain"/>
[KeepAlive]
internal sealed partial class QueueGrain(
    JobStore jobs, WorkerStore workers, DurationCache durations, IMediaShelf shelf, FarmNews news, FarmClock clock, FarmTimings timings, ILogger<QueueGrain> log) : Grain, IQueueGrain, IRemindable
{
    private const string SweepReminder = "sweep";

    /// <summary>Several changes at once are told to the workers together.</summary>
    private static readonly TimeSpan s_hintDelay = TimeSpan.FromMilliseconds(50);

    /// <summary>What was read from Postgres is used for this long when nobody says that it has changed.</summary>
    private static readonly TimeSpan s_fresh = TimeSpan.FromSeconds(2);

    private QueueState? _state;
    private long _readAt;
    private bool _hintPlanned;
    private (QueueState? State, IReadOnlyList<QueueForecast> Forecasts) _forecast = (null, []);

    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        this.RegisterGrainTimer(_ => Sweep(), new() { DueTime = timings.SweepEvery, Period = timings.SweepEvery, KeepAlive = true });
        // brings the grain back within a minute when its silo dies: leases are looked at whatever happens
        await this.RegisterOrUpdateReminder(SweepReminder, TimeSpan.FromMinutes(1), TimeSpan.FromMinutes(1), cancellationToken);
    }

    public Task ReceiveReminder(string reminderName, Orleans.Runtime.TickStatus status) => Sweep();

    public async Task<IReadOnlyList<Lease>> Claim(string worker, long session, int slots)
    {
        var state = await State();
        var picked = QueuePolicy.Pick(state, worker, slots, clock.Now);
        var tries = await Task.WhenAll(picked.Select(job => GrainFactory.GetGrain<IJobGrain>(job.JobId).Lease(worker, session, job.Backend)));
        var leases = tries.OfType<Lease>().ToList();
        if (leases.Count < picked.Count)
        {
            LogRefused(picked.Count - leases.Count, worker);
            _state = null;
        }
        else if (ReferenceEquals(_state, state))
        {
            _state = state.With(leases, clock.Now);
        }
        if (leases.Count > 0)
            await news.WorkerChanged(worker);
        return leases;
    }

    public Task Changed()
    {
        _state = null;
        if (!_hintPlanned)
        {
            _hintPlanned = true;
            this.RegisterGrainTimer(_ => HintWorkers(), new() { DueTime = s_hintDelay, Period = Timeout.InfiniteTimeSpan });
        }
        return Task.CompletedTask;
    }

    public async Task<IReadOnlyList<QueueForecast>> Forecast()
    {
        var state = await State();
        if (!ReferenceEquals(state, _forecast.State))
            _forecast = (state, QueueForecaster.Forecast(state, clock.Now));
        return _forecast.Forecasts;
    }

    public async Task Sweep()
    {
        var dead = await workers.Bury(clock.Now - timings.DeadAfter);
        var expired = await jobs.Expired(clock.Now);
        foreach (var (lease, worker) in expired)
        {
            LogExpired(lease.JobId, lease.Epoch, worker);
            await GrainFactory.GetGrain<IJobGrain>(lease.JobId).Expire(lease.Epoch, $"Worker {worker} stopped answering.", trouble: true);
        }
        foreach (var worker in dead)
            await news.WorkerChanged(worker);
        if (dead.Count > 0 || expired.Count > 0)
            await Changed();
    }

    private async Task HintWorkers()
    {
        _hintPlanned = false;
        var state = await State();
        if (state.Waiting.Count == 0)
            return;
        foreach (var worker in state.Workers.Where(worker => worker.State is WorkerState.Online && worker.Busy < worker.Slots))
        {
            if (QueuePolicy.Pick(state, worker.Id, 1, clock.Now).Count > 0)
                await GrainFactory.GetGrain<IWorkerGrain>(worker.Id).Hint(new() { WorkWaiting = true });
        }
    }

    private async Task<QueueState> State()
    {
        if (_state is { } state && clock.Time.GetElapsedTime(_readAt) < s_fresh)
            return state;
        _readAt = clock.Time.GetTimestamp();
        var alive = (await workers.List()).Where(worker => worker.State is not (WorkerState.Dead or WorkerState.Offline)).ToList();
        state = new(await jobs.Waiting(), await jobs.Occupying(), alive, await durations.Get()) { Shelf = shelf.Held };
        _state = state;
        return state;
    }

    [LoggerMessage(Level = LogLevel.Debug, Message = "{Jobs} jobs were no longer to be had for {Worker}")]
    private partial void LogRefused(int jobs, string worker);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The lease of job {Job} epoch {Epoch} ran out: {Worker} stopped answering")]
    private partial void LogExpired(long job, long epoch, string worker);
}
