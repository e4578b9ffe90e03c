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

    /// <summary>Of a logged page: not stored to since <see cref="PhysicalMemory.TakeStores"/>; the first store clears it.</summary>
    Watched = 8,

    /// <summary>Someone asks for stores to the page (<see cref="PhysicalMemory.TakeStores"/>).</summary>
    Logged = 16,
}

/// <summary>
/// Sets the bit of each page of [<paramref name="address"/>, + a page for each bit) that a processor has stored to past the map since the last
/// call; false: it cannot tell, any page may be among them.
/// </summary>
public delegate bool StoreLog(ulong address, Span<ulong> stored);

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

    /// <summary>Raised when pages come to hold decoded code or to be watched (first and last page number): processors may no longer store to them unseen.</summary>
    public event Action<ulong, ulong>? StoresWanted;

    /// <summary>Set by a backend whose processors store to memory without the map noticing: what they have stored to.</summary>
    public StoreLog? ProcessorStores { get; set; }

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

    /// <summary>
    /// Sets the bit of each logged page of [<paramref name="address"/>, + a page for each bit) that was stored to since the last call or, the
    /// first time, ever, by processors and bus masters. A store during the call shows in the next one at the latest.
    /// </summary>
    public void TakeStores(ulong address, Span<ulong> stored)
    {
        ulong first = address >> PageShift;
        int count = (int)Math.Min((ulong)stored.Length * 64, _pages - Math.Min(first, _pages));
        var kinds = new Span<byte>(Kinds + first, count);
        const byte unchanged = (byte)(PageKind.Readable | PageKind.Writable | PageKind.Logged | PageKind.Watched);
        int low = count, high = -1;
        for (int page = 0, run; (run = kinds[page..].IndexOfAnyExcept(unchanged)) >= 0; page++)
        {
            page += run;
            ref var kind = ref Kinds[first + (ulong)page];
            if ((kind & (PageKind.Logged | PageKind.Watched)) == PageKind.Logged)
            {
                kind |= PageKind.Watched;
                stored[page >> 6] |= 1ul << (page & 63);
                (low, high) = (Math.Min(low, page), page);
            }
        }
        if (high >= 0)
            StoresWanted?.Invoke(first + (ulong)low, first + (ulong)high);
        if (ProcessorStores?.Invoke(address, stored) == false)
            stored.Fill(ulong.MaxValue);
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
        StoresWanted?.Invoke(page, page);
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
