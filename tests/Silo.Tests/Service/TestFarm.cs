using Farm.Contracts;
using Farm.Contracts.Api;
using Farm.Contracts.Grains;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;
using Farm.Contracts.Workers;
using Farm.Silo.Hosting;
using Farm.Silo.Tests.Postgres;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;

namespace Farm.Silo.Tests.Service;

/// <summary>Tests over one silo.</summary>
[CollectionDefinition(Name)]
public sealed class FarmCollection : ICollectionFixture<TestFarm>
{
    public const string Name = "farm";
}

/// <summary>
/// One real silo on a real database, with a clock that stands still until a test moves it. Tests share it: each uses guests and
/// workers of its own.
/// </summary>
public sealed class TestFarm(PostgresServer server) : IAsyncLifetime
{
    private readonly string _artifacts = Path.Combine(Path.GetTempPath(), "farm-artifacts-" + Guid.NewGuid().ToString("N")[..12]);
    private FarmSilo? _silo;
    private int _names;

    public FakeTimeProvider Time { get; } = new(new(2026, 3, 1, 12, 0, 0, TimeSpan.Zero));
    public FarmSilo Silo => _silo ?? throw new InvalidOperationException("The silo is not up.");
    public IFarm Farm => Silo.Farm;
    public IGrainFactory Grains => Silo.Grains;
    public IQueueGrain Queue => Grains.GetGrain<IQueueGrain>(0);
    public HttpClient Http { get; private set; } = new();
    public FarmHttpClient Api { get; private set; } = null!;
    public string ConnectionString { get; private set; } = "";

    public async ValueTask InitializeAsync()
    {
        ConnectionString = await server.NewDatabase();
        _silo = await FarmSilo.Start(new()
        {
            ConnectionString = ConnectionString,
            Catalogue = Enumerable.Range(1, 200).Select(Guest).ToList(),
            ArtifactFolder = _artifacts,
            LargestArtifact = 1 << 20,
            Sole = true,
            Time = Time,
            // real time drives the sweeper's timer, fake time what it finds
            Timings = new() { SweepEvery = TimeSpan.FromHours(1) },
        }, builder => builder.Logging.ClearProviders());
        Http = new() { BaseAddress = new(Silo.Url) };
        Api = new(Http);
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        if (_silo is not null)
            await _silo.DisposeAsync();
        if (Directory.Exists(_artifacts))
            Directory.Delete(_artifacts, recursive: true);
    }

    /// <summary>A guest of the catalogue that no other test uses.</summary>
    public string NewGuest() => $"guest-{Interlocked.Increment(ref _names)}";

    /// <summary>The digest of a guest's only medium: a worker that holds it takes that guest's jobs and no others.</summary>
    public static string MediaOf(string guest) => Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(guest)));

    /// <summary>Signs a worker on that holds the media of these guests.</summary>
    public async Task<TestWorker> SignOn(params string[] guests) => await SignOn(2, guests);

    public async Task<TestWorker> SignOn(int slots, params string[] guests)
    {
        var id = $"w{Interlocked.Increment(ref _names)}";
        return await SignOn(id, slots, guests);
    }

    public async Task<TestWorker> SignOn(string id, int slots, params string[] guests)
    {
        var grain = Grains.GetGrain<IWorkerGrain>(id);
        var session = await grain.Register(new()
        {
            Slots = slots,
            Capabilities = new() { Backends = [Backend.Soft], Firmware = [FirmwareSet.Bochs], MemoryMiB = 1024 },
            Media = [.. guests.Select(guest => new HeldMedia { Sha256 = MediaOf(guest), File = guest + ".img" })],
        });
        return new(this, grain, id, session.Session);
    }

    /// <summary>Queues one Disk job.</summary>
    public async Task<JobInfo> QueueJob(string guest) => (await Farm.CreateJobs(new() { Guests = [guest], Kind = JobKind.Disk })).Jobs[0];

    public async Task<JobInfo> Job(long id) => (await Farm.GetJob(id))!.Job;

    public async Task<MatrixCell> Cell(string guest) => (await Farm.GetMatrix(new() { GuestId = guest })).Rows[0].Disk;

    private static CatalogueEntry Guest(int number)
    {
        var id = $"guest-{number}";
        var media = new List<MediaInfo> { new() { Name = "boot", Kind = MediaKind.Floppy, Sha256 = MediaOf(id), Files = [id + ".img"], UsedBy = [JobKind.Disk] } };
        return new()
        {
            Guest = new() { Id = id, Name = "Guest " + number, Family = "test", Digest = "d1", Kinds = [JobKind.Disk], Media = media, MemoryMiB = 16 },
            Plans = [new() { GuestId = id, Kind = JobKind.Disk, Digest = "d1", MemoryMiB = 16, Media = media, Script = "- expect: x" }],
        };
    }
}

/// <summary>A worker of a test: says what a real one would say.</summary>
public sealed class TestWorker(TestFarm farm, IWorkerGrain grain, string id, long session)
{
    public string Id { get; } = id;
    public long Session { get; } = session;
    public IWorkerGrain Grain { get; } = grain;

    public async Task<Lease> ClaimOne()
    {
        var leases = await Grain.Claim(Session, 1);
        return Assert.Single(leases);
    }

    public Task<BeatReply> Beat(params Lease[] leases) => Grain.Beat(new() { Session = Session, Leases = [.. leases.Select(lease => lease.Key)] });

    public Task<LeaseReply> Start(Lease lease, string build = "b1") => farm.Grains.GetGrain<IJobGrain>(lease.JobId).Start(lease.Epoch, lease.Stack with { FirmwareBuild = build });

    public Task<LeaseReply> Report(Lease lease, params PhaseEvent[] phases) =>
        farm.Grains.GetGrain<IJobGrain>(lease.JobId).Report(new() { Epoch = lease.Epoch, Phases = phases, Progress = 0.5 });

    public Task<LeaseReply> Complete(Lease lease, RunReport report) => farm.Grains.GetGrain<IJobGrain>(lease.JobId).Complete(lease.Epoch, report);

    public Task<LeaseReply> Pass(Lease lease) =>
        Complete(lease, new() { Health = RunHealth.Ok, Outcome = GuestOutcome.Pass, Furthest = BootPhase.Prompt, Summary = "The prompt came." });

    public Task<LeaseReply> Fail(Lease lease, GuestOutcome outcome = GuestOutcome.Hang) =>
        Complete(lease, new() { Health = RunHealth.Ok, Outcome = outcome, Furthest = BootPhase.BootSector, Summary = "It hung." });

    public Task<LeaseReply> Trouble(Lease lease) =>
        Complete(lease, new() { Health = RunHealth.Infrastructure, Furthest = BootPhase.Post, Summary = "The VM's process was killed by SIGKILL." });
}
