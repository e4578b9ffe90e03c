using System.Numerics;
using Farm.Assist.Cpu;

namespace Farm.Machine.Devices.Vga;

/// <summary>
/// Tells whether a guest has changed what it shows of the linear framebuffer, to which it stores as to RAM. Only pages that were stored to
/// since the last look are read, so a look at a picture that stands still costs next to nothing. Who looks and how often shows in nothing
/// but <see cref="Changes"/>: looks may come at moments that do not repeat.
/// </summary>
internal sealed unsafe class LinearStores
{
    private readonly byte* _video;
    private readonly int _size;

    /// <summary>Pages stored to since their hash was taken; at first all.</summary>
    private readonly ulong[] _stored;
    private readonly ulong[] _hashes;

    /// <param name="video">Video memory.</param>
    /// <param name="size">Its size, a power of two of at least 256 KiB.</param>
    public LinearStores(byte* video, int size)
    {
        _video = video;
        _size = size;
        _hashes = new ulong[size >> PhysicalMemory.PageShift];
        _stored = new ulong[_hashes.Length / 64];
        Array.Fill(_stored, ulong.MaxValue);
    }

    /// <summary>Sets the bits of the pages stored to since the last call; null: nobody knows, every look reads what is shown.</summary>
    public Action<Span<ulong>>? Take { get; set; }

    /// <summary>Looks at which something had changed.</summary>
    public ulong Changes { get; private set; }

    /// <summary>All may have changed: the framebuffer was mapped somewhere else.</summary>
    public void Forget() => Array.Fill(_stored, ulong.MaxValue);

    /// <summary>Looks at what a mode shows.</summary>
    public void Look(LinearMode mode)
    {
        // Before memory is read: a store after this shows at the next look.
        if (Take is null)
            Forget();
        else
            Take(_stored);
        long start = mode.Start & (uint)(_size - 1);
        long end = start + Math.Min((long)(mode.Height - 1) * mode.Stride + (long)mode.Width * ((mode.BitsPerPixel + 7) / 8), _size);
        int first = (int)(start >> PhysicalMemory.PageShift), last = (int)((end - 1) >> PhysicalMemory.PageShift);
        int pages = Math.Min(last - first + 1, _hashes.Length);
        bool changed = false;
        for (int i = 0; i < pages;)
        {
            int page = (first + i) & (_hashes.Length - 1);
            ulong rest = _stored[page >> 6] >> (page & 63);
            if (rest == 0)
            {
                i += 64 - (page & 63);
                continue;
            }
            int skip = BitOperations.TrailingZeroCount(rest);
            i += skip;
            if (skip == 0)
            {
                _stored[page >> 6] &= ~(1ul << (page & 63));
                changed |= Renew(page);
                i++;
            }
        }
        if (changed)
            Changes++;
    }

    private bool Renew(int page)
    {
        ulong hash = StableHash.Of(new ReadOnlySpan<byte>(_video + ((long)page << PhysicalMemory.PageShift), PhysicalMemory.PageSize));
        if (hash == _hashes[page])
            return false;
        _hashes[page] = hash;
        return true;
    }
}
