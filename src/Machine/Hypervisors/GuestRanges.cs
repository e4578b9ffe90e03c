using Farm.Assist.Cpu;

namespace Farm.Machine.Hypervisors;

/// <summary>A run of guest-physical pages that lie together in host memory and may be used alike.</summary>
/// <param name="Logged">Stores to it are asked for: <see cref="PhysicalMemory.ProcessorStores"/>.</param>
internal readonly record struct GuestRange(ulong Start, ulong Length, ulong Host, bool Writable, bool Logged);

/// <summary>
/// Fills in which pages of a logged range processors have stored to since the last call, and begins anew; false: they may have stored to any.
/// </summary>
internal delegate bool RangeLog(GuestRange range, Span<ulong> stored);

/// <summary>
/// The ranges that a hypervisor is to map, following the physical map. They are cut at the borders of the PAM regions and of the second
/// megabyte, so that shadow RAM and A20 change few of them. With A20 off the second megabyte shows the first, which is all that real-mode
/// code can tell; higher odd megabytes do not wrap.
/// </summary>
internal sealed unsafe class GuestRanges
{
    private const ulong ShadowStart = 0xC0000, Megabyte = 0x100000, Pam = 0x4000;

    private readonly PhysicalMemory _memory;
    private readonly Action<GuestRange> _map;
    private readonly Action<GuestRange> _unmap;
    private readonly SortedDictionary<ulong, GuestRange> _mapped = [];
    private readonly List<(ulong Start, ulong End)> _changed = [];
    private readonly RangeLog? _log;

    /// <summary>Logged ranges whose log does not say all: they were not mapped at the last call, or not to the same memory.</summary>
    private readonly HashSet<ulong> _fresh = [];
    private ulong[] _stored = [];

    /// <param name="memory">The physical map that is followed.</param>
    /// <param name="map">Makes a range visible to the guest; nothing lies in its place.</param>
    /// <param name="unmap">Takes away a range exactly as it was mapped.</param>
    /// <param name="log">Null: the hypervisor keeps none.</param>
    public GuestRanges(PhysicalMemory memory, Action<GuestRange> map, Action<GuestRange> unmap, RangeLog? log)
    {
        _memory = memory;
        _map = map;
        _unmap = unmap;
        _log = log;
        memory.ProcessorStores = TakeStores;
        memory.Remapped += (address, length) => NoteChange(address, address + length);
    }

    /// <summary><see cref="Apply()"/> has something to do: for a moment memory will be missing.</summary>
    public bool Changed => _changed.Count != 0;

    /// <summary>To be called before the processor runs.</summary>
    public void Apply()
    {
        if (Changed)
            ApplyChanges();
    }

    private void ApplyChanges()
    {
        foreach (var (start, end) in _changed)
            Apply(start, end);
        _changed.Clear();
    }

    private bool TakeStores(ulong address, Span<ulong> stored)
    {
        // Another range than was asked for lies there where it is not mapped yet, or where something else lies over a part of it.
        if (_log is null || !_mapped.TryGetValue(address, out var range) || range.Length != (ulong)stored.Length * 64 * PhysicalMemory.PageSize)
            return false;
        if (_stored.Length != stored.Length)
            _stored = new ulong[stored.Length];
        if (!_log(range, _stored) || _fresh.Remove(address))
            return false;
        for (int i = 0; i < stored.Length; i++)
            stored[i] |= _stored[i];
        return true;
    }

    private void NoteChange(ulong start, ulong end)
    {
        // All of the space: A20.
        if (start == 0 && end >> PhysicalMemory.PageShift >= 1ul << (_memory.AddressBits - PhysicalMemory.PageShift))
            (start, end) = (Megabyte, 2 * Megabyte);
        Add(CellStart(start), CellEnd(end - 1, end));
        // A change of the first megabyte shows in the second while A20 is off.
        if (!_memory.A20 && start < Megabyte)
            Add(Megabyte, 2 * Megabyte);
    }

    private void Add(ulong start, ulong end)
    {
        for (int i = _changed.Count - 1; i >= 0; i--)
        {
            var other = _changed[i];
            if (other.Start > end || start > other.End)
                continue;
            (start, end) = (Math.Min(start, other.Start), Math.Max(end, other.End));
            _changed.RemoveAt(i);
        }
        _changed.Add((start, end));
    }

    private void Apply(ulong start, ulong end)
    {
        var old = _mapped.Values.Where(range => range.Start < end && start < range.Start + range.Length).ToList();
        foreach (var range in old)
        {
            start = Math.Min(start, range.Start);
            end = Math.Max(end, range.Start + range.Length);
        }
        var wanted = Runs(start, end);
        foreach (var range in old)
        {
            if (wanted.Contains(range))
                continue;
            _unmap(range);
            _mapped.Remove(range.Start);
        }
        foreach (var range in wanted)
        {
            if (!_mapped.TryAdd(range.Start, range))
                continue;
            _map(range);
            if (range.Logged)
                _fresh.Add(range.Start);
        }
    }

    private List<GuestRange> Runs(ulong start, ulong end)
    {
        var runs = new List<GuestRange>();
        ulong at = start;
        while (at < end)
        {
            byte* host = PageAt(at, out var kind);
            if (host == null || kind == PageKind.Mmio)
            {
                at += PhysicalMemory.PageSize;
                continue;
            }
            ulong limit = Math.Min(end, CellEnd(at, ulong.MaxValue));
            ulong next = at + PhysicalMemory.PageSize;
            while (next < limit && PageAt(next, out var other) == host + (next - at) && other == kind)
                next += PhysicalMemory.PageSize;
            runs.Add(new GuestRange(at, next - at, (ulong)host, (kind & PageKind.Writable) != 0, (kind & PageKind.Logged) != 0));
            at = next;
        }
        return runs;
    }

    private byte* PageAt(ulong address, out PageKind kind)
    {
        ulong masked = address is >= Megabyte and < 2 * Megabyte ? address & _memory.AddressMask : address;
        ulong page = masked >> PhysicalMemory.PageShift;
        kind = _memory.Kinds[page] & (PageKind.Readable | PageKind.Writable | PageKind.Logged);
        return _memory.Host[page];
    }

    private static ulong CellStart(ulong address) => address switch
    {
        < ShadowStart => 0,
        < Megabyte => address & ~(Pam - 1),
        < 2 * Megabyte => Megabyte,
        _ => address,
    };

    private static ulong CellEnd(ulong address, ulong beyond) => address switch
    {
        < ShadowStart => ShadowStart,
        < Megabyte => (address & ~(Pam - 1)) + Pam,
        < 2 * Megabyte => 2 * Megabyte,
        _ => beyond,
    };
}
