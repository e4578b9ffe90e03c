namespace Farm.Assist.Cpu;

// Modes, privilege, and the loading of segment registers (SDM vol. 3, chapters 3 and 5).
public sealed unsafe partial class X86Cpu
{
    /// <summary>Access rights of every segment in virtual-8086 mode: present, DPL 3, read/write, accessed.</summary>
    private const uint Virtual8086Access = 0xF3;

    private const uint UnusableAccess = 0x10000;

    public int Iopl => (int)(State->Rflags & Eflags.IoplMask) >> Eflags.IoplShift;

    internal static bool IsNull(int selector) => (selector & 0xFFFC) == 0;

    /// <summary>Error code that names a selector: its RPL field gives way to EXT (SDM vol. 3, 6.13).</summary>
    internal static uint SelectorError(int selector, uint ext = 0) => ((uint)selector & 0xFFFC) | ext;

    /// <summary>Reads a descriptor through the supervisor's eyes; false when it lies outside its table.</summary>
    internal bool TryReadDescriptor(int selector, out Descriptor descriptor)
    {
        ulong table = State->Gdtr.Base;
        uint limit = State->Gdtr.Limit;
        if ((selector & 4) != 0)
        {
            table = State->Ldtr.Base;
            limit = State->Ldtr.Limit;
            if (State->Ldtr.Unusable || !State->Ldtr.Present)
            {
                descriptor = default;
                return false;
            }
        }
        uint offset = (uint)selector & 0xFFF8;
        if (offset + 7 > limit)
        {
            descriptor = default;
            return false;
        }
        ulong address = WrapLinear(table + offset);
        descriptor = new Descriptor(ReadLinear<ulong>(address), address);
        return true;
    }

    /// <summary>Upper eight bytes of a system descriptor in IA-32e mode; a fault if they lie outside the table or carry a type.</summary>
    internal ulong ReadDescriptorUpper(int selector, in Descriptor descriptor, byte vector)
    {
        uint limit = (selector & 4) != 0 ? State->Ldtr.Limit : State->Gdtr.Limit;
        if (((uint)selector & 0xFFF8) + 15 > limit)
            throw Fault(vector, SelectorError(selector));
        ulong upper = ReadLinear<ulong>(descriptor.Address + 8);
        if ((upper & 0x1F00_0000_0000) != 0)
            throw Fault(vector, SelectorError(selector));
        return upper;
    }

    /// <summary>Sets the accessed bit in memory where it is clear, and gives the descriptor with the bit set.</summary>
    internal Descriptor SetAccessed(in Descriptor descriptor)
    {
        if ((descriptor.Raw & (1ul << 40)) != 0)
            return descriptor;
        WriteLinear(descriptor.Address + 5, (byte)((descriptor.Raw >> 40) | 1));
        return descriptor with { Raw = descriptor.Raw | (1ul << 40) };
    }

    /// <summary>Stores a data or stack segment register and tells the engine.</summary>
    internal void SetSegment(Seg seg, in SegmentCache cache)
    {
        Segment(seg) = cache;
        SegmentLoaded(seg);
    }

    /// <summary>Makes a data segment register null: any use of it faults.</summary>
    internal void SetNull(Seg seg, int selector)
    {
        ref SegmentCache cache = ref Segment(seg);
        int dpl = seg == Seg.Ss ? cache.Dpl : 0;
        cache = new SegmentCache { Selector = (ushort)selector, Access = UnusableAccess | ((uint)dpl << 5) };
        SegmentLoaded(seg);
    }

