using Farm.Assist.Monitor;
using Farm.Backends.Tests.WhpStandIn;
using Farm.Machine;
using Farm.Machine.Boot;
using Farm.Machine.Hypervisors.Whp.Native;

namespace Farm.Backends.Tests;

/// <summary>A real DOS on the WHP backend over the stand-in for WinHvPlatform.dll.</summary>
public sealed class WhpBootTests
{
    /// <summary>The floppy image: in FARM_MEDIA, or in shared/guests beside the checkout; without it the test is skipped.</summary>
    private static string FreeDos()
    {
        const string name = "freedos-722.img";
        string? root = AppContext.BaseDirectory;
        while (root is not null && !File.Exists(Path.Combine(root, "farm.sln")))
            root = Path.GetDirectoryName(root);
        string[] folders = [.. (Environment.GetEnvironmentVariable("FARM_MEDIA") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries), Path.Combine(root ?? ".", "..", "shared", "guests")];
        string? found = folders.Select(folder => Path.Combine(folder, name)).FirstOrDefault(File.Exists);
        Assert.SkipWhen(found is null, $"The medium {name} is in none of {string.Join(", ", folders)}; set FARM_MEDIA to its folder.");
        return found!;
    }

    [Theory]
    [InlineData(AssistStrength.Vm86, "bochs", false)]
    [InlineData(AssistStrength.Full, "bochs", false)]
    [InlineData(AssistStrength.Native, "bochs", false)]
    [InlineData(AssistStrength.Native, "bochs", true)]
    [InlineData(AssistStrength.Native, "seabios", true)]
    public void FreeDOS_reaches_its_prompt_and_answers_ver(AssistStrength strength, string firmware, bool localApic)
    {
        // Under vm86 and full the machine's own is used whatever the platform has.
        if (!localApic && strength == AssistStrength.Native)
            StandInHost.Current = new StandInHost { Features = 0 };
        using var session = new BootSession(
            new BootRequest
            {
                Machine = new MachineOptions { Firmware = firmware, Assist = strength, Floppies = [FreeDos()], MemoryMiB = 16 },
                Script = new GuestScript { Steps = [ScriptStep.Expect(@"A:\\>"), ScriptStep.Type("ver\\n"), ScriptStep.Expect("FreeCom version")] },
                GuestTimeout = TimeSpan.FromMinutes(5),
                HostTimeout = TimeSpan.FromMinutes(5),
            },
            StandInLibrary.NewHypervisor());
        var report = session.Run(TestContext.Current.CancellationToken);
        var exits = StandInHost.Current.Processors.Single().Exits;
        TestContext.Current.TestOutputHelper?.WriteLine(string.Join(", ", exits.Select(exit => $"{exit.Key} {exit.Value}")) + $"; {report.HostSeconds:F1} s");
        Assert.True(report.Outcome == BootOutcome.Pass, report.Reason);
        Assert.Equal("prompt", report.FurthestPhase);
        Assert.Equal(localApic ? "host" : "host-skip", report.ClockMode);
        Assert.Empty(report.UnsupportedOpcodes);
        Assert.Empty(StandInHost.Complaints);
        Assert.True(exits[WhvRunVpExitReason.X64IoPortAccess] > 100);
        if (strength == AssistStrength.Vm86)
            Assert.Contains("hlt", report.AssistTraps.Keys);
        Assert.Equal(localApic, exits.ContainsKey(WhvRunVpExitReason.X64ApicWriteTrap));
        if (strength == AssistStrength.Native)
            Assert.True(exits[WhvRunVpExitReason.MemoryAccess] > 0);
    }
}
