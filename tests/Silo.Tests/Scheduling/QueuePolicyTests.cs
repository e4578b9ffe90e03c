using Farm.Contracts;
using Farm.Contracts.Guests;
using Farm.Contracts.Workers;
using Farm.Silo.Scheduling;

namespace Farm.Silo.Tests.Scheduling;

public sealed class QueuePolicyTests
{
    private static readonly DateTimeOffset s_now = new(2026, 3, 1, 12, 0, 0, TimeSpan.Zero);
    private static readonly MediaInfo s_media = new() { Name = "boot", Kind = MediaKind.Floppy, Sha256 = new('a', 64), Files = ["boot.img"] };

    [Fact]
    public void Priority_goes_first_then_age()
    {
        var jobs = new[] { Job(1), Job(2, priority: 5), Job(3, waited: TimeSpan.FromSeconds(30)) };
        Assert.Equal([2, 3, 1], QueuePolicy.Order(jobs, s_now).Select(job => job.Id));
    }

    [Fact]
    public void A_job_that_waits_long_enough_passes_any_priority()
    {
        var old = Job(1, priority: -100, waited: TimeSpan.FromMinutes(201));
        Assert.Equal([1, 2], QueuePolicy.Order([Job(2, priority: 100), old], s_now).Select(job => job.Id));
        Assert.Equal([2, 1], QueuePolicy.Order([Job(2, priority: 100), Job(1, priority: -100, waited: TimeSpan.FromMinutes(199))], s_now).Select(job => job.Id));
    }

    [Theory]
    [InlineData(Backend.Auto, new[] { Backend.Kvm, Backend.Soft }, Backend.Kvm)]
    [InlineData(Backend.Auto, new[] { Backend.Soft, Backend.Kvm }, Backend.Soft)]
    [InlineData(Backend.Auto, new[] { Backend.Soft }, Backend.Soft)]
    [InlineData(Backend.Soft, new[] { Backend.Soft, Backend.Kvm }, Backend.Soft)]
    [InlineData(Backend.Kvm, new[] { Backend.Soft }, null)]
    public void Auto_takes_the_workers_best_backend_and_a_name_only_itself(Backend asked, Backend[] has, Backend? expected)
    {
        var state = State([Job(1) with { Stack = new() { Backend = asked } }], Worker("w", backends: has));
        Assert.Equal(expected, QueuePolicy.Pick(state, "w", 1, s_now).Select(pick => (Backend?)pick.Backend).FirstOrDefault());
    }

    [Fact]
    public void A_worker_gets_only_jobs_whose_media_it_holds()
    {
        var withMedia = Job(1) with { Media = [s_media] };
        Assert.Empty(QueuePolicy.Pick(State([withMedia], Worker("w")), "w", 1, s_now));
        var holder = Worker("w") with { Media = [new() { Sha256 = new('A', 64), File = "any.img" }] };
        Assert.Single(QueuePolicy.Pick(State([withMedia], holder), "w", 1, s_now));
    }

    [Fact]
    public void What_the_farm_can_hand_out_need_not_be_held()
    {
        var withMedia = Job(1) with { Media = [s_media] };
        var state = State([withMedia], Worker("w")) with { Shelf = [new() { Sha256 = s_media.Sha256!, File = "any.img" }] };
        Assert.Single(QueuePolicy.Pick(state, "w", 1, s_now));
        Assert.DoesNotContain("holds the medium", QueueForecaster.Forecast(state, s_now)[0].Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void A_medium_without_a_digest_is_matched_by_file_name()
    {
        var byName = Job(1) with { Media = [s_media with { Sha256 = null }] };
        Assert.Single(QueuePolicy.Pick(State([byName], Worker("w") with { Media = [new() { Sha256 = "x", File = "BOOT.IMG" }] }), "w", 1, s_now));
        Assert.Empty(QueuePolicy.Pick(State([byName], Worker("w") with { Media = [new() { Sha256 = "x", File = "root.img" }] }), "w", 1, s_now));
    }

    [Fact]
    public void A_claim_is_bounded_by_slots_and_by_memory_and_a_small_job_goes_past_a_big_one()
    {
        var worker = Worker("w", slots: 3, memory: 300);
        var jobs = new[] { Job(1, memory: 200), Job(2, memory: 200), Job(3, memory: 50), Job(4, memory: 50), Job(5, memory: 1) };
        Assert.Equal([1, 3, 4], QueuePolicy.Pick(State(jobs, worker), "w", 10, s_now).Select(pick => pick.JobId));
        Assert.Equal([1], QueuePolicy.Pick(State(jobs, worker), "w", 1, s_now).Select(pick => pick.JobId));

        var occupied = new OccupyingJob(9, "g", JobKind.Disk, Backend.Soft, "w", 290, s_now);
        Assert.Equal([5], QueuePolicy.Pick(State(jobs, worker) with { Occupying = [occupied] }, "w", 10, s_now).Select(pick => pick.JobId));
    }

    [Fact]
    public void Trouble_sends_a_job_to_another_worker_but_back_when_there_is_none()
    {
        var job = Job(1) with { Avoid = ["w"] };
        Assert.Single(QueuePolicy.Pick(State([job], Worker("w")), "w", 1, s_now));
        Assert.Empty(QueuePolicy.Pick(State([job], Worker("w"), Worker("v")), "w", 1, s_now));
        Assert.Single(QueuePolicy.Pick(State([job], Worker("w"), Worker("v")), "v", 1, s_now));
        Assert.Single(QueuePolicy.Pick(State([job], Worker("w"), Worker("v", backends: [])), "w", 1, s_now));
    }

    [Theory]
    [InlineData(WorkerState.Draining)]
    [InlineData(WorkerState.Quarantined)]
    [InlineData(WorkerState.Dead)]
    public void A_worker_that_is_not_online_gets_nothing(WorkerState state) =>
        Assert.Empty(QueuePolicy.Pick(State([Job(1)], Worker("w") with { State = state }), "w", 1, s_now));

    [Fact]
    public void A_worker_that_runs_out_of_disk_gets_nothing()
    {
        Assert.Empty(QueuePolicy.Pick(State([Job(1)], Worker("w") with { FreeDiskMiB = 100 }), "w", 1, s_now));
        Assert.Single(QueuePolicy.Pick(State([Job(1)], Worker("w") with { FreeDiskMiB = 10_000 }), "w", 1, s_now));
    }

    internal static WaitingJob Job(long id, int priority = 0, TimeSpan waited = default, int memory = 16) => new()
    {
        Id = id,
        GuestId = "g",
        Kind = JobKind.Disk,
        Stack = new() { Backend = Backend.Soft },
        Priority = priority,
        CreatedAt = s_now - waited,
        MemoryMiB = memory,
    };

    internal static WorkerInfo Worker(string id, int slots = 2, int memory = 1024, Backend[]? backends = null) => new()
    {
        Id = id,
        State = WorkerState.Online,
        Slots = slots,
        Capabilities = new() { Backends = backends ?? [Backend.Soft], Firmware = [FirmwareSet.Bochs], MemoryMiB = memory },
    };

    internal static QueueState State(IReadOnlyList<WaitingJob> jobs, params WorkerInfo[] workers) => new(jobs, [], workers, DurationHistory.Empty);
}
