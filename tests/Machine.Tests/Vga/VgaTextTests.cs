using Farm.Machine.Devices.Vga;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Vga;

public sealed class VgaTextTests : IDisposable
{
    private readonly VgaDevice _vga = new(new VirtualClock());
    private readonly ScreenReader _screen;

    public VgaTextTests()
    {
        _screen = new ScreenReader(_vga);
        VgaMode.Text80x25.Program(_vga);
        _vga.LoadEgaColors();
    }

    public void Dispose() => _vga.Dispose();

    private TextScreen Text => _screen.ReadText() ?? throw new InvalidOperationException("The screen is in a graphics mode.");

    [Fact]
    public void Mode_3_shows_80_by_25_cells_from_B8000()
    {
        _vga.Print(0, 0, "Hello, world", 0x1E);
        _vga.Print(24, 79, "!", 0x07);

        var text = Text;

        Assert.False(_screen.IsGraphics);
        Assert.Equal((80, 25), (text.Columns, text.Rows));
        Assert.Equal("Hello, world", text.Row(0));
        Assert.Equal(0x1E, text.Attribute(0, 0));
        Assert.Equal('!', (char)text.Character(24, 79));
    }

    [Fact]
    public void Text_written_through_B8000_reads_back()
    {
        _vga.WriteMmio(0xB8F9E, 0x1F41_1E42, 4);

        Assert.Equal(0x1F41_1E42ul, _vga.ReadMmio(0xB8F9E, 4));
        Assert.Equal(0xFFul, _vga.ReadMmio(0xB0000, 1));
        Assert.Equal(0xFFul, _vga.ReadMmio(0xA0000, 1));
    }

    [Fact]
    public void The_screen_scrolls_by_the_start_address()
    {
        for (int row = 0; row < 60; row++)
            _vga.Print(row, 0, $"line {row}");

        SetStart(35 * 80);

        Assert.Equal("line 35", Text.Row(0));
        Assert.Equal("line 59", Text.Row(24));
    }

    [Fact]
    public void A_start_address_near_the_end_wraps_within_the_planes()
    {
        _vga.Print(0, 0, "top of memory");
        SetStart(0x8000 - 80);

        Assert.Equal(25, Text.Rows);
        Assert.Equal("", Text.Row(0));
    }

    [Fact]
    public void Below_the_line_compare_display_goes_on_from_address_0()
    {
        _vga.Print(0, 0, "status");
        _vga.Print(100, 0, "scrolled");
        SetStart(100 * 80);
        const int split = 20 * 16 - 1;
        _vga.WriteIndexed(0x3D4, 0x18, split & 0xFF);
        _vga.WriteIndexed(0x3D4, 0x07, 0x1F & ~0x10 | (split >> 8 & 1) << 4);
        _vga.WriteIndexed(0x3D4, 0x09, 0x0F);

        var text = Text;

        Assert.Equal("scrolled", text.Row(0));
        Assert.Equal("status", text.Row(20));
        Assert.Equal(25, text.Rows);
    }

    [Theory]
    [InlineData(8, 50)]
    [InlineData(16, 25)]
    [InlineData(14, 28)]
    public void The_number_of_rows_follows_the_character_height(int height, int rows)
    {
        _vga.WriteIndexed(0x3D4, 0x09, (byte)(0x40 | (height - 1)));

        Assert.Equal(rows, Text.Rows);
    }

    [Fact]
    public void Wide_and_tall_text_modes_are_read_whole()
    {
        _vga.WriteIndexed(0x3D4, 0x11, 0);
        _vga.WriteIndexed(0x3D4, 0x01, 131);
        _vga.WriteIndexed(0x3D4, 0x13, 66);
        _vga.WriteIndexed(0x3D4, 0x09, 0x47);
        _vga.WriteIndexed(0x3D4, 0x12, 0xDF);
        _vga.WriteIndexed(0x3D4, 0x07, 0x3E | 0x10);
        _vga.Print(59, 131, "X", columns: 132);

        var text = Text;

        Assert.Equal((132, 60), (text.Columns, text.Rows));
        Assert.Equal('X', (char)text.Character(59, 131));
    }

