using Farm.Assist.Cpu;
using Farm.Machine.Hypervisors.Kvm.Native;

namespace Farm.Machine.Hypervisors.Kvm;

/// <summary>The memory slots of a VM: one for each of the <see cref="GuestRanges"/>.</summary>
internal sealed unsafe class KvmSlots
{
    private readonly KvmFile _vm;
    private readonly GuestRanges _ranges;
    private readonly Dictionary<ulong, uint> _numbers = [];
    private readonly Stack<uint> _free = new();
    private readonly int _most;

    public KvmSlots(KvmFile vm, PhysicalMemory memory, int most)
    {
        _vm = vm;
        _most = Math.Min(most, 1024);
        for (int i = _most - 1; i >= 0; i--)
            _free.Push((uint)i);
        _ranges = new GuestRanges(memory, Map, Unmap, ReadLog);
    }

    /// <inheritdoc cref="GuestRanges.Changed"/>
    public bool Changed => _ranges.Changed;

    /// <summary>To be called before the processor runs.</summary>
    public void Apply() => _ranges.Apply();

    private void Map(GuestRange range)
    {
        if (!_free.TryPop(out uint number))
            throw new HostException($"KVM has no memory slot left for {range.Start:X}h: the guest has split its memory map into more than {_most} pieces, the most that this kernel takes (KVM_CAP_NR_MEMSLOTS); run it with --backend soft.");
        Set(number, range, range.Length);
        _numbers.Add(range.Start, number);
    }

    private void Unmap(GuestRange range)
    {
        _numbers.Remove(range.Start, out uint number);
        Set(number, range, 0);
        _free.Push(number);
    }

    /// <summary>
    /// The kernel hands the log out, clears it and protects the pages again before it returns, so that no store is lost in between; to part
    /// these (KVM_CLEAR_DIRTY_LOG) is for guests of many gigabytes.
    /// </summary>
    private bool ReadLog(GuestRange range, Span<ulong> stored)
    {
        fixed (ulong* bitmap = stored)
        {
            var log = new KvmDirtyLog { Slot = _numbers[range.Start], Bitmap = (ulong)bitmap };
            _vm.Call(KvmIoctl.GetDirtyLog, &log, $"KVM_GET_DIRTY_LOG of {range.Start:X}h+{range.Length:X}h");
        }
        return true;
    }

    private void Set(uint number, GuestRange range, ulong length)
    {
        var region = new KvmUserspaceMemoryRegion
        {
            Slot = number,
            Flags = length == 0 ? 0 : (range.Writable ? 0 : KvmConstants.MemReadonly) | (range.Logged ? KvmConstants.MemLogDirtyPages : 0),
            GuestPhysAddr = range.Start,
            MemorySize = length,
            UserspaceAddr = range.Host,
        };
        _vm.Call(KvmIoctl.SetUserMemoryRegion, &region, $"KVM_SET_USER_MEMORY_REGION of {range.Start:X}h+{length:X}h");
    }
}
