using Farm.Machine.Devices.Vga;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Vga;

/// <summary>The path from the CPU to the planes: write and read modes as in the IBM VGA Technical Reference.</summary>
public sealed class PlanarMemoryTests : IDisposable
{
    private readonly VgaDevice _vga = new(new VirtualClock());

    public PlanarMemoryTests() => VgaMode.Vga12.Program(_vga);

    public void Dispose() => _vga.Dispose();

    [Fact]
    public void Map_Mask_chooses_the_planes_written()
    {
        MapMask(0x0A);
        _vga.WriteByte(0xA1234, 0x5A);

        Assert.Equal([0x00, 0x5A, 0x00, 0x5A], Planes(0x1234));
    }

    [Fact]
    public void Set_Reset_replaces_the_data_of_enabled_planes()
    {
        Graphics(0, 0x05);
        Graphics(1, 0x03);
        _vga.WriteByte(0xA0000, 0x3C);

        Assert.Equal([0xFF, 0x00, 0x3C, 0x3C], Planes(0));
    }

    [Fact]
    public void Bit_Mask_takes_masked_bits_from_the_latches()
    {
        _vga.WriteByte(0xA0000, 0xF0);
        _vga.ReadByte(0xA0000);
        Graphics(8, 0x0F);
        _vga.WriteByte(0xA0001, 0xAA);

        Assert.Equal([0xFA, 0xFA, 0xFA, 0xFA], Planes(1));
    }

    [Theory]
    [InlineData(0x00, 0x0F)]
    [InlineData(0x08, 0x0F & 0x3C)]
    [InlineData(0x10, 0x0F | 0x3C)]
    [InlineData(0x18, 0x0F ^ 0x3C)]
    [InlineData(0x04, 0xF0)]
    [InlineData(0x1C, 0xF0 ^ 0x3C)]
    public void Data_Rotate_rotates_and_combines_with_the_latches(byte control, byte expected)
    {
        _vga.WriteByte(0xA0000, 0x3C);
        _vga.ReadByte(0xA0000);
        Graphics(3, control);
        _vga.WriteByte(0xA0001, 0x0F);

        Assert.Equal([expected, expected, expected, expected], Planes(1));
    }

    [Fact]
    public void Write_mode_1_copies_the_latches()
    {
        for (int plane = 0; plane < 4; plane++)
        {
            MapMask((byte)(1 << plane));
            _vga.WriteByte(0xA0000, 0x10 + plane);
        }
        MapMask(0x0F);
        _vga.ReadByte(0xA0000);
        Graphics(5, 1);
        _vga.WriteByte(0xA0040, 0xFF);

        Assert.Equal([0x10, 0x11, 0x12, 0x13], Planes(0x40));
    }

    [Fact]
    public void Write_mode_2_expands_the_low_four_bits()
    {
        Graphics(5, 2);
        Graphics(8, 0x81);
        _vga.ReadByte(0xA0000);
        _vga.WriteByte(0xA0000, 0xF6);

        Assert.Equal([0x00, 0x81, 0x81, 0x00], Planes(0));
    }

    [Fact]
    public void Write_mode_3_uses_the_rotated_data_as_mask_of_Set_Reset()
    {
        _vga.WriteByte(0xA0000, 0x00);
        Graphics(0, 0x09);
        Graphics(3, 1);
        Graphics(5, 3);
        Graphics(8, 0x7E);
        _vga.ReadByte(0xA0000);
        _vga.WriteByte(0xA0000, 0x81); // rotated C0h, with the mask 40h

        Assert.Equal([0x40, 0x00, 0x00, 0x40], Planes(0));
    }

    [Fact]
    public void Read_mode_1_compares_colours_in_the_planes_that_matter()
    {
        MapMask(0x05);
        _vga.WriteByte(0xA0000, 0x0F);
        MapMask(0x0F);
        Graphics(2, 0x05);
        Graphics(5, 8);
        byte all = _vga.ReadByte(0xA0000);
        Graphics(2, 0x07);
        byte none = _vga.ReadByte(0xA0000);
        Graphics(7, 0x0D);
        byte dontCare = _vga.ReadByte(0xA0000);
        Graphics(7, 0x00);

        Assert.Equal(0x0F, all);
        Assert.Equal(0x00, none);
        Assert.Equal(0x0F, dontCare);
        Assert.Equal(0xFF, _vga.ReadByte(0xA0000));
    }

    [Fact]
    public void Odd_even_addressing_puts_odd_bytes_in_odd_planes_at_the_even_address()
    {
        VgaMode.Text80x25.Program(_vga);
        _vga.WriteMmio(0xB8002, 0x0741, 2);
        VgaMode.Vga12.Program(_vga);

        Assert.Equal([0x41, 0x07, 0x00, 0x00], Planes(2));
    }

    [Fact]
    public void Chain_4_puts_four_bytes_in_four_planes()
    {
        VgaMode.Vga13.Program(_vga);
        _vga.WriteMmio(0xA0008, 0x44332211, 4);
        VgaMode.Vga12.Program(_vga);

        Assert.Equal([0x11, 0x22, 0x33, 0x44], Planes(8));
    }

    [Fact]
    public void The_window_can_be_switched_off_or_moved()
    {
        _vga.WriteByte(0xA0000, 0x12);
        Graphics(6, 0x09);
        byte outside = _vga.ReadByte(0xA0000);
        byte inside = _vga.ReadByte(0xB0000);
        _vga.WritePort(0x3C2, 0xE1, 1);
        byte disabled = _vga.ReadByte(0xB0000);

        Assert.Equal((0xFF, 0x12, 0xFF), (outside, inside, disabled));
    }

    [Fact]
    public void The_latches_can_be_read_through_the_CRTC()
    {
        MapMask(0x04);
        _vga.WriteByte(0xA0000, 0x77);
        _vga.ReadByte(0xA0000);
        Graphics(4, 2);

        Assert.Equal(0x77, _vga.ReadIndexed(0x3D4, 0x22));
    }

    private byte[] Planes(int address)
    {
        Graphics(5, 0);
        var planes = new byte[4];
        for (byte plane = 0; plane < 4; plane++)
        {
            Graphics(4, plane);
            planes[plane] = _vga.ReadByte(0xA0000 + (ulong)address);
        }
        return planes;
    }

    private void MapMask(byte mask) => _vga.WriteIndexed(0x3C4, 2, mask);

    private void Graphics(byte index, byte value) => _vga.WriteIndexed(0x3CE, index, value);
}
