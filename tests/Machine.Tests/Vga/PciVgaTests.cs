using Farm.Assist.Cpu;
using Farm.Machine.Bus;
using Farm.Machine.Devices.Chipset;
using Farm.Machine.Devices.Pci;
using Farm.Machine.Devices.Vga;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Vga;

public sealed unsafe class PciVgaTests : IDisposable
{
    private const int Slot = 2;

    private readonly PhysicalMemory _map = new(32);
    private readonly VgaDevice _vga;
    private readonly PciBus _pci;
    private readonly BochsPciVga _function;
    private readonly MmioBus _mmio;

    public PciVgaTests()
    {
        var clock = new VirtualClock();
        var events = new EventLog(clock);
        _mmio = new MmioBus(events);
        _vga = new VgaDevice(clock);
        _pci = new PciBus(new PortBus(events), _mmio, new SystemControl(), 0x400_0000);
        _function = new BochsPciVga(_vga, _map, new byte[] { 0x55, 0xAA, 0x40 });
        _pci.Add(Slot, 0, _function);
    }

    public void Dispose()
    {
        _vga.Dispose();
        _map.Dispose();
    }

    [Fact]
    public void It_is_the_Bochs_adapter() =>
        Assert.Equal((0x1111_1234u, 0x0300_0000u), (Read(0x00), Read(0x08)));

    [Fact]
    public void The_framebuffer_is_RAM_at_its_default_place_after_reset()
    {
        Span<byte> data = [1, 2, 3];
        Assert.True(_map.Write(0xE000_1000, data));

        Assert.Equal(0xE000_0000ul, _function.Framebuffer);
        Assert.Equal((1, 3), (_vga.Vram[0x1000], _vga.Vram[0x1002]));
    }

    [Fact]
    public void The_framebuffer_follows_its_base_address()
    {
        Write(0x10, 0xF000_0000);

        Assert.Equal(PageKind.Mmio, _map.KindAt(0xE000_0000));
        Assert.True(_map.Host[0xF000_0000u >> 12] == _vga.Vram);
        Assert.True(_map.Host[0xF0FF_F000u >> 12] == _vga.Vram + 0xFFF000);
    }

    [Fact]
    public void Its_size_can_be_found_and_meanwhile_nothing_is_mapped()
    {
        Write(0x10, uint.MaxValue);

        Assert.Equal(0xFF00_0008, Read(0x10));
        Assert.Null(_function.Framebuffer);
        Assert.Equal(PageKind.Mmio, _map.KindAt(0xE000_0000));
    }

    [Fact]
    public void Memory_space_can_be_switched_off()
    {
        Write(0x04, 0);

        Assert.Equal(PageKind.Mmio, _map.KindAt(0xE000_0000));
    }

    [Fact]
    public void The_VGABIOS_is_the_expansion_ROM()
    {
        Write(0x30, 0xF100_0001);

        Assert.Equal(0xFF40_AA55ul, _mmio.Read(0xF100_0000, 4));
        Assert.Equal(0xFFul, _mmio.Read(0xF100_7FFF, 1));
    }

    [Fact]
    public void The_registers_are_in_memory_space_too()
    {
        Write(0x18, 0xF200_0000);
        _mmio.Write(0xF200_0502, 800, 2);
        _mmio.Write(0xF200_0504, 600 | 32 << 16, 4);
        _mmio.Write(0xF200_0508, (ulong)DispiEnable.Enabled, 2);
        _mmio.Write(0xF200_0402, 0x67, 1);

        Assert.Equal(new LinearMode(800, 600, 32, 0, 3200), _vga.Linear);
        Assert.Equal(0xB0C5ul, _mmio.Read(0xF200_0500, 2));
        Assert.Equal(0x67ul, _mmio.Read(0xF200_040C, 1));
    }

    private uint Read(int offset)
    {
        Select(offset);
        return _pci.ReadPort(0xCFC, 4);
    }

    private void Write(int offset, uint value)
    {
        Select(offset);
        _pci.WritePort(0xCFC, value, 4);
    }

    private void Select(int offset) => _pci.WritePort(0xCF8, 0x8000_0000 | Slot << 11 | (uint)offset, 4);
}
