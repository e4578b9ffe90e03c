using Farm.Contracts;
using Farm.Contracts.Api;
using Farm.Contracts.Grains;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Workers;
using Farm.Vm;
using Farm.Worker.Media;
using Farm.Worker.VmHost;
using Microsoft.Extensions.Logging;

namespace Farm.Worker.Leases;

/// <summary>One lease being worked off: a child process, its progress on the way to the job, its end.</summary>
public sealed partial class LeasedRun : IAsyncDisposable
{
    private const int MostArtifacts = 200;
    private static readonly TimeSpan s_reportRetry = TimeSpan.FromSeconds(2);

    private readonly Lease _lease;
    private readonly WorkerOptions _options;
    private readonly MediaLibrary _media;
    private readonly MediaCache _fetched;
    private readonly IJobGrain _job;
    private readonly IArtifactSink _artifacts;
    private readonly ILogger _log;
    private readonly ProgressBatcher _batcher = new();
    private readonly List<VmArtifact> _kept = [];
    private readonly CancellationTokenSource _stop = new();
    private volatile Ending _ending = Ending.None;
    private VmProcess? _child;
    private RunReport? _report;
    private StackSpec _stack;

    public LeasedRun(Lease lease, WorkerOptions options, MediaLibrary media, MediaCache fetched, IJobGrain job, IArtifactSink artifacts, ILogger log)
    {
        (_lease, _options, _media, _fetched, _job, _artifacts, _log) = (lease, options, media, fetched, job, artifacts, log);
        _stack = lease.Stack with { FirmwareBuild = options.Build };
    }

    /// <summary>Why a run is ended from outside.</summary>
    private enum Ending { None, Lost, Cancelled, TooLong }

    public LeaseKey Key => _lease.Key;

    /// <summary>The child's process id while it runs.</summary>
    public int? ProcessId => _child?.Id;

    /// <summary>The lease is void: end the child and say nothing.</summary>
    public void Lose() => End(Ending.Lost);

    /// <summary>The job is cancelled: end the child and complete as cancelled.</summary>
    public void Cancel() => End(Ending.Cancelled);

    /// <summary>Works the lease off. Never throws.</summary>
    public async Task Run()
    {
        var folder = Path.Combine(_options.RunsFolder, $"{_lease.RunId}-{_lease.Epoch}");
        RunReport? end = null;
        try
        {
            end = await RunIn(folder);
            if (end is not null && _ending is not Ending.Lost)
                await Complete(end with { Artifacts = [.. end.Artifacts, .. await Upload(folder)] });
        }
        catch (Exception e)
        {
            LogBroken(_lease.JobId, e);
            if (_ending is not Ending.Lost)
                await Complete(Trouble(e.Message));
        }
        finally
        {
            DeleteFolder(folder);
        }
        LogEnded(_lease.JobId, _lease.Epoch, _ending is Ending.Lost ? "the lease was lost" : end?.Summary ?? "it broke");
    }

    public ValueTask DisposeAsync()
    {
        _stop.Dispose();
        return ValueTask.CompletedTask;
    }

    private async Task<RunReport?> RunIn(string folder)
    {
        DeleteFolder(folder);
        Directory.CreateDirectory(folder);
        var media = new Dictionary<string, string>();
        var holds = new List<CachedMedium>();
        try
        {
            return await FindMedia(media, holds) ?? await RunChild(folder, media);
        }
        finally
        {
            holds.ForEach(hold => hold.Dispose());
        }
    }

    /// <summary>The plan's media, at hand or fetched from the farm; the run's end when one is not to be had.</summary>
    private async Task<RunReport?> FindMedia(Dictionary<string, string> media, List<CachedMedium> holds)
    {
        foreach (var medium in _lease.Spec.Plan.Media)
        {
            try
            {
                var (path, problem) = await _media.Find(medium, _stop.Token);
                if (path is null && await Fetch(medium) is { } fetched)
                {
                    holds.Add(fetched);
                    path = fetched.Path;
                }
                if (path is null)
                    return new() { Health = RunHealth.NoMedia, Summary = problem + " The farm offers none.", Stack = _stack };
                media[medium.Name] = path;
            }
            catch (MediaFetchException e)
            {
                return Trouble(e.Message);
            }
            catch (OperationCanceledException) when (_ending is not Ending.None)
            {
                return Judge(new VmExit(0, null));
            }
        }
        return null;
    }

    private async Task<CachedMedium?> Fetch(MediaInfo medium)
    {
        using var reporting = new CancellationTokenSource();
        var reports = SendReports(reporting.Token);
        var name = medium.Files.Count > 0 ? medium.Files[0] : medium.Name;
        int told = -1;
        try
        {
            return await _fetched.Get(medium, part =>
            {
                int percent = (int)(part * 100);
                if (percent != told)
                    _batcher.Add(new() { Step = $"fetching {name} from the farm, {percent} %" });
                told = percent;
            }, _stop.Token);
        }
        finally
        {
            await reporting.CancelAsync();
            await reports;
        }
    }

