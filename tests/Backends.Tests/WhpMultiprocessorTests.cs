using Farm.Assist.Cpu;
using Farm.Assist.Monitor;
using Farm.Backends.Tests.WhpStandIn;
using Farm.Machine;
using Farm.Machine.Hypervisors;
using Farm.Machine.Hypervisors.Whp.Native;
using Farm.Machine.Tests;

namespace Farm.Backends.Tests;

/// <summary>Over the stand-in for WHP.</summary>
public sealed class WhpMultiprocessorTests : AtOnceTests
{
    protected override IHypervisor NewHypervisor() => StandInLibrary.NewHypervisor();

    public override void Dispose()
    {
        base.Dispose();
        Assert.Empty(StandInHost.Complaints);
    }

    [Fact]
    public void INIT_and_SIPI_of_a_boot_sector_come_as_exits()
    {
        A_boot_sector_starts_the_other_processor_and_shares_memory_with_it("seabios");
        Assert.True(StandInHost.Current.Processors[^2].Exits[WhvRunVpExitReason.X64ApicInitSipiTrap] >= 3);
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
}
