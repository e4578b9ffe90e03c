using System.Text;
using Farm.Assist.Monitor;
using Farm.Firmware;
using Farm.Machine;
using Farm.Machine.Hypervisors;
using Farm.Machine.Tests;

namespace Farm.Backends.Tests;

/// <summary>A whole machine with several processors at once: each on a thread, with the backend's own local APICs.</summary>
public abstract class AtOnceTests : IDisposable
{
    private readonly string _floppy = Path.Combine(Path.GetTempPath(), $"farm-at-once-{Guid.NewGuid():N}.img");

    /// <summary>Skips the test where the backend does not work.</summary>
    protected abstract IHypervisor NewHypervisor();

    public virtual void Dispose()
    {
        File.Delete(_floppy);
        GC.SuppressFinalize(this);
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
    public void However_short_the_machines_runs_are_each_processor_has_its_turn()
    {
        using var machine = Build("seabios");
        bool done = false;
        machine.DebugSink = value => done |= value == SharedCounterSector.Result[0];
        Until(machine, () => done, slice: 20_000);
    }

    protected PcMachine Build(string firmware, AssistStrength strength = AssistStrength.Native)
    {
        File.WriteAllBytes(_floppy, SharedCounterSector.Image());
        try
        {
            return MachineBuilder.Build(new MachineOptions { Firmware = firmware, Vcpus = 2, Floppies = [_floppy], Assist = strength }, NewHypervisor());
        }
        catch (FirmwareException e)
        {
            Assert.Skip(e.Message);
            throw;
        }
    }

    /// <summary>At most two minutes of the host's time.</summary>
    protected static void Until(PcMachine machine, Func<bool> done, long slice = 50_000_000)
    {
        const long longest = 120_000_000_000;
        for (long start = machine.Time.Now; !done() && machine.Time.Now - start < longest;)
            machine.Run(machine.Time.Now + slice, TestContext.Current.CancellationToken);
        Assert.True(done(), string.Join("; ", machine.Parts.Processors.All.Select(static processor => processor.Where())));
    }
}

/// <summary>On real KVM.</summary>
public sealed class KvmAtOnceTests : AtOnceTests
{
    protected override IHypervisor NewHypervisor()
    {
        var hypervisor = Machine.Hypervisors.Backends.All.Single(backend => backend.Name == "kvm");
        BackendTests.Need(hypervisor);
        return hypervisor;
    }
}
