using Farm.Machine.Devices.Pci;
using Farm.Machine.Network;
using Farm.Machine.Time;

namespace Farm.Machine.Devices.Nics.Ne2000;

/// <summary>The RTL8029AS, an NE2000 as a PCI function, 10EC:8029 (Realtek data sheet RTL8029AS): page 3 has its configuration.</summary>
public sealed class Rtl8029 : PciDevice
{
    private const int NetworkEthernet = 0x020000;
    private const int Registers = 0;
    private const byte ConfigWriteEnable = 0xC0;
    private const byte FullDuplex = 0x40;

    private readonly Dp8390 _controller;
    private byte _eepromCommand;
    private byte _config2;
    private byte _config3;

    public Rtl8029(IVirtualClock clock, EthernetCable cable, MacAddress address)
        : base("RTL8029AS", 0x10EC, 0x8029, NetworkEthernet, 0x00)
    {
        _controller = new Dp8390(clock, () => Interrupt, cable, address)
        {
            ChipId = ((byte)'P', (byte)'C'),
            ReadPage3 = ReadPage3,
            WritePage3 = WritePage3,
        };
        Initial16(PciHeader.Status, 0x0200);
        Initial16(PciHeader.SubsystemVendorId, 0x10EC);
        Initial16(PciHeader.SubsystemVendorId + 2, 0x8029);
        Writable(PciHeader.Command, 0x03, 0x00);
        UseInterruptPin(1);
        AddBar(Registers, PciBarKind.Io, Dp8390.PortCount, width: 2);
    }

    public override void Reset()
    {
        base.Reset();
        _eepromCommand = 0;
        _config2 = 0;
        _config3 = 0;
        _controller.PowerOn();
    }

    protected internal override ulong ReadBar(int bar, ulong offset, int size) => _controller.ReadPort((int)offset, size);

    protected internal override void WriteBar(int bar, ulong offset, ulong value, int size) => _controller.WritePort((int)offset, (uint)value, size);

    private byte ReadPage3(int offset) => offset switch
    {
        0x01 => _eepromCommand,
        0x03 => 0x00,
        0x05 => _config2,
        0x06 => _config3,
        0x0E => 0x29,
        0x0F => 0x80,
        _ => 0,
    };

    /// <summary>CONFIG2 and CONFIG3 can be written while 9346CR says so; of them only full duplex is kept.</summary>
    private void WritePage3(int offset, byte value)
    {
        bool enabled = (_eepromCommand & ConfigWriteEnable) == ConfigWriteEnable;
        switch (offset)
        {
            case 0x01:
                _eepromCommand = (byte)(value & 0xCE);
                break;
            case 0x05 when enabled:
                _config2 = (byte)(value & 0xF0);
                break;
            case 0x06 when enabled:
                _config3 = (byte)(value & FullDuplex);
                break;
        }
    }
}
