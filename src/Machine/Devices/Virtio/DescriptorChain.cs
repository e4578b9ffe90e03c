using Farm.Machine.Bus;

namespace Farm.Machine.Devices.Virtio;

/// <summary>
/// The buffers of one request: first those that the device reads, then those that it writes (Virtio 1.2, 2.7.4). Addresses are the
/// guest's and may be anything: what lies outside its RAM reads as FFh and takes nothing.
/// </summary>
public sealed class DescriptorChain(IGuestMemory memory)
{
    private readonly List<(ulong Address, uint Length)> _readable = [];
    private readonly List<(ulong Address, uint Length)> _writable = [];

    /// <summary>Index of the first descriptor: the chain's name in the used ring.</summary>
    public ushort Head { get; private set; }

    public long ReadableBytes { get; private set; }

    public long WritableBytes { get; private set; }

    /// <summary>Copies from the device-readable part; the caller keeps the range inside it.</summary>
    public void Read(long offset, Span<byte> destination)
    {
        foreach (var (address, length, at, count) in Pieces(_readable, offset, destination.Length))
            memory.Read(address + length, destination.Slice(at, count));
    }

    /// <summary>Copies into the device-writable part; the caller keeps the range inside it.</summary>
    public void Write(long offset, ReadOnlySpan<byte> source)
    {
        foreach (var (address, length, at, count) in Pieces(_writable, offset, source.Length))
            memory.Write(address + length, source.Slice(at, count));
    }

    internal void Begin(ushort head)
    {
        Head = head;
        _readable.Clear();
        _writable.Clear();
        ReadableBytes = WritableBytes = 0;
    }

    /// <summary>False when a buffer to read comes after one to write, or the chain exceeds 4 GiB.</summary>
    internal bool Add(ulong address, uint length, bool writable)
    {
        if (writable)
        {
            _writable.Add((address, length));
            WritableBytes += length;
        }
        else if (_writable.Count > 0)
        {
            return false;
        }
        else
        {
            _readable.Add((address, length));
            ReadableBytes += length;
        }
        return ReadableBytes + WritableBytes <= uint.MaxValue;
    }

    private static IEnumerable<(ulong Address, ulong Skip, int At, int Count)> Pieces(List<(ulong Address, uint Length)> buffers, long offset, int count)
    {
        int done = 0;
        foreach (var (address, length) in buffers)
        {
            if (done == count)
                yield break;
            if (offset >= length)
            {
                offset -= length;
                continue;
            }
            int piece = (int)Math.Min(length - offset, count - done);
            yield return (address, (ulong)offset, done, piece);
            done += piece;
            offset = 0;
        }
    }
}
