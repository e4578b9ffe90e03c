using System.Diagnostics;
using Farm.Contracts.Grains;
using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;
using Farm.Contracts.Workers;

namespace Farm.Worker.Tests.Leases;

public sealed class FarmWorkerTests(WorkerFarm farm) : IClassFixture<WorkerFarm>
{
    [Fact]
    public async Task A_job_runs_in_a_child_and_its_phases_screen_serial_and_artifacts_reach_the_farm()
    {
        await using var worker = await farm.StartWorker();
        var job = await farm.Finished((await farm.Run("pass")).Id);

        Assert.True(job.Outcome == GuestOutcome.Pass, job.Summary);
        var run = (await farm.Farm.GetRun(job.RunId!.Value))!;
        Assert.Equal([BootPhase.Loader, BootPhase.Kernel], run.Phases.Select(phase => phase.Phase));
        Assert.Equal("hello from the guest", run.SerialTail);
        Assert.Equal("A:\\>", run.Screen!.Lines[0].Text);
        Assert.Equal(12, run.Run.Stack.FirmwareBuild!.Length);

        // nothing but the file in the run's own folder is kept: no path out of it, no link
        var artifact = Assert.Single(run.Artifacts);
        Assert.Equal("serial0.log", artifact.Name);
        await using var content = (await farm.Farm.GetArtifact(artifact.Sha256))!;
        Assert.Equal("serial log\n", await new StreamReader(content.Content).ReadToEndAsync());
        Assert.Equal(CellState.Yes, (await farm.Cell("pass")).State);
    }

    [Fact]
    public async Task A_child_that_is_killed_is_tried_again_and_the_cell_says_flaky()
    {
        await using var worker = await farm.StartWorker();
        var job = await farm.Run("hang-once");
        await WorkerFarm.Until(async () => (await farm.Job(job.Id)).State == JobState.Running);
        using (var child = Process.GetProcessById(Assert.Single(worker.Worker.VmProcesses)))
            child.Kill();

        var end = await farm.Finished(job.Id);
        Assert.Equal((GuestOutcome.Pass, 1), (end.Outcome, end.InfrastructureRetries));
        var runs = (await farm.Farm.GetJob(job.Id))!.Runs;
        Assert.Equal([RunHealth.Ok, RunHealth.Infrastructure], runs.Select(run => run.Health));
        Assert.Contains("SIGKILL", runs[1].Summary, StringComparison.Ordinal);
        Assert.Equal(CellState.Flaky, (await farm.Cell("hang-once")).State);
    }

    [Theory]
    [InlineData("broken", "exit code 3: no such backend")]
    [InlineData("nonsense", "no message: Segmentation fault, or so")]
    [InlineData("silent", "without a report")]
    [InlineData("long-line", "a line of more than")]
    [InlineData("slow", "more than 1 s of this host's time")]
    public async Task A_child_that_ends_badly_is_the_hosts_trouble_and_never_a_red_cell(string guest, string reason)
    {
        await using var worker = await farm.StartWorker();
        var job = await farm.Finished((await farm.Run(guest)).Id);
        Assert.Equal(RunHealth.Infrastructure, job.Health);
        Assert.Null(job.Outcome);
        Assert.Contains(reason, job.Summary, StringComparison.Ordinal);
        Assert.Equal(4, (await farm.Farm.GetJob(job.Id))!.Runs.Count);
        Assert.Equal(CellState.NotTried, (await farm.Cell(guest)).State);
    }

    [Fact]
    public async Task A_cancelled_job_ends_its_child()
    {
        await using var worker = await farm.StartWorker();
        var job = await farm.Run("hang");
        await WorkerFarm.Until(async () => (await farm.Job(job.Id)).State == JobState.Running);
        Assert.True(await farm.Farm.CancelJob(job.Id, "test"));
        Assert.Equal(RunHealth.Cancelled, (await farm.Finished(job.Id)).Health);
        await WorkerFarm.Until(() => Task.FromResult(worker.Worker.VmProcesses.Count == 0));
    }

