using Farm.Contracts;
using Farm.Contracts.Grains;
using Farm.Contracts.Guests;
using Farm.Contracts.Workers;
using Farm.Silo.Scheduling;
using static Farm.Silo.Tests.Scheduling.QueuePolicyTests;

namespace Farm.Silo.Tests.Scheduling;

public sealed class QueueForecasterTests
{
    private static readonly DateTimeOffset s_now = new(2026, 3, 1, 12, 0, 0, TimeSpan.Zero);
    private static readonly DurationHistory s_minute = new(new Dictionary<(string, JobKind), double> { [("g", JobKind.Disk)] = 60 });

    [Fact]
    public void A_farm_without_workers_says_how_to_get_one() =>
        Assert.Equal("No worker has signed on: start one with farm worker.", Only(State([Job(1)])).Reason);

    [Fact]
    public void A_job_that_could_run_at_once_says_so() =>
        Assert.Equal(("Next in line: a worker is about to take it.", s_now), Read(Only(State([Job(1)], Worker("w")))));

    [Fact]
    public void Full_workers_give_the_place_in_line_and_a_start_from_history()
    {
        var state = State([Job(1), Job(2), Job(3)], Worker("w", slots: 1)) with
        {
            Occupying = [new(9, "g", JobKind.Disk, Backend.Soft, "w", 16, s_now.AddSeconds(-20))],
            Durations = s_minute,
        };
        var forecasts = QueueForecaster.Forecast(state, s_now);
        Assert.Equal(
            ["1st in line: all 1 slots of w are taken.", "2nd in line: all 1 slots of w are taken.", "3rd in line: all 1 slots of w are taken."],
            forecasts.Select(forecast => forecast.Reason));
        Assert.Equal([s_now.AddSeconds(40), s_now.AddSeconds(100), s_now.AddSeconds(160)], forecasts.Select(forecast => forecast.Start));
    }

    [Fact]
    public void Without_history_only_the_first_start_can_be_told()
    {
        var forecasts = QueueForecaster.Forecast(State([Job(1), Job(2)], Worker("w", slots: 1)), s_now);
        Assert.Equal([s_now, null], forecasts.Select(forecast => forecast.Start));
    }

    [Fact]
    public void A_missing_medium_is_named()
    {
        var job = Job(1) with { Media = [new() { Name = "cd1", Kind = MediaKind.Cdrom, Files = ["FC3-i386-disc1.iso"] }] };
        var forecast = Only(State([job], Worker("w")));
        Assert.Equal("No worker that could run it holds the medium cd1 (FC3-i386-disc1.iso).", forecast.Reason);
        Assert.Null(forecast.Start);
    }

    [Fact]
    public void A_missing_backend_is_named_with_the_workers_own_reason()
    {
        var worker = Worker("w");
        worker = worker with { Capabilities = worker.Capabilities with { Missing = ["kvm: no permission for /dev/kvm (group kvm)"] } };
        var forecast = Only(State([Job(1) with { Stack = new() { Backend = Backend.Kvm } }], worker));
        Assert.Equal("No worker can run it on kvm/vm86/bochs: w: kvm: no permission for /dev/kvm (group kvm).", forecast.Reason);
    }

    [Theory]
    [InlineData(WorkerState.Draining, "No worker is online: w is draining.")]
    [InlineData(WorkerState.Quarantined, "No worker is online: w is quarantined.")]
    public void A_worker_that_takes_nothing_is_named(WorkerState state, string expected) =>
        Assert.Equal(expected, Only(State([Job(1)], Worker("w") with { State = state })).Reason);

    [Fact]
    public void The_nearest_worker_gives_the_reason()
    {
        var forecast = Only(State([Job(1, memory: 2000)], Worker("small", memory: 1024), Worker("no-soft", backends: [])));
        Assert.Equal("Needs 2000 MiB of guest memory, more than any worker has: small has 1024 MiB for guests.", forecast.Reason);
    }

    [Fact]
    public void Every_reason_is_one_sentence()
    {
        var jobs = new[]
        {
            Job(1), Job(2, memory: 5000), Job(3) with { Stack = new() { Firmware = FirmwareSet.Seabios } }, Job(4) with { CpuModel = "p3" },
            Job(5) with { Stack = new() { Backend = Backend.Whp } }, Job(6) with { Avoid = ["w"] },
        };
        foreach (var forecast in QueueForecaster.Forecast(State(jobs, Worker("w")), s_now))
            Assert.Matches(@"^[A-Z0-9][^\n]*[^.]\.$", forecast.Reason);
    }

    private static QueueForecast Only(QueueState state) => Assert.Single(QueueForecaster.Forecast(state, s_now));

    private static (string, DateTimeOffset?) Read(QueueForecast forecast) => (forecast.Reason, forecast.Start);
}