    private async Task<RunReport> RunChild(string folder, Dictionary<string, string> media)
    {
        var job = new VmJob { JobId = _lease.JobId, RunId = _lease.RunId, Plan = _lease.Spec.Plan, Stack = _lease.Stack, Media = media, Folder = folder };
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(Math.Max(1, _lease.Spec.Plan.HostLimitSeconds)), _options.Time);
        using var limited = limit.Token.Register(() => End(Ending.TooLong));
        VmExit exit;
        await using (var child = await VmProcess.Start(_options.Command, job, CancellationToken.None))
        {
            _child = child;
            if (_ending is not Ending.None)
                child.Kill();
            using var reporting = new CancellationTokenSource();
            var reports = SendReports(reporting.Token);
            string? nonsense = null;
            try
            {
                await foreach (var message in child.Messages(CancellationToken.None))
                    await Take(message);
            }
            catch (VmHostException e)
            {
                nonsense = e.Message;
                child.Kill();
            }
            exit = await child.Exit(CancellationToken.None);
            _child = null;
            await reporting.CancelAsync();
            await reports;
            if (nonsense is not null)
                exit = exit with { Trouble = nonsense };
        }
        await SendBatch();
        return Judge(exit);
    }

    private RunReport Judge(VmExit exit)
    {
        if (_ending is Ending.Cancelled)
            return new() { Health = RunHealth.Cancelled, Furthest = _batcher.Furthest, Summary = "Cancelled.", Stack = _stack };
        if (_ending is Ending.TooLong)
            return Trouble($"The run took more than {_lease.Spec.Plan.HostLimitSeconds} s of this host's time.");
        if (exit.Trouble is { } trouble)
            return Trouble(trouble);
        if (_report is not { } report)
            return Trouble("The VM's process ended without a report.");
        return report with { Stack = Named(report.Stack ?? _stack) };
    }

    private async Task Take(VmMessage message)
    {
        if (message.Started is { } stack)
        {
            _stack = Named(stack);
            await Start();
        }
        if (message.Progress is { } progress)
            _batcher.Add(progress);
        if (message.Artifact is { } artifact && _kept.Count < MostArtifacts)
            _kept.Add(artifact);
        if (message.Report is { } report)
            _report = report;
    }

    private async Task Start()
    {
        try
        {
            Obey(await _job.Start(_lease.Epoch, _stack));
        }
        catch (Exception e)
        {
            LogReportFailed(_lease.JobId, e);
        }
    }

    private async Task SendReports(CancellationToken cancel)
    {
        using var timer = new PeriodicTimer(_options.BatchEvery, _options.Time);
        try
        {
            while (await timer.WaitForNextTickAsync(cancel))
                await SendBatch();
        }
        catch (OperationCanceledException)
        {
            // the run is over
        }
    }

    private async Task SendBatch()
    {
        if (_ending is not Ending.None || _batcher.Take(_lease.Epoch) is not { } batch)
            return;
        try
        {
            Obey(await _job.Report(batch));
        }
        catch (Exception e)
        {
            // the silo may be away for a moment; the beats decide whether the lease stands
            LogReportFailed(_lease.JobId, e);
            _batcher.NeedFullScreen();
        }
    }

    private void Obey(LeaseReply reply)
    {
        if (!reply.Valid)
            Lose();
        else if (reply.CancelRequested)
            Cancel();
        else if (reply.NeedFullScreen)
            _batcher.NeedFullScreen();
    }

    /// <summary>Says how it ended, until the job has heard it or the lease is lost.</summary>
    private async Task Complete(RunReport report)
    {
        while (_ending is not Ending.Lost)
        {
            try
            {
                await _job.Complete(_lease.Epoch, report);
                return;
            }
            catch (Exception e)
            {
                LogReportFailed(_lease.JobId, e);
                await Task.Delay(s_reportRetry, _options.Time);
            }
        }
    }

    private async Task<List<ArtifactInfo>> Upload(string folder)
    {
        var uploaded = new List<ArtifactInfo>();
        foreach (var artifact in _kept)
        {
            // the child is trusted less than its worker: nothing outside its folder, no links
            var path = Path.GetFullPath(Path.Combine(folder, artifact.File));
            var info = new FileInfo(path);
            if (!path.StartsWith(folder + Path.DirectorySeparatorChar, StringComparison.Ordinal) || !info.Exists || info.LinkTarget is not null)
                continue;
            try
            {
                if (await _artifacts.Upload(artifact.Name, path, artifact.ContentType) is { } stored)
                    uploaded.Add(stored with { GuestSeconds = artifact.GuestSeconds });
            }
            catch (Exception e) when (e is FarmException or HttpRequestException or IOException or TaskCanceledException)
            {
                LogArtifactFailed(_lease.JobId, artifact.Name, e);
            }
        }
        return uploaded;
    }

    private RunReport Trouble(string summary) => new() { Health = RunHealth.Infrastructure, Furthest = _batcher.Furthest, Summary = summary, Stack = _stack };

    private StackSpec Named(StackSpec stack) => stack.FirmwareBuild is null ? stack with { FirmwareBuild = _options.Build } : stack;

    private void End(Ending ending)
    {
        if (_ending is not Ending.None && ending is not Ending.Lost)
            return;
        _ending = ending;
        _child?.Kill();
        try
        {
            _stop.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // it is over already
        }
    }

    private void DeleteFolder(string folder)
    {
        try
        {
            if (Directory.Exists(folder))
                Directory.Delete(folder, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogFolderStays(folder, e);
        }
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "Job {Job} epoch {Epoch}: {Summary}")]
    private partial void LogEnded(long job, long epoch, string summary);

    [LoggerMessage(Level = LogLevel.Error, Message = "Job {Job} could not be run")]
    private partial void LogBroken(long job, Exception error);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The silo did not take a report on job {Job}")]
    private partial void LogReportFailed(long job, Exception error);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Job {Job}: artifact {Name} was not uploaded")]
    private partial void LogArtifactFailed(long job, string name, Exception error);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The folder {Folder} could not be deleted")]
    private partial void LogFolderStays(string folder, Exception error);
}
