using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Farm.Contracts;
using Farm.Contracts.Api;
using Farm.Contracts.Grains;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Farm.Contracts.Matrix;
using Farm.Contracts.Triage;
using Farm.Contracts.Workers;
using Farm.Silo.Artifacts;
using Farm.Silo.Grains;
using Farm.Silo.Hosting;
using Farm.Silo.Scheduling;
using Farm.Silo.Storage;
using Farm.Silo.Verdicts;

namespace Farm.Silo.Api;

/// <summary>The farm over Postgres and grains, inside a silo.</summary>
public sealed partial class FarmService(
    IGrainFactory grains, FarmReader reader, GuestStore guests, JobStore jobs, RunStore runs, TriageStore triage, WorkerStore workers,
    DurationCache durations, IMediaShelf shelf, IArtifactStore artifacts, ArtifactIndex index, FeedHub feed, FarmNews news, FarmClock clock) : IFarm
{
    private const int MostJobsAtOnce = 500;

    public async Task<IReadOnlyList<GuestInfo>> GetGuests(CancellationToken cancel = default) =>
        [.. (await reader.Guests(cancel: cancel)).Select(entry => entry.Guest)];

    public async Task<GuestInfo?> GetGuest(string guestId, CancellationToken cancel = default) =>
        await reader.Guests(guestId, cancel) is [var entry] ? entry.Guest : null;

    public async Task<MatrixView> GetMatrix(MatrixQuery? query = null, CancellationToken cancel = default)
    {
        // the number first: a change between the two reads is then told again, not lost
        var sequence = await grains.GetGrain<IFeedGrain>(0).Sequence();
        var waits = (await Forecast()).ToDictionary(forecast => forecast.JobId, forecast => forecast.Reason);
        return new() { Sequence = sequence, At = clock.Now, Rows = await reader.Rows(query ?? new(), waits, cancel) };
    }

    public Task<IReadOnlyList<CellComparison>> Compare(MatrixQuery first, MatrixQuery second, CancellationToken cancel = default) =>
        reader.Compare(first, second, cancel);

    public async Task<IReadOnlyList<BuildInfo>> GetBuilds(CancellationToken cancel = default) => await reader.Builds(cancel);

    public async Task<IReadOnlyList<JobInfo>> GetJobs(JobQuery? query = null, CancellationToken cancel = default) =>
        await WithForecast(await jobs.List(query ?? new(), cancel), cancel);

    public async Task<JobDetail?> GetJob(long jobId, CancellationToken cancel = default)
    {
        if (await jobs.Find(jobId, cancel) is not { } job || await jobs.Spec(jobId, cancel) is not { } spec)
            return null;
        return new() { Job = (await WithForecast([job], cancel))[0], Spec = spec, Runs = await runs.OfJob(jobId, cancel) };
    }

    public async Task<JobsCreated> CreateJobs(JobRequest request, CancellationToken cancel = default)
    {
        Validate(request);
        var catalogue = (await reader.Guests(cancel: cancel)).ToDictionary(entry => entry.Guest.Id);
        var unknown = request.Guests.Where(id => !catalogue.ContainsKey(id)).Distinct().ToList();
        if (unknown.Count > 0)
            throw new FarmException(FarmErrorKind.NotFound, UnknownGuest(unknown, catalogue.Keys) + " Nothing was queued.");

        var alive = await reader.Alive(cancel);
        var specs = new List<JobSpec>();
        var skipped = new List<string>();
        foreach (var entry in request.Guests.Distinct().Select(id => catalogue[id]))
            Plan(request, entry, alive, shelf.Held, specs, skipped);
        if (skipped.Count > 0 && !request.OnlyWithMedia)
            throw new FarmException(FarmErrorKind.Invalid, string.Join(' ', skipped) + " Nothing was queued.");
        if (specs.Count > MostJobsAtOnce)
            throw new FarmException(FarmErrorKind.Invalid, $"{specs.Count} jobs at once are too many: at most {MostJobsAtOnce}. Nothing was queued.");
        var ids = specs.Count == 0 ? [] : await jobs.Create(specs, Name(request.RequestedBy), null, clock.Now, cancel);
        return new() { Jobs = await Queued(ids, cancel), Skipped = skipped };
    }

    public async Task<bool> CancelJob(long jobId, string by, CancellationToken cancel = default)
    {
        if (await jobs.Find(jobId, cancel) is null)
            throw new FarmException(FarmErrorKind.NotFound, $"There is no job {jobId}.");
        return await grains.GetGrain<IJobGrain>(jobId).Cancel(Name(by));
    }

    public async Task<JobInfo> RerunJob(long jobId, string by, CancellationToken cancel = default)
    {
        if (await jobs.Spec(jobId, cancel) is not { } old)
            throw new FarmException(FarmErrorKind.NotFound, $"There is no job {jobId}.");
        if ((await guests.Find(old.GuestId, cancel))?.Plans.FirstOrDefault(plan => plan.Kind == old.Kind) is not { } plan)
            throw new FarmException(FarmErrorKind.Conflict, $"The catalogue has {old.GuestId} ({old.Kind}) no more: job {jobId} cannot be run again.");
        var ids = await jobs.Create([old with { Plan = plan }], Name(by), jobId, clock.Now, cancel);
        return (await Queued(ids, cancel))[0];
    }

    public async Task<IReadOnlyList<RunInfo>> GetRuns(string? guestId = null, JobKind? kind = null, int limit = 50, CancellationToken cancel = default) =>
        await runs.List(guestId, kind, limit, cancel);

    public async Task<RunDetail?> GetRun(long runId, CancellationToken cancel = default)
    {
        if (await runs.Detail(runId, cancel) is not { } detail)
            return null;
        if (detail.Run.FinishedAt is not null || await grains.GetGrain<IJobGrain>(detail.Run.JobId).Snapshot() is not { } live || live.RunId != runId)
            return detail;
        return detail with { Screen = live.Screen, SerialTail = live.Serial, Run = detail.Run with { Progress = live.Progress } };
    }

    public async Task<IReadOnlyList<TriageGroup>> GetTriage(CancellationToken cancel = default) => await triage.List(cancel);

    public Task<TriageDetail?> GetTriageGroup(string fingerprint, CancellationToken cancel = default) => triage.Detail(fingerprint, cancel);

    public async Task<TriageGroup?> EditTriageGroup(string fingerprint, TriageEdit edit, CancellationToken cancel = default)
    {
        if (edit.Note is { Length: > 10_000 })
            throw new FarmException(FarmErrorKind.Invalid, "A note has at most 10000 characters.");
        if (!await triage.Edit(fingerprint, edit with { By = Name(edit.By) }, clock.Now, cancel))
            return null;
        await news.TriageChanged([fingerprint]);
        return await triage.Find(fingerprint, cancel);
    }

    public async Task<IReadOnlyList<WorkerInfo>> GetWorkers(CancellationToken cancel = default) => await workers.List(cancel);

    public async Task<bool> ReleaseWorker(string workerId, string by, CancellationToken cancel = default)
    {
        if (await workers.Find(workerId, cancel) is null)
            throw new FarmException(FarmErrorKind.NotFound, $"There is no worker {workerId}.");
        return await grains.GetGrain<IWorkerGrain>(workerId).Release(Name(by));
    }

    public async Task<ArtifactContent?> GetArtifact(string sha256, CancellationToken cancel = default)
    {
        if (await index.Find(sha256, cancel) is not { } found || await artifacts.Open(sha256, cancel) is not { } content)
            return null;
        return new(content, found.ContentType, found.Size);
    }

    /// <summary>Takes an artifact in.</summary>
    public async Task<ArtifactInfo> PutArtifact(string name, Stream content, string contentType, CancellationToken cancel = default)
    {
        if (!ArtifactName().IsMatch(name))
            throw new FarmException(FarmErrorKind.Invalid, "An artifact's name has 1 to 200 letters, digits, dots, dashes, underscores.");
        if (!ContentType().IsMatch(contentType))
            throw new FarmException(FarmErrorKind.Invalid, $"'{contentType}' is no content type.");
        try
        {
            var stored = await artifacts.Put(content, cancel);
            await index.Add(stored.Sha256, stored.Size, contentType, clock.Now, cancel);
            return new() { Name = name, Sha256 = stored.Sha256, Size = stored.Size, ContentType = contentType };
        }
        catch (ArtifactTooLargeException e)
        {
            throw new FarmException(FarmErrorKind.TooLarge, e.Message, e);
        }
    }

    public IAsyncEnumerable<FarmEvent> Events(long after = 0, CancellationToken cancel = default) => feed.Read(after, cancel);

    public async IAsyncEnumerable<RunEvent> RunEvents(long runId, [EnumeratorCancellation] CancellationToken cancel = default)
    {
        if (await runs.Find(runId, cancel) is not { } run)
            throw new FarmException(FarmErrorKind.NotFound, $"There is no run {runId}.");
        await foreach (var change in RunFollower.Follow(grains, runs, run, cancel))
            yield return change;
    }

    private static void Plan(JobRequest request, CatalogueEntry entry, IReadOnlyList<WorkerInfo> alive, IReadOnlyList<HeldMedia> onShelf, List<JobSpec> specs, List<string> skipped)
    {
        var plans = entry.Plans.Where(plan => request.Kind is not { } kind || plan.Kind == kind).ToList();
        if (plans.Count == 0)
            throw new FarmException(FarmErrorKind.Invalid, $"The catalogue defines no {request.Kind?.ToString().ToLowerInvariant() ?? "job"} for {entry.Guest.Id}. Nothing was queued.");
        foreach (var plan in plans)
        {
            if (alive.Count > 0 && !alive.Any(worker => Matching.Missing(plan.Media, worker.Media, onShelf) is null))
            {
                var missing = plan.Media.Where(medium => !alive.Any(worker => Matching.Missing([medium], worker.Media, onShelf) is null)).DefaultIfEmpty(plan.Media[0]);
                skipped.Add($"{entry.Guest.Id} ({plan.Kind.ToString().ToLowerInvariant()}): no worker holds {string.Join(", ", missing.Select(static medium => medium.Describe()))}.");
                continue;
            }
            specs.Add(new() { GuestId = entry.Guest.Id, Kind = plan.Kind, Plan = plan, Stack = request.Stack with { FirmwareBuild = null }, Priority = request.Priority });
        }
    }

    private static void Validate(JobRequest request)
    {
        if (request.Guests is null or { Count: 0 })
            throw new FarmException(FarmErrorKind.Invalid, "Name at least one guest. Nothing was queued.");
        if (request.Stack is null)
            throw new FarmException(FarmErrorKind.Invalid, "The stack is missing. Nothing was queued.");
        if (request.Priority is < -100 or > 100)
            throw new FarmException(FarmErrorKind.Invalid, $"Priority {request.Priority} is out of range: -100 to 100. Nothing was queued.");
        if (request.Stack.MemoryMiB is < 1 or > 64512)
            throw new FarmException(FarmErrorKind.Invalid, $"Memory of {request.Stack.MemoryMiB} MiB is out of range: 1 to 64512. Nothing was queued.");
        if (request.Stack.CpuModel is { } model && !CpuModel().IsMatch(model))
            throw new FarmException(FarmErrorKind.Invalid, $"'{model}' is no CPU model. Nothing was queued.");
    }

    private static string UnknownGuest(List<string> unknown, IEnumerable<string> known)
    {
        var names = string.Join(", ", unknown.Select(name => $"'{Short(name)}'"));
        var near = known.Where(id => unknown.Any(name => name.Length > 2 && (id.Contains(name, StringComparison.OrdinalIgnoreCase) || name.Contains(id, StringComparison.OrdinalIgnoreCase))))
            .Take(3).ToList();
        var hint = near.Count > 0 ? $" Did you mean {string.Join(" or ", near)}?" : " farm guests lists what it knows.";
        return $"The catalogue has no guest {names}.{hint}";
    }

    private static string Short(string text) => text.Length <= 60 ? text : text[..60] + "...";

    private static string Name(string? by) => string.IsNullOrWhiteSpace(by) ? "api" : Short(by.Trim());

    private async Task<IReadOnlyList<JobInfo>> Queued(IReadOnlyList<long> ids, CancellationToken cancel)
    {
        if (ids.Count == 0)
            return [];
        await grains.GetGrain<IQueueGrain>(0).Changed();
        var queued = new List<JobInfo>(ids.Count);
        foreach (var id in ids)
        {
            await news.JobChanged(id);
            queued.Add((await jobs.Find(id, cancel))!);
        }
        return await WithForecast(queued, cancel);
    }

    private Task<IReadOnlyList<QueueForecast>> Forecast() => grains.GetGrain<IQueueGrain>(0).Forecast();

    private async Task<IReadOnlyList<JobInfo>> WithForecast(IReadOnlyList<JobInfo> list, CancellationToken cancel)
    {
        if (list.All(job => job.State is JobState.Finished))
            return list;
        var forecasts = list.Any(job => job.State is JobState.Queued) ? (await Forecast()).ToDictionary(forecast => forecast.JobId) : [];
        var history = await durations.Get(cancel);
        return
        [
            .. list.Select(job => job.State switch
            {
                JobState.Queued when forecasts.TryGetValue(job.Id, out var forecast) => job with { WaitReason = forecast.Reason, Eta = forecast.Start },
                JobState.Queued => job with { WaitReason = "Just queued." },
                JobState.Running when job.StartedAt is { } start && history.Estimate(job.GuestId, job.Kind) is { } length => job with { Eta = start + length },
                _ => job,
            }),
        ];
    }

    [GeneratedRegex(@"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}\z")]
    private static partial Regex ArtifactName();

    [GeneratedRegex(@"^[a-z]+/[a-z0-9.+-]+(; ?charset=[a-z0-9-]+)?\z", RegexOptions.IgnoreCase)]
    private static partial Regex ContentType();

    [GeneratedRegex(@"^[a-z0-9][a-z0-9._-]{0,31}\z")]
    private static partial Regex CpuModel();
}
