using Farm.Machine.Devices.Vga;
using Farm.Machine.Devices.Vga.Cirrus;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Vga;

public sealed unsafe class CirrusVgaTests : IDisposable
{
    private const int Stride = 640;

    private readonly CirrusVga _vga = new(new VirtualClock());
    private readonly ScreenReader _screen;

    public CirrusVgaTests()
    {
        _screen = new ScreenReader(_vga);
        VgaMode.Vga12.Program(_vga);
    }

    public void Dispose() => _vga.Dispose();

    [Fact]
    public void It_is_recognised_by_its_lock_and_its_identification()
    {
        byte locked = _vga.ReadIndexed(0x3C4, 6);
        _vga.WriteIndexed(0x3C4, 6, 0x12);

        Assert.Equal((0x0F, 0x12), (locked, _vga.ReadIndexed(0x3C4, 6)));
        Assert.Equal(0xB8, _vga.ReadIndexed(0x3D4, 0x27));
        Assert.Equal(0x98, _vga.ReadIndexed(0x3C4, 0x0F));
    }

    [Fact]
    public void The_standard_modes_are_the_VGA_s()
    {
        VgaMode.Text80x25.Program(_vga);
        _vga.Print(0, 0, "text");

        Assert.Equal("text", _screen.ReadText()?.Row(0));
    }

    [Theory]
    [InlineData(0x01, 0x00, 8)]
    [InlineData(0x07, 0x00, 15)]
    [InlineData(0x07, 0xC1, 16)]
    [InlineData(0x03, 0xC1, 16)]
    [InlineData(0x05, 0xC5, 24)]
    [InlineData(0x09, 0xC5, 32)]
    public void Packed_modes_are_chosen_by_SR7_and_the_hidden_DAC_register(byte mode, byte hidden, int bits)
    {
        Packed(mode, hidden);

        Assert.Equal(new LinearMode(640, 480, bits, 0, Stride), _vga.Linear);
    }

    [Fact]
    public void Start_address_and_offset_have_extension_bits()
    {
        Packed();
        _vga.WriteIndexed(0x3D4, 0x0C, 0x12);
        _vga.WriteIndexed(0x3D4, 0x0D, 0x34);
        _vga.WriteIndexed(0x3D4, 0x1B, 0x1D);
        _vga.WriteIndexed(0x3D4, 0x1D, 0x80);

        Assert.Equal(new LinearMode(640, 480, 8, 0xF1234 * 4, 640 + 2048), _vga.Linear);
    }

    [Fact]
    public void The_hidden_DAC_register_answers_after_four_reads_of_the_pixel_mask()
    {
        Packed(0x07, 0xC1);
        var reads = Enumerable.Range(0, 5).Select(_ => _vga.ReadPort(0x3C6, 1)).ToArray();

        Assert.Equal([0xFFu, 0xFF, 0xFF, 0xFF, 0xC1], reads);
        Assert.Equal(0xFFu, _vga.ReadPort(0x3C6, 1));
    }

    [Theory]
    [InlineData(0x00, 0x10, 0x10000)]
    [InlineData(0x20, 0x10, 0x40000)]
    public void One_bank_covers_the_window(byte extensions, byte bank, int address)
    {
        Packed();
        Graphics(0x0B, extensions);
        Graphics(0x09, bank);
        _vga.WriteByte(0xAFFFF, 0x5A);

        Assert.Equal(0x5A, _vga.Vram[address + 0xFFFF]);
        Assert.Equal(0x5A, _vga.ReadByte(0xAFFFF));
    }

    [Fact]
    public void Two_banks_cover_half_of_the_window_each()
    {
        Packed();
        Graphics(0x0B, 0x21);
        Graphics(0x09, 1);
        Graphics(0x0A, 2);
        _vga.WriteByte(0xA0000, 0x11);
        _vga.WriteByte(0xA8000, 0x22);

        Assert.Equal((0x11, 0x22), (_vga.Vram[0x4000], _vga.Vram[0x8000]));
    }

    [Fact]
    public void A_bank_beyond_video_memory_reads_as_ones()
    {
        Packed();
        Graphics(0x0B, 0x20);
        Graphics(0x09, 0xFF);
        _vga.WriteByte(0xAFFFF, 0x33);

        Assert.Equal(0xFF, _vga.ReadByte(0xAFFFF));
        Assert.Equal(0xFF, _vga.ReadByte(0xB8000));
    }

    [Fact]
    public void Write_modes_4_and_5_expand_bits_to_eight_pixels()
    {
        Packed();
        Graphics(0x0B, 0x06);
        Graphics(0x00, 0xB0);
        Graphics(0x01, 0xF0);
        Graphics(0x05, 0x04);
        _vga.WriteByte(0xA0001, 0x81);
        Graphics(0x05, 0x05);
        _vga.WriteByte(0xA0002, 0x0F);

        Assert.False(_vga.LinearDirect);
        Assert.Equal([0xF0, 0, 0, 0, 0, 0, 0, 0xF0, 0xB0, 0xB0, 0xB0, 0xB0, 0xF0, 0xF0, 0xF0, 0xF0], Vram(8, 16));
    }

