namespace Farm.Machine.Bus;

/// <summary>
/// The 64 Ki I/O ports. An access goes to the device that owns its first port; one wider than that range's width is split, low
/// part first, and each part looked up again. Ports that nobody owns read as FFh.
/// </summary>
public sealed class PortBus
{
    private readonly PortMapping?[] _owners = new PortMapping?[0x10000];
    private readonly List<PortMapping> _mappings = [];
    private readonly List<string> _conflicts = [];
    private readonly bool[] _readReported = new bool[0x10000];
    private readonly bool[] _writeReported = new bool[0x10000];
    private readonly EventLog _events;

    public PortBus(EventLog events) => _events = events;

    /// <summary>Sees each read after it was done and each write before: owner (null: nobody), port, size, value, true for a write. Wide accesses come in the parts that devices see.</summary>
    public Action<PortMapping?, ushort, int, uint, bool>? Observer { get; set; }

    public IReadOnlyList<PortMapping> Mappings => _mappings;

    /// <summary>Overlaps found so far, one sentence each; a MachineBuilder refuses to run with any.</summary>
    public IReadOnlyList<string> Conflicts => _conflicts;

    public long UnmappedReads { get; private set; }

    /// <summary>The port of the last read that nobody answered.</summary>
    public ushort UnmappedPort { get; private set; }

    public long UnmappedWrites { get; private set; }

    /// <summary>Maps all of a device's fixed ranges.</summary>
    public void Map(IPortDevice device)
    {
        foreach (var range in device.Ports)
            Map(device.Name, device, range);
    }

    /// <summary>Maps one range; an overlap with an earlier one is recorded and the earlier one keeps the ports.</summary>
    public PortMapping Map(string name, IPortDevice device, PortRange range)
    {
        var mapping = MapMovable(name, device, range.Count, range.Width);
        mapping.First = range.First;
        for (int port = range.First; port < range.First + range.Count; port++)
        {
            if (port > 0xFFFF)
                _conflicts.Add($"{name} at {range.First:X4}h reaches beyond port FFFFh.");
            else if (_owners[port] is { } owner)
                _conflicts.Add($"Port {port:X4}h is claimed by {owner.Name} and by {name}.");
            else
                continue;
            break;
        }
        Claim(mapping);
        return mapping;
    }

    /// <summary>A range that the guest places (a PCI BAR); unmapped until <see cref="Move"/>.</summary>
    public PortMapping MapMovable(string name, IPortDevice device, int count, int width)
    {
        var mapping = new PortMapping(name, device, count, width);
        _mappings.Add(mapping);
        return mapping;
    }

    /// <summary>
    /// Moves a range to <paramref name="first"/>, or unmaps it with null. Where the guest lays it over a range registered earlier,
    /// the earlier one answers; the ports come back when that one moves away.
    /// </summary>
    public void Move(PortMapping mapping, ushort? first)
    {
        if (mapping.First == first)
            return;
        if (mapping.First is { } old)
        {
            mapping.First = null;
            for (int port = old; port < Math.Min(old + mapping.Count, 0x10000); port++)
            {
                if (_owners[port] == mapping)
                    _owners[port] = null;
            }
            foreach (var other in _mappings)
                Claim(other);
        }
        mapping.First = first;
        if (first is not { } start)
            return;
        for (int port = start; port < Math.Min(start + mapping.Count, 0x10000); port++)
        {
            if (_owners[port] is { } owner)
            {
                _events.Report(mapping.Name, $"guest placed ports {start:X4}h-{start + mapping.Count - 1:X4}h over {owner.Name}");
                break;
            }
        }
        Claim(mapping);
    }

    public uint Read(ushort port, int size)
    {
        var owner = _owners[port];
        if (owner is null)
            return size == 1 ? ReadUnmapped(port) : ReadSplit(port, size, 1);
        if (size > owner.Width)
            return ReadSplit(port, size, owner.Width);
        owner.Reads++;
        uint value = owner.Device.ReadPort(port, size) & Mask(size);
        Observer?.Invoke(owner, port, size, value, false);
        return value;
    }

    public void Write(ushort port, uint value, int size)
    {
        var owner = _owners[port];
        if (owner is null)
        {
            if (size == 1)
                WriteUnmapped(port, value);
            else
                WriteSplit(port, value, size, 1);
        }
        else if (size > owner.Width)
        {
            WriteSplit(port, value, size, owner.Width);
        }
        else
        {
            owner.Writes++;
            Observer?.Invoke(owner, port, size, value & Mask(size), true);
            owner.Device.WritePort(port, value & Mask(size), size);
        }
    }

    private static uint Mask(int size) => size >= 4 ? uint.MaxValue : (1u << (size * 8)) - 1;

    private uint ReadSplit(ushort port, int size, int width)
    {
        uint value = 0;
        for (int offset = 0; offset < size; offset += width)
            value |= Read((ushort)(port + offset), width) << (offset * 8);
        return value;
    }

    private void WriteSplit(ushort port, uint value, int size, int width)
    {
        for (int offset = 0; offset < size; offset += width)
            Write((ushort)(port + offset), (value >> (offset * 8)) & Mask(width), width);
    }

    private uint ReadUnmapped(ushort port)
    {
        UnmappedReads++;
        UnmappedPort = port;
        if (!_readReported[port])
        {
            _readReported[port] = true;
            _events.Report("port bus", $"read from port {port:X4}h, which nobody owns");
        }
        return 0xFF;
    }

    private void WriteUnmapped(ushort port, uint value)
    {
        UnmappedWrites++;
        if (!_writeReported[port])
        {
            _writeReported[port] = true;
            _events.Report("port bus", $"write of {value & 0xFF:X2}h to port {port:X4}h, which nobody owns");
        }
    }

    private void Claim(PortMapping mapping)
    {
        if (mapping.First is not { } first)
            return;
        for (int port = first; port < Math.Min(first + mapping.Count, 0x10000); port++)
            _owners[port] ??= mapping;
    }
}

/// <summary>A named range on the <see cref="PortBus"/> with its counters.</summary>
public sealed class PortMapping
{
    internal PortMapping(string name, IPortDevice device, int count, int width)
    {
        Name = name;
        Device = device;
        Count = count;
        Width = width;
    }

    public string Name { get; }

    public IPortDevice Device { get; }

    public int Count { get; }

    public int Width { get; }

    /// <summary>First port; null while unmapped.</summary>
    public ushort? First { get; internal set; }

    public long Reads { get; internal set; }

    public long Writes { get; internal set; }
}
