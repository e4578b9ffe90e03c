using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Farm.Contracts.Api;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Farm.Contracts.Matrix;
using Farm.Contracts.Triage;
using Farm.Contracts.Workers;

namespace Farm.Dashboard.Tests;

/// <summary>A farm in memory: tests set what it answers, push its events, and see what the pages asked of it.</summary>
public sealed class FakeFarm : IFarm
{
    private readonly Channel<(FarmEvent? Event, TaskCompletionSource Taken)> _events = Channel.CreateUnbounded<(FarmEvent?, TaskCompletionSource)>();
    private readonly Channel<(RunEvent? Event, TaskCompletionSource Taken)> _runEvents = Channel.CreateUnbounded<(RunEvent?, TaskCompletionSource)>();

    public List<MatrixRow> Rows { get; } = [];
    public List<JobInfo> Jobs { get; } = [];
    public Dictionary<long, RunDetail> Runs { get; } = [];
    public Dictionary<string, TriageDetail> Triage { get; } = [];
    public List<JobRequest> Requests { get; } = [];
    public List<long> Reruns { get; } = [];
    public List<long> Cancelled { get; } = [];
    public List<TriageEdit> Edits { get; } = [];
    public List<long> EventReads { get; } = [];

    /// <summary>Thrown by everything that changes the farm.</summary>
    public FarmException? Refusal { get; set; }

    public int MatrixReads { get; private set; }

    /// <summary>Done when every reader of the feed has had the event.</summary>
    public Task Push(FarmEvent change) => Push(_events, change);

    public Task Push(RunEvent change) => Push(_runEvents, change);

    /// <summary>The feed ends as it does when the connection breaks.</summary>
    public void BreakFeed() => _events.Writer.TryWrite((null, new()));

    public void EndRun() => _runEvents.Writer.TryWrite((null, new()));

    public Task<IReadOnlyList<GuestInfo>> GetGuests(CancellationToken cancel = default) => Task.FromResult<IReadOnlyList<GuestInfo>>([.. Rows.Select(row => row.Guest)]);

    public Task<GuestInfo?> GetGuest(string guestId, CancellationToken cancel = default) => Task.FromResult(Rows.FirstOrDefault(row => row.Guest.Id == guestId)?.Guest);

    public Task<MatrixView> GetMatrix(MatrixQuery? query = null, CancellationToken cancel = default)
    {
        MatrixReads++;
        return Task.FromResult(new MatrixView { Rows = [.. Rows], Sequence = 10 });
    }

    public List<CellComparison> Compared { get; } = [];

    /// <summary>What was asked to be compared.</summary>
    public List<(MatrixQuery First, MatrixQuery Second)> Comparisons { get; } = [];

    public async Task<IReadOnlyList<CellComparison>> Compare(MatrixQuery first, MatrixQuery second, CancellationToken cancel = default)
    {
        Comparisons.Add((first, second));
        CellComparison[] compared = [.. Compared];
        await Answer;
        return compared;
    }

    public List<BuildInfo> Builds { get; } = [];

    public Task<IReadOnlyList<BuildInfo>> GetBuilds(CancellationToken cancel = default) => Task.FromResult<IReadOnlyList<BuildInfo>>(Builds);

    /// <summary>Jobs and comparisons are read at once, but the answer is on its way until this is done.</summary>
    public Task Answer { get; set; } = Task.CompletedTask;

    public async Task<IReadOnlyList<JobInfo>> GetJobs(JobQuery? query = null, CancellationToken cancel = default)
    {
        JobInfo[] jobs = [.. Jobs.Where(job => query?.GuestId is null || job.GuestId == query.GuestId)];
        await Answer;
        return jobs;
    }

    public Task<JobDetail?> GetJob(long jobId, CancellationToken cancel = default) => Task.FromResult<JobDetail?>(null);

    public Task<JobsCreated> CreateJobs(JobRequest request, CancellationToken cancel = default)
    {
        Check();
        Requests.Add(request);
        return Task.FromResult(new JobsCreated { Jobs = [] });
    }

    public Task<bool> CancelJob(long jobId, string by, CancellationToken cancel = default)
    {
        Check();
        Cancelled.Add(jobId);
        return Task.FromResult(true);
    }

    public Task<JobInfo> RerunJob(long jobId, string by, CancellationToken cancel = default)
    {
        Check();
        Reruns.Add(jobId);
        return Task.FromResult(Sample.Job(99, "freedos", JobState.Queued));
    }

    public Task<IReadOnlyList<RunInfo>> GetRuns(string? guestId = null, JobKind? kind = null, int limit = 50, CancellationToken cancel = default) =>
        Task.FromResult<IReadOnlyList<RunInfo>>([.. Runs.Values.Select(run => run.Run)]);

    public Task<RunDetail?> GetRun(long runId, CancellationToken cancel = default) => Task.FromResult(Runs.GetValueOrDefault(runId));

    public Task<IReadOnlyList<TriageGroup>> GetTriage(CancellationToken cancel = default) => Task.FromResult<IReadOnlyList<TriageGroup>>([.. Triage.Values.Select(detail => detail.Group)]);

    public Task<TriageDetail?> GetTriageGroup(string fingerprint, CancellationToken cancel = default) => Task.FromResult(Triage.GetValueOrDefault(fingerprint));

    public Task<TriageGroup?> EditTriageGroup(string fingerprint, TriageEdit edit, CancellationToken cancel = default)
    {
        Check();
        Edits.Add(edit);
        return Task.FromResult<TriageGroup?>(Triage[fingerprint].Group);
    }

    public Task<IReadOnlyList<WorkerInfo>> GetWorkers(CancellationToken cancel = default) => Task.FromResult<IReadOnlyList<WorkerInfo>>([]);

    public Task<bool> ReleaseWorker(string workerId, string by, CancellationToken cancel = default) => Task.FromResult(false);

    public Task<ArtifactContent?> GetArtifact(string sha256, CancellationToken cancel = default) => Task.FromResult<ArtifactContent?>(null);

    public IAsyncEnumerable<FarmEvent> Events(long after = 0, CancellationToken cancel = default)
    {
        EventReads.Add(after);
        return Read(_events, cancel);
    }

    public IAsyncEnumerable<RunEvent> RunEvents(long runId, CancellationToken cancel = default) => Read(_runEvents, cancel);

    private void Check()
    {
        if (Refusal is { } refusal)
            throw refusal;
    }

    private static Task Push<T>(Channel<(T?, TaskCompletionSource)> channel, T change)
    {
        var taken = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        channel.Writer.TryWrite((change, taken));
        return taken.Task;
    }

    private static async IAsyncEnumerable<T> Read<T>(Channel<(T?, TaskCompletionSource)> channel, [EnumeratorCancellation] CancellationToken cancel)
        where T : class
    {
        await foreach (var (change, taken) in channel.Reader.ReadAllAsync(cancel))
        {
            if (change is null)
                yield break;
            yield return change;
            taken.SetResult();
        }
    }
}
