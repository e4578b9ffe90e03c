using System.Collections.Concurrent;
using Farm.Contracts.Grains;
using Farm.Contracts.Workers;
using Farm.Worker.Media;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Farm.Worker.Leases;

/// <summary>
/// The node: signs on, beats, claims leases, works each off in a child process. When the silo does not answer for as long as it takes
/// to be thought dead, it ends its children by itself: another worker may have their jobs by then.
/// </summary>
public sealed partial class FarmWorker(IGrainFactory grains, WorkerOptions options, MediaLibrary media, MediaCache fetched, ApiEndpoint api, HttpArtifactSink artifacts, IHostApplicationLifetime lifetime, ILogger<FarmWorker> log)
    : BackgroundService, IWorkerObserver
{
    private static readonly TimeSpan s_signOnRetry = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan s_firstScan = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_attachEvery = TimeSpan.FromMinutes(1);

    private readonly ConcurrentDictionary<LeaseKey, (LeasedRun Run, Task Work)> _runs = new();
    private volatile TaskCompletionSource _wake = NewSignal();
    private volatile bool _draining;
    private Task _scan = Task.CompletedTask;
    private long _scannedAt;
    private volatile bool _mediaChanged;
    private volatile IReadOnlyList<HeldMedia> _told = [];

    private IWorkerGrain Grain => grains.GetGrain<IWorkerGrain>(options.Id);

    private IReadOnlyList<HeldMedia> Held => [.. media.Held, .. fetched.Held];

    /// <summary>Process ids of the VMs that run now.</summary>
    public IReadOnlyList<int> VmProcesses => [.. _runs.Values.Select(run => run.Run.ProcessId).OfType<int>()];

    /// <summary>Takes nothing new; what runs runs on.</summary>
    public void Drain()
    {
        _draining = true;
        Wake();
    }

    public Task OnHint(WorkerHint hint)
    {
        if (hint.Cancel is { } key && _runs.TryGetValue(key, out var run))
            run.Run.Cancel();
        if (hint.WorkWaiting)
            Wake();
        return Task.CompletedTask;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        DeleteLeftovers();
        // beside a silo: its API has to listen before a run can hand over what it keeps
        await Started(stoppingToken);
        // sign on with what is known soon; the digest of a large medium is told when it is there
        await Task.WhenAny(Scan(stoppingToken), Task.Delay(s_firstScan, options.Time, stoppingToken));
        var self = grains.CreateObjectReference<IWorkerObserver>(this);
        try
        {
            while (!stoppingToken.IsCancellationRequested)
            {
                if (await SignOn(stoppingToken) is not { } session)
                    break;
                await Serve(session, self, stoppingToken);
                await LoseAll();
            }
        }
        finally
        {
            grains.DeleteObjectReference<IWorkerObserver>(self);
        }
    }

    /// <summary>Works under one session, to its end or the host's.</summary>
    private async Task Serve(WorkerSession session, IWorkerObserver self, CancellationToken stop)
    {
        api.Tell(session.ApiUrl);
        var answered = options.Time.GetTimestamp();
        var attached = 0L;
        while (!stop.IsCancellationRequested)
        {
            // what is left until the farm thinks this worker dead, counted from when the last beat that arrived was sent
            TimeSpan Left() => session.DeadAfter - options.Time.GetElapsedTime(answered);
            try
            {
                if (attached == 0 || options.Time.GetElapsedTime(attached) > s_attachEvery)
                {
                    await Within(Grain.Attach(session.Session, self), Left());
                    attached = options.Time.GetTimestamp();
                }
                var sent = options.Time.GetTimestamp();
                var beat = Beat(session);
                await Within(beat, Left());
                if (!await beat)
                {
                    LogSessionVoid();
                    return;
                }
                answered = sent;
                await Within(Claim(session), Left());
            }
            catch (Exception e)
            {
                LogNoAnswer(e);
                if (Left() <= TimeSpan.Zero)
                    return;
            }
            await Pause(session.BeatEvery, stop);
            if (_scan.IsCompleted && options.Time.GetElapsedTime(_scannedAt) > options.ScanEvery)
                _ = Scan(stop);
        }
        await SignOff(session);
    }

    private async Task Started(CancellationToken stop)
    {
        var started = NewSignal();
        using var on = lifetime.ApplicationStarted.Register(started.SetResult);
        await Task.WhenAny(started.Task, Task.Delay(Timeout.Infinite, stop));
    }

    private async Task<WorkerSession?> SignOn(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            try
            {
                _told = Held;
                var session = await Grain.Register(new() { Capabilities = options.Capabilities, Slots = options.Slots, Media = _told });
                LogSignedOn(options.Id, session.Session, options.Slots, _told.Count);
                return session;
            }
            catch (Exception e)
            {
                LogNoAnswer(e);
                await Pause(s_signOnRetry, stop);
            }
        }
        return null;
    }

    private async Task<bool> Beat(WorkerSession session)
    {
        var changed = _mediaChanged;
        _mediaChanged = false;
        if (changed)
            _told = Held;
        var reply = await Grain.Beat(new()
        {
            Session = session.Session,
            Leases = [.. _runs.Keys],
            Draining = _draining,
            Media = changed ? _told : null,
            FreeDiskMiB = HostState.FreeDiskMiB(options.Folder),
            Load = HostState.Load(),
        });
        api.Tell(reply.ApiUrl);
        foreach (var lost in reply.Lost)
        {
            if (_runs.TryGetValue(lost, out var run))
                run.Run.Lose();
        }
        foreach (var cancelled in reply.Cancel)
        {
            if (_runs.TryGetValue(cancelled, out var run))
                run.Run.Cancel();
        }
        return reply.SessionValid;
    }

    private async Task Claim(WorkerSession session)
    {
        var free = options.Slots - _runs.Count;
        if (free <= 0 || _draining)
            return;
        foreach (var lease in await Grain.Claim(session.Session, free))
            StartRun(lease);
    }

    private void StartRun(Lease lease)
    {
        var run = new LeasedRun(lease, options, media, fetched, grains.GetGrain<IJobGrain>(lease.JobId), artifacts, log);
        LogLeased(lease.JobId, lease.Epoch, lease.Spec.GuestId, lease.Spec.Kind.ToString());
        var work = new Task<Task>(() => Work(run, lease.Key));
        _runs[lease.Key] = (run, work.Unwrap());
        work.Start(TaskScheduler.Default);
    }

    private async Task Work(LeasedRun run, LeaseKey key)
    {
        await using (run)
            await run.Run();
        _runs.TryRemove(key, out _);
        Wake();
    }

    private async Task SignOff(WorkerSession session)
    {
        try
        {
            // first the leases: a child that is killed after this is nobody's trouble
            await Grain.SignOff(session.Session).WaitAsync(TimeSpan.FromSeconds(5));
        }
        catch (Exception e)
        {
            LogNoAnswer(e);
        }
    }

    private async Task LoseAll()
    {
        var running = _runs.Values.ToList();
        foreach (var (run, _) in running)
            run.Lose();
        await Task.WhenAll(running.Select(run => run.Work));
    }

    /// <summary>Folders of runs that a killed worker of this id had.</summary>
    private void DeleteLeftovers()
    {
        try
        {
            if (Directory.Exists(options.RunsFolder))
                Directory.Delete(options.RunsFolder, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogLeftoversStay(options.RunsFolder, e);
        }
    }

    /// <summary>Looks at the media beside the beats: hashing takes as long as it takes.</summary>
    private Task Scan(CancellationToken cancel) => _scan = Task.Run(async () =>
    {
        try
        {
            // what a run has fetched meanwhile counts as well
            if (await media.Scan(cancel) | await fetched.Scan(cancel) | !Held.SequenceEqual(_told))
            {
                _mediaChanged = true;
                Wake();
            }
        }
        catch (OperationCanceledException)
        {
            // the host stops
        }
        _scannedAt = options.Time.GetTimestamp();
    }, CancellationToken.None);

    /// <summary>Until the time is over, somebody wakes us, or the host stops.</summary>
    private async Task Pause(TimeSpan time, CancellationToken stop)
    {
        var signal = _wake;
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(stop);
        await Task.WhenAny(signal.Task, Task.Delay(time, options.Time, linked.Token));
        await linked.CancelAsync();
        if (signal.Task.IsCompleted)
            _wake = NewSignal();
    }

    private Task Within(Task call, TimeSpan left) => call.WaitAsync(left > TimeSpan.Zero ? left : TimeSpan.Zero, options.Time);

    private void Wake() => _wake.TrySetResult();

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    [LoggerMessage(Level = LogLevel.Information, Message = "Worker {Worker} signed on as session {Session}: {Slots} slots, {Media} media")]
    private partial void LogSignedOn(string worker, long session, int slots, int media);

    [LoggerMessage(Level = LogLevel.Information, Message = "Job {Job} epoch {Epoch}: {Guest} ({Kind})")]
    private partial void LogLeased(long job, long epoch, string guest, string kind);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Old runs in {Folder} could not be deleted")]
    private partial void LogLeftoversStay(string folder, Exception error);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The silo does not answer")]
    private partial void LogNoAnswer(Exception error);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The silo has given this session up; signing on anew")]
    private partial void LogSessionVoid();
}
