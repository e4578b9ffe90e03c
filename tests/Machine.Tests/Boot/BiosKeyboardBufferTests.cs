using System.Buffers.Binary;
using Farm.Machine.Boot;
using Farm.Machine.Bus;

namespace Farm.Machine.Tests.Boot;

public sealed class BiosKeyboardBufferTests : IGuestMemory
{
    private readonly byte[] _ram = new byte[0x1000];
    private readonly BiosKeyboardBuffer _buffer;

    public BiosKeyboardBufferTests()
    {
        _buffer = new BiosKeyboardBuffer(this);
        Set(0x80, 0x1E);
        Set(0x82, 0x3E);
        SetHeadTail(0x1E, 0x1E);
    }

    public bool Read(ulong address, Span<byte> destination)
    {
        _ram.AsSpan((int)address, destination.Length).CopyTo(destination);
        return true;
    }

    public bool Write(ulong address, ReadOnlySpan<byte> source) => throw new InvalidOperationException();

    [Fact]
    public void An_empty_buffer_holds_nothing() => Assert.False(_buffer.Holds(0));

    [Fact]
    public void A_key_that_was_not_fetched_holds_the_next_until_patience_ends()
    {
        SetHeadTail(0x1E, 0x20);

        Assert.True(_buffer.Holds(1000));
        Assert.True(_buffer.Holds(1000 + BiosKeyboardBuffer.Patience - 1));
        Assert.False(_buffer.Holds(1000 + BiosKeyboardBuffer.Patience));
    }

    [Fact]
    public void Each_movement_renews_patience()
    {
        SetHeadTail(0x1E, 0x20);
        _buffer.Holds(0);
        SetHeadTail(0x1E, 0x22);

        Assert.True(_buffer.Holds(BiosKeyboardBuffer.Patience));
        Assert.True(_buffer.Holds(BiosKeyboardBuffer.Patience * 2 - 1));
    }

    [Fact]
    public void A_full_buffer_holds_for_ever()
    {
        SetHeadTail(0x20, 0x1E);

        Assert.True(_buffer.Holds(0));
        Assert.True(_buffer.Holds(long.MaxValue));
    }

    [Fact]
    public void A_BIOS_without_the_bounds_fields_has_the_classic_buffer()
    {
        Set(0x80, 0);
        Set(0x82, 0);
        SetHeadTail(0x3C, 0x1E);

        Assert.True(_buffer.Holds(0));
    }

    [Theory]
    [InlineData(0x1D, 0x20)]
    [InlineData(0x1E, 0x1F)]
    [InlineData(0x1E, 0xFFFF)]
    [InlineData(0, 0x20)]
    public void Values_that_are_no_buffer_hold_nothing(int head, int tail)
    {
        SetHeadTail(head, tail);

        Assert.False(_buffer.Holds(0));
    }

    private void SetHeadTail(int head, int tail)
    {
        Set(0x1A, head);
        Set(0x1C, tail);
    }

    private void Set(int offset, int value) => BinaryPrimitives.WriteUInt16LittleEndian(_ram.AsSpan(0x400 + offset), (ushort)value);
}
