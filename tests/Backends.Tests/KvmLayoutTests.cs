using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Farm.Machine.Hypervisors.Kvm.Native;

namespace Farm.Backends.Tests;

/// <summary>Sizes and offsets as a C compiler prints them for linux/kvm.h on x86-64.</summary>
public sealed class KvmLayoutTests
{
    [Fact]
    public void Structs_have_the_kernels_sizes()
    {
        Assert.Equal(
            (144, 24, 16, 312, 64, 520, 416, 128, 16),
            (Unsafe.SizeOf<KvmRegs>(), Unsafe.SizeOf<KvmSegment>(), Unsafe.SizeOf<KvmDtable>(), Unsafe.SizeOf<KvmSregs>(), Unsafe.SizeOf<KvmVcpuEvents>(),
                Unsafe.SizeOf<KvmSyncRegs>(), Unsafe.SizeOf<KvmFpu>(), Unsafe.SizeOf<KvmDebugRegs>(), Unsafe.SizeOf<KvmMsrEntry>()));
        Assert.Equal(
            (32, 16, 16, 24, 8, 40, 104, 2352),
            (Unsafe.SizeOf<KvmUserspaceMemoryRegion>(), Unsafe.SizeOf<KvmDirtyLog>(), Unsafe.SizeOf<KvmCoalescedMmioZone>(), Unsafe.SizeOf<KvmCoalescedMmio>(), Unsafe.SizeOf<KvmCoalescedMmioRing>(), Unsafe.SizeOf<KvmCpuidEntry2>(), Unsafe.SizeOf<KvmEnableCap>(), Unsafe.SizeOf<KvmRun>()));
        Assert.Equal((32, 48), (Unsafe.SizeOf<KvmMsi>(), Unsafe.SizeOf<KvmIrqRoutingEntry>()));
    }

    [Fact]
    public void Fields_lie_where_the_kernel_has_them()
    {
        Assert.Equal((144, 456), (Offset<KvmSyncRegs>(nameof(KvmSyncRegs.Sregs)), Offset<KvmSyncRegs>(nameof(KvmSyncRegs.Events))));
        Assert.Equal((12, 16, 20), (Offset<KvmVcpuEvents>(nameof(KvmVcpuEvents.NmiInjected)), Offset<KvmVcpuEvents>(nameof(KvmVcpuEvents.SipiVector)), Offset<KvmVcpuEvents>(nameof(KvmVcpuEvents.Flags))));
        Assert.Equal((8, 40, 48), (Offset<KvmRun>(nameof(KvmRun.ExitReason)), Offset<KvmRun>(nameof(KvmRun.IoDataOffset)), Offset<KvmRun>(nameof(KvmRun.MmioLength))));
        Assert.Equal((48, 288, 304), (Offset<KvmRun>(nameof(KvmRun.InstructionSize)), Offset<KvmRun>(nameof(KvmRun.ValidRegs)), Offset<KvmRun>(nameof(KvmRun.Sync))));
        Assert.Equal((32, 16, 24), (Offset<KvmRun>(nameof(KvmRun.EoiVector)), Offset<KvmIrqRoutingEntry>(nameof(KvmIrqRoutingEntry.AddressLow)), Offset<KvmIrqRoutingEntry>(nameof(KvmIrqRoutingEntry.Data))));
    }

    private static int Offset<T>(string field) => (int)Marshal.OffsetOf<T>(field);
}