    [Fact]
    public void A_copy_moves_a_rectangle()
    {
        Packed();
        for (int i = 0; i < 4; i++)
            _vga.Vram[1000 + i % 2 + i / 2 * Stride] = (byte)(i + 1);
        Blt(width: 2, height: 2, source: 1000, destination: 5000);

        Assert.Equal([1, 2], Vram(5000, 2));
        Assert.Equal([3, 4], Vram(5000 + Stride, 2));
        Assert.Equal(0, _vga.ReadIndexed(0x3CE, 0x31) & 0x03);
    }

    [Fact]
    public void A_backward_copy_moves_an_overlapping_rectangle_down()
    {
        Packed();
        for (int i = 0; i < 8; i++)
            _vga.Vram[100 + i] = (byte)i;
        Blt(width: 8, height: 1, source: 107, destination: 109, mode: 0x01);

        Assert.Equal([0, 1, 0, 1, 2, 3, 4, 5, 6, 7], Vram(100, 10));
    }

    [Theory]
    [InlineData(0x00, 0x00)]
    [InlineData(0x05, 0x0C & 0x0A)]
    [InlineData(0x06, 0x0A)]
    [InlineData(0x09, 0x0C & ~0x0A)]
    [InlineData(0x0B, 0xF5)]
    [InlineData(0x0D, 0x0C)]
    [InlineData(0x0E, 0xFF)]
    [InlineData(0x50, ~0x0C & 0x0A)]
    [InlineData(0x59, 0x0C ^ 0x0A)]
    [InlineData(0x6D, 0x0C | 0x0A)]
    [InlineData(0x90, 0xF7)]
    [InlineData(0x95, 0xF9)]
    [InlineData(0xAD, 0xFD)]
    [InlineData(0xD0, 0xF3)]
    [InlineData(0xD6, 0xFB)]
    [InlineData(0xDA, 0xF1)]
    public void Raster_operations_combine_source_and_destination(byte operation, int result)
    {
        Packed();
        _vga.Vram[10] = 0x0C;
        _vga.Vram[20] = 0x0A;
        Blt(width: 1, height: 1, source: 10, destination: 20, operation: operation);

        Assert.Equal((byte)result, _vga.Vram[20]);
    }

    [Fact]
    public void A_transparent_copy_leaves_pixels_of_the_key_colour_alone()
    {
        Packed();
        Graphics(0x34, 0x55);
        _vga.Vram[10] = 0x55;
        _vga.Vram[11] = 0x66;
        _vga.Vram[20] = 1;
        Blt(width: 2, height: 1, source: 10, destination: 20, mode: 0x08);

        Assert.Equal([1, 0x66], Vram(20, 2));
    }

    [Fact]
    public void A_pattern_repeats_every_eight_pixels_from_its_row()
    {
        Packed();
        for (int i = 0; i < 64; i++)
            _vga.Vram[0x1000 + i] = (byte)i;
        Blt(width: 10, height: 2, source: 0x1000 + 7, destination: 5000, mode: 0x40);

        Assert.Equal([56, 57, 58, 59, 60, 61, 62, 63, 56, 57], Vram(5000, 10));
        Assert.Equal([0, 1], Vram(5000 + Stride, 2));
    }

    [Fact]
    public void A_solid_fill_paints_in_the_foreground_colour()
    {
        Packed(0x07, 0xC1);
        Graphics(0x01, 0x34);
        Graphics(0x11, 0x12);
        Graphics(0x33, 0x04);
        Blt(width: 4, height: 1, source: 0, destination: 100, mode: 0xC0 | 0x10);

        Assert.Equal([0x34, 0x12, 0x34, 0x12, 0], Vram(100, 5));
    }

    [Theory]
    [InlineData(0x00, 0x00, new byte[] { 7, 3, 3, 7 })]
    [InlineData(0x08, 0x00, new byte[] { 7, 0, 0, 7 })]
    [InlineData(0x08, 0x02, new byte[] { 0, 3, 3, 0 })]
    public void Colour_expansion_takes_bits_from_the_CPU(byte transparent, byte extensions, byte[] expected)
    {
        Packed();
        Graphics(0x00, 3);
        Graphics(0x01, 7);
        Graphics(0x33, extensions);
        Blt(width: 4, height: 2, source: 0, destination: 100, mode: (byte)(0x84 | transparent));
        Assert.False(_vga.LinearDirect);
        Assert.Equal(0x01, _vga.ReadIndexed(0x3CE, 0x31) & 0x01);

        _vga.WriteByte(0xA0000, 0x90);
        _vga.WriteByte(0xA1234, 0x90);

        Assert.Equal(expected, Vram(100, 4));
        Assert.Equal(expected, Vram(100 + Stride, 4));
        Assert.Equal(0x00, _vga.ReadIndexed(0x3CE, 0x31) & 0x03);
        Assert.True(_vga.LinearDirect);
    }