    /// <summary>
    /// What loading a selector outside protected mode does. Real mode changes selector and base only, so limits left by an
    /// excursion to protected mode stay ("unreal"); CS becomes read/write data as SDM vol. 3, 9.9.2 tells. VM86 sets everything.
    /// </summary>
    internal void SetRealSegment(Seg seg, ushort selector)
    {
        ref SegmentCache cache = ref Segment(seg);
        cache.Selector = selector;
        cache.Base = (ulong)selector << 4;
        if (Vm86)
        {
            cache.Limit = 0xFFFF;
            cache.Access = Virtual8086Access;
        }
        else if (seg == Seg.Cs)
        {
            cache.Access = (cache.Access & 0xD000) | 0x93;
        }
        else if (cache.Unusable)
        {
            cache.Limit = 0xFFFF;
            cache.Access = 0x93;
        }
        SegmentLoaded(seg);
        if (((WatchedSegments >> (int)seg) & 1) != 0)
            NoteSegmentLoad();
    }

    /// <summary>MOV Sreg, POP Sreg, LDS and the like: loads ES, SS, DS, FS or GS with every check of the mode.</summary>
    public void LoadSegment(Seg seg, ushort selector)
    {
        if (SelectorsAreParagraphs)
            SetRealSegment(seg, selector);
        else if (seg == Seg.Ss)
            LoadStackSegment(selector);
        else
            LoadDataSegment(seg, selector);
    }

    private void LoadDataSegment(Seg seg, ushort selector)
    {
        if (IsNull(selector))
        {
            SetNull(seg, selector);
            return;
        }
        if (!TryReadDescriptor(selector, out Descriptor descriptor))
            throw Fault(Vectors.GP, SelectorError(selector));
        CheckDataSegment(selector, descriptor, Cpl, Vectors.GP, 0);
        SetSegment(seg, SetAccessed(descriptor).ToCache(selector));
    }

    /// <summary>Type and privilege of a segment for DS, ES, FS or GS: <paramref name="vector"/>, or #NP.</summary>
    private void CheckDataSegment(int selector, in Descriptor descriptor, int cpl, byte vector, uint ext)
    {
        if (descriptor.IsSystem || !descriptor.IsReadable)
            throw Fault(vector, SelectorError(selector, ext));
        if (!descriptor.IsConforming && (descriptor.Dpl < (selector & 3) || descriptor.Dpl < cpl))
            throw Fault(vector, SelectorError(selector, ext));
        if (!descriptor.Present)
            throw Fault(Vectors.NP, SelectorError(selector, ext));
    }

    private void LoadStackSegment(ushort selector)
    {
        int cpl = Cpl;
        if (IsNull(selector))
        {
            if (!Mode64 || cpl == 3 || (selector & 3) != cpl)
                throw Fault(Vectors.GP, 0);
            SetNull(Seg.Ss, selector);
            return;
        }
        Descriptor descriptor = ReadStackSegment(selector, cpl, Vectors.GP, 0);
        SetSegment(Seg.Ss, SetAccessed(descriptor).ToCache(selector));
    }

    /// <summary>
    /// Reads and checks a descriptor for SS at privilege <paramref name="cpl"/>: <paramref name="vector"/> for a bad one, #SS if
    /// not present. The accessed bit is left alone.
    /// </summary>
    internal Descriptor ReadStackSegment(int selector, int cpl, byte vector, uint ext)
    {
        if (!TryReadDescriptor(selector, out Descriptor descriptor))
            throw Fault(vector, SelectorError(selector, ext));
        if ((selector & 3) != cpl || descriptor.IsSystem || !descriptor.IsWritableData || descriptor.Dpl != cpl)
            throw Fault(vector, SelectorError(selector, ext));
        if (!descriptor.Present)
            throw Fault(Vectors.SS, SelectorError(selector, ext));
        return descriptor;
    }

    /// <summary>Reads a code descriptor that a gate names: #GP for a null one (error code EXT), one outside its table, or not code.</summary>
    internal Descriptor ReadGateTarget(int selector, uint ext)
    {
        if (IsNull(selector))
            throw Fault(Vectors.GP, ext);
        if (!TryReadDescriptor(selector, out Descriptor descriptor) || !descriptor.IsCode || descriptor.Dpl > Cpl)
            throw Fault(Vectors.GP, SelectorError(selector, ext));
        if (LongModeActive && (!descriptor.IsLongCode || descriptor.IsBig))
            throw Fault(Vectors.GP, SelectorError(selector, ext));
        if (!descriptor.Present)
            throw Fault(Vectors.NP, SelectorError(selector, ext));
        return descriptor;
    }

