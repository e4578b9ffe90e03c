using System.Buffers.Binary;
using Farm.Machine.Bus;

namespace Farm.Machine.Devices.Virtio;

/// <summary>
/// A split virtqueue (Virtio 1.2, 2.7). Everything in its rings is the guest's: loops, indices beyond the table and chains of
/// impossible form end in <see cref="Broken"/>, never in more work than the tables have entries.
/// </summary>
public sealed class SplitQueue(IGuestMemory memory, ushort maximumSize)
{
    private const int DescriptorSize = 16;
    private const ushort Next = 1;
    private const ushort Writable = 2;
    private const ushort Indirect = 4;
    private const ushort NoInterrupt = 1;

    /// <summary>Entries of an indirect table, at most.</summary>
    private const int LargestIndirectTable = 1024;

    /// <summary>The legacy layout puts the used ring on a page of its own.</summary>
    private const ulong LegacyAlignment = 4096;

    private ushort _taken;
    private ushort _used;

    public ushort MaximumSize { get; } = maximumSize;

    /// <summary>Entries; a power of two.</summary>
    public ushort Size { get; set; } = maximumSize;

    public bool Enabled { get; set; }

    public ulong Descriptors { get; set; }

    /// <summary>The available ring, which the driver writes.</summary>
    public ulong DriverArea { get; set; }

    /// <summary>The used ring, which the device writes.</summary>
    public ulong DeviceArea { get; set; }

    /// <summary>The guest broke the rules of the queue; only a reset of the device helps.</summary>
    public bool Broken { get; private set; }

    /// <summary>The driver offers at least one chain.</summary>
    public bool HasChain => Enabled && !Broken && Available != 0;

    /// <summary>The driver wants to hear of used chains.</summary>
    public bool WantsInterrupt => (Read16(DriverArea) & NoInterrupt) == 0;

    private ushort Available => (ushort)(Read16(DriverArea + 2) - _taken);

    public void Reset()
    {
        Size = MaximumSize;
        Enabled = false;
        Broken = false;
        Descriptors = DriverArea = DeviceArea = 0;
        _taken = _used = 0;
    }

    /// <summary>The layout of legacy devices: all three parts from one page on (Virtio 1.2, 2.7.2).</summary>
    public void PlaceLegacy(uint page)
    {
        Descriptors = (ulong)page << 12;
        DriverArea = Descriptors + (ulong)Size * DescriptorSize;
        DeviceArea = (DriverArea + 4 + 2ul * Size + LegacyAlignment - 1) & ~(LegacyAlignment - 1);
        _taken = _used = 0;
        Enabled = page != 0;
    }

    /// <summary>Takes the next chain; false when there is none or the queue is <see cref="Broken"/>.</summary>
    public bool TryTake(DescriptorChain chain)
    {
        if (!HasChain)
            return false;
        if (Available > Size)
        {
            Broken = true;
            return false;
        }
        ushort head = Read16(DriverArea + 4 + 2ul * (ushort)(_taken & (Size - 1)));
        chain.Begin(head);
        _taken++;
        Broken = !Walk(chain, Descriptors, Size, head, indirectAllowed: true);
        return !Broken;
    }

    /// <summary>Gives a chain back with the number of bytes written into it.</summary>
    public void Put(ushort head, uint written)
    {
        Span<byte> entry = stackalloc byte[8];
        BinaryPrimitives.WriteUInt32LittleEndian(entry, head);
        BinaryPrimitives.WriteUInt32LittleEndian(entry[4..], written);
        memory.Write(DeviceArea + 4 + 8ul * (ushort)(_used & (Size - 1)), entry);
        _used++;
        Span<byte> index = entry[..2];
        BinaryPrimitives.WriteUInt16LittleEndian(index, _used);
        memory.Write(DeviceArea + 2, index);
    }

    private bool Walk(DescriptorChain chain, ulong table, int entries, int at, bool indirectAllowed)
    {
        Span<byte> descriptor = stackalloc byte[DescriptorSize];
        for (int steps = 0; steps < entries; steps++)
        {
            if (at >= entries || !memory.Read(table + (ulong)at * DescriptorSize, descriptor))
                return false;
            ulong address = BinaryPrimitives.ReadUInt64LittleEndian(descriptor);
            uint length = BinaryPrimitives.ReadUInt32LittleEndian(descriptor[8..]);
            ushort flags = BinaryPrimitives.ReadUInt16LittleEndian(descriptor[12..]);
            if ((flags & Indirect) != 0)
            {
                uint count = length / DescriptorSize;
                return indirectAllowed && (flags & Next) == 0 && length % DescriptorSize == 0 && count is > 0 and <= LargestIndirectTable
                    && Walk(chain, address, (int)count, 0, indirectAllowed: false);
            }
            if (!chain.Add(address, length, (flags & Writable) != 0))
                return false;
            if ((flags & Next) == 0)
                return true;
            at = BinaryPrimitives.ReadUInt16LittleEndian(descriptor[14..]);
        }
        return false;
    }

    private ushort Read16(ulong address)
    {
        Span<byte> value = stackalloc byte[2];
        return memory.Read(address, value) ? BinaryPrimitives.ReadUInt16LittleEndian(value) : (ushort)0;
    }
}
