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

    /// <summary>A store must be noted for the live screen (dirty log).</summary>
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

    /// <summary>Raised before a store by anyone but the processor itself changes a page that holds decoded code (page number).</summary>
    public event Action<ulong>? CodeWritten;

    public bool A20
    {
        get => AddressMask == ulong.MaxValue;
        set
        {
            if (value == A20)
                return;
            AddressMask = value ? ulong.MaxValue : ~0x100000ul;
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
        Changed?.Invoke();
    }

    /// <summary>Kind of the page at a physical address (after A20); MMIO beyond the map.</summary>
    public PageKind KindAt(ulong address)
    {
        ulong page = (address & AddressMask) >> PageShift;
        return page < _pages ? Kinds[page] : PageKind.Mmio;
    }

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
                if ((Kinds[page] & PageKind.Code) != 0)
                    CodeWritten?.Invoke(page);
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