    [Fact]
    public async Task A_lost_lease_ends_its_child_and_its_result_is_not_reported()
    {
        await using var worker = await farm.StartWorker();
        var job = await farm.Run("hang");
        await WorkerFarm.Until(async () => (await farm.Job(job.Id)).State == JobState.Running);
        var child = Assert.Single(worker.Worker.VmProcesses);
        worker.Worker.Drain();
        var epoch = (await farm.Job(job.Id)).Epoch;
        await farm.Silo.Grains.GetGrain<IJobGrain>(job.Id).Expire(epoch, "The test takes it back.", trouble: false);

        await WorkerFarm.Until(() => Task.FromResult(worker.Worker.VmProcesses.Count == 0));
        Assert.Throws<ArgumentException>(() => Process.GetProcessById(child));
        var after = await farm.Job(job.Id);
        Assert.Equal((JobState.Queued, 0), (after.State, after.InfrastructureRetries));
        await farm.Farm.CancelJob(job.Id, "test");
    }

    [Fact]
    public async Task A_worker_that_stops_kills_its_children_and_gives_its_jobs_back_without_blame()
    {
        var worker = await farm.StartWorker();
        var job = await farm.Run("hang");
        await WorkerFarm.Until(async () => (await farm.Job(job.Id)).State == JobState.Running);
        var child = Assert.Single(worker.Worker.VmProcesses);
        await worker.DisposeAsync();

        Assert.Throws<ArgumentException>(() => Process.GetProcessById(child));
        var after = await farm.Job(job.Id);
        Assert.Equal((JobState.Queued, 0), (after.State, after.InfrastructureRetries));
        Assert.Equal(WorkerState.Offline, (await farm.Farm.GetWorkers()).Single(known => known.Id == worker.Id).State);
        await farm.Farm.CancelJob(job.Id, "test");
    }

    [Fact]
    public async Task A_medium_with_the_wrong_checksum_is_refused_before_anything_is_queued()
    {
        await using var worker = await farm.StartWorker();
        var error = await Assert.ThrowsAsync<Contracts.Api.FarmException>(() => farm.Run("changed"));
        Assert.Contains("no worker holds disk (disk.img). Nothing was queued.", error.Message, StringComparison.Ordinal);
        Assert.Equal(CellState.NoMedia, (await farm.Cell("changed")).State);
    }

    [Fact]
    public async Task A_medium_that_only_the_silo_has_is_fetched_and_kept()
    {
        await using var worker = await farm.StartWorker();
        await WorkerFarm.Until(async () => (await farm.Cell("far")).State != CellState.NoMedia);
        var job = await farm.Finished((await farm.Run("far")).Id);
        Assert.True(job.Outcome == GuestOutcome.Pass, job.Summary);
        var expected = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(await File.ReadAllBytesAsync(Path.Combine(farm.Shelf, "shelf.img"))));
        await WorkerFarm.Until(async () => (await farm.Farm.GetWorkers()).Single(known => known.Id == worker.Id).Media.Any(held => held.Sha256 == expected));
    }

    [Fact]
    public async Task A_medium_that_vanishes_ends_the_job_as_no_media()
    {
        await using var worker = await farm.StartWorker();
        var other = Path.Combine(farm.Media, "gone.img");
        var path = Path.Combine(farm.Media, "disk.img");
        // the farm still believes in it, the worker looks again
        File.Move(path, other);
        try
        {
            var job = await farm.Farm.CreateJobs(new() { Guests = ["pass"] });
            var end = await farm.Finished(job.Jobs[0].Id);
            Assert.Equal(RunHealth.NoMedia, end.Health);
            Assert.Contains("Medium disk (disk.img) is in none of", end.Summary, StringComparison.Ordinal);
        }
        finally
        {
            File.Move(other, path);
        }
        await WorkerFarm.Until(async () => (await farm.Farm.GetWorkers()).Single(known => known.Id == worker.Id).Media.Any(held => held.File == "disk.img"));
    }
}
