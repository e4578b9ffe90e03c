using Farm.Machine.Devices.Vga;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Vga;

/// <summary>The window of a text mode as memory that processors use without the device.</summary>
public sealed unsafe class TextWindowTests : IDisposable
{
    private readonly VgaDevice _vga = new(new VirtualClock());
    private readonly ScreenReader _screen;
    private (ulong Start, int Length, nint Host) _mapped;

    public TextWindowTests()
    {
        _screen = new ScreenReader(_vga);
        _vga.MapWindow = (start, length, host) => _mapped = (start, length, host);
        VgaMode.Text80x25.Program(_vga);
        for (int row = 0; row < 25; row++)
            _vga.Print(row, 0, $"row {row}", 0x1E);
    }

    public void Dispose() => _vga.Dispose();

    private Span<byte> Window => new((void*)_mapped.Host, _mapped.Length);

    private string Row(int row) => _screen.ReadText()!.Row(row);

    [Fact]
    public void A_text_window_in_use_becomes_memory_with_what_it_holds()
    {
        Assert.Equal(0, _mapped.Host);

        _vga.OfferWindow();

        Assert.Equal((0xB8000ul, 0x8000), (_mapped.Start, _mapped.Length));
        Assert.Equal("r\u001Eo\u001Ew\u001E"u8, Window[..6]);
    }

    [Fact]
    public void What_is_stored_there_shows_on_the_screen_and_changes_its_stamp()
    {
        _vga.OfferWindow();
        ulong before = _screen.Stamp();
        Assert.Equal(before, _screen.Stamp());

        Window[160] = (byte)'R';

        Assert.NotEqual(before, _screen.Stamp());
        Assert.Equal("Row 1", Row(1));
        Window[161] = 0x4F;
        Assert.Equal(0x4F, _screen.ReadText()!.Attribute(1, 0));
        Assert.Equal(0x4F52ul, _vga.ReadMmio(0xB80A0, 2));
    }

    [Fact]
    public void What_passes_the_device_meanwhile_is_seen_in_memory()
    {
        _vga.OfferWindow();

        _vga.WriteMmio(0xB8000, 0x1E21, 2);

        Assert.Equal((byte)'!', Window[0]);
        Assert.Equal("!ow 0", Row(0));
    }

    [Fact]
    public void A_font_load_takes_the_window_back_and_loses_nothing()
    {
        _vga.OfferWindow();
        Window[0] = (byte)'R';
        byte[] rows = [0x18, 0x3C, 0x66];

        _vga.LoadGlyph('R', rows);

        Assert.Equal((0xB8000ul, 0x8000, (nint)0), _mapped);
        Assert.Equal("Row 0", Row(0));
        Assert.Equal(0x1E52ul, _vga.ReadMmio(0xB8000, 2));
        _vga.OfferWindow();
        Assert.Equal(0, _mapped.Host);
        for (int i = 0; i < 100; i++)
            _vga.WriteMmio(0xB8000, 0x1E53, 2);
        _vga.OfferWindow();
        Assert.NotEqual(0, _mapped.Host);
        Assert.Equal("Sow 0", Row(0));
    }

    [Fact]
    public void A_graphics_mode_or_a_mode_that_changes_data_is_never_memory()
    {
        VgaMode.Vga12.Program(_vga);
        _vga.OfferWindow();
        Assert.Equal(0, _mapped.Host);

        VgaMode.Text80x25.Program(_vga);
        _vga.WriteIndexed(0x3CE, (byte)GraphicsRegister.BitMask, 0x0F);
        _vga.OfferWindow();
        Assert.Equal(0, _mapped.Host);

        _vga.WriteIndexed(0x3CE, (byte)GraphicsRegister.BitMask, 0xFF);
        _vga.OfferWindow();
        Assert.NotEqual(0, _mapped.Host);
    }

    [Fact]
    public void The_monochrome_window_lies_at_B0000()
    {
        VgaMode.Mono80x25.Program(_vga);
        _vga.Print(0, 0, new string('m', 80), window: 0xB0000);
        _vga.OfferWindow();
        Assert.Equal(0xB0000ul, _mapped.Start);
        Assert.Equal((byte)'m', Window[158]);
    }

    [Fact]
    public void A_reset_takes_the_window_back()
    {
        _vga.OfferWindow();
        _vga.Reset();
        Assert.Equal(0, _mapped.Host);
    }
}
