using Farm.Assist.Monitor;
using Farm.Machine;
using Farm.Machine.Boot;

namespace Farm.EndToEnd.Guests;

/// <summary>An instruction that the assist refuses ends the job at once; the other strengths tell assist gap from guest bug.</summary>
public sealed class RefusedOpcodeTests
{
    [Fact]
    public void Vm86_ends_as_unsupported_opcode_at_once_with_the_whole_context()
    {
        var report = Boot(AssistStrength.Vm86);
        Assert.Equal(BootOutcome.UnsupportedOpcode, report.Outcome);
        Assert.True(report.GuestSeconds < 30, $"ended after {report.GuestSeconds} s of guest time");
        var opcode = Assert.Single(report.UnsupportedOpcodes);
        Assert.Equal("0F33", opcode.Bytes);
        Assert.Equal("rdpmc", opcode.Mnemonic);
        Assert.Equal("boot sector", opcode.Owner);
        Assert.Contains(opcode.Disassembly, line => line.Failing && line.Text.Contains("rdpmc", StringComparison.OrdinalIgnoreCase));
        Assert.NotEmpty(opcode.Registers);
        Assert.NotEmpty(opcode.Segments);
    }

    [Theory]
    [InlineData(AssistStrength.Full)]
    [InlineData(AssistStrength.Native)]
    public void Full_and_native_give_the_guest_what_the_processor_says(AssistStrength strength)
    {
        var report = Boot(strength);
        Assert.True(report.Outcome == BootOutcome.Pass, report.Reason);
        Assert.Empty(report.UnsupportedOpcodes);
    }

    private static BootReport Boot(AssistStrength strength)
    {
        string floppy = Path.Combine(Path.GetTempPath(), $"farm-rdpmc-{Guid.NewGuid():N}.img");
        File.WriteAllBytes(floppy, BootSectors.Rdpmc());
        try
        {
            using var session = new BootSession(new BootRequest
            {
                Machine = new MachineOptions { Assist = strength, Floppies = [floppy], MemoryMiB = 16 },
                Backend = "soft",
                Script = new GuestScript { Steps = [ScriptStep.Expect("RDPMC (ran|faulted)")] },
                GuestTimeout = TimeSpan.FromSeconds(60),
            });
            return session.Run(TestContext.Current.CancellationToken);
        }
        finally
        {
            File.Delete(floppy);
        }
    }
}
