using System.Buffers.Binary;
using Farm.Machine.Bus;

namespace Farm.Machine.Boot;

/// <summary>
/// The BIOS keyboard buffer in the BIOS data area: head at 40:1A, tail at 40:1C, bounds at 40:80 and 40:82. While it holds a key that
/// the guest has not fetched, the next one waits: a program that is still loading loses nothing. A guest that leaves keys
/// lying gets the next one after <see cref="Patience"/>, as long as there is room.
/// </summary>
public sealed class BiosKeyboardBuffer(IGuestMemory memory)
{
    /// <summary>Guest time in nanoseconds.</summary>
    public const long Patience = 2_000_000_000;

    private const ulong DataArea = 0x400;
    private const int HeadOffset = 0x1A;
    private const int TailOffset = 0x1C;
    private const int StartOffset = 0x80;
    private const int EndOffset = 0x82;

    private (int Head, int Tail) _last = (-1, -1);
    private long _since;

    /// <summary>True while the next key should wait. Ask only while the guest is in real mode or VM86 (else the area is not the BIOS's).</summary>
    public bool Holds(long now)
    {
        Span<byte> area = stackalloc byte[EndOffset + 2];
        if (!memory.Read(DataArea, area))
            return false;
        int head = BinaryPrimitives.ReadUInt16LittleEndian(area[HeadOffset..]);
        int tail = BinaryPrimitives.ReadUInt16LittleEndian(area[TailOffset..]);
        int start = BinaryPrimitives.ReadUInt16LittleEndian(area[StartOffset..]);
        int end = BinaryPrimitives.ReadUInt16LittleEndian(area[EndOffset..]);
        if (start == 0 && end == 0)
            (start, end) = (0x1E, 0x3E); // a BIOS older than these fields
        bool plausible = start < end && head >= start && head < end && tail >= start && tail < end && ((head | tail) & 1) == 0;
        if (!plausible || head == tail)
        {
            _last = (-1, -1);
            return false;
        }
        if (_last != (head, tail))
        {
            _last = (head, tail);
            _since = now;
        }
        int next = tail + 2 >= end ? start : tail + 2;
        bool full = next == head;
        return full || now - _since < Patience;
    }
}
