using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Farm.Assist.Cpu;

/// <summary>A run of decoded instructions that lie in one page (the last may reach into the next); its ops follow the header.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct Block
{
    /// <summary>Physical address of the first byte, and the code size (16, 32, 64) in bits 48 up.</summary>
    public ulong Key;
    public Block* NextInBucket;

    /// <summary>Physical page of the tail of an instruction that crosses into the next page; <see cref="NoPage"/>: none does.</summary>
    public ulong TailPage;

    /// <summary>0: the block is no longer valid.</summary>
    public ushort Count;
    public ushort Bytes;

    public const ulong NoPage = ulong.MaxValue;
    public const ulong AddressMask = (1ul << 48) - 1;

    public static Op* Ops(Block* block) => (Op*)(block + 1);
}

/// <summary>
/// Decoded blocks by physical address and code size, in one bounded arena of native memory; when that is full everything goes.
/// Knows byte by byte which memory was decoded, so that data beside code does not invalidate it.
/// </summary>
internal sealed unsafe class DecodeCache : IDisposable
{
    public const int MaxOps = 64;
    private const int Buckets = 1 << 14;
    private const nuint ArenaSize = 32 << 20;

    private readonly PhysicalMemory _memory;
    private readonly Dictionary<ulong, CodePage> _pages = [];
    private Block** _buckets = (Block**)NativeMemory.AllocZeroed(Buckets, (nuint)sizeof(Block*));
    private byte* _arena = (byte*)NativeMemory.Alloc(ArenaSize);
    private nuint _used;

    public DecodeCache(PhysicalMemory memory)
    {
        _memory = memory;
        memory.Attach(this);
    }

    /// <summary>Blocks decoded so far.</summary>
    public ulong Decoded { get; private set; }

    /// <summary>Blocks dropped because their bytes changed.</summary>
    public ulong Invalidated { get; private set; }

    /// <summary>Room for a header and <see cref="MaxOps"/> ops; null when the arena is full: <see cref="Clear"/> first.</summary>
    public Block* Reserve()
    {
        nuint needed = (nuint)sizeof(Block) + (MaxOps * (nuint)sizeof(Op));
        return _used + needed <= ArenaSize ? (Block*)(_arena + _used) : null;
    }

    public Block* Find(ulong key)
    {
        Block* block = _buckets[Hash(key)];
        while (block != null && block->Key != key)
            block = block->NextInBucket;
        return block;
    }

    /// <summary>Takes a block filled in where <see cref="Reserve"/> pointed.</summary>
    public void Add(Block* block)
    {
        _used += (nuint)sizeof(Block) + (block->Count * (nuint)sizeof(Op));
        Block** bucket = _buckets + Hash(block->Key);
        block->NextInBucket = *bucket;
        *bucket = block;
        Decoded++;
        ulong address = block->Key & Block.AddressMask;
        PageAt(address >> PhysicalMemory.PageShift).Add(block);
        if (block->TailPage != Block.NoPage)
            PageAt(block->TailPage >> PhysicalMemory.PageShift).Add(block);
    }

    /// <summary>Drops the blocks that overlap [<paramref name="address"/>, +<paramref name="length"/>), a range within one page. True when there was one.</summary>
    public bool Invalidate(ulong address, int length)
    {
        ulong number = address >> PhysicalMemory.PageShift;
        if (!_pages.TryGetValue(number, out CodePage? page))
            return false;
        int offset = (int)address & (PhysicalMemory.PageSize - 1);
        if (!page.Overlaps(offset, length))
            return false;
        for (int i = page.Blocks.Count - 1; i >= 0; i--)
        {
            var block = (Block*)page.Blocks[i];
            (int first, int end) = page.Span(block);
            if (block->Count == 0 || (first < offset + length && offset < end))
            {
                Unlink(block);
                page.Blocks.RemoveAt(i);
            }
        }
        page.Rebuild();
        if (page.Blocks.Count == 0)
        {
            _pages.Remove(number);
            _memory.UnmarkCode(number);
        }
        return true;
    }

    public void Remove(Block* block) => Invalidate(block->Key & Block.AddressMask, 1);

    /// <summary>After a change of the map: drops what came from pages that are now others, marks the rest again.</summary>
    public void Remapped()
    {
        foreach ((ulong number, CodePage page) in _pages)
        {
            if (_memory.HostAt(number << PhysicalMemory.PageShift) == page.Host)
            {
                _memory.MarkCode(number);
                continue;
            }
            foreach (nint block in page.Blocks)
                Unlink((Block*)block);
            _pages.Remove(number);
        }
    }

    public void Clear()
    {
        ulong[] numbers = [.. _pages.Keys];
        _pages.Clear();
        foreach (ulong number in numbers)
            _memory.UnmarkCode(number);
        NativeMemory.Clear(_buckets, Buckets * (nuint)sizeof(Block*));
        _used = 0;
    }

    /// <summary>True when a block has bytes in the page.</summary>
    public bool Holds(ulong page) => _pages.ContainsKey(page);

    public void Dispose()
    {
        _memory.Detach(this);
        NativeMemory.Free(_buckets);
        NativeMemory.Free(_arena);
        _buckets = null;
        _arena = null;
    }

    private CodePage PageAt(ulong number)
    {
        if (!_pages.TryGetValue(number, out CodePage? page))
        {
            page = new CodePage(number, _memory.HostAt(number << PhysicalMemory.PageShift));
            _pages.Add(number, page);
        }
        _memory.MarkCode(number);
        return page;
    }

    private void Unlink(Block* block)
    {
        if (block->Count == 0)
            return;
        block->Count = 0;
        Invalidated++;
        Block** link = _buckets + Hash(block->Key);
        while (*link != block)
            link = &(*link)->NextInBucket;
        *link = block->NextInBucket;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Hash(ulong key) => (int)(((key >> 48) + key + (key >> 13)) & (Buckets - 1));

    private sealed class CodePage(ulong number, byte* host)
    {
        private readonly ulong[] _decoded = new ulong[PhysicalMemory.PageSize / 64];

        public byte* Host { get; } = host;

        public List<nint> Blocks { get; } = [];

        public void Add(Block* block)
        {
            Blocks.Add((nint)block);
            Mark(block);
        }

        public bool Overlaps(int offset, int length)
        {
            for (int i = offset; i < offset + length; i++)
            {
                if ((_decoded[i >> 6] >> (i & 63) & 1) != 0)
                    return true;
            }
            return false;
        }

        public void Rebuild()
        {
            Array.Clear(_decoded);
            foreach (nint block in Blocks)
                Mark((Block*)block);
        }

        /// <summary>The block's bytes in this page: its head, or the tail that crossed into it.</summary>
        public (int First, int End) Span(Block* block)
        {
            ulong address = block->Key & Block.AddressMask;
            int start = (int)address & (PhysicalMemory.PageSize - 1);
            int end = start + block->Bytes;
            return address >> PhysicalMemory.PageShift == number
                ? (start, Math.Min(end, PhysicalMemory.PageSize))
                : (0, end - PhysicalMemory.PageSize);
        }

        private void Mark(Block* block)
        {
            (int first, int end) = Span(block);
            for (int i = first; i < end; i++)
                _decoded[i >> 6] |= 1ul << (i & 63);
        }
    }
}
