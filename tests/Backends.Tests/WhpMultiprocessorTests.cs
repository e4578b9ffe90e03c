using System.Text;
using Farm.Assist.Cpu;
using Farm.Assist.Monitor;
using Farm.Backends.Tests.WhpStandIn;
using Farm.Firmware;
using Farm.Machine;
using Farm.Machine.Hypervisors;
using Farm.Machine.Hypervisors.Whp.Native;
using Farm.Machine.Tests;

namespace Farm.Backends.Tests;

/// <summary>Several processors at once on WHP, over the stand-in: each on a thread, with the platform's local APICs.</summary>
public sealed class WhpMultiprocessorTests : IDisposable
{
    private readonly string _floppy = Path.Combine(Path.GetTempPath(), $"farm-whp-smp-{Guid.NewGuid():N}.img");

    public void Dispose()
    {
        File.Delete(_floppy);
        Assert.Empty(StandInHost.Complaints);
    }

    [Theory]
    [InlineData("bochs")]
    [InlineData("seabios")]
    public void A_boot_sector_starts_the_other_processor_and_shares_memory_with_it(string firmware)
    {
        using var machine = Build(firmware);
        var sent = new List<byte>();
        var log = new StringBuilder();
        machine.DebugSink = value =>
        {
            if (sent.Count != 0 || value == SharedCounterSector.Result[0])
                sent.Add(value);
            else
                log.Append((char)value);
        };
        Until(machine, () => sent.Count >= SharedCounterSector.Result.Length);
        Assert.Equal(SharedCounterSector.Result, sent);
        Assert.Contains("Found 2 cpu(s)", log.ToString(), StringComparison.Ordinal);
        Assert.True(StandInHost.Current.Processors[^2].Exits[WhvRunVpExitReason.X64ApicInitSipiTrap] >= 3);
    }

    [Fact]
    public void A_reset_stops_the_other_processors_until_they_are_started_again()
    {
        using var machine = Build("seabios");
        int starts = 0;
        machine.DebugSink = value => starts += value == SharedCounterSector.Result[0] ? 1 : 0;
        Until(machine, () => starts == 1);
        machine.RequestReset(Machine.Devices.Chipset.ResetKind.Hard, "test");
        Until(machine, () => starts == 2);
        Assert.Equal(2, machine.Resets);
    }

    [Fact]
    public void What_stops_another_processor_ends_the_machine_until_it_is_reset()
    {
        using var machine = Build("seabios");
        int starts = 0;
        machine.DebugSink = value => starts += value == SharedCounterSector.Result[0] ? 1 : 0;
        Until(machine, () => starts == 1);
        StandInHost.Current.Processors[^1].Forced.Enqueue(WhvRunVpExitReason.UnrecoverableException);
        Until(machine, () => machine.End is not null);
        Assert.Equal(MachineEndKind.TripleFault, machine.End!.Kind);
        machine.RequestReset(Machine.Devices.Chipset.ResetKind.Hard, "test");
        Until(machine, () => starts == 2);
    }

    [Fact]
    public void They_need_the_platforms_local_APICs()
    {
        Assert.Contains("--assist native", Assert.Throws<HostException>(() => Build("seabios", AssistStrength.Vm86)).Message, StringComparison.Ordinal);
        StandInHost.Current = new StandInHost { Features = 0 };
        Assert.Throws<HostException>(() => StandInLibrary.NewHypervisor().CreatePartition(new PartitionOptions(2, true, CpuModel.P3)));
    }

    private PcMachine Build(string firmware, AssistStrength strength = AssistStrength.Native)
    {
        File.WriteAllBytes(_floppy, SharedCounterSector.Image());
        try
        {
            return MachineBuilder.Build(
                new MachineOptions { Firmware = firmware, Vcpus = 2, Floppies = [_floppy], Assist = strength }, StandInLibrary.NewHypervisor());
        }
        catch (FirmwareException e)
        {
            Assert.Skip(e.Message);
            throw;
        }
    }

    /// <summary>At most two minutes of the host's time.</summary>
    private static void Until(PcMachine machine, Func<bool> done)
    {
        const long slice = 50_000_000, longest = 120_000_000_000;
        for (long start = machine.Time.Now; !done() && machine.Time.Now - start < longest;)
            machine.Run(machine.Time.Now + slice, TestContext.Current.CancellationToken);
        Assert.True(done(), string.Join("; ", machine.Parts.Processors.All.Select(static processor => processor.Where())));
    }
}
