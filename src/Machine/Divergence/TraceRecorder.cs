using System.Runtime.InteropServices;
using Farm.Firmware;
using Farm.Machine.Bus;
using Farm.Machine.Devices.Vga;

namespace Farm.Machine.Divergence;

/// <summary>Writes what a machine's guest does to ports and disks to a trace file, without what is a matter of time (<see cref="TraceNoise"/>).</summary>
internal sealed class TraceRecorder : IDisposable
{
    /// <summary>Accesses that one event stands for at most.</summary>
    private const uint LongestBurst = 512;

    private const int BufferedEvents = 4096;

    private readonly PcMachine _machine;
    private readonly FileStream _file;
    private readonly TraceNames _names;
    private readonly TraceNoise _noise = new();
    private readonly Dictionary<ushort, Burst> _bursts = [];
    private readonly Dictionary<string, long> _leftOut = new(StringComparer.Ordinal);
    private readonly List<TraceEvent> _buffer = new(BufferedEvents);

    /// <param name="names">Shared by the traces that are to be compared.</param>
    public TraceRecorder(PcMachine machine, string path, TraceNames names)
    {
        _machine = machine;
        _names = names;
        _file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read, 1 << 16);
        machine.Parts.Ports.Observer = Port;
        machine.Storage.Observer = Disk;
    }

    public long Events { get; private set; }

    /// <summary>Port accesses that are not in the trace because they are a matter of time, by device.</summary>
    public IReadOnlyDictionary<string, long> LeftOut => _leftOut;

    /// <summary>Ends the trace. Bursts under way are left out: the end of the run cut them off somewhere.</summary>
    public void Dispose()
    {
        _machine.Parts.Ports.Observer = null;
        _machine.Storage.Observer = null;
        Flush();
        _file.Dispose();
    }

    private void Port(PortMapping? owner, ushort port, int size, uint value, bool write)
    {
        string device = owner?.Name ?? "nobody's ports";
        if (IsLoader())
            return;
        if (!_noise.Keep(device, port, ref value, write, out ulong address))
        {
            LeaveOut(device);
            return;
        }
        ushort stream = _names.Number(device);
        _bursts.TryGetValue(stream, out var burst);
        bool goesOn = burst is { } && burst.First.Address == address && burst.First.Size == size
            && burst.First.Kind == (write ? TraceKind.PortWrite : TraceKind.PortRead) && burst.Count < LongestBurst && !burst.Complete;

        // A poll or a delay: how often is a matter of time.
        if (goesOn && burst!.Last == value)
        {
            LeaveOut(device);
            return;
        }
        if (!goesOn)
        {
            if (burst is { })
                Write(burst);
            _bursts[stream] = burst = new Burst(Event(write ? TraceKind.PortWrite : TraceKind.PortRead, stream, address, value, 1, size));
        }
        burst!.Add(value, endsLine: write && size == 1 && value == '\n');
    }

    private void LeaveOut(string device) => CollectionsMarshal.GetValueRefOrAddDefault(_leftOut, device, out _)++;

    private void Disk(string unit, long sector, ReadOnlySpan<byte> data)
    {
        ushort stream = _names.Number("disk writes of " + unit);
        Write(Event(TraceKind.DiskWrite, stream, (ulong)sector, StableHash.Of(data), (uint)data.Length, 0));
    }

    private TraceEvent Event(TraceKind kind, ushort stream, ulong address, ulong value, uint count, int size)
    {
        var (selector, offset, _) = _machine.Parts.Processors.Current.Position;
        return new()
        {
            Kind = kind,
            Stream = stream,
            Address = address,
            Value = value,
            Count = count,
            Size = (byte)size,
            Selector = selector,
            Offset = offset,
            Instruction = _machine.Instructions,
            Time = _machine.Time.Now,
        };
    }

    /// <summary>The loader says which assist strength it starts: not the guest's doing.</summary>
    private bool IsLoader() => _machine.Parts.Processors.Current.Position.Linear >= MemoryMap.LoaderRom;

    private void Write(Burst burst) => Write(burst.First with { Count = burst.Count, Head = burst.Head, Value = burst.Count == 1 ? burst.Last : burst.Hash });

    private void Write(in TraceEvent item)
    {
        _buffer.Add(item);
        Events++;
        if (_buffer.Count == BufferedEvents)
            Flush();
    }

    private void Flush()
    {
        _file.Write(MemoryMarshal.AsBytes(CollectionsMarshal.AsSpan(_buffer)));
        _buffer.Clear();
    }

    /// <summary>Consecutive accesses to one port of a device.</summary>
    private sealed class Burst(TraceEvent first)
    {
        public TraceEvent First { get; } = first;

        public uint Count { get; private set; }

        public uint Last { get; private set; }

        /// <summary>The end of a line: consoles are compared line by line.</summary>
        public bool Complete { get; private set; }

        public ulong Hash { get; private set; }

        public ulong Head { get; private set; }

        public void Add(uint value, bool endsLine)
        {
            int shift = (int)Math.Min(Count, 8) * First.Size * 8;
            if (shift < 64)
                Head |= (ulong)value << shift;
            Count++;
            Last = value;
            Complete = endsLine;
            Hash = StableHash.Combine(Hash, value);
        }
    }
}

/// <summary>Numbers for names, the same in both traces.</summary>
internal sealed class TraceNames
{
    private readonly Dictionary<string, ushort> _numbers = new(StringComparer.Ordinal);
    private readonly List<string> _names = [];

    public string this[ushort number] => _names[number];

    public ushort Number(string name)
    {
        if (!_numbers.TryGetValue(name, out ushort number))
        {
            number = (ushort)_names.Count;
            _numbers.Add(name, number);
            _names.Add(name);
        }
        return number;
    }
}
