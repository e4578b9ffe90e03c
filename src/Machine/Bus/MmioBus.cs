namespace Farm.Machine.Bus;

/// <summary>
/// Physical addresses that are not RAM. Ranges are kept sorted and free of overlap; lookup is the last hit, else a binary search.
/// Addresses that nobody owns read as ones.
/// </summary>
public sealed class MmioBus
{
    private readonly List<MmioMapping> _mappings = [];
    private readonly List<string> _conflicts = [];
    private readonly HashSet<ulong> _reportedPages = [];
    private readonly EventLog _events;
    private Segment[] _segments = [];
    private Segment? _last;

    public MmioBus(EventLog events) => _events = events;

    public IReadOnlyList<MmioMapping> Mappings => _mappings;

    /// <summary>Overlaps found at registration, one sentence each.</summary>
    public IReadOnlyList<string> Conflicts => _conflicts;

    public long UnmappedReads { get; private set; }

    public long UnmappedWrites { get; private set; }

    /// <summary>Maps a fixed range; an overlap with an earlier one is recorded and the earlier one keeps the addresses.</summary>
    public MmioMapping Map(string name, IMmioDevice device, ulong start, ulong length)
    {
        foreach (var other in _mappings)
        {
            if (other.Start is { } at && start < at + other.Length && at < start + length)
                _conflicts.Add($"{start:X}h-{start + length - 1:X}h of {name} overlaps {at:X}h-{at + other.Length - 1:X}h of {other.Name}.");
        }
        var mapping = MapMovable(name, device, length);
        mapping.Start = start;
        Rebuild();
        return mapping;
    }

    /// <summary>A range that the guest places (a PCI BAR, the local APIC base); unmapped until <see cref="Move"/>.</summary>
    public MmioMapping MapMovable(string name, IMmioDevice device, ulong length)
    {
        var mapping = new MmioMapping(name, device, length);
        _mappings.Add(mapping);
        return mapping;
    }

    /// <summary>Moves a range to <paramref name="start"/>, or unmaps it with null. Ranges registered earlier win over later ones.</summary>
    public void Move(MmioMapping mapping, ulong? start)
    {
        if (mapping.Start == start)
            return;
        mapping.Start = start is { } at && at > ulong.MaxValue - mapping.Length ? null : start;
        Rebuild();
    }

    public ulong Read(ulong address, int size)
    {
        if (Find(address) is { } segment)
        {
            segment.Mapping.Reads++;
            ulong value = segment.Mapping.Device.ReadMmio(address, size);
            return size >= 8 ? value : value & ((1ul << (size * 8)) - 1);
        }
        UnmappedReads++;
        ReportUnmapped("read from", address);
        return size >= 8 ? ulong.MaxValue : (1ul << (size * 8)) - 1;
    }

    public void Write(ulong address, ulong value, int size)
    {
        if (Find(address) is { } segment)
        {
            segment.Mapping.Writes++;
            segment.Mapping.Device.WriteMmio(address, size >= 8 ? value : value & ((1ul << (size * 8)) - 1), size);
            return;
        }
        UnmappedWrites++;
        ReportUnmapped("write to", address);
    }

    private Segment? Find(ulong address)
    {
        if (_last is { } last && address - last.Start < last.Length)
            return last;
        int low = 0, high = _segments.Length - 1;
        while (low <= high)
        {
            int middle = (low + high) >>> 1;
            var segment = _segments[middle];
            if (address < segment.Start)
                high = middle - 1;
            else if (address - segment.Start >= segment.Length)
                low = middle + 1;
            else
                return _last = segment;
        }
        return null;
    }

    /// <summary>Cuts later ranges where earlier ones already lie.</summary>
    private void Rebuild()
    {
        _last = null;
        var segments = new List<Segment>();
        foreach (var mapping in _mappings)
        {
            if (mapping.Start is not { } at)
                continue;
            ulong end = at + mapping.Length;
            var taken = segments.Where(s => s.Start < end && at < s.Start + s.Length).OrderBy(s => s.Start).ToArray();
            foreach (var other in taken)
            {
                if (other.Start > at)
                    segments.Add(new Segment(at, other.Start - at, mapping));
                at = other.Start + other.Length;
            }
            if (at < end)
                segments.Add(new Segment(at, end - at, mapping));
        }
        _segments = [.. segments.OrderBy(s => s.Start)];
    }

    private void ReportUnmapped(string access, ulong address)
    {
        const int maximum = 256;
        if (_reportedPages.Count < maximum && _reportedPages.Add(address >> 12))
            _events.Report("memory bus", $"{access} {address:X8}h, where nothing is");
    }

    private sealed record Segment(ulong Start, ulong Length, MmioMapping Mapping);
}

/// <summary>A named range on the <see cref="MmioBus"/> with its counters.</summary>
public sealed class MmioMapping
{
    internal MmioMapping(string name, IMmioDevice device, ulong length)
    {
        Name = name;
        Device = device;
        Length = length;
    }

    public string Name { get; }

    public IMmioDevice Device { get; }

    public ulong Length { get; }

    /// <summary>First address; null while unmapped.</summary>
    public ulong? Start { get; internal set; }

    public long Reads { get; internal set; }

    public long Writes { get; internal set; }
}
