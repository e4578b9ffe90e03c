using System.Diagnostics;
using Farm.Contracts.Jobs;

namespace Farm.Worker.Tests.Leases;

public sealed class SiloRestartTests
{
    [Fact]
    public async Task A_worker_without_a_silo_ends_its_children_by_itself()
    {
        await using var farm = new WorkerFarm { DeadAfter = TimeSpan.FromSeconds(3) };
        await farm.InitializeAsync();
        await using var worker = await farm.StartWorker();
        var job = await farm.Run("hang");
        await WorkerFarm.Until(async () => (await farm.Job(job.Id)).State == JobState.Running);
        var child = Assert.Single(worker.Worker.VmProcesses);

        await farm.StopSilo();
        await WorkerFarm.Until(() => Task.FromResult(worker.Worker.VmProcesses.Count == 0));
        Assert.Throws<ArgumentException>(() => Process.GetProcessById(child));
    }

    [Fact]
    public async Task A_job_outlives_a_restart_of_the_silo()
    {
        await using var farm = new WorkerFarm { DeadAfter = TimeSpan.FromMinutes(2) };
        await farm.InitializeAsync();
        await using var worker = await farm.StartWorker();
        var job = await farm.Run("hang");
        await WorkerFarm.Until(async () => (await farm.Job(job.Id)).State == JobState.Running);
        var child = Assert.Single(worker.Worker.VmProcesses);

        await farm.StopSilo();
        await farm.StartSilo();
        var beat = (await farm.Farm.GetWorkers()).Single().LastBeat;
        await WorkerFarm.Until(async () => (await farm.Farm.GetWorkers()).Single().LastBeat > beat);
        var after = await farm.Job(job.Id);
        Assert.Equal((JobState.Running, 1, 0), (after.State, after.Epoch, after.InfrastructureRetries));
        Assert.Equal([child], worker.Worker.VmProcesses);

        // the restarted silo still has a say over it
        Assert.True(await farm.Farm.CancelJob(job.Id, "test"));
        Assert.Equal(RunHealth.Cancelled, (await farm.Finished(job.Id)).Health);
    }
}
