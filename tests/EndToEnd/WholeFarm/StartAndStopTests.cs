using System.Diagnostics;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;

namespace Farm.EndToEnd.WholeFarm;

/// <summary>What Ctrl-C and a second start do to a farm at work.</summary>
public sealed class StartAndStopTests
{
    [Fact]
    public async Task Ctrl_C_stops_all_it_started_and_nothing_else_and_a_second_start_goes_on_where_it_was()
    {
        await using var farm = new FarmProcess(["grub2"], []);
        farm.Add(Probes.Slow);
        await farm.Start("--slots", "1");
        await farm.Until(async () => (await Cell(farm, "grub2")).State == CellState.Yes, "GRUB's cell is green", 120);
        var before = await Cell(farm, "grub2");
        await farm.Until(async () => (await farm.Api.GetJobs(new JobQuery())).All(job => job.State == JobState.Finished), "the first jobs are done");
        var slow = Assert.Single((await farm.Api.CreateJobs(new JobRequest { Guests = [Probes.Slow.Id] })).Jobs);
        await farm.Until(async () => (await farm.Api.GetJob(slow.Id))!.Job is { State: JobState.Running, Phase: >= BootPhase.BootSector }, "the slow guest is in mid-boot");
        Assert.Single(farm.Vms());
        Assert.Contains(farm.Processes(), process => process.Command.Contains("postgres", StringComparison.Ordinal));

        using var bystander = Process.Start(new ProcessStartInfo("sleep", "600") { RedirectStandardOutput = true, RedirectStandardError = true })!;
        try
        {
            Assert.Equal(0, await farm.Interrupt());
            Assert.Empty(farm.Processes());
            Assert.False(bystander.HasExited);
        }
        finally
        {
            bystander.Kill();
        }

        await farm.Start("--slots", "1");
        double seconds = farm.Since.Elapsed.TotalSeconds;
        Assert.True(seconds < 15 * FarmProcess.Load, $"The second start took {seconds:F1} s.");
        var after = await Cell(farm, "grub2");
        Assert.Equal((CellState.Yes, before.RunId, before.At), (after.State, after.RunId, after.At));
        // the interrupted run was nobody's trouble: its job runs again, and the cell is not flaky
        var done = await farm.Finished(slow.Id);
        Assert.Equal((RunHealth.Ok, GuestOutcome.Pass, 0), (done.Health, done.Outcome, done.InfrastructureRetries));
        Assert.Equal(CellState.Yes, (await Cell(farm, Probes.Slow.Id)).State);
        Assert.Equal(0, await farm.Interrupt());
        Assert.Empty(farm.Processes());
    }

    [Fact]
    public async Task A_second_farm_beside_a_running_one_is_refused_by_its_port()
    {
        await using var farm = new FarmProcess(["msdos-5.0"], []);
        await farm.Start();
        var (code, _, error) = await farm.Run("up", "--port", new Uri(farm.Url).Port.ToString(System.Globalization.CultureInfo.InvariantCulture));
        Assert.Equal(3, code);
        Assert.Contains("is taken", error, StringComparison.Ordinal);
        Assert.Contains("--port", error, StringComparison.Ordinal);
        // all that it shows is untried
        Assert.Equal(CellState.NoMedia, (await Cell(farm, "msdos-5.0")).State);
    }

    private static async Task<MatrixCell> Cell(FarmProcess farm, string guest) => (await farm.Api.GetMatrix(new MatrixQuery { GuestId = guest })).Rows[0].Disk;
}