    [Fact]
    public void A_copy_from_the_CPU_takes_rows_padded_to_dwords()
    {
        Packed();
        Blt(width: 3, height: 2, source: 0, destination: 100, mode: 0x04);
        _vga.WriteMmio(0xA0000, 0xFF030201, 4);
        _vga.WriteLinear(0x100_0000, 4);
        _vga.WriteMmio(0xA0000, 0xFF0605, 4);

        Assert.Equal([1, 2, 3, 0], Vram(100, 4));
        Assert.Equal([4, 5, 6, 0], Vram(100 + Stride, 4));
    }

    [Fact]
    public void A_reset_ends_an_operation_that_waits()
    {
        Packed();
        Blt(width: 3, height: 2, source: 0, destination: 100, mode: 0x04);
        Graphics(0x31, 0x04);
        Graphics(0x31, 0x00);
        _vga.WriteByte(0xA0000, 9);

        Assert.Equal(9, _vga.Vram[0]);
    }

    [Fact]
    public void The_engine_s_registers_are_in_memory_at_B8000_where_enabled()
    {
        Packed();
        _vga.WriteIndexed(0x3C4, 0x17, 0x04);
        _vga.WriteMmio(0xB8004, 0x11, 1);
        _vga.WriteMmio(0xB8008, 3 | 1 << 16, 4);
        _vga.WriteMmio(0xB800C, Stride, 2);
        _vga.WriteMmio(0xB8010, 200, 4);
        _vga.WriteMmio(0xB8018, 0xC0 | 0x0D << 16 | 0x04 << 24, 4);
        _vga.WriteMmio(0xB8040, 0x02, 1);

        Assert.Equal([0x11, 0x11, 0x11, 0x11, 0], Vram(200, 5));
        Assert.Equal(0x11, _vga.Vram[200 + Stride]);
        Assert.Equal(0x20, _vga.ReadIndexed(0x3C4, 0x17) & 0x38);
    }

    [Fact]
    public void The_hardware_cursor_lies_over_the_picture()
    {
        Packed();
        _vga.WriteIndexed(0x3C4, 0x12, 0x02);
        _vga.SetColor(0, 63, 0, 0);
        _vga.SetColor(15, 0, 63, 0);
        _vga.WriteIndexed(0x3C4, 0x12, 0x01);
        _vga.WriteIndexed(0x3C4, 0x50, 12); // X = 12 * 8 + 2
        _vga.WriteIndexed(0x3C4, 0x11, 5);
        byte* pattern = _vga.Vram + CirrusVga.VideoMemory - 0x4000;
        pattern[0] = 0x50;
        pattern[128] = 0x30;

        var image = _screen.Render();

        Assert.Equal([0xFF000000, 0xFFFFFFFF, 0xFF0000FF, 0xFF00FF00], Enumerable.Range(98, 4).Select(x => image[x, 40]));
    }

    [Fact]
    public void Random_register_values_never_break_the_adapter_or_its_screen()
    {
        var random = new Random(4711);
        for (int i = 0; i < 40_000; i++)
        {
            ushort port = (ushort)(0x3C0 + random.Next(0x1B));
            bool blitterSize = port == 0x3CF && _vga.ReadPort(0x3CE, 1) is 0x21 or 0x23;
            _vga.WritePort(port, blitterSize ? 0u : (uint)random.Next(port is 0x3C4 or 0x3CE or 0x3D4 ? 0x40 : 0x100), 1);
            _vga.WriteMmio(0xA0000 + (ulong)random.Next(0x3FFF) * 8, (ulong)random.NextInt64(), 1 << random.Next(4));
            _vga.WriteLinear((uint)random.Next(), (byte)i);
            _vga.ReadLinear((uint)random.Next());
            _vga.ReadPort((ushort)(0x3B0 + random.Next(0x30)), 1);
            if (i % 400 != 0)
                continue;
            var screen = _screen.Capture();
            Assert.InRange(screen.Width, 1, 2304);
            Assert.InRange(screen.Height, 1, 2048);
        }
    }

    private void Packed(byte mode = 0x01, byte hiddenDac = 0)
    {
        _vga.WriteIndexed(0x3C4, 6, 0x12);
        _vga.WriteIndexed(0x3C4, 7, mode);
        _vga.WriteIndexed(0x3D4, 0x13, Stride / 8);
        for (int i = 0; i < 4; i++)
            _vga.ReadPort(0x3C6, 1);
        _vga.WritePort(0x3C6, hiddenDac, 1);
    }

    private void Blt(int width, int height, int source, int destination, byte mode = 0, byte operation = 0x0D)
    {
        Wide(0x20, width - 1, 2);
        Wide(0x22, height - 1, 2);
        Wide(0x24, Stride, 2);
        Wide(0x26, Stride, 2);
        Wide(0x28, destination, 3);
        Wide(0x2C, source, 3);
        Graphics(0x30, mode);
        Graphics(0x32, operation);
        Graphics(0x31, 0x02);
    }

    private void Wide(byte index, int value, int bytes)
    {
        for (int i = 0; i < bytes; i++)
            Graphics((byte)(index + i), (byte)(value >> (8 * i)));
    }

    private byte[] Vram(int address, int count) => new ReadOnlySpan<byte>(_vga.Vram + address, count).ToArray();

    private void Graphics(byte index, byte value) => _vga.WriteIndexed(0x3CE, index, value);
}
