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

    [Fact]
    public void A_look_sees_what_was_stored_to_the_framebuffer_since_the_last_one()
    {
        var screen = Enable(1024, 768);
        ulong before = screen.Stamp();
        Assert.Equal(before, screen.Stamp());

        _map.Write(0xE000_0000 + (1024 * 768 * 4) - 1, [1]);

        Assert.NotEqual(before, before = screen.Stamp());
        Assert.Equal(before, screen.Stamp());
        _map.Write(0xE000_0000 + (1024 * 768 * 4) - 1, [1]); // what is there
        _map.Write(0xE000_0000 + (1024 * 768 * 4), [1]); // beyond the screen
        Assert.Equal(before, screen.Stamp());
    }

    /// <summary>What is stored past the map nobody tells of: a look would see it if it read more than it has to.</summary>
    [Fact]
    public void A_look_reads_only_pages_that_were_stored_to()
    {
        var screen = Enable(1024, 768);
        ulong before = screen.Stamp();
        new Span<byte>(_vga.Vram, 3 << 20).Fill(0x55);

        Assert.Equal(before, screen.Stamp());
        _map.Write(0xE010_0000, [0x55]);
        Assert.NotEqual(before, screen.Stamp());
    }

    [Fact]
    public void A_store_beyond_the_screen_is_seen_when_that_part_is_shown()
    {
        var screen = Enable(640, 480);
        _vga.WriteDispi(DispiRegister.YOffset, 1000); // shown once
        screen.Stamp();
        _vga.WriteDispi(DispiRegister.YOffset, 0);
        ulong before = screen.Stamp();
        _map.Write(0xE000_0000 + (1100 * 640 * 4), [1]);
        Assert.Equal(before, screen.Stamp());

        ulong generation = _vga.Generation;
        _vga.WriteDispi(DispiRegister.YOffset, 1000);
        generation = _vga.Generation - generation;

        Assert.NotEqual(before + generation, screen.Stamp());
    }

    /// <summary>The log is taken before memory is read: what is stored in between is in the next log, read already or not.</summary>
    [Fact]
    public void A_store_while_a_look_is_taken_is_seen_at_the_next_look()
    {
        var screen = Enable(640, 480);
        screen.Stamp();
        var take = _vga.LinearStores.Take!;
        _vga.LinearStores.Take = stored =>
        {
            take(stored);
            _map.Write(0xE000_8000, [1]);
            _map.Write(0xE001_0000, [1]);
        };
        _map.Write(0xE001_0000, [2]);
        ulong before = screen.Stamp(); // reads the second page only, with the later store
        _vga.LinearStores.Take = take;

        Assert.NotEqual(before, before = screen.Stamp());
        Assert.Equal(before, screen.Stamp());
    }

    [Fact]
    public void A_framebuffer_that_was_moved_or_hidden_is_looked_at_as_a_whole()
    {
        var screen = Enable(640, 480);
        ulong before = screen.Stamp();
        _map.Write(0xE000_0000, [1]);
        Write(0x04, 0);
        Assert.NotEqual(before, before = screen.Stamp());

        Write(0x04, 2);
        Write(0x10, 0xF000_0000);
        _map.Write(0xF000_0000, [2]);
        Assert.NotEqual(before, before = screen.Stamp());
        _map.Write(0xF000_0000, [3]);
        Assert.NotEqual(before, before = screen.Stamp());
        Assert.Equal(before, screen.Stamp());
    }

    /// <summary>A start and a stride with which the picture wraps around video memory, and overlaps itself.</summary>
    [Theory]
    [InlineData(1200, 1000)]
    [InlineData(1, 0xFFFF)]
    public void A_picture_that_wraps_around_video_memory_is_looked_at_everywhere(int width, int offset)
    {
        var screen = Enable(2560, 1600);
        _vga.WriteDispi(DispiRegister.VirtualWidth, width);
        _vga.WriteDispi(DispiRegister.YOffset, offset);
        ulong before = screen.Stamp();
        var mode = _vga.Linear!.Value;
        foreach (uint at in new[] { mode.Start, mode.Start + (uint)(mode.Height - 1) * mode.Stride })
        {
            _map.Write(0xE000_0000 + (at & (uint)(_vga.VramSize - 1)), [0x77]);
            Assert.NotEqual(before, before = screen.Stamp());
        }
        Assert.Equal(before, screen.Stamp());
    }

    private ScreenReader Enable(int width, int height)
    {
        _vga.WriteDispi(DispiRegister.XResolution, width);
        _vga.WriteDispi(DispiRegister.YResolution, height);
        _vga.WriteDispi(DispiRegister.BitsPerPixel, 32);
        _vga.WriteDispi(DispiRegister.Enable, (int)(DispiEnable.Enabled | DispiEnable.LinearFramebuffer));
        return new ScreenReader(_vga);
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
