using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using Farm.Machine.Hypervisors.Kvm.Native;
using Tmds.Linux;

namespace Farm.Backends.Tests.KvmFake;

/// <summary>One entry of the processor: changes the shared page and answers what KVM_RUN would.</summary>
internal unsafe delegate int Entry(KvmRun* run, FakeKernel kernel);

/// <summary>
/// A kernel whose KVM a test can break: what every call answers, and what each KVM_RUN of a processor does, in order. It runs no guest. When
/// the entries are used up the processor shuts down (triple fault).
/// </summary>
internal sealed unsafe class FakeKernel : KvmHost, IDisposable
{
    private const int RunSize = 3 * 4096, Most = 2, FirstProcessor = 100;

    /// <summary>Bit of immediate_exit with which the backend enters without executing anything.</summary>
    private const byte Completing = 4;

    private readonly ConcurrentQueue<Entry>[] _entries = [.. Enumerable.Range(0, Most).Select(static _ => new ConcurrentQueue<Entry>())];
    private readonly Dictionary<uint, KvmUserspaceMemoryRegion> _slots = [];
    private readonly byte* _pages = (byte*)NativeMemory.AlignedAlloc(Most * RunSize, 4096);

    public FakeKernel()
    {
        NativeMemory.Clear(_pages, Most * RunSize);
        foreach (var cap in Enum.GetValues<KvmCap>())
            Caps[cap] = 1;
        Caps[KvmCap.SyncRegs] = (int)KvmConstants.SyncAll;
        Caps[KvmCap.NrMemslots] = 509;
        Caps[KvmCap.CoalescedMmio] = RunSize / 4096 - 1;
        Caps[KvmCap.MaxVcpus] = 1024;
    }

    /// <summary>KVM_CHECK_EXTENSION's answers; what is not here is 0.</summary>
    public Dictionary<KvmCap, int> Caps { get; } = [];

    /// <summary>errno of these calls.</summary>
    public Dictionary<uint, int> Failures { get; } = [];

    public int OpenError { get; init; }

    public int Version { get; init; } = KvmConstants.ApiVersion;

    public bool HasFlag { get; init; } = true;

    public bool InVirtualMachine { get; init; }

    public string? DeviceGroup { get; init; } = "kvm";

    public override bool Virtualizes => HasFlag;

    public override bool IsVirtual => InVirtualMachine;

    public override string? Group => DeviceGroup;

    /// <summary>Files that are open.</summary>
    public int OpenFiles { get; private set; }

    public int Entries { get; private set; }

    /// <summary>KVM_VCPU_TSC_OFFSET; null: a kernel that does not know it.</summary>
    public ulong? TscOffset { get; set; }

    public List<KvmEnableCap> Enabled { get; } = [];

    /// <summary>What KVM_SIGNAL_MSI answers.</summary>
    public int Accepts { get; set; } = 1;

    /// <summary>Messages given to KVM_SIGNAL_MSI.</summary>
    public List<KvmMsi> Messages { get; } = [];

    /// <summary>Each table given to KVM_SET_GSI_ROUTING.</summary>
    public List<KvmIrqRoutingEntry[]> Routes { get; } = [];

    /// <summary>KVM_GET_MP_STATE and KVM_SET_MP_STATE, of whichever processor.</summary>
    public KvmMpState Activity { get; set; }

    public KvmVcpuEvents Events { get; private set; }

    /// <summary>The calls of processors, in order, without the entries that execute something.</summary>
    public List<(int Processor, uint Request)> Calls { get; } = [];

    /// <summary>Where writes are queued.</summary>
    public KvmCoalescedMmioZone? Zone { get; private set; }

    public KvmCoalescedMmioRing* Ring => (KvmCoalescedMmioRing*)(_pages + RunSize - 4096);

    /// <summary>Queues a write as the kernel does; the ring must have room.</summary>
    public void QueueWrite(ulong address, ulong value, uint length)
    {
        var entry = (KvmCoalescedMmio*)(Ring + 1) + Ring->Last;
        (entry->PhysAddr, entry->Len, *(ulong*)entry->Data) = (address, length, value);
        Ring->Last = (Ring->Last + 1) % 170;
        Assert.NotEqual(Ring->First, Ring->Last);
    }

    /// <summary>Guest-physical pages that the guest has stored to since they were last asked for.</summary>
    public HashSet<ulong> Stored { get; } = [];

    public FakeKernel Run(Entry entry)
    {
        _entries[0].Enqueue(entry);
        return this;
    }

    public FakeKernel RunOther(Entry entry)
    {
        _entries[1].Enqueue(entry);
        return this;
    }

    /// <summary>KVM_RUN fails.</summary>
    public FakeKernel Run(int errno) => Run((_, _) => -errno);

    public FakeKernel Run(KvmExit exit) => Run((run, _) =>
    {
        run->ExitReason = exit;
        return 0;
    });

    /// <summary>Guest memory at a guest-physical address, through the slots.</summary>
    public Span<byte> Guest(ulong address, int length)
    {
        var slot = _slots.Values.Single(slot => address >= slot.GuestPhysAddr && address + (ulong)length <= slot.GuestPhysAddr + slot.MemorySize);
        return new((byte*)slot.UserspaceAddr + (address - slot.GuestPhysAddr), length);
    }

