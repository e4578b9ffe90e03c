using Farm.Machine.Bus;
using Farm.Machine.Devices.Pci;

namespace Farm.Machine.Devices.Ide;

/// <summary>
/// The IDE function of the PIIX3, 8086:7010, slot 1 function 1: the bus-master registers behind BAR 4. The channels' task files
/// stay at their legacy ports.
/// </summary>
public sealed class BusMasterIde : PciDevice
{
    private const int Bar = 4;
    private const uint BlockSize = 16;

    public BusMasterIde(IGuestMemory memory)
        : base("PIIX3 IDE", 0x8086, 0x7010, 0x010180, 0x00)
    {
        Primary = new BusMasterIdeChannel(memory);
        Secondary = new BusMasterIdeChannel(memory);
        Initial16(PciHeader.Status, 0x0280);
        Writable(PciHeader.Command, 0x05, 0x00);
        AddBar(Bar, PciBarKind.Io, BlockSize, width: 1);
        Writable(0x40, 0xFF, 0xB3, 0xFF, 0xB3, 0xFF);
    }

    public BusMasterIdeChannel Primary { get; }

    public BusMasterIdeChannel Secondary { get; }

    public override void Reset()
    {
        base.Reset();
        Primary.Reset();
        Secondary.Reset();
    }

    protected internal override ulong ReadBar(int bar, ulong offset, int size) => Channel(offset).Read((int)offset & 7);

    protected internal override void WriteBar(int bar, ulong offset, ulong value, int size) =>
        Channel(offset).Write((int)offset & 7, (byte)value);

    private BusMasterIdeChannel Channel(ulong offset) => (offset & 8) == 0 ? Primary : Secondary;
}
