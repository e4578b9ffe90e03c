using Farm.Assist.Monitor;
using Farm.Machine;
using Farm.Machine.Boot;

namespace Farm.EndToEnd.Guests;

/// <summary>Boot sectors that hang, each in its own way: the report names it.</summary>
public sealed class StallTests
{
    public static TheoryData<StallKind, AssistStrength> Rows()
    {
        var rows = new TheoryData<StallKind, AssistStrength>();
        foreach (var kind in Enum.GetValues<StallKind>())
        {
            rows.Add(kind, AssistStrength.Vm86);
            rows.Add(kind, AssistStrength.Native);
        }
        return rows;
    }

    [Theory]
    [MemberData(nameof(Rows))]
    public void A_hang_is_named(StallKind kind, AssistStrength strength)
    {
        byte[] sector = kind switch
        {
            StallKind.TightLoop => BootSectors.Loop(),
            StallKind.HaltedForGood => BootSectors.HaltForGood(),
            StallKind.HaltedWithoutInterrupts => BootSectors.HaltMasked(),
            StallKind.UnansweredInterrupt => BootSectors.NoEndOfInterrupt(),
            StallKind.UnhandledPort => BootSectors.PollPort(),
            _ => BootSectors.TripleFault(),
        };

        var report = Boot(sector, strength, ScriptStep.Expect("never"));

        Assert.Equal(kind == StallKind.TripleFault ? BootOutcome.TripleFault : BootOutcome.Hang, report.Outcome);
        Assert.True(report.Stall?.Kind == kind, report.Reason);
        Assert.Contains(report.Stall!.Text, report.Reason, StringComparison.Ordinal);
        if (kind is not StallKind.HaltedWithoutInterrupts)
            Assert.Contains(kind == StallKind.UnhandledPort ? "port 6543h" : "0000:7C", report.Reason, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(AssistStrength.Vm86)]
    [InlineData(AssistStrength.Native)]
    public void A_script_may_reset_a_guest_that_hangs(AssistStrength strength)
    {
        var steps = GuestScript.Parse("steps:\n  - expect: Halted\n  - reset\n  - expect: Halted\n", "test").Steps;

        var report = Boot(BootSectors.HaltForGood(), strength, [.. steps]);

        Assert.True(report.Outcome == BootOutcome.Pass, report.Reason);
    }

    private static BootReport Boot(byte[] image, AssistStrength strength, params ScriptStep[] steps)
    {
        string floppy = Path.Combine(Path.GetTempPath(), $"farm-stall-{Guid.NewGuid():N}.img");
        File.WriteAllBytes(floppy, image);
        try
        {
            using var session = new BootSession(new BootRequest
            {
                Machine = new MachineOptions { Assist = strength, Firmware = "seabios", Floppies = [floppy], MemoryMiB = 16 },
                Backend = "soft",
                Script = new GuestScript { Steps = steps },
                GuestTimeout = TimeSpan.FromSeconds(1.6),
            });
            return session.Run(TestContext.Current.CancellationToken);
        }
        finally
        {
            File.Delete(floppy);
        }
    }
}
