using Farm.Assist.Cpu;
using Farm.Machine.Hypervisors.Kvm.Native;

namespace Farm.Machine.Hypervisors.Kvm;

/// <summary>
/// The memory slots of a VM, following the physical map. A slot is a run of pages that lie together in host memory and may be used alike;
/// slots are cut at the borders of the PAM regions and of the second megabyte, so that shadow RAM and A20 change few of them. With A20
/// off the second megabyte shows the first, which is all that real-mode code can tell; higher odd megabytes do not wrap.
/// </summary>
internal sealed unsafe class KvmSlots
{
    private const ulong ShadowStart = 0xC0000, Megabyte = 0x100000, Pam = 0x4000;

    private readonly KvmFile _vm;
    private readonly PhysicalMemory _memory;
    private readonly SortedDictionary<ulong, Slot> _slots = [];
    private readonly Stack<uint> _free = new();
    private readonly List<(ulong Start, ulong End)> _changed = [];

    public KvmSlots(KvmFile vm, PhysicalMemory memory, int most)
    {
        _vm = vm;
        _memory = memory;
        for (int i = Math.Min(most, 1024) - 1; i >= 0; i--)
            _free.Push((uint)i);
        memory.Remapped += (address, length) => NoteChange(address, address + length);
    }

    /// <summary>Slots in use.</summary>
    public int Count => _slots.Count;

    /// <summary>Slots set or deleted so far.</summary>
    public long Changes { get; private set; }

    /// <summary>To be called before the processor runs.</summary>
    public void Apply()
    {
        if (_changed.Count == 0)
            return;
        foreach (var (start, end) in _changed)
            Apply(start, end);
        _changed.Clear();
    }

    private void NoteChange(ulong start, ulong end)
    {
        // All of the space: A20.
        if (start == 0 && end >> PhysicalMemory.PageShift >= 1ul << (_memory.AddressBits - PhysicalMemory.PageShift))
            (start, end) = (Megabyte, 2 * Megabyte);
        Add(CellStart(start), CellEnd(end - 1, end));
        // A change of the first megabyte shows in the second while A20 is off.
        if (!_memory.A20 && start < Megabyte)
            Add(Megabyte, 2 * Megabyte);
    }

    private void Add(ulong start, ulong end)
    {
        for (int i = _changed.Count - 1; i >= 0; i--)
        {
            var other = _changed[i];
            if (other.Start > end || start > other.End)
                continue;
            (start, end) = (Math.Min(start, other.Start), Math.Max(end, other.End));
            _changed.RemoveAt(i);
        }
        _changed.Add((start, end));
    }

    private void Apply(ulong start, ulong end)
    {
        var old = _slots.Values.Where(slot => slot.Start < end && start < slot.Start + slot.Length).ToList();
        foreach (var slot in old)
        {
            start = Math.Min(start, slot.Start);
            end = Math.Max(end, slot.Start + slot.Length);
        }
        var wanted = Runs(start, end);
        foreach (var slot in old)
        {
            if (wanted.Contains(slot with { Number = 0 }))
                continue;
            Set(slot with { Length = 0 });
            _slots.Remove(slot.Start);
            _free.Push(slot.Number);
        }
        foreach (var slot in wanted)
        {
            if (_slots.ContainsKey(slot.Start))
                continue;
            if (!_free.TryPop(out uint number))
                throw new HostException($"KVM has no memory slot left: the guest's memory map has come to {_slots.Count} pieces.");
            var numbered = slot with { Number = number };
            Set(numbered);
            _slots.Add(slot.Start, numbered);
        }
    }

    private List<Slot> Runs(ulong start, ulong end)
    {
        var runs = new List<Slot>();
        ulong at = start;
        while (at < end)
        {
            byte* host = PageAt(at, out var kind);
            if (host == null || kind == PageKind.Mmio)
            {
                at += PhysicalMemory.PageSize;
                continue;
            }
            ulong limit = Math.Min(end, CellEnd(at, ulong.MaxValue));
            ulong next = at + PhysicalMemory.PageSize;
            while (next < limit && PageAt(next, out var other) == host + (next - at) && other == kind)
                next += PhysicalMemory.PageSize;
            runs.Add(new Slot(at, next - at, (ulong)host, (kind & PageKind.Writable) == 0, 0));
            at = next;
        }
        return runs;
    }

    private byte* PageAt(ulong address, out PageKind kind)
    {
        ulong masked = address is >= Megabyte and < 2 * Megabyte ? address & _memory.AddressMask : address;
        ulong page = masked >> PhysicalMemory.PageShift;
        kind = _memory.Kinds[page] & (PageKind.Readable | PageKind.Writable);
        return _memory.Host[page];
    }

    private static ulong CellStart(ulong address) => address switch
    {
        < ShadowStart => 0,
        < Megabyte => address & ~(Pam - 1),
        < 2 * Megabyte => Megabyte,
        _ => address,
    };

    private static ulong CellEnd(ulong address, ulong beyond) => address switch
    {
        < ShadowStart => ShadowStart,
        < Megabyte => (address & ~(Pam - 1)) + Pam,
        < 2 * Megabyte => 2 * Megabyte,
        _ => beyond,
    };

    private void Set(Slot slot)
    {
        var region = new KvmUserspaceMemoryRegion
        {
            Slot = slot.Number,
            Flags = slot.ReadOnly && slot.Length != 0 ? KvmConstants.MemReadonly : 0,
            GuestPhysAddr = slot.Start,
            MemorySize = slot.Length,
            UserspaceAddr = slot.Host,
        };
        Changes++;
        _vm.Call(KvmIoctl.SetUserMemoryRegion, &region, $"KVM_SET_USER_MEMORY_REGION of {slot.Start:X}h+{slot.Length:X}h");
    }

    private sealed record Slot(ulong Start, ulong Length, ulong Host, bool ReadOnly, uint Number);
}
