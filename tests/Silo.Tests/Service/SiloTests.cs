using System.Diagnostics;
using Farm.Contracts;
using Farm.Contracts.Api;
using Farm.Contracts.Grains;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Farm.Contracts.Matrix;
using Farm.Silo.Hosting;
using Farm.Silo.Storage;
using Farm.Silo.Tests.Postgres;
using Microsoft.Extensions.Logging;

namespace Farm.Silo.Tests.Service;

public sealed class SiloTests(PostgresServer server) : IDisposable
{
    private readonly string _folder = Path.Combine(Path.GetTempPath(), "farm-silo-" + Guid.NewGuid().ToString("N")[..12]);

    public void Dispose()
    {
        if (Directory.Exists(_folder))
            Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task Results_outlive_the_silo_and_a_stop_does_not_wait_for_open_streams()
    {
        var database = await server.NewDatabase();
        await using (var silo = await Start(database, sole: true))
        {
            await RunOne(silo, GuestOutcome.Pass);
            using var http = new HttpClient { BaseAddress = new(silo.Url) };
            var reading = Drain(new FarmHttpClient(http).Events());
            await Wait.Until(() => Task.FromResult(reading.Status is TaskStatus.WaitingForActivation));
            var stop = Stopwatch.StartNew();
            await silo.DisposeAsync();
            Assert.InRange(stop.Elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(15));
            await reading;
        }
        await using (var silo = await Start(database, sole: true))
            Assert.Equal(CellState.Yes, (await silo.Farm.GetMatrix()).Rows[0].Disk.State);
    }

    [Fact]
    public async Task Two_silos_of_one_database_are_one_farm()
    {
        var database = await server.NewDatabase();
        await using var first = await Start(database, sole: false);
        await using var second = await Start(database, sole: false);
        var start = (await second.Farm.GetMatrix()).Sequence;
        await RunOne(first, GuestOutcome.Hang);
        Assert.Equal(CellState.No, (await second.Farm.GetMatrix()).Rows[0].Disk.State);

        // the feed of one tells what the other did
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        await foreach (var change in second.Farm.Events(start, limit.Token))
        {
            if (change is { Kind: FarmEventKind.CellChanged, Cell.State: CellState.No })
                break;
        }
    }

    [Fact]
    public async Task A_second_sole_silo_is_refused()
    {
        var database = await server.NewDatabase();
        await using var first = await Start(database, sole: true);
        var error = await Assert.ThrowsAsync<DatabaseException>(() => Start(database, sole: true));
        Assert.Contains("Another farm runs on this database", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_guest_that_left_the_catalogue_leaves_the_matrix_and_its_return_brings_its_results_back()
    {
        var database = await server.NewDatabase();
        await using (var silo = await Start(database, sole: true))
            await RunOne(silo, GuestOutcome.Pass);
        await using (var silo = await Start(database, sole: true, "other"))
        {
            Assert.Equal("other", Assert.Single((await silo.Farm.GetMatrix()).Rows).Guest.Id);
            var job = Assert.Single(await silo.Farm.GetJobs());
            Assert.Equal(FarmErrorKind.Conflict, (await Assert.ThrowsAsync<FarmException>(() => silo.Farm.RerunJob(job.Id, "test"))).Kind);
        }
        await using (var silo = await Start(database, sole: true, "tiny", "new digest"))
        {
            var cell = (await silo.Farm.GetMatrix()).Rows[0].Disk;
            Assert.Equal((CellState.Yes, true), (cell.State, cell.Stale));
        }
    }

    private static async Task RunOne(FarmSilo silo, GuestOutcome outcome)
    {
        var worker = silo.Grains.GetGrain<IWorkerGrain>("w");
        var session = await worker.Register(new() { Slots = 1, Capabilities = new() { Backends = [Backend.Soft], Firmware = [FirmwareSet.Bochs] } });
        var job = (await silo.Farm.CreateJobs(new() { Guests = ["tiny"] })).Jobs[0];
        var lease = Assert.Single(await worker.Claim(session.Session, 1));
        Assert.Equal(job.Id, lease.JobId);
        await silo.Grains.GetGrain<IJobGrain>(job.Id).Complete(lease.Epoch, new() { Health = RunHealth.Ok, Outcome = outcome });
        await worker.SignOff(session.Session);
    }

    private static async Task Drain(IAsyncEnumerable<FarmEvent> events)
    {
        try
        {
            await foreach (var _ in events)
            {
                // only the end matters
            }
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            // the server is gone: an end too
        }
    }

    private Task<FarmSilo> Start(string database, bool sole, string guest = "tiny", string digest = "d") => FarmSilo.Start(new()
    {
        ConnectionString = database,
        ArtifactFolder = _folder,
        Sole = sole,
        Catalogue =
        [
            new()
            {
                Guest = new() { Id = guest, Name = guest, Family = "test", Digest = digest, Kinds = [JobKind.Disk] },
                Plans = [new() { GuestId = guest, Kind = JobKind.Disk, Digest = digest }],
            },
        ],
    }, builder => builder.Logging.ClearProviders());
}
