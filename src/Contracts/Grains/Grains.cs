using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Farm.Contracts.Workers;
using Orleans;
using Orleans.Concurrency;

namespace Farm.Contracts.Grains;

/// <summary>One job by id. Postgres holds its state; the grain orders its transitions and carries its live view.</summary>
[Alias("Farm.IJobGrain")]
public interface IJobGrain : IGrainWithIntegerKey
{
    /// <summary>Gives the job to a worker: raises the epoch and opens a run. Null when it is no longer queued.</summary>
    [Alias("Lease")] Task<Lease?> Lease(string worker, long session, Backend backend);

    /// <summary>The VM has started. Idempotent.</summary>
    [Alias("Start")] Task<LeaseReply> Start(long epoch, StackSpec stack);
    [Alias("Report")] Task<LeaseReply> Report(ProgressBatch batch);

    /// <summary>
    /// Ends the run. Health <see cref="RunHealth.Infrastructure"/> sends the job back to the queue, at most 3 times. Idempotent:
    /// a repeated call with the epoch that completed answers Valid.
    /// </summary>
    [Alias("Complete")] Task<LeaseReply> Complete(long epoch, RunReport report);

    /// <summary>
    /// The lease is taken back: the job goes to the queue again if the epoch is still this one. <paramref name="trouble"/>: the
    /// lease ran out or its worker died, which counts as infrastructure trouble; a worker that signs off is none.
    /// </summary>
    [Alias("Expire")] Task Expire(long epoch, string reason, bool trouble);

    /// <summary>False when the job is finished already. A running job ends once its worker has obeyed.</summary>
    [Alias("Cancel")] Task<bool> Cancel(string by);

    /// <summary>The run's live view so far: one event with the full screen and the serial tail.</summary>
    [Alias("Snapshot")] Task<RunEvent?> Snapshot();

    /// <summary>Pushes run events to <paramref name="observer"/> for a minute; call again before that.</summary>
    [Alias("Watch")] Task Watch(IRunObserver observer);
    [Alias("Unwatch")] Task Unwatch(IRunObserver observer);
}

[Alias("Farm.IRunObserver")]
public interface IRunObserver : IGrainObserver
{
    [OneWay, Alias("OnRun")] Task OnRun(RunEvent change);
}

/// <summary>One worker by id.</summary>
[Alias("Farm.IWorkerGrain")]
public interface IWorkerGrain : IGrainWithStringKey
{
    [Alias("Register")] Task<WorkerSession> Register(WorkerRegistration registration);

    /// <summary>Every 5 s. Renews the leases named in it.</summary>
    [Alias("Beat")] Task<BeatReply> Beat(WorkerBeat beat);

    /// <summary>Asks for up to <paramref name="slots"/> jobs. Empty when nothing fits or the session is void.</summary>
    [Alias("Claim")] Task<IReadOnlyList<Lease>> Claim(long session, int slots);

    /// <summary>Signs off. Leases still held go back to the queue without counting as trouble.</summary>
    [Alias("SignOff")] Task SignOff(long session);

    /// <summary>A run of this worker ended in infrastructure trouble, or did not: feeds the quarantine.</summary>
    [OneWay, Alias("Ran")] Task Ran(long jobId, bool infrastructureTrouble);

    /// <summary>Lifts a quarantine.</summary>
    [Alias("Release")] Task<bool> Release(string by);

    /// <summary>Instant word for the worker besides its beats: cancel, work waiting. Valid for the session.</summary>
    [Alias("Attach")] Task Attach(long session, IWorkerObserver observer);

    /// <summary>Passes a hint on to the attached observer; lost when none is attached.</summary>
    [OneWay, Alias("Hint")] Task Hint(WorkerHint hint);
    [Alias("Get")] Task<WorkerInfo?> Get();
}

/// <summary>Something the worker would learn at its next beat anyway.</summary>
[GenerateSerializer, Immutable, Alias("Farm.WorkerHint")]
public sealed record WorkerHint
{
    [Id(0)] public bool WorkWaiting { get; init; }
    [Id(1)] public LeaseKey? Cancel { get; init; }
}

[Alias("Farm.IWorkerObserver")]
public interface IWorkerObserver : IGrainObserver
{
    [OneWay, Alias("OnHint")] Task OnHint(WorkerHint hint);
}

/// <summary>The farm's queue (key 0): matches waiting jobs with workers by the policy. Holds no truth of its own.</summary>
[Alias("Farm.IQueueGrain")]
public interface IQueueGrain : IGrainWithIntegerKey
{
    /// <summary>Leases for <paramref name="worker"/>, best first.</summary>
    [Alias("Claim")] Task<IReadOnlyList<Lease>> Claim(string worker, long session, int slots);

    /// <summary>Jobs were queued or finished, workers came or went: plan again and tell the workers.</summary>
    [OneWay, Alias("Changed")] Task Changed();

    /// <summary>Wait reason and expected start of every queued job.</summary>
    [Alias("Forecast")] Task<IReadOnlyList<QueueForecast>> Forecast();

    /// <summary>Sends back every job whose lease has run out. Also called by a reminder.</summary>
    [Alias("Sweep")] Task Sweep();
}

[GenerateSerializer, Immutable, Alias("Farm.QueueForecast")]
public sealed record QueueForecast
{
    [Id(0)] public required long JobId { get; init; }
    [Id(1)] public required string Reason { get; init; }
    [Id(2)] public DateTimeOffset? Start { get; init; }
}

/// <summary>The farm's event feed (key 0): numbers events, keeps the newest, pushes them.</summary>
[Alias("Farm.IFeedGrain")]
public interface IFeedGrain : IGrainWithIntegerKey
{
    [OneWay, Alias("Publish")] Task Publish(IReadOnlyList<FarmEvent> events);

    /// <summary>Events after a sequence number; starts with a Reset when some are gone.</summary>
    [Alias("After")] Task<IReadOnlyList<FarmEvent>> After(long sequence);
    [Alias("Sequence")] Task<long> Sequence();

    /// <summary>Pushes new events to <paramref name="observer"/> for a minute; call again before that.</summary>
    [Alias("Watch")] Task Watch(IFeedObserver observer);
    [Alias("Unwatch")] Task Unwatch(IFeedObserver observer);
}

[Alias("Farm.IFeedObserver")]
public interface IFeedObserver : IGrainObserver
{
    [OneWay, Alias("OnEvents")] Task OnEvents(IReadOnlyList<FarmEvent> events);
}
