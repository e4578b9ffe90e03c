using Farm.Contracts;
using Farm.Contracts.Grains;
using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;
using Farm.Contracts.Workers;

namespace Farm.Silo.Tests.Service;

[Collection(FarmCollection.Name)]
public sealed class LeaseTests(TestFarm farm)
{
    [Fact]
    public async Task A_job_goes_from_the_queue_through_its_phases_to_a_green_cell()
    {
        var guest = farm.NewGuest();
        var worker = await farm.SignOn(guest);
        var job = await farm.QueueJob(guest);
        Assert.Equal(JobState.Queued, job.State);
        Assert.Equal(CellState.Queued, (await farm.Cell(guest)).State);

        var lease = await worker.ClaimOne();
        Assert.Equal((job.Id, 1), (lease.JobId, lease.Epoch));
        Assert.Equal(Backend.Soft, lease.Stack.Backend);
        Assert.True((await worker.Start(lease)).Valid);
        Assert.True((await worker.Report(lease, new PhaseEvent { Phase = BootPhase.Loader }, new PhaseEvent { Phase = BootPhase.Kernel, GuestSeconds = 1.5 })).Valid);

        var cell = await farm.Cell(guest);
        Assert.Equal((CellState.Running, BootPhase.Kernel, 0.5), (cell.State, cell.Furthest, cell.Progress));

        Assert.True((await worker.Pass(lease)).Valid);
        cell = await farm.Cell(guest);
        Assert.Equal((CellState.Yes, BootPhase.Prompt, 1, 1), (cell.State, cell.Furthest, cell.Results, cell.Passes));
        Assert.Equal("b1", cell.Stack!.FirmwareBuild);
        var run = (await farm.Farm.GetRun(lease.RunId))!;
        Assert.Equal([BootPhase.Loader, BootPhase.Kernel], run.Phases.Select(phase => phase.Phase));
        Assert.Equal(RunHealth.Ok, run.Run.Health);
    }

    [Fact]
    public async Task A_job_is_leased_once_however_many_workers_ask()
    {
        var guest = farm.NewGuest();
        var workers = new List<TestWorker>();
        for (var i = 0; i < 5; i++)
            workers.Add(await farm.SignOn(guest));
        await farm.QueueJob(guest);
        var claims = await Task.WhenAll(workers.Select(worker => worker.Grain.Claim(worker.Session, 2)));
        Assert.Single(claims.SelectMany(leases => leases));
    }

    [Fact]
    public async Task A_zombie_cannot_write_over_its_successor()
    {
        var guest = farm.NewGuest();
        var first = await farm.SignOn(guest);
        var job = await farm.QueueJob(guest);
        var lost = await first.ClaimOne();
        await first.Start(lost);

        farm.Time.Advance(TimeSpan.FromSeconds(21));
        var second = await farm.SignOn(guest);
        await farm.Queue.Sweep();
        var lease = await second.ClaimOne();
        Assert.Equal((job.Id, 2), (lease.JobId, lease.Epoch));
        await second.Start(lease);

        // the worker that was thought dead comes back with a result
        Assert.False((await first.Report(lost, new PhaseEvent { Phase = BootPhase.Prompt })).Valid);
        Assert.False((await first.Start(lost)).Valid);
        Assert.False((await first.Pass(lost)).Valid);
        Assert.Equal(JobState.Running, (await farm.Job(job.Id)).State);
        Assert.Equal(CellState.Running, (await farm.Cell(guest)).State);

        await second.Fail(lease);
        Assert.False((await first.Pass(lost)).Valid);
        Assert.Equal(CellState.No, (await farm.Cell(guest)).State);
    }

