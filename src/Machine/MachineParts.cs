using Farm.Firmware;
using Farm.Machine.Bus;
using Farm.Machine.Devices.Chipset;
using Farm.Machine.Devices.Ide;
using Farm.Machine.Devices.Ps2;
using Farm.Machine.Devices.Uart;
using Farm.Machine.Devices.Vga;
using Farm.Machine.Hypervisors;
using Farm.Machine.Memory;
using Farm.Machine.Network;
using Farm.Machine.Storage;
using Farm.Machine.Time;

namespace Farm.Machine;

/// <summary>Everything that <see cref="MachineBuilder"/> has wired up.</summary>
internal sealed class MachineParts : IDisposable
{
    public required MachineOptions Options { get; init; }

    public required FirmwareSet Firmware { get; init; }

    public required IPartition Partition { get; init; }

    public required PcMemory Memory { get; init; }

    public required VirtualClock Clock { get; init; }

    public required EventLog Events { get; init; }

    public required PortBus Ports { get; init; }

    public required MmioBus Mmio { get; init; }

    /// <summary>One for each processor.</summary>
    public required IReadOnlyList<MachineDoor> Doors { get; init; }

    /// <summary>The bootstrap processor's.</summary>
    public MachineDoor Door => Doors[0];

    /// <summary>The bootstrap processor's.</summary>
    public required IVcpu Vcpu { get; init; }

    public required Processors Processors { get; init; }

    public required IMachineTime Time { get; init; }

    public required SystemControl System { get; init; }

    public required SystemPorts SystemPorts { get; init; }

    public required InterruptControllers Interrupts { get; init; }

    public required I8042 Keyboard { get; init; }

    public required Uart16550 Com1 { get; init; }

    public required VgaDevice Vga { get; init; }

    public required ScreenReader Screen { get; init; }

    public required StorageActivity Storage { get; init; }

    /// <summary>One for each network card, in the order of the options.</summary>
    public required IReadOnlyList<EthernetCable> Cables { get; init; }

    public required RemovableDrives Removable { get; init; }

    /// <summary>In the order of their reset.</summary>
    public required IReadOnlyList<IDevice> Devices { get; init; }

    /// <summary>Media and other things to close with the machine.</summary>
    public required IReadOnlyList<IDisposable> Owned { get; init; }

    /// <summary>Ends an idle wait where time is the host's.</summary>
    public ManualResetEvent Wake { get; } = new(false);

    public void Dispose()
    {
        foreach (var owned in Owned)
            owned.Dispose();
        Wake.Dispose();
    }
}
