using Farm.Assist.Monitor;
using Farm.Machine;
using Farm.Machine.Boot;
using Farm.Machine.Divergence;

namespace Farm.EndToEnd.Guests;

/// <summary>FreeDOS run twice and compared by what it does to ports and disks, and by its screens.</summary>
public sealed class DivergeTests
{
    [Fact]
    public void Free_dos_does_the_same_under_the_assist_and_without_it()
    {
        var report = Find(Run(AssistStrength.Vm86), Run(AssistStrength.Native));
        Assert.True(report.Alike, report.Describe());
        Assert.True(report.First.Events > 10_000);
        Assert.Equal(BootOutcome.Pass, report.First.Report.Outcome);
    }

    [Fact]
    public void Half_the_memory_is_found()
    {
        var report = Find(Run(AssistStrength.Vm86), Run(AssistStrength.Vm86, memory: 8));
        Assert.False(report.Alike);
        Assert.Equal("MC146818", report.Streams[0].Stream);
    }

    private static DivergenceReport Find(RunToCompare first, RunToCompare second)
    {
        var folder = Directory.CreateTempSubdirectory("farm-diverge-e2e-");
        try
        {
            return DivergenceReport.Find(first, second, folder.FullName, [], TestContext.Current.CancellationToken);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static RunToCompare Run(AssistStrength strength, int memory = 16) => new(strength.ToString(), new BootRequest
    {
        Machine = new MachineOptions { MemoryMiB = memory, CpuModel = "pentium", Assist = strength, Floppies = [Media.Need("freedos-722.img")] },
        Backend = "soft",
        Script = new GuestScript { Steps = [ScriptStep.Expect(@"A:\\>"), ScriptStep.Type("ver\n"), ScriptStep.Expect("FreeCom version")] },
        GuestTimeout = TimeSpan.FromSeconds(60),
    });
}