    [Fact]
    public async Task A_worker_that_misses_its_beats_is_dead_and_its_job_runs_elsewhere()
    {
        var guest = farm.NewGuest();
        var dying = await farm.SignOn(guest);
        var job = await farm.QueueJob(guest);
        var lease = await dying.ClaimOne();
        await dying.Start(lease);
        var other = await farm.SignOn(guest);

        farm.Time.Advance(TimeSpan.FromSeconds(15));
        await dying.Beat(lease);
        await other.Beat();
        farm.Time.Advance(TimeSpan.FromSeconds(15));
        await other.Beat();
        await farm.Queue.Sweep();
        Assert.Equal(JobState.Running, (await farm.Job(job.Id)).State);

        farm.Time.Advance(TimeSpan.FromSeconds(6));
        await other.Beat();
        await farm.Queue.Sweep();
        var waiting = await farm.Job(job.Id);
        Assert.Equal((JobState.Queued, 1), (waiting.State, waiting.InfrastructureRetries));
        Assert.Equal(WorkerState.Dead, (await dying.Grain.Get())!.State);
        Assert.False((await dying.Beat(lease)).SessionValid);
        Assert.Equal(CellState.Queued, (await farm.Cell(guest)).State);
        Assert.Equal(CellState.NotTried, (await farm.Cell(guest)).Verdict);

        Assert.Equal(job.Id, (await other.ClaimOne()).JobId);
    }

    [Fact]
    public async Task Infrastructure_trouble_is_retried_three_times_and_never_colours_the_cell()
    {
        var guest = farm.NewGuest();
        var worker = await farm.SignOn(guest);
        var job = await farm.QueueJob(guest);
        for (var attempt = 0; attempt < 4; attempt++)
        {
            Assert.Equal(JobState.Queued, (await farm.Job(job.Id)).State);
            var lease = await worker.ClaimOne();
            await worker.Start(lease);
            await worker.Trouble(lease);
        }
        var end = await farm.Job(job.Id);
        Assert.Equal((JobState.Finished, RunHealth.Infrastructure), (end.State, end.Health));
        Assert.Null(end.Outcome);
        Assert.Equal(CellState.NotTried, (await farm.Cell(guest)).State);
        Assert.Equal(4, (await farm.Farm.GetJob(job.Id))!.Runs.Count);
    }

    [Fact]
    public async Task A_retry_that_passes_makes_the_cell_flaky_and_a_clean_pass_green_again()
    {
        var guest = farm.NewGuest();
        var worker = await farm.SignOn(guest);
        await farm.QueueJob(guest);
        await worker.Trouble(await worker.ClaimOne());
        await worker.Pass(await worker.ClaimOne());
        Assert.Equal(CellState.Flaky, (await farm.Cell(guest)).State);

        await farm.QueueJob(guest);
        await worker.Pass(await worker.ClaimOne());
        Assert.Equal(CellState.Yes, (await farm.Cell(guest)).State);
    }

    [Fact]
    public async Task A_job_avoids_the_worker_of_its_trouble_while_another_could_take_it()
    {
        var guest = farm.NewGuest();
        var bad = await farm.SignOn(guest);
        var job = await farm.QueueJob(guest);
        var lease = await bad.ClaimOne();
        var good = await farm.SignOn(guest);
        await bad.Trouble(lease);

        Assert.Empty(await bad.Grain.Claim(bad.Session, 1));
        Assert.Equal(job.Id, (await good.ClaimOne()).JobId);
    }

    [Fact]
    public async Task A_second_sign_on_voids_the_first_session_and_frees_its_jobs()
    {
        var guest = farm.NewGuest();
        var first = await farm.SignOn(guest);
        var job = await farm.QueueJob(guest);
        var lease = await first.ClaimOne();
        var second = await farm.SignOn(first.Id, 2, guest);

        var reply = await first.Beat(lease);
        Assert.False(reply.SessionValid);
        Assert.Empty(await first.Grain.Claim(first.Session, 1));
        Assert.Equal(JobState.Queued, (await farm.Job(job.Id)).State);
        Assert.Equal(2, (await second.ClaimOne()).Epoch);
    }