    public override KvmFile? TryOpen(out int error)
    {
        error = OpenError;
        return error == 0 ? Open() : null;
    }

    public void Dispose() => NativeMemory.AlignedFree(_pages);

    private Descriptor Open(int processor = -1)
    {
        OpenFiles++;
        return new Descriptor(this, processor);
    }

    private KvmRun* Page(int processor) => (KvmRun*)(_pages + (processor * RunSize));

    private int Call(int processor, uint request, void* argument)
    {
        if (request == KvmIoctl.Run)
            return Enter(processor, Page(processor));
        if (processor >= 0)
            Calls.Add((processor, request));
        if (Failures.TryGetValue(request, out int errno))
            return -errno;
        switch (request)
        {
            case KvmIoctl.GetApiVersion:
                return Version;
            case KvmIoctl.CheckExtension:
                return Caps.GetValueOrDefault((KvmCap)(long)argument);
            case KvmIoctl.GetVcpuMmapSize:
                return RunSize;
            case KvmIoctl.GetSupportedCpuid:
                *(uint*)argument = 0;
                return 0;
            case KvmIoctl.EnableCap:
                Enabled.Add(*(KvmEnableCap*)argument);
                return 0;
            case KvmIoctl.CreateVcpu:
                return FirstProcessor + (int)argument;
            case KvmIoctl.SignalMsi:
                Messages.Add(*(KvmMsi*)argument);
                return Accepts;
            case KvmIoctl.SetGsiRouting:
                Routes.Add(new Span<KvmIrqRoutingEntry>((byte*)argument + 8, *(int*)argument).ToArray());
                return 0;
            case KvmIoctl.GetMpState:
                *(KvmMpState*)argument = Activity;
                return 0;
            case KvmIoctl.SetMpState:
                Activity = *(KvmMpState*)argument;
                return 0;
            case KvmIoctl.SetVcpuEvents:
                Events = *(KvmVcpuEvents*)argument;
                return 0;
            case KvmIoctl.SetUserMemoryRegion:
                var region = *(KvmUserspaceMemoryRegion*)argument;
                if (region.MemorySize == 0)
                    _slots.Remove(region.Slot);
                else
                    _slots[region.Slot] = region;
                return 0;
            case KvmIoctl.RegisterCoalescedMmio:
                Zone = *(KvmCoalescedMmioZone*)argument;
                return 0;
            case KvmIoctl.GetDirtyLog:
                return ReadLog(*(KvmDirtyLog*)argument);
            case KvmIoctl.GetMsrs or KvmIoctl.SetMsrs:
                return *(int*)argument;
            case KvmIoctl.GetTscKhz:
                return 2_000_000;
            case KvmIoctl.HasDeviceAttr or KvmIoctl.GetDeviceAttr or KvmIoctl.SetDeviceAttr when TscOffset is null:
                return -LibC.ENXIO;
            case KvmIoctl.HasDeviceAttr:
                return 0;
            case KvmIoctl.GetDeviceAttr:
                *(ulong*)((KvmDeviceAttr*)argument)->Addr = TscOffset.Value;
                return 0;
            case KvmIoctl.SetDeviceAttr:
                TscOffset = *(ulong*)((KvmDeviceAttr*)argument)->Addr;
                return 0;
            default:
                return 1;
        }
    }

    private int ReadLog(KvmDirtyLog log)
    {
        if (!_slots.TryGetValue(log.Slot, out var slot) || (slot.Flags & KvmConstants.MemLogDirtyPages) == 0)
            return -LibC.ENOENT;
        var bits = new Span<ulong>((void*)log.Bitmap, (int)((slot.MemorySize >> 12) + 63) / 64);
        bits.Clear();
        for (int page = 0; page < (int)(slot.MemorySize >> 12); page++)
        {
            if (Stored.Remove(slot.GuestPhysAddr + ((ulong)page << 12)))
                bits[page / 64] |= 1ul << (page % 64);
        }
        return 0;
    }

    private int Enter(int processor, KvmRun* page)
    {
        if (Failures.TryGetValue(KvmIoctl.Run, out int errno))
            return -errno;
        if ((page->ImmediateExit & Completing) != 0)
        {
            // An access is completed, or the shared page brought up to date, and no more.
            Calls.Add((processor, KvmIoctl.Run));
            return -LibC.EINTR;
        }
        Entries++;
        page->ExitReason = KvmExit.Shutdown;
        return _entries[processor].TryDequeue(out var entry) ? entry(page, this) : 0;
    }

    private sealed class Descriptor(FakeKernel kernel, int processor) : KvmFile
    {
        private bool _closed;

        public override int Try(uint request, void* argument) => _closed ? -LibC.EBADF : kernel.Call(processor, request, argument);

        public override KvmFile Of(int descriptor) => kernel.Open(descriptor >= FirstProcessor ? descriptor - FirstProcessor : -1);

        public override void* Map(nuint size, out int error)
        {
            error = 0;
            return kernel.Page(processor);
        }

        public override void Unmap(void* pages, nuint size)
        {
        }

        public override void Dispose()
        {
            if (!_closed)
                kernel.OpenFiles--;
            _closed = true;
        }
    }
}
