using Farm.Assist.Monitor;
using Farm.Machine.Boot;
using Farm.Machine.Hypervisors;

namespace Farm.Machine.Tests.Firmware;

/// <summary>Boots small media of our own on the real BIOSes, on soft.</summary>
internal static class FirmwareBed
{
    public static TheoryData<string> Sets => ["bochs", "seabios"];

    /// <summary>Runs until the text appears on COM1 or the screen.</summary>
    public static BootReport Boot(MachineOptions machine, params ReadOnlySpan<ScriptStep> steps)
    {
        using var session = Session(machine, steps);
        return session.Run(TestContext.Current.CancellationToken);
    }

    /// <summary>Boots and wants a pass.</summary>
    public static void Expect(MachineOptions machine, string text) => Passes(machine, ScriptStep.Expect(text));

    public static BootReport Passes(MachineOptions machine, params ReadOnlySpan<ScriptStep> steps)
    {
        var report = Boot(machine, steps);
        Assert.True(report.Outcome == BootOutcome.Pass, $"{report.Reason}\n{string.Join('\n', report.Screen)}\n{string.Join('\n', report.Events)}");
        return report;
    }

    public static BootSession Session(MachineOptions machine, ReadOnlySpan<ScriptStep> steps)
    {
        var request = new BootRequest
        {
            Machine = machine,
            Backend = "soft",
            Script = new GuestScript { Steps = [.. steps] },
            GuestTimeout = TimeSpan.FromSeconds(40),
        };
        return TestMachine.OrSkip(() => new BootSession(request));
    }

    /// <summary>A machine that starts quickly: real-mode code runs by itself.</summary>
    public static MachineOptions Machine(string firmware) => new() { Firmware = firmware, Assist = AssistStrength.Native, MemoryMiB = 16 };
}
