using System.Buffers.Binary;
using Farm.Machine.Devices.Vga;

namespace Farm.Machine.Tests.Vga;

/// <summary>The packaged VGABIOSes drive the adapters: initialisation, text, every standard mode, VBE.</summary>
public sealed class VideoBiosTests
{
    [Theory]
    [InlineData(false, "VGABios")]
    [InlineData(true, "cirrus")]
    public void The_VGABIOS_shows_its_banner(bool cirrus, string banner)
    {
        using var bed = VideoBiosBed.Start(cirrus);

        string text = bed.Screen.ReadText()!.ToText();

        Assert.Contains(banner, text, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public void Teletype_output_scrolls_and_moves_the_cursor()
    {
        using var bed = VideoBiosBed.Start();
        bed.Int10(0x0003);
        for (int i = 0; i < 30; i++)
            bed.Print($"line {i}\r\n");
        bed.Print("end");

        var screen = bed.Screen.ReadText()!;

        Assert.Equal("line 6", screen.Row(0));
        Assert.Equal("end", screen.Row(24));
        Assert.Equal((24, 3), (screen.CursorRow, screen.CursorColumn));
    }

    [Fact]
    public void The_ROM_font_is_drawn()
    {
        using var bed = VideoBiosBed.Start();
        bed.Int10(0x0003);
        bed.Int10(0x0100, cx: 0x2000);
        bed.Print("A");

        var image = bed.Screen.Render();
        string[] rows = [.. Enumerable.Range(2, 10).Select(y => string.Concat(Enumerable.Range(0, 8).Select(x => image[x, y] == 0xFF000000 ? '.' : '#')))];

        Assert.Equal(["...#....", "..###...", ".##.##..", "##...##.", "##...##.", "#######.", "##...##.", "##...##.", "##...##.", "##...##."], rows);
    }

    [Theory]
    [InlineData(0x00, 40, 25)]
    [InlineData(0x03, 80, 25)]
    [InlineData(0x07, 80, 25)]
    public void Text_modes(byte mode, int columns, int rows)
    {
        using var bed = VideoBiosBed.Start();
        bed.Int10(mode);
        bed.Print("ok");

        var screen = bed.Screen.ReadText()!;

        Assert.Equal((columns, rows), (screen.Columns, screen.Rows));
        Assert.Equal("ok", screen.Row(0));
    }

    [Fact]
    public void The_8_by_8_font_makes_50_rows()
    {
        using var bed = VideoBiosBed.Start();
        bed.Int10(0x0003);
        bed.Int10(0x1112);

        Assert.Equal((80, 50), (bed.Screen.ReadText()!.Columns, bed.Screen.ReadText()!.Rows));
    }

    [Theory]
    [InlineData(0x04, 320, 200)]
    [InlineData(0x06, 640, 200)]
    [InlineData(0x0D, 320, 200)]
    [InlineData(0x0E, 640, 200)]
    [InlineData(0x0F, 640, 350)]
    [InlineData(0x10, 640, 350)]
    [InlineData(0x11, 640, 480)]
    [InlineData(0x12, 640, 480)]
    [InlineData(0x13, 320, 200)]
    public void Graphics_modes_and_their_pixels(byte mode, int width, int height)
    {
        using var bed = VideoBiosBed.Start();
        bed.Int10(mode);
        uint black = bed.Screen.Render()[width - 1, height - 1];
        bed.Int10(0x0C01, 0, (ushort)(width - 1), (ushort)(height - 1));
        bed.Int10(0x0C01, 0, 3, 1);

        var image = bed.Screen.Render();

        Assert.True(bed.Screen.IsGraphics);
        Assert.Equal((width, height), (image.Width, image.Height));
        Assert.Equal(2, image.Pixels.ToArray().Count(pixel => pixel != black));
        Assert.NotEqual(black, image[width - 1, height - 1]);
        Assert.NotEqual(black, image[3, 1]);
    }

    [Theory]
    [InlineData(false, 0x101, 640, 480, 8)]
    [InlineData(false, 0x102, 800, 600, 4)]
    [InlineData(false, 0x112, 640, 480, 24)]
    [InlineData(false, 0x114, 800, 600, 16)]
    [InlineData(true, 0x101, 640, 480, 8)]
    [InlineData(true, 0x111, 640, 480, 16)]
    [InlineData(true, 0x112, 640, 480, 24)]
    public void VBE_modes(bool cirrus, ushort mode, int width, int height, int bits)
    {
        using var bed = VideoBiosBed.Start(cirrus);
        ushort information = bed.Int10(0x4F01, cx: mode, di: 0x2000);
        uint framebuffer = BinaryPrimitives.ReadUInt32LittleEndian(bed.Ram[0x2028..]);
        ushort set = bed.Int10(0x4F02, (ushort)(mode | (bits > 4 ? 0x4000 : 0)));

        Assert.Equal((0x004F, 0x004F), (information, set));
        Assert.Equal((width, height, bits), (bed.Vga.Linear!.Value.Width, bed.Vga.Linear.Value.Height, bed.Vga.Linear.Value.BitsPerPixel));
        Assert.Equal(PciVga.DefaultFramebuffer, framebuffer);
        Assert.Equal(new ScreenSize(true, width, height), bed.Screen.Size);
    }
}
