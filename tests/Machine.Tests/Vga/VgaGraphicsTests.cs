using Farm.Machine.Devices.Vga;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Vga;

public sealed class VgaGraphicsTests : IDisposable
{
    private readonly VgaDevice _vga = new(new VirtualClock());
    private readonly ScreenReader _screen;

    public VgaGraphicsTests() => _screen = new ScreenReader(_vga);

    public void Dispose() => _vga.Dispose();

    private RgbaImage Program(VgaMode mode)
    {
        mode.Program(_vga);
        _vga.LoadEgaColors();
        return _screen.Render();
    }

    [Theory]
    [InlineData("Cga4", 320, 200)]
    [InlineData("Cga6", 640, 200)]
    [InlineData("Ega0D", 320, 200)]
    [InlineData("Vga12", 640, 480)]
    [InlineData("Vga13", 320, 200)]
    [InlineData("ModeX", 320, 240)]
    public void A_graphics_mode_has_its_logical_resolution(string name, int width, int height)
    {
        var mode = (VgaMode)typeof(VgaMode).GetField(name)!.GetValue(null)!;

        var image = Program(mode);

        Assert.True(_screen.IsGraphics);
        Assert.Null(_screen.ReadText());
        Assert.Equal((width, height), (image.Width, image.Height));
    }

    [Fact]
    public void Mode_4_interleaves_even_and_odd_lines()
    {
        Program(VgaMode.Cga4);
        _vga.WriteByte(0xB8000, 0b00_01_10_11);
        _vga.WriteByte(0xB8001, 0b11_00_00_00);
        _vga.WriteByte(0xBA000, 0b10_00_00_00);
        _vga.WriteByte(0xB8000 + 80, 0b01_00_00_00);
        _vga.WriteByte(0xBA000 + 99 * 80 + 79, 0b00_00_00_11);

        var image = _screen.Render();

        Assert.Equal([Color(0), Color(1), Color(2), Color(3), Color(3), Color(0)], Enumerable.Range(0, 6).Select(x => image[x, 0]));
        Assert.Equal(Color(2), image[0, 1]);
        Assert.Equal(Color(1), image[0, 2]);
        Assert.Equal(Color(3), image[319, 199]);
    }

    [Fact]
    public void Mode_6_has_eight_pixels_in_a_byte()
    {
        Program(VgaMode.Cga6);
        _vga.WriteByte(0xB8000, 0x81);
        _vga.WriteByte(0xBA000, 0x40);

        var image = _screen.Render();

        Assert.Equal(Color(1), image[0, 0]);
        Assert.Equal(Color(0), image[1, 0]);
        Assert.Equal(Color(1), image[7, 0]);
        Assert.Equal(Color(1), image[1, 1]);
    }

    [Fact]
    public void Mode_12h_puts_one_bit_of_a_pixel_in_each_plane()
    {
        Program(VgaMode.Vga12);
        _vga.WriteIndexed(0x3C4, 2, 0x05);
        _vga.WriteByte(0xA0000 + 80 * 479 + 79, 0x01);
        _vga.WriteIndexed(0x3C4, 2, 0x08);
        _vga.WriteByte(0xA0000, 0x80);

        var image = _screen.Render();

        Assert.Equal(Color(5), image[639, 479]);
        Assert.Equal(Color(8), image[0, 0]);
    }

    [Fact]
    public void Mode_13h_is_one_byte_per_pixel()
    {
        Program(VgaMode.Vga13);
        _vga.SetColor(200, 63, 0, 63);
        _vga.WriteByte(0xA0000 + 199 * 320 + 319, 200);
        _vga.WriteMmio(0xA0000 + 320, 0x04030201, 4);

        var image = _screen.Render();

        Assert.Equal(0xFFFF00FF, image[319, 199]);
        Assert.Equal([Color(1), Color(2), Color(3), Color(4)], Enumerable.Range(0, 4).Select(x => image[x, 1]));
        Assert.Equal(0x04030201ul, _vga.ReadMmio(0xA0000 + 320, 4));
    }

    [Fact]
    public void Mode_X_flips_pages_by_the_start_address_and_writes_by_the_map_mask()
    {
        Program(VgaMode.ModeX);
        _vga.WriteIndexed(0x3C4, 2, 0x04);
        _vga.WriteByte(0xA0000 + 19200 + 80, 9);
        uint before = _screen.Render()[2, 1];
        _vga.WriteIndexed(0x3D4, 0x0C, 19200 >> 8);
        _vga.WriteIndexed(0x3D4, 0x0D, 19200 & 0xFF);

        Assert.Equal(Color(0), before);
        Assert.Equal(Color(9), _screen.Render()[2, 1]);
    }

    [Fact]
    public void Pel_panning_shifts_the_picture_left()
    {
        Program(VgaMode.Vga12);
        _vga.WriteByte(0xA0000, 0x10);
        _vga.ReadPort(0x3DA, 1);
        _vga.WritePort(0x3C0, 0x33, 1);
        _vga.WritePort(0x3C0, 3, 1);

        Assert.Equal(Color(15), _screen.Render()[0, 0]);
    }

    [Fact]
    public void Color_Select_supplies_the_upper_bits_of_the_DAC_index()
    {
        Program(VgaMode.Vga12);
        _vga.SetColor(0xF0, 63, 0, 0);
        _vga.ReadPort(0x3DA, 1);
        _vga.WritePort(0x3C0, 0x30, 1);
        _vga.WritePort(0x3C0, 0x81, 1);
        _vga.WritePort(0x3C0, 0x34, 1);
        _vga.WritePort(0x3C0, 0x0F, 1);

        Assert.Equal(0xFF0000FF, _screen.Render()[0, 0]);
    }

    [Fact]
    public void A_region_s_hash_follows_its_pixels_only()
    {
        Program(VgaMode.Vga13);
        _vga.WriteByte(0xA0000 + 10 * 320 + 10, 1);
        var first = _screen.Render();
        _vga.WriteByte(0xA0000 + 100 * 320 + 100, 2);
        var second = _screen.Render();

        Assert.Equal(first.RegionHash(0, 0, 50, 50), second.RegionHash(0, 0, 50, 50));
        Assert.NotEqual(first.RegionHash(90, 90, 20, 20), second.RegionHash(90, 90, 20, 20));
        Assert.NotEqual(first.Hash, second.Hash);
        Assert.Equal(first.RegionHash(310, 190, 1000, int.MaxValue), second.RegionHash(310, 190, 10, 10));
        Assert.Equal(first.RegionHash(-5, 400, 1, 1), second.RegionHash(int.MaxValue, -1, 0, 0));
    }

    private static uint Color(int index)
    {
        uint[] colors =
        [
            0xFF000000, 0xFFAA0000, 0xFF00AA00, 0xFFAAAA00, 0xFF0000AA, 0xFFAA00AA, 0xFF0055AA, 0xFFAAAAAA,
            0xFF555555, 0xFFFF5555, 0xFF55FF55, 0xFFFFFF55, 0xFF5555FF, 0xFFFF55FF, 0xFF55FFFF, 0xFFFFFFFF,
        ];
        return colors[index];
    }
}
