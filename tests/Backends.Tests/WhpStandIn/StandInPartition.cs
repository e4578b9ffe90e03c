using System.Buffers.Binary;
using System.Diagnostics;
using Farm.Assist.Cpu;
using Farm.Machine.Devices.Apic;
using Farm.Machine.Hypervisors.Whp.Native;
using Farm.Machine.Time;
using static Farm.Backends.Tests.WhpStandIn.StandInLibrary;

namespace Farm.Backends.Tests.WhpStandIn;

/// <summary>A partition of the stand-in: properties in the documented order, guest-physical ranges, processors, and the bus of their local APICs.</summary>
internal sealed unsafe class StandInPartition(StandInHost host) : IDisposable
{
    private const int PropertyUnknown = unchecked((int)0x80370302), RangeNotFound = unchecked((int)0x80370305);
    private const int InvalidArgument = unchecked((int)0x80070057);
    private const int InvalidParameter = unchecked((int)0xC0350005), OperationDenied = unchecked((int)0xC0350008);

    private readonly Dictionary<ulong, ulong> _ranges = [];
    private readonly Dictionary<uint, StandInProcessor> _processors = [];
    private uint _processorCount;
    private bool _isSetUp;

    public PhysicalMemory Memory { get; } = new();

    public bool HasApics { get; private set; }

    public ApicBus Apics { get; } = new();

    /// <summary>Time of the local APICs' timers: the host's.</summary>
    public VirtualClock Clock { get; } = new() { Source = static () => (long)Stopwatch.GetElapsedTime(0).TotalNanoseconds };

    /// <summary>Processors with local APICs execute by turns: the soft CPU shares its memory with no other thread.</summary>
    public StandInTurns Turns { get; } = new();

    public ulong Exits { get; private set; }

    public ulong Exceptions { get; private set; }

    public ulong MsrExits { get; private set; }

    public HashSet<uint> CpuidExits { get; } = [];

    public int SetProperty(WhvPartitionPropertyCode code, ReadOnlySpan<byte> value)
    {
        if (_isSetUp)
            throw new StandInMisuse($"{code} after WHvSetupPartition");
        switch (code)
        {
            case WhvPartitionPropertyCode.ProcessorCount:
                _processorCount = BinaryPrimitives.ReadUInt32LittleEndian(Sized(4, value));
                break;
            case WhvPartitionPropertyCode.ExtendedVmExits:
                Exits = Offered(BinaryPrimitives.ReadUInt64LittleEndian(Sized(8, value)), host.ExtendedExits);
                break;
            case WhvPartitionPropertyCode.ExceptionExitBitmap:
                Exceptions = Offered(BinaryPrimitives.ReadUInt64LittleEndian(Sized(8, value)), host.ExceptionExits);
                break;
            case WhvPartitionPropertyCode.X64MsrExitBitmap when host.MsrExits is { } offered:
                MsrExits = Offered(BinaryPrimitives.ReadUInt64LittleEndian(Sized(8, value)), offered);
                break;
            case WhvPartitionPropertyCode.LocalApicEmulationMode when (host.Features & WhvBits.FeaturesLocalApicEmulation) != 0:
                var mode = (WhvX64LocalApicEmulationMode)BinaryPrimitives.ReadUInt32LittleEndian(Sized(4, value));
                if (mode is not (WhvX64LocalApicEmulationMode.None or WhvX64LocalApicEmulationMode.XApic))
                    throw new StandInMisuse(InvalidArgument, $"the stand-in has no {mode}");
                HasApics = mode != WhvX64LocalApicEmulationMode.None;
                break;
            case WhvPartitionPropertyCode.CpuidExitList:
                if (value.Length == 0 || value.Length % 4 != 0)
                    throw new StandInMisuse(InvalidArgument, $"{value.Length} bytes of CPUID functions");
                for (int i = 0; i < value.Length; i += 4)
                    CpuidExits.Add(BinaryPrimitives.ReadUInt32LittleEndian(value[i..]));
                break;
            default:
                throw new StandInMisuse(PropertyUnknown, $"property {code}");
        }
        return WhvResult.Ok;

        ReadOnlySpan<byte> Sized(int size, ReadOnlySpan<byte> given) =>
            given.Length == size ? given : throw new StandInMisuse(InvalidArgument, $"{given.Length} bytes for {code}, which has {size}");

        ulong Offered(ulong asked, ulong offered) => (asked & ~offered) == 0 ? asked : throw new StandInMisuse(InvalidArgument, $"{code} {asked:X}h, this host offers {offered:X}h");
    }

    public int Setup()
    {
        if (_isSetUp || _processorCount == 0)
            throw new StandInMisuse(_isSetUp ? "set up twice" : "ProcessorCount was not set");
        _isSetUp = true;
        return WhvResult.Ok;
    }

