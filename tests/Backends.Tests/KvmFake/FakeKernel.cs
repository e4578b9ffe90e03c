using System.Runtime.InteropServices;
using Farm.Machine.Hypervisors.Kvm.Native;
using Tmds.Linux;

namespace Farm.Backends.Tests.KvmFake;

/// <summary>One entry of the processor: changes the shared page and answers what KVM_RUN would.</summary>
internal unsafe delegate int Entry(KvmRun* run, FakeKernel kernel);

/// <summary>
/// A kernel whose KVM a test can break: what every call answers, and what each KVM_RUN does, in order. It runs no guest. When the
/// entries are used up the processor shuts down (triple fault).
/// </summary>
internal sealed unsafe class FakeKernel : KvmHost, IDisposable
{
    private const int RunSize = 3 * 4096;

    private readonly Queue<Entry> _entries = new();
    private readonly Dictionary<uint, KvmUserspaceMemoryRegion> _slots = [];
    private readonly void* _page = NativeMemory.AlignedAlloc(RunSize, 4096);

    public FakeKernel()
    {
        NativeMemory.Clear(_page, RunSize);
        foreach (var cap in Enum.GetValues<KvmCap>())
            Caps[cap] = 1;
        Caps[KvmCap.SyncRegs] = (int)KvmConstants.SyncAll;
        Caps[KvmCap.NrMemslots] = 509;
        Caps[KvmCap.CoalescedMmio] = RunSize / 4096 - 1;
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

    public KvmEnableCap? Enabled { get; private set; }

    /// <summary>Where writes are queued.</summary>
    public KvmCoalescedMmioZone? Zone { get; private set; }

    public KvmCoalescedMmioRing* Ring => (KvmCoalescedMmioRing*)((byte*)_page + RunSize - 4096);

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
        _entries.Enqueue(entry);
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

    public void Dispose() => NativeMemory.AlignedFree(_page);

    private Descriptor Open()
    {
        OpenFiles++;
        return new Descriptor(this);
    }

    private int Call(uint request, void* argument)
    {
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
                Enabled = *(KvmEnableCap*)argument;
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
            case KvmIoctl.Run:
                Entries++;
                if (((KvmRun*)_page)->ImmediateExit != 0 && ((KvmRun*)_page)->ExitReason is KvmExit.Io or KvmExit.Mmio)
                    return -LibC.EINTR; // an access is completed, and no more
                ((KvmRun*)_page)->ExitReason = KvmExit.Shutdown;
                return _entries.TryDequeue(out var entry) ? entry((KvmRun*)_page, this) : 0;
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

    private sealed class Descriptor(FakeKernel kernel) : KvmFile
    {
        private bool _closed;

        public override int Try(uint request, void* argument) => _closed ? -LibC.EBADF : kernel.Call(request, argument);

        public override KvmFile Of(int descriptor) => kernel.Open();

        public override void* Map(nuint size, out int error)
        {
            error = 0;
            return kernel._page;
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
