using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Farm.Assist.Cpu;

/// <summary>What a 4 KiB page of guest-physical space is.</summary>
[Flags]
public enum PageKind : byte
{
    /// <summary>Nothing behind it but the door: MMIO or a hole.</summary>
    Mmio = 0,
    Readable = 1,
    Writable = 2,

    /// <summary>Decoded code came from this page: a store must invalidate it.</summary>
    Code = 4,

    /// <summary>Not stored to since <see cref="PhysicalMemory.Watch"/>; the first store clears it (dirty log of the live screen).</summary>
    Watched = 8,
}

/// <summary>
/// The guest-physical map at page granularity: where in host memory each page lies and what may be done with it. The machine
/// owns it (RAM, ROM, shadow RAM by PAM, VGA windows); processors and bus masters read it.
/// </summary>
public sealed unsafe class PhysicalMemory : IDisposable
{
    public const int PageShift = 12;
    public const int PageSize = 1 << PageShift;

    private readonly nuint _pages;
    private readonly List<DecodeCache> _caches = [];

    /// <param name="addressBits">Width of the physical address space, 32 to 40.</param>
    public PhysicalMemory(int addressBits = 36)
    {
        AddressBits = addressBits;
        _pages = (nuint)1 << (addressBits - PageShift);
        Host = (byte**)NativeMemory.AllocZeroed(_pages, (nuint)sizeof(byte*));
        Kinds = (PageKind*)NativeMemory.AllocZeroed(_pages, 1);
    }

    public int AddressBits { get; }

    /// <summary>Host address of each page, null for MMIO.</summary>
    public byte** Host { get; private set; }

    public PageKind* Kinds { get; private set; }

    /// <summary>A20 gate: when off, bit 20 of every physical address is forced to 0.</summary>
    public ulong AddressMask { get; private set; } = ulong.MaxValue;

    /// <summary>Raised after any change of the map, so that processors drop cached translations.</summary>
    public event Action? Changed;

    /// <summary>Raised with each range (address, length) that comes to be something else, before <see cref="Changed"/>.</summary>
    public event Action<ulong, ulong>? Remapped;

    /// <summary>Raised before bytes of a page that holds decoded code change, whoever stores (address, length; within one page).</summary>
    public event Action<ulong, int>? CodeWritten;

    /// <summary>Raised when a page comes to hold decoded code (page number): processors may no longer store to it unseen.</summary>
    public event Action<ulong>? CodeMarked;

    public bool A20
    {
        get => AddressMask == ulong.MaxValue;
        set
        {
            if (value == A20)
                return;
            AddressMask = value ? ulong.MaxValue : ~0x100000ul;
            Remapped?.Invoke(0, (ulong)_pages << PageShift);
            Changed?.Invoke();
        }
    }

    /// <summary>Maps [<paramref name="address"/>, +<paramref name="length"/>) to host memory; both page-aligned. Null host unmaps.</summary>
    public void Map(ulong address, ulong length, byte* host, PageKind kind)
    {
        if (((address | length) & (PageSize - 1)) != 0)
            throw new ArgumentException($"Range {address:X}h+{length:X}h is not page-aligned.", nameof(address));
        for (ulong offset = 0; offset < length; offset += PageSize)
        {
            nuint page = (nuint)((address + offset) >> PageShift);
            if (page >= _pages)
                throw new ArgumentOutOfRangeException(nameof(address), $"{address + offset:X}h lies beyond {AddressBits} address bits.");
            Host[page] = host == null ? null : host + offset;
            Kinds[page] = host == null ? PageKind.Mmio : kind;
        }
        Remapped?.Invoke(address, length);
        Changed?.Invoke();
    }

    /// <summary>Kind of the page at a physical address (after A20); MMIO beyond the map.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public PageKind KindAt(ulong address)
    {
        ulong page = (address & AddressMask) >> PageShift;
        return page < _pages ? Kinds[page] : PageKind.Mmio;
    }

    /// <summary>Host address of a byte of RAM or ROM (after A20); null where only the door answers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* HostAt(ulong address)
    {
        address &= AddressMask;
        ulong page = address >> PageShift;
        byte* host = page < _pages ? Host[page] : null;
        return host == null ? null : host + (address & (PageSize - 1));
    }

    /// <summary>Starts watching [<paramref name="address"/>, +<paramref name="length"/>) for stores: its pages lose <see cref="PageKind.Watched"/> with the first one.</summary>
    public void Watch(ulong address, ulong length)
    {
        for (ulong page = address >> PageShift; page < _pages && page << PageShift < address + length; page++)
        {
            if ((Kinds[page] & PageKind.Writable) != 0)
                Kinds[page] |= PageKind.Watched;
        }
        Changed?.Invoke();
    }

    /// <summary>
    /// To be called before bytes of RAM or ROM change behind the map's back: drops decoded code, ends the watch. Within one page.
    /// </summary>
    public void BeforeStore(ulong address, int length)
    {
        ulong page = address >> PageShift;
        if (page >= _pages)
            return;
        if ((Kinds[page] & PageKind.Code) != 0)
            CodeWritten?.Invoke(address, length);
        Kinds[page] &= ~PageKind.Watched;
    }

    /// <summary>Notes that decoded code came from the page.</summary>
    internal void MarkCode(ulong page)
    {
        if (page >= _pages || Host[page] == null || (Kinds[page] & PageKind.Code) != 0)
            return;
        Kinds[page] |= PageKind.Code;
        CodeMarked?.Invoke(page);
    }

    /// <summary>Takes the mark back when no processor holds code of the page any more.</summary>
    internal void UnmarkCode(ulong page)
    {
        if (page < _pages && !_caches.Exists(cache => cache.Holds(page)))
            Kinds[page] &= ~PageKind.Code;
    }

    internal void Attach(DecodeCache cache) => _caches.Add(cache);

    internal void Detach(DecodeCache cache) => _caches.Remove(cache);

    /// <summary>Bus-master read; bytes outside RAM and ROM are FFh. A20 does not apply to bus masters.</summary>
    public bool Read(ulong address, Span<byte> destination)
    {
        bool all = true;
        while (!destination.IsEmpty)
        {
            int run = (int)Math.Min((ulong)destination.Length, PageSize - (address & (PageSize - 1)));
            ulong page = address >> PageShift;
            if (page < _pages && (Kinds[page] & PageKind.Readable) != 0)
            {
                new ReadOnlySpan<byte>(Host[page] + (address & (PageSize - 1)), run).CopyTo(destination);
            }
            else
            {
                destination[..run].Fill(0xFF);
                all = false;
            }
            destination = destination[run..];
            address += (ulong)run;
        }
        return all;
    }

    /// <summary>Bus-master write; bytes outside writable RAM are dropped.</summary>
    public bool Write(ulong address, ReadOnlySpan<byte> source)
    {
        bool all = true;
        while (!source.IsEmpty)
        {
            int run = (int)Math.Min((ulong)source.Length, PageSize - (address & (PageSize - 1)));
            ulong page = address >> PageShift;
            if (page < _pages && (Kinds[page] & PageKind.Writable) != 0)
            {
                if ((Kinds[page] & (PageKind.Code | PageKind.Watched)) != 0)
                    BeforeStore(address, run);
                source[..run].CopyTo(new Span<byte>(Host[page] + (address & (PageSize - 1)), run));
            }
            else
            {
                all = false;
            }
            source = source[run..];
            address += (ulong)run;
        }
        return all;
    }

    public void Dispose()
    {
        NativeMemory.Free(Host);
        NativeMemory.Free(Kinds);
        Host = null;
        Kinds = null;
    }
}
