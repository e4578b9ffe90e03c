using Farm.Assist.Cpu;
using Farm.Machine.Bus;
using Farm.Machine.Devices.Chipset;
using Farm.Machine.Devices.Pci;
using Farm.Machine.Devices.Vga.Cirrus;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Vga;

public sealed class CirrusPciVgaTests : IDisposable
{
    private readonly PhysicalMemory _map = new(32);
    private readonly CirrusVga _vga;
    private readonly CirrusPciVga _function;
    private readonly MmioBus _mmio;

    public CirrusPciVgaTests()
    {
        var clock = new VirtualClock();
        var events = new EventLog(clock);
        _mmio = new MmioBus(events);
        _vga = new CirrusVga(clock);
        _function = new CirrusPciVga(_vga, _map);
        new PciBus(new PortBus(events), _mmio, new SystemControl(), 0x400_0000).Add(2, 0, _function);
    }

    public void Dispose()
    {
        _vga.Dispose();
        _map.Dispose();
    }

    [Fact]
    public void It_is_the_GD5446_with_a_framebuffer_of_32_MiB()
    {
        _function.WriteConfig(0x10, uint.MaxValue, 4);

        Assert.Equal(0x00B8_1013u, _function.ReadConfig(0, 4));
        Assert.Equal(0xFE00_0008u, _function.ReadConfig(0x10, 4));
    }

    [Fact]
    public void While_the_engine_waits_for_data_the_framebuffer_is_not_plain_memory()
    {
        var before = _map.KindAt(0xE000_0000);
        foreach (var (index, value) in new (byte, byte)[] { (0x20, 3), (0x30, 0x04), (0x32, 0x0D), (0x28, 16), (0x31, 0x02) })
            _vga.WriteIndexed(0x3CE, index, value);
        var during = _map.KindAt(0xE000_0000);
        _mmio.Write(0xE100_0000, 0x04030201, 4);
        Span<byte> drawn = stackalloc byte[4];

        Assert.Equal((PageKind.Readable | PageKind.Writable | PageKind.Logged, PageKind.Mmio), (before, during));
        Assert.True(_map.Read(0xE000_0010, drawn));
        Assert.Equal<byte>([1, 2, 3, 4], drawn.ToArray());
    }

    [Fact]
    public void Its_registers_are_in_memory_space_too()
    {
        _function.WriteConfig(0x14, 0xF000_0000, 4);
        _mmio.Write(0xF000_0004, 0x0F, 1);
        _mmio.Write(0xF000_0120, 0, 1);

        Assert.Equal(0x98ul, _mmio.Read(0xF000_0005, 1));
        Assert.Equal(0xFFul, _mmio.Read(0xF000_0800, 1));
    }
}