    public int Map(byte* source, ulong address, ulong size, WhvMapGpaRangeFlag flags)
    {
        RequireSetUp();
        if (source == null || size == 0 || (((ulong)source | address | size) & 0xFFF) != 0)
            throw new StandInMisuse(InvalidArgument, $"{address:X}h+{size:X}h from {(nint)source:X}h");
        if ((flags & WhvMapGpaRangeFlag.Read) == 0)
            throw new StandInMisuse(InvalidArgument, $"flags {flags}");
        if (_ranges.Any(range => range.Key < address + size && address < range.Key + range.Value))
            throw new StandInMisuse($"{address:X}h+{size:X}h lies over another range");
        bool tracked = (flags & WhvMapGpaRangeFlag.TrackDirtyPages) != 0;
        if (tracked && (host.Features & WhvBits.FeaturesDirtyPageTracking) == 0)
            throw new StandInMisuse(InvalidArgument, "this host tracks no dirty pages");
        _ranges.Add(address, size);
        SetMemory(address, size, source, PageKind.Readable | ((flags & WhvMapGpaRangeFlag.Write) != 0 ? PageKind.Writable : 0) | (tracked ? PageKind.Logged : 0));
        // What was just mapped is clean.
        return tracked ? QueryDirty(address, size, new ulong[((size >> 12) + 63) / 64]) : WhvResult.Ok;
    }

    /// <summary>One bit for each page that was stored to since the last query.</summary>
    public int QueryDirty(ulong address, ulong size, Span<ulong> bitmap)
    {
        RequireSetUp();
        if (!_ranges.TryGetValue(address, out ulong mapped) || mapped != size || !Memory.KindAt(address).HasFlag(PageKind.Logged))
            throw new StandInMisuse(RangeNotFound, $"no tracked range {address:X}h+{size:X}h");
        var stored = new ulong[bitmap.Length];
        int result = InTurn(() =>
        {
            Memory.TakeStores(address, stored);
            return WhvResult.Ok;
        });
        stored.CopyTo(bitmap);
        return result;
    }

    /// <summary>Without the feature PartialUnmap a range goes as it came.</summary>
    public int Unmap(ulong address, ulong size)
    {
        RequireSetUp();
        if (!_ranges.TryGetValue(address, out ulong mapped) || mapped != size)
            throw new StandInMisuse(RangeNotFound, $"no range {address:X}h+{size:X}h");
        _ranges.Remove(address);
        return SetMemory(address, size, null, PageKind.Mmio);
    }

    private int SetMemory(ulong address, ulong size, byte* host, PageKind kind) => InTurn(() =>
    {
        Memory.Map(address, size, host, kind);
        return WhvResult.Ok;
    });

    public int CreateProcessor(uint index, uint flags)
    {
        RequireSetUp();
        if (index >= _processorCount || flags != 0 || _processors.ContainsKey(index))
            throw new StandInMisuse(InvalidArgument, $"processor {index}, flags {flags}");
        var processor = new StandInProcessor(this, host, (byte)index);
        _processors.Add(index, processor);
        host.Processors.Add(processor);
        return WhvResult.Ok;
    }

    public int DeleteProcessor(uint index)
    {
        Processor(index).Dispose();
        _processors.Remove(index);
        return WhvResult.Ok;
    }

    public StandInProcessor Processor(uint index) =>
        _processors.GetValueOrDefault(index) ?? throw new StandInMisuse(unchecked((int)0x80370307), $"there is no processor {index}");

    /// <summary>What the guest can make the backend ask for in vain is refused without a complaint.</summary>
    public int RequestInterrupt(in WhvInterruptControl interrupt)
    {
        if (!HasApics)
            throw new StandInMisuse(OperationDenied, "the partition has no local APICs");
        var type = (WhvX64InterruptType)(interrupt.TypeAndModes & WhvBits.InterruptType);
        bool logical = (interrupt.TypeAndModes & WhvBits.InterruptDestinationMode) != 0, level = (interrupt.TypeAndModes & WhvBits.InterruptTriggerMode) != 0;
        if (!Enum.IsDefined(type) || type == WhvX64InterruptType.LocalInt1 || interrupt.TypeAndModes >> 13 != 0 || interrupt.Vector > 255)
            throw new StandInMisuse(InvalidParameter, $"type {type}, modes {interrupt.TypeAndModes:X}h, vector {interrupt.Vector}");
        if (type is WhvX64InterruptType.Fixed or WhvX64InterruptType.LowestPriority && interrupt.Vector < 16)
            return InvalidParameter;
        var message = new ApicMessage((DeliveryMode)type, (byte)interrupt.Vector, (byte)interrupt.Destination, logical, level);
        return InTurn(() => Apics.Send(message)) ? WhvResult.Ok : InvalidParameter;
    }

    /// <summary>While no processor executes: what they share is not made for several threads.</summary>
    private T InTurn<T>(Func<T> action)
    {
        Turns.Enter();
        try
        {
            return action();
        }
        finally
        {
            Turns.Exit();
        }
    }

    public void Dispose()
    {
        if (_processors.Count != 0)
            throw new StandInMisuse("its processors are still there");
        Memory.Dispose();
    }

    private void RequireSetUp()
    {
        if (!_isSetUp)
            throw new StandInMisuse("before WHvSetupPartition");
    }
}
