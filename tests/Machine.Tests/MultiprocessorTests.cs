using System.Globalization;
using System.Text;
using Farm.Assist.Monitor;
using Farm.Machine.Hypervisors;
using Farm.Machine.Hypervisors.Soft;

namespace Farm.Machine.Tests;

/// <summary>Two processors by turns: the <see cref="SharedCounterSector"/> under each BIOS.</summary>
public sealed class MultiprocessorTests : IDisposable
{
    private readonly string _floppy = Path.Combine(Path.GetTempPath(), $"farm-smp-{Guid.NewGuid():N}.img");

    public void Dispose() => File.Delete(_floppy);

    [Theory]
    [InlineData("bochs", AssistStrength.Vm86)]
    [InlineData("bochs", AssistStrength.Full)]
    [InlineData("bochs", AssistStrength.Native)]
    [InlineData("seabios", AssistStrength.Vm86)]
    [InlineData("seabios", AssistStrength.Native)]
    public void A_boot_sector_starts_the_other_processor_and_shares_memory_with_it(string firmware, AssistStrength strength)
    {
        var first = Boot(firmware, strength);

        Assert.Equal(SharedCounterSector.Result, first.Sent.Take(6));
        var second = Boot(firmware, strength);
        Assert.Equal(first.Instructions, second.Instructions);
        Assert.Equal(first.Sent, second.Sent);
    }

    [Theory]
    [InlineData("bochs")]
    [InlineData("seabios")]
    public void The_bios_counts_two(string firmware) =>
        Assert.Contains("Found 2 cpu(s)", Boot(firmware, AssistStrength.Vm86).Log, StringComparison.Ordinal);

    [Fact]
    public void Several_processors_need_a_model_with_a_local_apic()
    {
        var options = new MachineOptions { CpuModel = "pentium", Vcpus = 2 };
        var error = Assert.Throws<BadInputException>(() => MachineBuilder.Build(options, new SoftHypervisor()));
        Assert.Contains("local APIC", error.Message, StringComparison.Ordinal);
    }

    private sealed record Run(List<byte> Sent, ulong Instructions, string Log);

    private Run Boot(string firmware, AssistStrength strength)
    {
        File.WriteAllBytes(_floppy, SharedCounterSector.Image());
        var sent = new List<byte>();
        var log = new StringBuilder();
        using (var machine = TestMachine.Build(new MachineOptions { Firmware = firmware, Vcpus = 2, Floppies = [_floppy], Assist = strength }))
        {
            bool started = false;
            machine.DebugSink = value =>
            {
                started |= value == 0xA5;
                if (started)
                    sent.Add(value);
                else
                    log.Append((char)value);
            };
            machine.Run(30_000_000_000);
            return new Run(sent, machine.Instructions, log.ToString());
        }
    }
}
