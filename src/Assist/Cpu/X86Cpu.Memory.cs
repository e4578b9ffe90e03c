using System.Runtime.CompilerServices;

namespace Farm.Assist.Cpu;

// Guest memory by segment and offset. All accessors check the segment (limit, type, unusable: #GP, #SS for SS), translate
// (#PF), check alignment where in force (#AC), and commit nothing when they fault.
public sealed unsafe partial class X86Cpu
{
    /// <summary>Place of the last <see cref="ReadRmw{T}"/> in host memory; null: see <see cref="_rmw0"/>.</summary>
    private byte* _rmwHost;
    private ulong _rmw0, _rmw1;
    private int _rmwSplit;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Read<T>(Seg segment, ulong offset) where T : unmanaged
    {
        Window* window = _windows + (int)segment;
        ulong linear = (window->Base + offset) & window->LinearMask;
        TlbEntry* entry = _tlb + (int)((linear >> 12) & (TlbSize - 1));
        if (offset + (ulong)sizeof(T) <= window->ReadEnd && ((linear + (ulong)sizeof(T) - 1) & PageMask) == entry->ReadTag)
            return Unsafe.ReadUnaligned<T>((byte*)linear + entry->Addend);
        return ReadSlow<T>(segment, offset);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Write<T>(Seg segment, ulong offset, T value) where T : unmanaged
    {
        Window* window = _windows + (int)segment;
        ulong linear = (window->Base + offset) & window->LinearMask;
        TlbEntry* entry = _tlb + (int)((linear >> 12) & (TlbSize - 1));
        if (offset + (ulong)sizeof(T) <= window->WriteEnd && ((linear + (ulong)sizeof(T) - 1) & PageMask) == entry->WriteTag)
            Unsafe.WriteUnaligned((byte*)linear + entry->Addend, value);
        else
            WriteSlow(segment, offset, value);
    }

    /// <summary>First half of a read-modify-write: checks and reads as a write would; <see cref="WriteRmw{T}"/> must follow or nothing happens.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T ReadRmw<T>(Seg segment, ulong offset) where T : unmanaged
    {
        Window* window = _windows + (int)segment;
        ulong linear = (window->Base + offset) & window->LinearMask;
        TlbEntry* entry = _tlb + (int)((linear >> 12) & (TlbSize - 1));
        if (offset + (ulong)sizeof(T) <= window->WriteEnd && ((linear + (ulong)sizeof(T) - 1) & PageMask) == entry->WriteTag)
        {
            byte* host = (byte*)linear + entry->Addend;
            _rmwHost = host;
            return Unsafe.ReadUnaligned<T>(host);
        }
        return ReadRmwSlow<T>(segment, offset);
    }

    /// <summary>Second half: stores at the place of the last <see cref="ReadRmw{T}"/>; cannot fault.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void WriteRmw<T>(T value) where T : unmanaged
    {
        byte* host = _rmwHost;
        if (host != null)
            Unsafe.WriteUnaligned(host, value);
        else
            WritePieces((byte*)&value, sizeof(T), _rmw0, _rmw1, _rmwSplit);
    }

    /// <summary>Pushes with the stack's address size (SS.B, or 64-bit mode); RSP changes only after the store went through.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Push<T>(T value) where T : unmanaged
    {
        ulong sp = State->Gpr[StackPointer], mask = _stackMask;
        ulong top = (sp - (ulong)sizeof(T)) & mask;
        Write(Seg.Ss, top, value);
        State->Gpr[StackPointer] = (sp & ~mask) | top;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Pop<T>() where T : unmanaged
    {
        ulong sp = State->Gpr[StackPointer], mask = _stackMask;
        T value = Read<T>(Seg.Ss, sp & mask);
        State->Gpr[StackPointer] = (sp & ~mask) | ((sp + (ulong)sizeof(T)) & mask);
        return value;
    }

    /// <summary>Reads the stack <paramref name="displacement"/> bytes above (E)SP without popping.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Peek<T>(int displacement) where T : unmanaged =>
        Read<T>(Seg.Ss, (State->Gpr[StackPointer] + (ulong)displacement) & _stackMask);

    /// <summary>Adds to SP, ESP or RSP by the stack's address size.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void AdjustSp(long delta)
    {
        ulong sp = State->Gpr[StackPointer], mask = _stackMask;
        State->Gpr[StackPointer] = (sp & ~mask) | ((sp + (ulong)delta) & mask);
    }

    /// <summary>
    /// Raises whatever a write of <paramref name="size"/> bytes there would raise and changes nothing, so that a transfer of several
    /// parts can be made restartable: probe all, then write.
    /// </summary>
    public void ProbeWrite(Seg segment, ulong offset, int size)
    {
        ulong linear = CheckSegment(segment, offset, size, write: true);
        CheckAlignment(linear, size);
        ProbeLinear(linear, size, AccessWrite | UserAccess);
    }

    /// <summary>As <see cref="ProbeWrite"/> for a read.</summary>
    public void ProbeRead(Seg segment, ulong offset, int size)
    {
        ulong linear = CheckSegment(segment, offset, size, write: false);
        CheckAlignment(linear, size);
        ProbeLinear(linear, size, UserAccess);
    }

    /// <summary>Probes <paramref name="bytes"/> bytes below the present stack top for pushing.</summary>
    public void ProbePush(int bytes)
    {
        ulong top = State->Gpr[StackPointer] & _stackMask;

        // A stack that wraps is probed by parts, as it is written by parts.
        if (top != 0 && top < (ulong)bytes)
        {
            ProbeWrite(Seg.Ss, 0, (int)top);
            ProbeWrite(Seg.Ss, (0 - ((ulong)bytes - top)) & _stackMask, bytes - (int)top);
            return;
        }
        ulong low = (top - (ulong)bytes) & _stackMask;
        ulong linear = CheckSegment(Seg.Ss, low, bytes, write: true);
        ProbeLinear(linear, bytes, AccessWrite | UserAccess);
    }

    /// <summary>Reads at a linear address: descriptor tables and TSS (<paramref name="supervisor"/>: CPL counts as 0), else with the rights of CPL.</summary>
    public T ReadLinear<T>(ulong linear, bool supervisor = true) where T : unmanaged
    {
        T value;
        ReadPieces((byte*)&value, sizeof(T), WrapLinear(linear), supervisor ? 0 : UserAccess);
        return value;
    }

    /// <summary>Writes at a linear address; nothing is written when any byte faults.</summary>
    public void WriteLinear<T>(ulong linear, T value, bool supervisor = true) where T : unmanaged
    {
        linear = WrapLinear(linear);
        (ulong first, ulong second, int split) = TranslateSpan(linear, sizeof(T), AccessWrite | (supervisor ? 0 : UserAccess));
        WritePieces((byte*)&value, sizeof(T), first, second, split);
    }

    /// <summary>Raises what a write of up to a page there would raise and changes nothing (but accessed and dirty bits).</summary>
    public void ProbeLinearWrite(ulong linear, int size, bool supervisor = true) =>
        ProbeLinear(WrapLinear(linear), size, AccessWrite | (supervisor ? 0 : UserAccess));

    public void ProbeLinearRead(ulong linear, int size, bool supervisor = true) =>
        ProbeLinear(WrapLinear(linear), size, supervisor ? 0 : UserAccess);

    private uint UserAccess => _cpl == 3 ? AccessUser : 0;

    private ulong WrapLinear(ulong linear) => LongModeActive ? linear : (uint)linear;

    [MethodImpl(MethodImplOptions.NoInlining)]
    private T ReadSlow<T>(Seg segment, ulong offset) where T : unmanaged
    {
        ulong linear = CheckSegment(segment, offset, sizeof(T), write: false);
        CheckAlignment(linear, sizeof(T));
        T value;
        ReadPieces((byte*)&value, sizeof(T), linear, UserAccess);
        WatchData(linear, sizeof(T), write: false);
        return value;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void WriteSlow<T>(Seg segment, ulong offset, T value) where T : unmanaged
    {
        ulong linear = CheckSegment(segment, offset, sizeof(T), write: true);
        CheckAlignment(linear, sizeof(T));
        (ulong first, ulong second, int split) = TranslateSpan(linear, sizeof(T), AccessWrite | UserAccess);
        WatchData(linear, sizeof(T), write: true);
        WritePieces((byte*)&value, sizeof(T), first, second, split);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private T ReadRmwSlow<T>(Seg segment, ulong offset) where T : unmanaged
    {
        ulong linear = CheckSegment(segment, offset, sizeof(T), write: true);
        CheckAlignment(linear, sizeof(T));
        _rmwHost = null;
        (_rmw0, _rmw1, _rmwSplit) = TranslateSpan(linear, sizeof(T), AccessWrite | UserAccess);
        T value;
        byte* bytes = (byte*)&value;
        ReadPhysical(bytes, _rmwSplit, _rmw0);
        if (_rmwSplit < sizeof(T))
            ReadPhysical(bytes + _rmwSplit, sizeof(T) - _rmwSplit, _rmw1);
        WatchData(linear, sizeof(T), write: true);
        return value;
    }

    /// <summary>Limit, type and canonical checks; returns the linear address.</summary>
    private ulong CheckSegment(Seg segment, ulong offset, int size, bool write)
    {
        ref SegmentCache cache = ref Segment(segment);
        if (Mode64)
        {
            ulong flat = offset + (segment >= Seg.Fs ? cache.Base : 0);
            if (!IsCanonical(flat) || !IsCanonical(flat + (ulong)size - 1))
                throw SegmentFault(segment);
            return flat;
        }
        ulong last = offset + (ulong)size - 1;
        bool allowed = !cache.Unusable;
        if (!SelectorsAreParagraphs)
            allowed &= cache.Present && (write ? cache.Writable : cache.Readable);
        if (cache.ExpandDown)
            allowed &= offset > cache.Limit && last <= (cache.Big ? 0xFFFFFFFFul : 0xFFFF);
        else
            allowed &= last <= cache.Limit;
        if (!allowed)
            throw SegmentFault(segment);
        return (uint)(cache.Base + offset);
    }

    private GuestFault SegmentFault(Seg segment) => Fault(segment == Seg.Ss ? Vectors.SS : Vectors.GP, 0);

    /// <summary>48-bit canonical form.</summary>
    public static bool IsCanonical(ulong address) => (ulong)((long)(address << 16) >> 16) == address;

    private void CheckAlignment(ulong linear, int size)
    {
        if (!_checkAlignment)
            return;
        uint mask = size switch { 2 => 1, 4 => 3, 8 or 10 => 7, _ => 0u };
        if ((linear & mask) != 0)
            throw Fault(Vectors.AC, 0);
    }

    /// <summary>Translates a span of at most a page; <c>Split</c> bytes lie at <c>First</c>, the rest at <c>Second</c>.</summary>
    private (ulong First, ulong Second, int Split) TranslateSpan(ulong linear, int size, uint access)
    {
        int room = PhysicalMemory.PageSize - (int)(linear & ~PageMask);
        ulong first = Translate(linear, access);
        if (size <= room)
            return (first, 0, size);
        return (first, Translate(WrapLinear(linear + (ulong)room), access), room);
    }

    private void ProbeLinear(ulong linear, int size, uint access) => TranslateSpan(linear, size, access);

    private void ReadPieces(byte* destination, int size, ulong linear, uint access)
    {
        (ulong first, ulong second, int split) = TranslateSpan(linear, size, access);
        ReadPhysical(destination, split, first);
        if (split < size)
            ReadPhysical(destination + split, size - split, second);
    }

    private void WritePieces(byte* source, int size, ulong first, ulong second, int split)
    {
        WritePhysical(source, split, first);
        if (split < size)
            WritePhysical(source + split, size - split, second);
    }

    /// <summary>Reads within one physical page: RAM, ROM, or the door in naturally sized pieces.</summary>
    private void ReadPhysical(byte* destination, int size, ulong address)
    {
        if ((Memory.KindAt(address) & PageKind.Readable) != 0)
        {
            Unsafe.CopyBlockUnaligned(destination, Memory.HostAt(address), (uint)size);
            return;
        }
        while (size > 0)
        {
            int piece = size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
            ulong value = Door.ReadMmio(address & Memory.AddressMask, piece);
            Unsafe.CopyBlockUnaligned(destination, &value, (uint)piece);
            destination += piece;
            address += (ulong)piece;
            size -= piece;
        }
    }

    private void WritePhysical(byte* source, int size, ulong address)
    {
        PageKind kind = Memory.KindAt(address);
        if ((kind & PageKind.Writable) != 0)
        {
            if ((kind & (PageKind.Code | PageKind.Watched)) != 0)
                Memory.BeforeStore(address & Memory.AddressMask, size);
            Unsafe.CopyBlockUnaligned(Memory.HostAt(address), source, (uint)size);
            return;
        }
        while (size > 0)
        {
            int piece = size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
            ulong value = 0;
            Unsafe.CopyBlockUnaligned(&value, source, (uint)piece);
            Door.WriteMmio(address & Memory.AddressMask, value, piece);
            source += piece;
            address += (ulong)piece;
            size -= piece;
        }
    }
}
