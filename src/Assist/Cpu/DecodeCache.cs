using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Farm.Assist.Cpu;

/// <summary>A run of decoded instructions that lie in one page (the last may reach into the next); its ops follow the header, then its code.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct Block
{
    /// <summary>Physical address of the first byte, and the code size (16, 32, 64) in bits 48 up.</summary>
    public ulong Key;
    public Block* NextInBucket;

    /// <summary>Physical page of the tail of an instruction that crosses into the next page; <see cref="NoPage"/>: none does.</summary>
    public ulong TailPage;

    /// <summary>0: the block may not be executed as it stands, see <see cref="Suspect"/>.</summary>
    public ushort Count;
    public ushort Bytes;

    /// <summary>Its memory was stored to: the count that it gets back when the bytes turn out to be the old ones. 0 without a count: no longer valid.</summary>
    public ushort Suspect;

    /// <summary>Stores to it since it last was found good.</summary>
    public ushort Strikes;

    /// <summary>When its bytes were last known to be those in memory, see <see cref="X86Cpu.ForgetCode"/>.</summary>
    public ulong Epoch;

    public const ulong NoPage = ulong.MaxValue;
    public const ulong AddressMask = (1ul << 48) - 1;

    public static Op* Ops(Block* block) => (Op*)(block + 1);

    /// <summary>The bytes that were decoded.</summary>
    public static byte* Code(Block* block) => (byte*)(Ops(block) + block->Count + block->Suspect);
}

/// <summary>
/// Decoded blocks by physical address and code size, in one bounded arena of native memory; when that is full everything goes.
/// Knows byte by byte which memory was decoded, so that data beside code does not invalidate it. A block that was stored to is
/// compared with its memory before it is decoded anew: programs that patch their own code put the same bytes there again and again.
/// </summary>
internal sealed unsafe class DecodeCache : IDisposable
{
    public const int MaxOps = 64;

    /// <summary>
    /// More than blocks of a kernel and its programs (Linux decodes 200,000 on its way to an installer): each step along a bucket is a cache
    /// miss.
    /// </summary>
    private const int Buckets = 1 << 18;
    private const nuint ArenaSize = 32 << 20;
    private const int MaxInstructionLength = 15;

    /// <summary>A block stored to so often without being executed is data by now.</summary>
    private const int MostStrikes = 32;

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

    /// <summary>Times that a block was stored to.</summary>
    public ulong Invalidated { get; private set; }

    /// <summary>Room for a header and <see cref="MaxOps"/> ops; null when the arena is full: <see cref="Clear"/> first.</summary>
    public Block* Reserve()
    {
        nuint needed = (nuint)sizeof(Block) + (MaxOps * ((nuint)sizeof(Op) + MaxInstructionLength)) + (nuint)sizeof(ulong);
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
        block->Suspect = block->Strikes = 0;
        ulong address = block->Key & Block.AddressMask;
        if (block->TailPage == Block.NoPage)
            Unsafe.CopyBlockUnaligned(Block.Code(block), _memory.HostAt(address), block->Bytes);
        nuint size = (nuint)sizeof(Block) + (block->Count * (nuint)sizeof(Op)) + block->Bytes;
        _used += (size + sizeof(ulong) - 1) & ~((nuint)sizeof(ulong) - 1);
        Block** bucket = _buckets + Hash(block->Key);
        block->NextInBucket = *bucket;
        *bucket = block;
        Decoded++;
        PageAt(address >> PhysicalMemory.PageShift).Add(block);
        if (block->TailPage != Block.NoPage)
            PageAt(block->TailPage >> PhysicalMemory.PageShift).Add(block);
    }

    /// <summary>
    /// Bytes in [<paramref name="address"/>, +<paramref name="length"/>), a range within one page, change: blocks there may not be
    /// executed until they are found good. True when there was one.
    /// </summary>
    public bool Invalidate(ulong address, int length)
    {
        ulong number = address >> PhysicalMemory.PageShift;
        if (!_pages.TryGetValue(number, out CodePage? page))
            return false;
        int offset = (int)address & (PhysicalMemory.PageSize - 1);
        if (!page.Overlaps(offset, length))
            return false;
        bool any = false;
        for (int i = page.Blocks.Count - 1; i >= 0; i--)
        {
            var block = (Block*)page.Blocks[i];
            (int first, int end) = page.Span(block);
            if (first >= offset + length || offset >= end)
                continue;
            any |= block->Count != 0;
            if (Distrust(block))
                continue;
            Unlink(block);
            page.Blocks.RemoveAt(i);
        }
        // Its marks are of blocks that went away.
        if (!any)
            page.Rebuild();
        if (page.Blocks.Count == 0)
        {
            _pages.Remove(number);
            _memory.UnmarkCode(number);
        }
        return any;
    }

    /// <summary>True: the memory of a block that was stored to is as it was decoded, and the block may be executed again. False: the block is gone.</summary>
    public bool Restore(Block* block)
    {
        if (Stands(block))
        {
            block->Count = block->Suspect;
            block->Suspect = block->Strikes = 0;
            return true;
        }
        Remove(block);
        return false;
    }

    /// <summary>The block's memory is as it was decoded. What crosses into another page is not kept, so it never is.</summary>
    public bool Stands(Block* block)
    {
        byte* host = _memory.HostAt(block->Key & Block.AddressMask);
        return host != null && block->TailPage == Block.NoPage
            && new ReadOnlySpan<byte>(host, block->Bytes).SequenceEqual(new ReadOnlySpan<byte>(Block.Code(block), block->Bytes));
    }

    /// <summary>Drops a block.</summary>
    public void Remove(Block* block)
    {
        ulong number = (block->Key & Block.AddressMask) >> PhysicalMemory.PageShift;
        Unlink(block);
        Forget(number, block);
        if (block->TailPage != Block.NoPage)
            Forget(block->TailPage >> PhysicalMemory.PageShift, block);
    }

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

    private void Forget(ulong number, Block* block)
    {
        if (!_pages.TryGetValue(number, out CodePage? page) || !page.Blocks.Remove((nint)block) || page.Blocks.Count != 0)
            return;
        _pages.Remove(number);
        _memory.UnmarkCode(number);
    }

    /// <summary>A store to a block: false when the block is to go for good.</summary>
    private bool Distrust(Block* block)
    {
        if (block->TailPage != Block.NoPage || block->Count + block->Suspect == 0 || ++block->Strikes > MostStrikes)
            return false;
        if (block->Count != 0)
        {
            Invalidated++;
            block->Suspect = block->Count;
            block->Count = 0;
        }
        return true;
    }

    private void Unlink(Block* block)
    {
        if (block->Count + block->Suspect == 0)
            return;
        if (block->Count != 0)
            Invalidated++;
        block->Count = block->Suspect = 0;
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
            Blocks.RemoveAll(static block => ((Block*)block)->Count + ((Block*)block)->Suspect == 0);
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
