using Farm.Assist.Cpu;
using Farm.Machine.Devices.Pci;

namespace Farm.Machine.Devices.Vga.Cirrus;

/// <summary>
/// The CL-GD5446 as a PCI function, 1013:00B8: BAR 0 is 32 MiB with the framebuffer at its start and the BitBLT's aperture for CPU data
/// in its upper half; BAR 1 the registers (0-FFh the ports from 3C0h, 100h-1FFh BitBLT).
/// </summary>
public sealed class CirrusPciVga : PciVga
{
    private const uint FramebufferSize = 32 << 20;
    private const int RegisterBar = 1;
    private const uint RegisterSize = 0x1000;
    private const uint PortsEnd = 0x20;
    private const uint BltRegisters = 0x100;

    private readonly CirrusVga _cirrus;

    public CirrusPciVga(CirrusVga vga, PhysicalMemory map, ReadOnlyMemory<byte> rom = default)
        : base("Cirrus VGA", 0x1013, 0x00B8, vga, map, FramebufferSize, rom)
    {
        _cirrus = vga;
        AddBar(RegisterBar, PciBarKind.Memory, RegisterSize);
    }

    protected internal override ulong ReadBar(int bar, ulong offset, int size)
    {
        if (bar != RegisterBar)
            return base.ReadBar(bar, offset, size);
        ulong value = 0;
        for (int i = 0; i < size; i++)
            value |= (ulong)ReadRegister((uint)offset + (uint)i) << (8 * i);
        return value;
    }

    protected internal override void WriteBar(int bar, ulong offset, ulong value, int size)
    {
        if (bar != RegisterBar)
        {
            // In the aperture, beyond video memory, the adapter takes source data alone.
            base.WriteBar(bar, offset, value, size);
            return;
        }
        for (int i = 0; i < size; i++)
            WriteRegister((uint)offset + (uint)i, (byte)(value >> (8 * i)));
    }

    private byte ReadRegister(uint offset) => offset switch
    {
        < PortsEnd => (byte)_cirrus.ReadPort((ushort)(0x3C0 + offset), 1),
        >= BltRegisters and < BltRegisters * 2 => _cirrus.ReadRegister(offset - BltRegisters),
        _ => 0xFF,
    };

    private void WriteRegister(uint offset, byte value)
    {
        if (offset < PortsEnd)
            _cirrus.WritePort((ushort)(0x3C0 + offset), value, 1);
        else if (offset is >= BltRegisters and < BltRegisters * 2)
            _cirrus.WriteRegister(offset - BltRegisters, value);
    }
}