    [Fact]
    public void Forty_columns()
    {
        VgaMode.Text40x25.Program(_vga);
        _vga.Print(1, 0, "second row", columns: 40);

        Assert.Equal((40, 25), (Text.Columns, Text.Rows));
        Assert.Equal("second row", Text.Row(1));
    }

    [Fact]
    public void Monochrome_text_lies_at_B0000_and_its_CRTC_at_3B4()
    {
        VgaMode.Mono80x25.Program(_vga);
        _vga.Print(3, 0, "mono", window: 0xB0000);

        Assert.Equal("mono", Text.Row(3));
        Assert.Equal(0x4F, _vga.ReadIndexed(0x3B4, 1));
        Assert.Equal(uint.MaxValue, _vga.ReadPort(0x3D5, 1));
        Assert.Equal(uint.MaxValue, _vga.ReadPort(0x3DA, 1));
    }

    [Fact]
    public void The_cursor_is_where_the_CRTC_says_unless_disabled()
    {
        _vga.WriteIndexed(0x3D4, 0x0E, (3 * 80 + 7) >> 8);
        _vga.WriteIndexed(0x3D4, 0x0F, (3 * 80 + 7) & 0xFF);
        var shown = Text;
        _vga.WriteIndexed(0x3D4, 0x0A, 0x2D);
        var hidden = Text;

        Assert.Equal((true, 3, 7), (shown.CursorVisible, shown.CursorRow, shown.CursorColumn));
        Assert.Equal((false, -1, -1), (hidden.CursorVisible, hidden.CursorRow, hidden.CursorColumn));
        Assert.NotEqual(shown.Hash, hidden.Hash);
    }

    [Fact]
    public void Text_is_given_in_Unicode_trimmed_on_the_right()
    {
        _vga.Print(0, 0, "\u00C9\u00CD\u00BB  ");
        _vga.Print(1, 0, "\u0081ber\0\0");

        Assert.Equal("╔═╗\nüber\n", Text.ToText());
    }

    [Fact]
    public void Code_page_437_has_256_characters()
    {
        var all = Enumerable.Range(0, 256).Select(code => Cp437.ToUnicode((byte)code)).ToArray();

        Assert.Equal('é', all[0x82]);
        Assert.Equal('█', all[0xDB]);
        Assert.Equal('α', all[0xE0]);
        Assert.Equal('■', all[0xFE]);
        Assert.Equal(254, all.Distinct().Count()); // 0, 20h and FFh are all blanks
    }

    [Fact]
    public void Equal_screens_have_equal_hashes_and_a_changed_attribute_another()
    {
        _vga.Print(0, 0, "x");
        ulong first = Text.Hash;
        _vga.Print(0, 0, "y");
        _vga.Print(0, 0, "x");
        ulong again = Text.Hash;
        _vga.Print(0, 0, "x", 0x70);

        Assert.Equal(first, again);
        Assert.NotEqual(first, Text.Hash);
    }

    [Fact]
    public void The_stamp_changes_with_the_screen_and_only_then()
    {
        _vga.Print(0, 0, "abc");
        ulong before = _screen.Stamp();
        _vga.Print(0, 0, "abc");
        _vga.ReadPort(0x3DA, 1);
        _vga.ReadByte(0xB8000);
        Assert.Equal(before, _screen.Stamp());

        _vga.Print(0, 2, "d");
        ulong written = _screen.Stamp();
        SetStart(80);

        Assert.NotEqual(before, written);
        Assert.NotEqual(written, _screen.Stamp());
    }

    [Fact]
    public void The_picture_draws_glyphs_of_plane_2_in_the_cell_s_colours()
    {
        _vga.LoadGlyph('A', [0x80, 0x01]);
        HideCursor();
        _vga.Print(1, 2, "A", 0x1E);

        var image = _screen.Render();

        Assert.Equal((720, 400), (image.Width, image.Height));
        uint yellow = 0xFF55FFFF, blue = 0xFFAA0000;
        Assert.Equal(yellow, image[18, 16]);
        Assert.Equal(blue, image[19, 16]);
        Assert.Equal(yellow, image[25, 17]);
        Assert.Equal(blue, image[26, 17]);
        Assert.Equal(blue, image[18, 18]);
        Assert.Equal(0xFF000000, image[17, 16]);
    }

