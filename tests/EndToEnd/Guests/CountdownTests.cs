using System.Globalization;
using Farm.Assist.Monitor;
using Farm.Machine;
using Farm.Machine.Boot;

namespace Farm.EndToEnd.Guests;

/// <summary>A guest that waits costs next to nothing, whether it waits in HLT (ISOLINUX) or by asking its BIOS for a key over and over (GRUB).</summary>
public sealed class CountdownTests
{
    /// <summary>What a processor of 100 MIPS would do in the thirty seconds.</summary>
    private const double Busy = 3e9;

    [Theory]
    [InlineData("countdown-isolinux.iso", AssistStrength.Vm86, "bochs")]
    [InlineData("countdown-isolinux.iso", AssistStrength.Native, "seabios")]
    [InlineData("countdown-grub.img", AssistStrength.Vm86, "bochs")]
    [InlineData("countdown-grub.img", AssistStrength.Full, "seabios")]
    public async Task Thirty_seconds_of_a_boot_menu_pass_at_once(string medium, AssistStrength strength, string firmware)
    {
        string path = await Media.Need(medium, "countdown", TestContext.Current.CancellationToken);
        bool cd = Path.GetExtension(path) == ".iso";
        using var session = new BootSession(new BootRequest
        {
            Machine = new MachineOptions { Assist = strength, Firmware = firmware, Cdroms = cd ? [path] : [], Disks = cd ? [] : [path], Order = "dc" },
            Backend = "soft",
            Script = GuestScript.Parse("steps:\n  - expect: Thirty seconds\n  - phase: menu\n  - expect: after the countdown\n", "countdown"),
            GuestTimeout = TimeSpan.FromSeconds(60),
        });
        var worked = new Dictionary<string, double>();
        double start = Worked();
        session.Phases.OnReached = phase => worked.Add(phase.Name, Worked() - start);
        var report = session.Run(TestContext.Current.CancellationToken);

        Assert.True(report.Outcome == BootOutcome.Pass, report.Reason);
        var menu = report.Phases.Single(phase => phase.Name == "menu");
        var end = report.Phases.Single(phase => phase.Name == PhaseTracker.Prompt);
        Assert.InRange(end.GuestSeconds - menu.GuestSeconds, 28, 32);
        double share = (end.Instructions - menu.Instructions) / Busy;
        Assert.True(share < 0.015, $"{share:P2} of the instructions of a busy wait");
        // However slow the host is: the countdown takes less than booting to the menu does and a second more.
        Assert.InRange(worked[PhaseTracker.Prompt] - worked["menu"], 0, worked["menu"] + 1);
    }

    /// <summary>Processor time of the thread that runs the machine, in seconds: what else the host does is not in it.</summary>
    private static double Worked() =>
        double.Parse(File.ReadAllText("/proc/thread-self/schedstat").Split(' ')[0], CultureInfo.InvariantCulture) / 1e9;
}
