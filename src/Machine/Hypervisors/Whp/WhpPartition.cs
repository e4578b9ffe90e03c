using Farm.Assist.Cpu;
using Farm.Machine.Hypervisors.Whp.Native;
using Iced.Intel;

namespace Farm.Machine.Hypervisors.Whp;

/// <summary>
/// One WHP partition: its properties, its guest-physical ranges and its processor. Its local APICs are the platform's or the machine's, as
/// the options say.
/// </summary>
internal sealed unsafe class WhpPartition : IPartition
{
    /// <summary>
    /// Every so many reads of the log it counts as if it said nothing. Others have seen a page reported clean on Windows 11 though the guest had
    /// stored to it; the screen is then late for as long, and not wrong for good.
    /// </summary>
    private const int TrustedReads = 16;

    private readonly WhpApi _api;
    private readonly PartitionOptions _options;
    private readonly GuestRanges _ranges;
    private readonly List<WhpVcpu> _vcpus = [];
    private readonly WhpLocalApics? _localApics;
    private readonly ulong _timeStampFrequency;
    private readonly bool _logsStores;
    private int _logReads;
    private nint _handle;

    public WhpPartition(WhpApi api, WhpCapabilities found, PartitionOptions options)
    {
        _api = api;
        _options = options with { CpuModel = found.Cut(options.CpuModel) };
        _timeStampFrequency = found.ClockFrequency;
        nint handle;
        WhpApi.Check(api.CreatePartition(&handle), "WHvCreatePartition");
        _handle = handle;
        try
        {
            Set(WhvPartitionPropertyCode.ProcessorCount, (uint)options.Vcpus);
            Set(WhvPartitionPropertyCode.ExtendedVmExits, found.WantedExits(options.LocalApics));
            if (found.InterceptedExceptions != 0)
                Set(WhvPartitionPropertyCode.ExceptionExitBitmap, found.InterceptedExceptions);
            if (found.WantedMsrExits != 0)
                Set(WhvPartitionPropertyCode.X64MsrExitBitmap, found.WantedMsrExits);
            if ((found.Features & WhvBits.FeaturesLocalApicEmulation) != 0)
                Set(WhvPartitionPropertyCode.LocalApicEmulationMode, options.LocalApics ? WhvX64LocalApicEmulationMode.XApic : WhvX64LocalApicEmulationMode.None);
            uint[] leaves = CpuidLeaves();
            fixed (uint* list = leaves)
                WhpApi.Check(api.SetPartitionProperty(handle, WhvPartitionPropertyCode.CpuidExitList, list, (uint)(leaves.Length * sizeof(uint))), "WHvSetPartitionProperty(CpuidExitList)");
            WhpApi.Check(api.SetupPartition(handle), "WHvSetupPartition");
        }
        catch
        {
            Dispose();
            throw;
        }
        _logsStores = found.LogsStores && api.QueryGpaRangeDirtyBitmap != null;
        _ranges = new GuestRanges(Memory, Map, Unmap, _logsStores ? ReadLog : null);
        if (options.LocalApics)
            _localApics = new WhpLocalApics(api, handle, _vcpus);
    }

    public PhysicalMemory Memory { get; } = new();

    public ILocalApics? LocalApics => _localApics;

    public IVcpu BindVcpu(int index, ICpuDoor door)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(index, _vcpus.Count);
        var vcpu = new WhpVcpu(_api, _handle, (uint)index, _ranges, _localApics, NewInterpreter) { TimeStampFrequency = _timeStampFrequency };
        _vcpus.Add(vcpu);
        return vcpu;

        // A HLT is left to the processor where the platform has the local APIC: it alone knows what ends it.
        X86Cpu NewInterpreter(WhpLocalApic? apic) => new(Memory, apic is null ? door : new LocalApicDoor(door, apic), _options.CpuModel, apic is null ? null : static code => code == Code.Hlt)
        {
            RealModeAllowed = _options.RealModeAllowed,
            ApicId = (byte)index,
        };
    }

    public void Dispose()
    {
        if (_handle == 0)
            return;
        foreach (var vcpu in _vcpus)
            vcpu.Dispose();
        _ = _api.DeletePartition(_handle);
        _handle = 0;
        Memory.Dispose();
    }

    /// <summary>
    /// The leaves that exit: those of the models and, so that nothing of the host or of its hypervisor shows, those beyond that software
    /// asks for without looking at the highest.
    /// </summary>
    private static uint[] CpuidLeaves() => [.. Leaves(0, 8), 0xB, 0xD, 0x40000000, 0x40000001, .. Leaves(0x80000000, 9), 0x80860000, 0xC0000000];

    private static IEnumerable<uint> Leaves(uint first, int count) => Enumerable.Range(0, count).Select(i => first + (uint)i);

    private void Set<T>(WhvPartitionPropertyCode code, T value) where T : unmanaged =>
        WhpApi.Check(_api.SetPartitionProperty(_handle, code, &value, (uint)sizeof(T)), $"WHvSetPartitionProperty({code})");

    private void Map(GuestRange range)
    {
        var access = WhvMapGpaRangeFlag.Read | WhvMapGpaRangeFlag.Execute | (range.Writable ? WhvMapGpaRangeFlag.Write : 0)
            | (range.Logged && _logsStores ? WhvMapGpaRangeFlag.TrackDirtyPages : 0);
        WhpApi.Check(_api.MapGpaRange(_handle, (void*)range.Host, range.Start, range.Length, access), $"WHvMapGpaRange of {range.Start:X}h+{range.Length:X}h");
    }

    private void Unmap(GuestRange range) =>
        WhpApi.Check(_api.UnmapGpaRange(_handle, range.Start, range.Length), $"WHvUnmapGpaRange of {range.Start:X}h+{range.Length:X}h");

    private bool ReadLog(GuestRange range, Span<ulong> stored)
    {
        fixed (ulong* bitmap = stored)
        {
            WhpApi.Check(
                _api.QueryGpaRangeDirtyBitmap(_handle, range.Start, range.Length, bitmap, (uint)(stored.Length * sizeof(ulong))),
                $"WHvQueryGpaRangeDirtyBitmap of {range.Start:X}h+{range.Length:X}h");
        }
        return ++_logReads % TrustedReads != 0;
    }
}