    [Fact]
    public void Line_graphics_repeat_their_eighth_dot_in_the_ninth()
    {
        _vga.LoadGlyph(0xC4, [0xFF]);
        _vga.LoadGlyph('-', [0xFF]);
        HideCursor();
        _vga.Print(0, 0, "\u00C4-");

        var image = _screen.Render();

        Assert.Equal(0xFFAAAAAA, image[8, 0]);
        Assert.Equal(0xFF000000, image[17, 0]);
    }

    [Fact]
    public void Attribute_bit_3_chooses_the_second_font()
    {
        _vga.LoadGlyph('A', [0xFF], font: 0);
        _vga.LoadGlyph('A', [0x00], font: 2);
        _vga.WriteIndexed(0x3C4, 3, 0x04);
        HideCursor();
        _vga.Print(0, 0, "A", 0x07);
        _vga.Print(0, 1, "A", 0x0F);

        var image = _screen.Render();

        Assert.Equal(0xFFAAAAAA, image[0, 0]);
        Assert.Equal(0xFF000000, image[9, 0]);
    }

    [Fact]
    public void The_cursor_is_drawn_between_its_lines()
    {
        _vga.Print(0, 0, " ");

        var image = _screen.Render();

        Assert.Equal(0xFF000000, image[0, 12]);
        Assert.Equal(0xFFAAAAAA, image[0, 13]);
        Assert.Equal(0xFFAAAAAA, image[0, 14]);
        Assert.Equal(0xFF000000, image[0, 15]);
    }

    [Fact]
    public void Underline_is_drawn_in_monochrome()
    {
        VgaMode.Mono80x25.Program(_vga);
        _vga.SetColor(8, 42, 42, 42);
        HideCursor(0x3B4);
        _vga.Print(0, 0, " ", 0x01, window: 0xB0000);
        _vga.Print(0, 1, " ", 0x07, window: 0xB0000);

        var image = _screen.Render();

        Assert.Equal(0xFFAAAAAA, image[0, 15]);
        Assert.Equal(0xFF000000, image[9, 15]);
    }

    [Fact]
    public void Without_blinking_the_background_has_16_colours()
    {
        HideCursor();
        _vga.Print(0, 0, " ", 0xF0);
        uint blinking = _screen.Render()[0, 0];
        _vga.ReadPort(0x3DA, 1);
        _vga.WritePort(0x3C0, 0x30, 1);
        _vga.WritePort(0x3C0, 0x04, 1);

        Assert.Equal(0xFFAAAAAA, blinking);
        Assert.Equal(0xFFFFFFFF, _screen.Render()[0, 0]);
    }

    [Fact]
    public void A_screen_switched_off_is_black_but_its_text_is_kept()
    {
        _vga.Print(0, 0, "hidden", 0x70);
        _vga.WriteIndexed(0x3C4, 1, 0x20);

        var screen = _screen.Capture();

        Assert.True(screen.Blanked);
        Assert.Equal("hidden", screen.Text?.Row(0));
        Assert.DoesNotContain(screen.Image.Pixels.ToArray(), pixel => pixel != 0xFF000000);
    }

    [Fact]
    public void The_picture_is_written_as_PNG()
    {
        byte[] png = _screen.Render().ToPng();

        Assert.Equal<byte>([0x89, (byte)'P', (byte)'N', (byte)'G'], png[..4]);
        Assert.Equal(720, png[18] << 8 | png[19]);
        Assert.Equal(400, png[22] << 8 | png[23]);
    }

    private void SetStart(int address)
    {
        _vga.WriteIndexed(0x3D4, 0x0C, (byte)(address >> 8));
        _vga.WriteIndexed(0x3D4, 0x0D, (byte)address);
    }

    private void HideCursor(ushort crtc = 0x3D4) => _vga.WriteIndexed(crtc, 0x0A, 0x20);
}
