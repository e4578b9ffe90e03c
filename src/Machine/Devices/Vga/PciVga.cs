using Farm.Assist.Cpu;
using Farm.Machine.Devices.Pci;

namespace Farm.Machine.Devices.Vga;

/// <summary>
/// A VGA as a PCI function: the linear framebuffer in BAR 0 and the VGABIOS in the expansion ROM. The framebuffer's pages are mapped
/// as RAM while the adapter lets memory be written directly; else accesses reach <see cref="VgaDevice.ReadLinear"/>. The legacy
/// ports and the window at A0000h decode whatever the command register says, as firmware expects of the first adapter.
/// </summary>
public abstract unsafe class PciVga : PciDevice
{
    /// <summary>Where the framebuffer lies at power-on; VGABIOSes without PCI support assume this address.</summary>
    public const uint DefaultFramebuffer = 0xE000_0000;

    private const int DisplayVga = 0x030000;
    private const int FramebufferBar = 0;

    private readonly VgaDevice _vga;
    private readonly PhysicalMemory _map;
    private readonly PciBar _framebuffer;
    private ulong? _mapped;

    /// <param name="map">The guest-physical map that the framebuffer is laid into.</param>
    /// <param name="framebufferSize">Size of BAR 0, at least the video memory's.</param>
    /// <param name="rom">The VGABIOS as the expansion ROM shows it; empty: no ROM.</param>
    protected PciVga(string name, ushort vendor, ushort device, VgaDevice vga, PhysicalMemory map, uint framebufferSize, ReadOnlyMemory<byte> rom)
        : base(name, vendor, device, DisplayVga, 0)
    {
        _vga = vga;
        _map = map;
        Rom = rom;
        _framebuffer = AddBar(FramebufferBar, PciBarKind.PrefetchableMemory, framebufferSize);
        Initial32(PciHeader.BaseAddress0, DefaultFramebuffer | 0x8);
        Initial16(PciHeader.Command, (ushort)(PciCommand.IoSpace | PciCommand.MemorySpace));
        _framebuffer.Moved = _ => UpdateMapping();
        vga.LinearAccessChanged += UpdateMapping;
        vga.LinearStores.Take = stored =>
        {
            if (_mapped is { } start)
                map.TakeStores(start, stored);
        };
    }

    /// <summary>Where the framebuffer is now, or null while it is not decoded.</summary>
    public ulong? Framebuffer => _framebuffer.Base;

    protected VgaDevice Vga => _vga;

    protected internal override ulong ReadBar(int bar, ulong offset, int size)
    {
        ulong value = 0;
        for (int i = 0; i < size; i++)
            value |= (ulong)(bar == FramebufferBar ? _vga.ReadLinear((uint)offset + (uint)i) : (byte)0xFF) << (8 * i);
        return value;
    }

    protected internal override void WriteBar(int bar, ulong offset, ulong value, int size)
    {
        if (bar != FramebufferBar)
            return;
        for (int i = 0; i < size; i++)
            _vga.WriteLinear((uint)offset + (uint)i, (byte)(value >> (8 * i)));
    }

    private void UpdateMapping()
    {
        ulong? wanted = _vga.LinearDirect ? _framebuffer.Base : null;
        if (wanted == _mapped)
            return;
        if (_mapped is { } old)
            _map.Map(old, (ulong)_vga.VramSize, null, PageKind.Mmio);
        if (wanted is { } start)
            _map.Map(start, (ulong)_vga.VramSize, _vga.Vram, PageKind.Readable | PageKind.Writable | PageKind.Logged);
        _mapped = wanted;
        _vga.LinearStores.Forget();
    }
}

/// <summary>
/// The Bochs adapter, 1234:1111: BAR 0 the framebuffer, BAR 2 the registers in memory space (400h-41Fh the ports 3C0h-3DFh,
/// 500h-515h the DISPI registers).
/// </summary>
public sealed class BochsPciVga : PciVga
{
    private const int RegisterBar = 2;
    private const uint RegisterSize = 0x1000;
    private const ulong PortsStart = 0x400;
    private const ulong DispiStart = 0x500;
    private const int DispiRegisters = 11;

    public BochsPciVga(VgaDevice vga, PhysicalMemory map, ReadOnlyMemory<byte> rom = default)
        : base("Bochs VGA", 0x1234, 0x1111, vga, map, (uint)vga.VramSize, rom) =>
        AddBar(RegisterBar, PciBarKind.Memory, RegisterSize);

    protected internal override ulong ReadBar(int bar, ulong offset, int size)
    {
        if (bar != RegisterBar)
            return base.ReadBar(bar, offset, size);
        ulong value = 0;
        for (int i = 0; i < size; i++)
            value |= (ulong)ReadRegister(offset + (ulong)i) << (8 * i);
        return value;
    }

    protected internal override void WriteBar(int bar, ulong offset, ulong value, int size)
    {
        if (bar != RegisterBar)
        {
            base.WriteBar(bar, offset, value, size);
            return;
        }
        if (offset is >= DispiStart and < DispiStart + DispiRegisters * 2)
        {
            for (int i = 0; i < size; i += 2)
                Vga.WriteDispi((DispiRegister)((offset - DispiStart) / 2 + (ulong)i / 2), (ushort)(value >> (8 * i)));
            return;
        }
        for (int i = 0; i < size; i++)
        {
            if (offset + (ulong)i is >= PortsStart and < PortsStart + 0x20)
                Vga.WritePort((ushort)(0x3C0 + offset + (ulong)i - PortsStart), (byte)(value >> (8 * i)), 1);
        }
    }

    private byte ReadRegister(ulong offset) => offset switch
    {
        >= PortsStart and < PortsStart + 0x20 => (byte)Vga.ReadPort((ushort)(0x3C0 + offset - PortsStart), 1),
        >= DispiStart and < DispiStart + DispiRegisters * 2 =>
            (byte)(Vga.ReadDispi((DispiRegister)((offset - DispiStart) / 2)) >> (int)(8 * (offset & 1))),
        _ => 0xFF,
    };
}
