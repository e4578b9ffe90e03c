using Farm.Contracts;
using Farm.Contracts.Api;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;
using Farm.Silo.Hosting;
using Farm.Silo.Postgres;
using Farm.Vm;
using Farm.Worker.Hosting;
using Farm.Worker.Leases;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Farm.Worker.Tests.Leases;

/// <summary>A real silo on a real PostgreSQL with quick beats; the VMs are a shell script that plays one.</summary>
public sealed class WorkerFarm : IAsyncLifetime
{
    private static readonly string[] s_modes = ["pass", "hang-once", "hang", "broken", "nonsense", "silent", "long-line"];

    private readonly string _folder = Path.Combine(Path.GetTempPath(), "farm-worker-tests-" + Guid.NewGuid().ToString("N")[..12]);
    private readonly List<IAsyncDisposable> _workers = [];
    private PrivatePostgres? _postgres;
    private FarmSilo? _silo;
    private int _names;

    public TimeSpan DeadAfter { get; init; } = TimeSpan.FromSeconds(6);
    public IFarm Farm => _silo!.Farm;
    public FarmSilo Silo => _silo!;
    public string Media => Path.Combine(_folder, "media");

    /// <summary>Media that only the silo has.</summary>
    public string Shelf => Path.Combine(_folder, "shelf");

    public string Script => Path.Combine(AppContext.BaseDirectory, "Leases", "fake-vm.sh");

    public async ValueTask InitializeAsync()
    {
        Directory.CreateDirectory(Media);
        Directory.CreateDirectory(Shelf);
        await File.WriteAllTextAsync(Path.Combine(Shelf, "shelf.img"), "a disk of the silo's");
        await File.WriteAllTextAsync(Path.Combine(Media, "disk.img"), "a disk");
        // PostgreSQL's user has to reach its folder
        _postgres = await PrivatePostgres.Start(_folder + "-postgres", durable: false);
        await StartSilo();
    }

    public async Task StartSilo() =>
        _silo = await FarmSilo.Start(new()
        {
            ConnectionString = await _postgres!.CreateDatabase("farm"),
            Catalogue = [.. s_modes.Select(mode => Guest(mode, null)), Guest("changed", new string('0', 64)), Guest("slow", null, "mode-hang", hostSeconds: 1), Guest("far", null, "mode-pass", file: "shelf.img")],
            ArtifactFolder = Path.Combine(_folder, "artifacts"),
            Sole = true,
            Timings = new()
            {
                BeatEvery = TimeSpan.FromMilliseconds(200),
                DeadAfter = DeadAfter,
                SweepEvery = TimeSpan.FromMilliseconds(200),
                QuarantineAfter = 100,
            },
        }, builder =>
        {
            builder.Logging.ClearProviders();
            builder.Services.AddScannedMediaShelf([Shelf], Path.Combine(_folder, "shelf-digests.json"));
        });

    public async Task StopSilo()
    {
        await _silo!.DisposeAsync();
        _silo = null;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var worker in _workers)
            await worker.DisposeAsync();
        if (_silo is not null)
            await StopSilo();
        if (_postgres is not null)
            await _postgres.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
        Directory.Delete(_folder + "-postgres", recursive: true);
    }

    /// <summary>Starts a worker as an Orleans client of its own, as on another machine.</summary>
    public async Task<RunningWorker> StartWorker()
    {
        var id = $"w{Interlocked.Increment(ref _names)}";
        var marks = Path.Combine(_folder, id + "-marks");
        Directory.CreateDirectory(marks);
        var host = WorkerHost.CreateHost(new()
        {
            Id = id,
            Slots = 2,
            Capabilities = WorkerHost.Describe([Backend.Soft], [FirmwareSet.Bochs]),
            Folder = Path.Combine(_folder, id),
            MediaFolders = [Media],
            Command = new("/bin/sh", [Script, marks]),
            BatchEvery = TimeSpan.FromMilliseconds(50),
            ScanEvery = TimeSpan.FromMilliseconds(500),
        }, new() { ConnectionString = _postgres!.ConnectionString("farm") }, builder => builder.Logging.ClearProviders());
        await host.StartAsync();
        var worker = new RunningWorker(id, host);
        _workers.Add(worker);
        await Until(async () => (await Farm.GetWorkers()).Any(known => known.Id == id && known.State == Contracts.Workers.WorkerState.Online));
        return worker;
    }

    public async Task<JobInfo> Run(string guest) => (await Farm.CreateJobs(new() { Guests = [guest] })).Jobs[0];

    public async Task<JobInfo> Finished(long jobId)
    {
        await Until(async () => (await Job(jobId)).State == JobState.Finished);
        return await Job(jobId);
    }

    public async Task<JobInfo> Job(long id) => (await Farm.GetJob(id))!.Job;

    public async Task<MatrixCell> Cell(string guest) => (await Farm.GetMatrix(new() { GuestId = guest })).Rows[0].Disk;

    /// <summary>Looks until it is so: other processes are at work.</summary>
    public static async Task Until(Func<Task<bool>> condition, int seconds = 120)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(seconds));
        while (!await condition())
        {
            Assert.False(limit.IsCancellationRequested, $"Not so within {seconds} s.");
            await Task.Delay(25, CancellationToken.None);
        }
    }

    private static CatalogueEntry Guest(string id, string? sha256, string? mode = null, double hostSeconds = 60, string file = "disk.img")
    {
        var media = new List<MediaInfo> { new() { Name = "disk", Kind = MediaKind.Disk, Sha256 = sha256, Files = [file], UsedBy = [JobKind.Disk] } };
        return new()
        {
            Guest = new() { Id = id, Name = id, Family = "test", Digest = "d", Kinds = [JobKind.Disk], Media = media, MemoryMiB = 16 },
            Plans = [new() { GuestId = id, Kind = JobKind.Disk, Digest = "d", MemoryMiB = 16, Media = media, Script = (mode ?? "mode-" + id) + "\n", HostLimitSeconds = hostSeconds }],
        };
    }
}

public sealed class RunningWorker(string id, IHost host) : IAsyncDisposable
{
    private bool _stopped;

    public string Id { get; } = id;
    public FarmWorker Worker => host.Services.GetRequiredService<FarmWorker>();

    public async Task Stop()
    {
        if (!_stopped)
            await host.StopAsync();
        _stopped = true;
    }

    public async ValueTask DisposeAsync()
    {
        await Stop();
        host.Dispose();
    }
}
