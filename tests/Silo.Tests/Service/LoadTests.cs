using System.Diagnostics;
using Farm.Contracts;
using Farm.Contracts.Grains;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Workers;
using Farm.Silo.Hosting;
using Farm.Silo.Tests.Postgres;
using Microsoft.Extensions.Logging;

namespace Farm.Silo.Tests.Service;

public sealed class LoadTests(PostgresServer server, ITestOutputHelper output)
{
    private const int Workers = 25;
    private const int Slots = 4;
    private const int Jobs = 400;

    [Fact]
    public async Task Many_workers_that_claim_at_once_share_the_queue_and_run_every_job_once()
    {
        var folder = Path.Combine(Path.GetTempPath(), "farm-load-" + Guid.NewGuid().ToString("N")[..12]);
        try
        {
            await using var silo = await FarmSilo.Start(new()
            {
                ConnectionString = await server.NewDatabase(),
                ArtifactFolder = folder,
                Sole = true,
                Catalogue = [.. Enumerable.Range(0, Jobs).Select(Guest)],
            }, builder => builder.Logging.ClearProviders());
            await silo.Farm.CreateJobs(new() { Guests = [.. Enumerable.Range(0, Jobs).Select(i => "g" + i)] });

            var clock = Stopwatch.StartNew();
            using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(3));
            var leases = (await Task.WhenAll(Enumerable.Range(0, Workers).Select(i => Work(silo, "w" + i, limit.Token)))).SelectMany(list => list).ToList();
            output.WriteLine($"{leases.Count} jobs over {Workers} workers in {clock.Elapsed.TotalSeconds:F1} s: {leases.Count / clock.Elapsed.TotalSeconds:F0} jobs/s");

            Assert.Equal(Jobs, leases.Count);
            Assert.Equal(Jobs, leases.Select(lease => lease.JobId).Distinct().Count());
            Assert.All(leases, lease => Assert.Equal(1, lease.Epoch));
            Assert.All(await silo.Farm.GetJobs(new() { Limit = 500 }), job => Assert.Equal((JobState.Finished, GuestOutcome.Pass), (job.State, job.Outcome)));
        }
        finally
        {
            if (Directory.Exists(folder))
                Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task<List<Lease>> Work(FarmSilo silo, string id, CancellationToken cancel)
    {
        var worker = silo.Grains.GetGrain<IWorkerGrain>(id);
        var session = await worker.Register(new() { Slots = Slots, Capabilities = new() { Backends = [Backend.Soft], Firmware = [FirmwareSet.Bochs] } });
        var done = new List<Lease>();
        while (true)
        {
            cancel.ThrowIfCancellationRequested();
            var claimed = await worker.Claim(session.Session, Slots);
            if (claimed.Count == 0)
                return done;
            foreach (var lease in claimed)
                await silo.Grains.GetGrain<IJobGrain>(lease.JobId).Complete(lease.Epoch, new() { Health = RunHealth.Ok, Outcome = GuestOutcome.Pass });
            done.AddRange(claimed);
            await worker.Beat(new() { Session = session.Session });
        }
    }

    private static CatalogueEntry Guest(int number) => new()
    {
        Guest = new() { Id = "g" + number, Name = "G", Family = "test", Digest = "d", Kinds = [JobKind.Disk] },
        Plans = [new() { GuestId = "g" + number, Kind = JobKind.Disk, Digest = "d" }],
    };
}