    /// <summary>
    /// The end of every far transfer in protected mode: CS with RPL = <paramref name="cpl"/>, and RIP. The caller has checked
    /// everything; SS must be set already when the privilege changes.
    /// </summary>
    internal void SetCodeSegment(in Descriptor descriptor, int selector, int cpl, ulong rip)
    {
        State->Cs = SetAccessed(descriptor).ToCache((selector & 0xFFFC) | cpl);
        State->Rip = rip;
        SegmentLoaded(Seg.Cs);
    }

    /// <summary>#GP(<paramref name="error"/>) when an instruction pointer lies outside the code segment to come.</summary>
    internal void CheckInstructionPointer(in Descriptor code, ulong rip, uint error = 0)
    {
        bool outside = LongModeActive && code.IsLongCode ? !IsCanonical(rip) : rip > code.Limit;
        if (outside)
            throw Fault(Vectors.GP, error);
    }

    /// <summary>LLDT: #UD outside protected mode, #GP(0) outside ring 0.</summary>
    public void LoadLdt(ushort selector)
    {
        RequireTableRegister();
        if (IsNull(selector))
        {
            State->Ldtr = new SegmentCache { Selector = selector, Access = UnusableAccess };
            return;
        }
        if ((selector & 4) != 0 || !TryReadDescriptor(selector, out Descriptor ldt) || !ldt.IsSystem || ldt.Type != Descriptor.Ldt)
            throw Fault(Vectors.GP, SelectorError(selector));
        RequirePresent(selector, ldt);
        State->Ldtr = WithUpperBase(selector, ldt);
    }

    /// <summary>LTR: as <see cref="LoadLdt"/>; the TSS must be available and becomes busy, in memory too.</summary>
    public void LoadTaskRegister(ushort selector)
    {
        RequireTableRegister();
        if (IsNull(selector))
            throw Fault(Vectors.GP, 0);
        if ((selector & 4) != 0 || !TryReadDescriptor(selector, out Descriptor tss) || !tss.IsSystem
            || !(tss.Type == Descriptor.TssAvailable32 || (tss.Type == Descriptor.TssAvailable16 && !LongModeActive)))
        {
            throw Fault(Vectors.GP, SelectorError(selector));
        }
        RequirePresent(selector, tss);
        SegmentCache cache = WithUpperBase(selector, tss);
        WriteLinear(tss.Address + 5, (byte)((tss.Raw >> 40) | Descriptor.BusyBit));
        cache.Access |= Descriptor.BusyBit;
        State->Tr = cache;
    }

    private void RequireTableRegister()
    {
        if (SelectorsAreParagraphs)
            throw Fault(Vectors.UD);
        if (Cpl != 0)
            throw Fault(Vectors.GP, 0);
    }

    /// <summary>LDT and TSS descriptors are sixteen bytes in IA-32e mode.</summary>
    private SegmentCache WithUpperBase(int selector, in Descriptor descriptor)
    {
        SegmentCache cache = descriptor.ToCache(selector);
        if (!LongModeActive)
            return cache;
        cache.Base |= ReadDescriptorUpper(selector, descriptor, Vectors.GP) << 32;
        return IsCanonical(cache.Base) ? cache : throw Fault(Vectors.GP, SelectorError(selector));
    }

    /// <summary>After a return to an outer ring: data segments that the new privilege may not hold become null.</summary>
    internal void DropInnerSegments()
    {
        int cpl = Cpl;
        for (Seg seg = Seg.Es; seg <= Seg.Gs; seg++)
        {
            if (seg is Seg.Cs or Seg.Ss)
                continue;
            ref SegmentCache cache = ref Segment(seg);
            if (!cache.Unusable && cache.Dpl < cpl && !cache.Conforming)
                SetNull(seg, 0);
        }
    }
}
