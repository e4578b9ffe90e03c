using Farm.Assist.Monitor;
using Farm.Machine;
using Farm.Machine.Boot;

namespace Farm.EndToEnd.Guests;

/// <summary>A real DOS through loader, assist and BIOS on the soft backend.</summary>
public sealed class FreeDosTests
{
    [Theory]
    [InlineData(AssistStrength.Vm86)]
    [InlineData(AssistStrength.Full)]
    [InlineData(AssistStrength.Native)]
    public void Reaches_its_prompt_and_answers_ver(AssistStrength strength)
    {
        var report = Boot(strength);
        Assert.True(report.Outcome == BootOutcome.Pass, report.Reason);
        Assert.Contains(report.Screen, line => line.StartsWith("FreeCom version", StringComparison.Ordinal));
        Assert.Equal("prompt", report.FurthestPhase);
        Assert.Equal("virtual", report.ClockMode);
        Assert.Empty(report.UnsupportedOpcodes);
        if (strength == AssistStrength.Vm86)
        {
            Assert.True(report.AssistTrapsTotal > 0);
            Assert.Contains("hlt", report.AssistTraps.Keys);
        }
        if (strength == AssistStrength.Native)
            Assert.True(report.RealModeInstructions > 1_000_000);
        else
            Assert.Equal(0ul, report.RealModeInstructions);
    }

    private static BootReport Boot(AssistStrength strength)
    {
        using var session = new BootSession(new BootRequest
        {
            Machine = new MachineOptions { Assist = strength, Floppies = [Media.Need("freedos-722.img")], MemoryMiB = 16 },
            Backend = "soft",
            Script = new GuestScript { Steps = [ScriptStep.Expect(@"A:\\>"), ScriptStep.Type("ver\\n"), ScriptStep.Expect("FreeCom version")] },
            GuestTimeout = TimeSpan.FromSeconds(60),
        });
        return session.Run(TestContext.Current.CancellationToken);
    }
}