    [Fact]
    public async Task A_worker_that_signs_off_gives_its_jobs_back_without_blame()
    {
        var guest = farm.NewGuest();
        var worker = await farm.SignOn(guest);
        var job = await farm.QueueJob(guest);
        await worker.Start(await worker.ClaimOne());
        await worker.Grain.SignOff(worker.Session);

        var waiting = await farm.Job(job.Id);
        Assert.Equal((JobState.Queued, 0), (waiting.State, waiting.InfrastructureRetries));
        Assert.Equal(WorkerState.Offline, (await worker.Grain.Get())!.State);

        var next = await farm.SignOn(guest);
        await next.Pass(await next.ClaimOne());
        Assert.Equal(CellState.Yes, (await farm.Cell(guest)).State);
    }

    [Fact]
    public async Task A_waiting_job_is_cancelled_at_once_a_running_one_when_its_worker_obeys()
    {
        var guest = farm.NewGuest();
        var worker = await farm.SignOn(guest);
        var running = await farm.QueueJob(guest);
        var lease = await worker.ClaimOne();
        await worker.Start(lease);
        var waiting = await farm.QueueJob(guest);

        Assert.True(await farm.Farm.CancelJob(waiting.Id, "test"));
        Assert.Equal((JobState.Finished, RunHealth.Cancelled), (await farm.Job(waiting.Id) is var w ? w.State : default, w.Health));
        Assert.False(await farm.Farm.CancelJob(waiting.Id, "test"));

        Assert.True(await farm.Farm.CancelJob(running.Id, "test"));
        var reply = await worker.Beat(lease);
        Assert.Equal([lease.Key], reply.Cancel);
        await worker.Complete(lease, new() { Health = RunHealth.Cancelled, Summary = "Cancelled." });
        var end = await farm.Job(running.Id);
        Assert.Equal((JobState.Finished, RunHealth.Cancelled), (end.State, end.Health));
        Assert.Equal(CellState.NotTried, (await farm.Cell(guest)).State);
    }

    [Fact]
    public async Task A_completion_that_is_sent_twice_counts_once()
    {
        var guest = farm.NewGuest();
        var worker = await farm.SignOn(guest);
        await farm.QueueJob(guest);
        var lease = await worker.ClaimOne();
        Assert.True((await worker.Pass(lease)).Valid);
        Assert.True((await worker.Pass(lease)).Valid);
        Assert.Equal(1, (await farm.Cell(guest)).Results);
    }

    [Fact]
    public async Task A_completion_of_trouble_that_is_sent_again_after_the_requeue_changes_nothing()
    {
        var guest = farm.NewGuest();
        var worker = await farm.SignOn(guest);
        var job = await farm.QueueJob(guest);
        var lease = await worker.ClaimOne();
        await worker.Trouble(lease);
        Assert.True((await worker.Trouble(lease)).Valid);
        Assert.Equal(1, (await farm.Job(job.Id)).InfrastructureRetries);
    }

    [Fact]
    public async Task A_worker_whose_jobs_keep_ending_in_trouble_is_quarantined_until_released()
    {
        var guest = farm.NewGuest();
        var worker = await farm.SignOn(6, guest);
        for (var i = 0; i < 5; i++)
            await farm.QueueJob(guest);
        var leases = await worker.Grain.Claim(worker.Session, 5);
        Assert.Equal(5, leases.Count);
        foreach (var lease in leases)
            await worker.Trouble(lease);

        // the count reaches the worker's grain one way: it is there once the grain has answered a later call
        await Wait.Until(async () => (await worker.Grain.Get())!.State == WorkerState.Quarantined);
        Assert.Empty(await worker.Grain.Claim(worker.Session, 1));
        Assert.True(await farm.Farm.ReleaseWorker(worker.Id, "test"));
        Assert.NotEmpty(await worker.Grain.Claim(worker.Session, 1));
    }

    [Fact]
    public async Task The_jobs_lease_is_refused_to_a_worker_that_is_not_online()
    {
        var guest = farm.NewGuest();
        var worker = await farm.SignOn(guest);
        var job = await farm.QueueJob(guest);
        Assert.Null(await farm.Grains.GetGrain<IJobGrain>(job.Id).Lease(worker.Id, worker.Session + 1, Backend.Soft));
        Assert.Null(await farm.Grains.GetGrain<IJobGrain>(job.Id).Lease("nobody", 1, Backend.Soft));
    }
}
