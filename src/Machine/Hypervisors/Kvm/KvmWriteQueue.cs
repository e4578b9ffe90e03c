using System.Runtime.CompilerServices;
using Farm.Assist.Cpu;
using Farm.Machine.Hypervisors.Kvm.Native;

namespace Farm.Machine.Hypervisors.Kvm;

/// <summary>
/// Writes to the VGA's window that the kernel queues instead of ending the run for each: nothing comes of them before someone looks, and
/// loading a font or drawing is thousands. The ring belongs to the VM; whoever has left guest code brings what is in it to the door before
/// anything else, so that a device sees all accesses in the order of the program. Left out is what begins at B8000h: a text mode's window is
/// memory, and the Cirrus adapter has registers there whose writes show in its framebuffer at once.
/// </summary>
internal sealed unsafe class KvmWriteQueue
{
    private const ulong Start = 0xA0000, Length = 0x18000;
    private const int PageSize = 4096;

    /// <summary>KVM_COALESCED_MMIO_MAX.</summary>
    private static readonly uint Entries = (uint)((PageSize - sizeof(KvmCoalescedMmioRing)) / sizeof(KvmCoalescedMmio));

    private readonly KvmCoalescedMmioRing* _ring;
    private readonly KvmCoalescedMmio* _entries;

    /// <param name="shared">The memory shared with a vCPU.</param>
    /// <param name="page">The page of it that <see cref="Begin"/> gave.</param>
    public KvmWriteQueue(void* shared, int page)
    {
        _ring = (KvmCoalescedMmioRing*)((byte*)shared + ((nint)page * PageSize));
        _entries = (KvmCoalescedMmio*)(_ring + 1);
    }

    /// <summary>Has the kernel queue; returns the page of the memory shared with a vCPU that is the ring, or 0: this kernel has none.</summary>
    public static int Begin(KvmFile system, KvmFile vm)
    {
        int page = system.Try(KvmIoctl.CheckExtension, (long)KvmCap.CoalescedMmio);
        if (page <= 0 || page >= system.Call(KvmIoctl.GetVcpuMmapSize, 0, "KVM_GET_VCPU_MMAP_SIZE") / PageSize)
            return 0;
        var zone = new KvmCoalescedMmioZone { Addr = Start, Size = (uint)Length };
        vm.Call(KvmIoctl.RegisterCoalescedMmio, &zone, "KVM_REGISTER_COALESCED_MMIO");
        return page;
    }

    /// <summary>Hands the queued writes to the door, oldest first.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Drain(ICpuDoor door)
    {
        if (_ring->First != Volatile.Read(ref _ring->Last))
            DrainAll(door);
    }

    private void DrainAll(ICpuDoor door)
    {
        // The kernel fills an entry, then moves the end; what the door does may bring us here again.
        uint first;
        while ((first = _ring->First % Entries) != Volatile.Read(ref _ring->Last) % Entries)
        {
            var entry = _entries[first];
            Volatile.Write(ref _ring->First, (first + 1) % Entries);
            Write(door, entry.PhysAddr, *(ulong*)entry.Data, (int)Math.Min(entry.Len, 8));
        }
    }

    /// <summary>A write of any length, in pieces that a bus has: at a page's border fragments may be of three bytes.</summary>
    public static void Write(ICpuDoor door, ulong address, ulong value, int length)
    {
        for (int done = 0; done < length;)
        {
            int size = Piece(length - done);
            door.WriteMmio(address + (ulong)done, (value >> (8 * done)) & (ulong.MaxValue >> (64 - (8 * size))), size);
            done += size;
        }
    }

    /// <summary>The largest access that fits.</summary>
    public static int Piece(int rest) => rest >= 8 ? 8 : rest >= 4 ? 4 : rest >= 2 ? 2 : 1;
}
