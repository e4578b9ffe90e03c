using Farm.Machine.Devices.Vga;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Vga;

public sealed unsafe class BochsDispiTests : IDisposable
{
    private readonly VgaDevice _vga = new(new VirtualClock());
    private readonly ScreenReader _screen;

    public BochsDispiTests()
    {
        _screen = new ScreenReader(_vga);
        VgaMode.Vga13.Program(_vga);
    }

    public void Dispose() => _vga.Dispose();

    [Theory]
    [InlineData(0xB0C0)]
    [InlineData(0xB0C4)]
    [InlineData(0xB0C5)]
    public void An_identifier_that_is_supported_reads_back(int id)
    {
        _vga.WriteDispi(DispiRegister.Id, id);

        Assert.Equal(id, _vga.ReadDispi(DispiRegister.Id));
    }

    [Fact]
    public void An_unknown_identifier_is_not_taken()
    {
        _vga.WriteDispi(DispiRegister.Id, 0xB0C6);

        Assert.Equal(0xB0C5, _vga.ReadDispi(DispiRegister.Id));
    }

    [Fact]
    public void Capabilities_are_read_from_the_resolution_registers()
    {
        _vga.WriteDispi(DispiRegister.Enable, (int)DispiEnable.GetCapabilities);

        Assert.Equal((2560, 1600, 32), (_vga.ReadDispi(DispiRegister.XResolution), _vga.ReadDispi(DispiRegister.YResolution), _vga.ReadDispi(DispiRegister.BitsPerPixel)));
        Assert.Equal(256, _vga.ReadDispi(DispiRegister.VideoMemory64K));
    }

    [Theory]
    [InlineData(8, 1)]
    [InlineData(15, 2)]
    [InlineData(16, 2)]
    [InlineData(24, 3)]
    [InlineData(32, 4)]
    public void Pixels_of_the_linear_framebuffer_are_shown(int bits, int bytes)
    {
        _vga.SetColor(0x1F, 0, 0, 63);
        Enable(1024, 768, bits);
        ReadOnlySpan<byte> blue = bits switch { 8 => [0x1F], 15 or 16 => [0x1F, 0x00], 24 => [0xFF, 0, 0], _ => [0xFF, 0, 0, 0] };
        blue.CopyTo(new Span<byte>(_vga.Vram + (767 * 1024 + 1023) * bytes, bytes));

        var image = _screen.Render();

        Assert.True(_screen.IsGraphics);
        Assert.Equal((1024, 768), (image.Width, image.Height));
        Assert.Equal(0xFFFF0000, image[1023, 767]);
    }

    [Fact]
    public void The_banked_window_reaches_all_of_the_framebuffer()
    {
        Enable(1024, 768, 8);
        _vga.WriteDispi(DispiRegister.Bank, 11);
        _vga.WriteByte(0xAFFFF, 0x5C);

        Assert.Equal(0x5C, _vga.Vram[11 * 0x10000 + 0xFFFF]);
        Assert.Equal(0x5C, _vga.ReadByte(0xAFFFF));
        Assert.Equal(0xFF, _vga.ReadByte(0xB0000));
    }

    [Fact]
    public void Banks_may_be_32K_apart()
    {
        Enable(640, 480, 8, DispiEnable.BankGranularity32K);
        _vga.WriteDispi(DispiRegister.Bank, 3);
        _vga.WriteByte(0xA0001, 0x77);

        Assert.Equal(0x77, _vga.Vram[3 * 0x8000 + 1]);
    }

    [Fact]
    public void Sixteen_colour_modes_stay_planar_with_banks_of_64K_plane_addresses()
    {
        VgaMode.Vga12.Program(_vga);
        _vga.LoadEgaColors();
        Enable(1280, 1024, 4);
        _vga.WriteDispi(DispiRegister.Bank, 2);
        _vga.WriteIndexed(0x3C4, 2, 0x06);
        int address = 1023 * 160 + 159 - 0x20000;
        _vga.WriteByte(0xA0000 + (ulong)address, 0x01);

        Assert.Equal(0xFF0055AA, _screen.Render()[1279, 1023]);
    }

    [Fact]
    public void Offsets_pan_over_a_wider_virtual_screen()
    {
        Enable(640, 480, 8);
        _vga.WriteDispi(DispiRegister.VirtualWidth, 1024);
        _vga.WriteDispi(DispiRegister.XOffset, 100);
        _vga.WriteDispi(DispiRegister.YOffset, 50);
        _vga.SetColor(1, 63, 63, 63);
        _vga.Vram[(50 + 479) * 1024 + 100 + 639] = 1;

        Assert.Equal(0xFFFFFFFF, _screen.Render()[639, 479]);
        Assert.Equal(16 * 1024, _vga.ReadDispi(DispiRegister.VirtualHeight));
    }

    [Fact]
    public void Enabling_clears_what_is_shown_unless_told_not_to()
    {
        _vga.Vram[5] = 1;
        Enable(640, 480, 8, DispiEnable.NoClearMemory);
        byte kept = _vga.Vram[5];
        _vga.WriteDispi(DispiRegister.Enable, 0);
        Enable(640, 480, 8);

        Assert.Equal((1, 0), (kept, _vga.Vram[5]));
    }

    [Fact]
    public void Disabling_brings_the_VGA_mode_back()
    {
        Enable(800, 600, 32);
        _vga.WriteDispi(DispiRegister.Enable, 0);

        Assert.Equal((320, 200), (_screen.Render().Width, _screen.Render().Height));
    }

    [Fact]
    public void The_DAC_takes_8_bits_where_asked()
    {
        Enable(640, 480, 8, DispiEnable.EightBitDac);
        _vga.SetColor(0, 0xAB, 0xCD, 0xEF);

        Assert.Equal(0xFFEFCDAB, _screen.Render()[0, 0]);
    }

    [Fact]
    public void The_stamp_sees_writes_through_the_linear_framebuffer()
    {
        Enable(640, 480, 32, DispiEnable.LinearFramebuffer);
        ulong before = _screen.Stamp();
        ulong again = _screen.Stamp();
        _vga.Vram[640 * 480 * 4 - 2] = 1;

        Assert.Equal(before, again);
        Assert.NotEqual(before, _screen.Stamp());
    }

    [Fact]
    public void A_mode_larger_than_video_memory_is_cut_to_it()
    {
        Enable(2560, 1600, 32);
        _vga.WriteDispi(DispiRegister.VirtualWidth, 0xFFFF);
        _vga.WriteDispi(DispiRegister.YOffset, 0xFFFF);

        var image = _screen.Render();

        Assert.Equal(2560, image.Width);
        Assert.Equal(16 * 1024 * 1024 / (65535 * 4), image.Height);
    }

    private void Enable(int width, int height, int bits, DispiEnable flags = DispiEnable.None)
    {
        _vga.WriteDispi(DispiRegister.XResolution, width);
        _vga.WriteDispi(DispiRegister.YResolution, height);
        _vga.WriteDispi(DispiRegister.BitsPerPixel, bits);
        _vga.WriteDispi(DispiRegister.Enable, (int)(DispiEnable.Enabled | flags));
    }
}
