using Farm.Machine.Devices.Dma;

namespace Farm.Machine.Tests.Devices;

public class I8237Tests
{
    private readonly FakeMemory _memory = new(1 << 20);
    private readonly I8237 _dma;

    public I8237Tests()
    {
        _dma = new I8237(_memory);
        // As the BIOS leaves it: the cascade open.
        _dma.Out(0xD6, 0xC0);
        _dma.Out(0xD4, 0x00);
    }

    [Fact]
    public void Floppy_read_fills_memory_and_reaches_terminal_count()
    {
        Program(2, 0x46, 0x12340, 512);
        var channel = _dma.Channel(2);
        Assert.True(channel.Ready);
        byte[] sector = [.. Enumerable.Range(0, 512).Select(i => (byte)i)];
        Assert.Equal(512, channel.WriteToMemory(sector, out bool end));
        Assert.True(end);
        Assert.Equal(sector, _memory.Bytes[0x12340..0x12540]);
        Assert.False(channel.Ready);
        Assert.Equal(0x04, _dma.In(0x08));
        Assert.Equal(0x00, _dma.In(0x08));
    }

    [Fact]
    public void Transfer_stops_at_terminal_count_and_takes_no_more()
    {
        Program(2, 0x46, 0x1000, 100);
        Assert.Equal(100, _dma.Channel(2).WriteToMemory(new byte[512], out bool end));
        Assert.True(end);
        Assert.Equal(0, _dma.Channel(2).WriteToMemory(new byte[512], out _));
    }

    [Fact]
    public void Address_wraps_inside_64_KiB()
    {
        Program(2, 0x46, 0x1FFF0, 32);
        _dma.Channel(2).WriteToMemory(Enumerable.Repeat((byte)0xAB, 32).ToArray(), out _);
        Assert.Equal(0xAB, _memory.Bytes[0x1FFFF]);
        Assert.Equal(0xAB, _memory.Bytes[0x1000F]);
        Assert.Equal(0, _memory.Bytes[0x20000]);
    }

    [Fact]
    public void Memory_to_device_with_autoinitialize_starts_over()
    {
        for (int i = 0; i < 8; i++)
            _memory.Bytes[0x500 + i] = (byte)(i + 1);
        Program(1, 0x59, 0x500, 8);
        var buffer = new byte[12];
        var channel = _dma.Channel(1);
        Assert.Equal(8, channel.ReadFromMemory(buffer, out bool end));
        Assert.True(end);
        Assert.True(channel.Ready);
        Assert.Equal(4, channel.ReadFromMemory(buffer.AsSpan(8), out end));
        Assert.False(end);
        Assert.Equal([1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4], buffer);
    }

    [Fact]
    public void Decrement_mode_walks_down()
    {
        Program(1, 0x65, 0x510, 4);
        _dma.Channel(1).WriteToMemory([1, 2, 3, 4], out _);
        Assert.Equal([4, 3, 2, 1], _memory.Bytes[0x50D..0x511]);
    }

    [Fact]
    public void Verify_counts_without_touching_memory()
    {
        Program(2, 0x42, 0x2000, 16);
        _dma.Channel(2).WriteToMemory(Enumerable.Repeat((byte)0xEE, 16).ToArray(), out bool end);
        Assert.True(end);
        Assert.Equal(0, _memory.Bytes[0x2000]);
    }

    [Fact]
    public void Word_channel_counts_words_and_reaches_128_KiB()
    {
        _dma.Out(0xD8, 0);
        _dma.Out(0xD6, 0x45);
        _dma.Out(0xC4, 0xFF);
        _dma.Out(0xC4, 0xFF); // word address FFFFh: byte 1FFFEh
        _dma.Out(0x8B, 0x03); // bit 0 of the page does not count
        _dma.Out(0xC6, 0x01);
        _dma.Out(0xC6, 0x00);
        _dma.Out(0xD4, 0x01);
        Assert.Equal(4, _dma.Channel(5).WriteToMemory([1, 2, 3, 4], out bool end));
        Assert.True(end);
        Assert.Equal([1, 2], _memory.Bytes[0x3FFFE..0x40000]);
        Assert.Equal([3, 4], _memory.Bytes[0x20000..0x20002]);
    }

    [Fact]
    public void Channel_is_not_ready_while_masked_disabled_or_cut_off_from_the_cascade()
    {
        Program(2, 0x46, 0, 16);
        _dma.Out(0x0A, 0x06);
        Assert.False(_dma.Channel(2).Ready);
        _dma.Out(0x0A, 0x02);
        _dma.Out(0x08, 0x04);
        Assert.False(_dma.Channel(2).Ready);
        _dma.Out(0x08, 0x00);
        _dma.Out(0xD4, 0x04);
        Assert.False(_dma.Channel(2).Ready);
        _dma.Out(0xDC, 0x00);
        Assert.True(_dma.Channel(2).Ready);
        _dma.Out(0x0D, 0x00);
        Assert.False(_dma.Channel(2).Ready);
    }

    [Fact]
    public void Current_registers_read_back_through_the_flip_flop()
    {
        Program(3, 0x47, 0x0ABCD, 0x101);
        _dma.Channel(3).WriteToMemory(new byte[1], out _);
        _dma.Out(0x0C, 0);
        Assert.Equal(0xABCE, _dma.In(0x06) | _dma.In(0x06) << 8);
        Assert.Equal(0x00FF, _dma.In(0x07) | _dma.In(0x07) << 8);
    }

    [Fact]
    public void Transfer_outside_RAM_is_swallowed()
    {
        Program(2, 0x46, 0xFFFFF0, 16);
        Assert.Equal(16, _dma.Channel(2).WriteToMemory(new byte[16], out bool end));
        Assert.True(end);
    }

    private void Program(int channel, byte mode, int address, int count)
    {
        _dma.Out(0x0A, (byte)(4 | channel));
        _dma.Out(0x0C, 0);
        _dma.Out(0x0B, mode);
        _dma.Out((ushort)(channel * 2), (byte)address);
        _dma.Out((ushort)(channel * 2), (byte)(address >> 8));
        _dma.Out((ushort)(channel switch { 1 => 0x83, 2 => 0x81, _ => 0x82 }), (byte)(address >> 16));
        _dma.Out((ushort)(channel * 2 + 1), (byte)(count - 1));
        _dma.Out((ushort)(channel * 2 + 1), (byte)((count - 1) >> 8));
        _dma.Out(0x0A, (byte)channel);
    }
}
