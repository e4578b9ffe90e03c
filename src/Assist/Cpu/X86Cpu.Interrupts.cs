namespace Farm.Assist.Cpu;

// Delivery of interrupts and exceptions through IVT or IDT (SDM vol. 2 under INT n; vol. 3, chapters 6 and 20).
public sealed unsafe partial class X86Cpu
{
    /// <summary>Bits of an error code: the event came from outside the program; the index is one into the IDT.</summary>
    private const uint ErrorExt = 1, ErrorIdt = 2;

    /// <summary>Faults: they push EFLAGS with RF set, #DB too unless it is a breakpoint's (SDM vol. 3, 18.3.1.1).</summary>
    private const uint FaultVectors = (1u << Vectors.DE) | (1u << Vectors.DB) | (1u << Vectors.BR) | (1u << Vectors.UD) | (1u << Vectors.NM) | (1u << Vectors.TS)
        | (1u << Vectors.NP) | (1u << Vectors.SS) | (1u << Vectors.GP) | (1u << Vectors.PF) | (1u << Vectors.MF) | (1u << Vectors.AC) | (1u << Vectors.XM);

    /// <summary>
    /// Delivers an event: what is pushed as return address is RIP as it stands. If the delivery itself faults, the fault is
    /// thrown and nothing has changed; making a double fault of it is the run loop's business.
    /// </summary>
    /// <param name="vector">IDT or IVT entry.</param>
    /// <param name="kind">Source of the event.</param>
    /// <param name="hasError">An error code is to be pushed (never in real mode).</param>
    /// <param name="error">The error code.</param>
    internal void DeliverEvent(byte vector, EventKind kind, bool hasError, uint error)
    {
        uint ext = kind == EventKind.SoftwareInterrupt ? 0 : ErrorExt;
        uint flags = Flags;
        if (kind == EventKind.SoftwareInterrupt)
            flags &= ~Eflags.RF;
        else if (kind == EventKind.Exception && vector < 32 && ((FaultVectors >> vector) & 1) != 0)
            flags |= Eflags.RF;
        else if (kind is EventKind.ExternalInterrupt or EventKind.Nmi or EventKind.Trap && AmidRepeat)
            flags |= Eflags.RF;
        if (!ProtectedMode)
            DeliverReal(vector, flags, ext);
        else if (LongModeActive)
            DeliverLong(vector, kind, flags, ext, hasError, error);
        else
            DeliverProtected(vector, kind, flags, ext, hasError, error);
        if (kind == EventKind.Nmi)
            State->NmiBlocked = 1;
        else if (kind == EventKind.Exception && vector == Vectors.DB)
            State->Dr[7] &= ~DebugGeneralDetect;
        State->Shadow = InterruptShadow.None;
        State->Activity = Activity.Active;
        _attention &= ~Attention.Repeat;
    }

    /// <summary>INT n (CD), with virtual-8086 mode's rules on top of <see cref="DeliverEvent"/>.</summary>
    public void SoftwareInterrupt(byte vector)
    {
        if (vector is 0x16 or 0x28 or 0x2F && SelectorsAreParagraphs && Waits(vector))
            Door.ProgramWaits();
        if (Vm86 && (State->Cr4 & ControlRegisters.Cr4VME) != 0 && !IsInterruptIntercepted(vector))
            Redirect(vector);
        else if (Vm86 && Iopl < 3)
            Raise(Vectors.GP, 0);
        else
            DeliverEvent(vector, EventKind.SoftwareInterrupt, false, 0);
    }

    private bool Waits(byte vector) => vector switch
    {
        0x16 => (byte)(State->Gpr[0] >> 8) is 0x01 or 0x11,
        0x2F => (ushort)State->Gpr[0] == 0x1680,
        _ => true,
    };

    private void DeliverReal(byte vector, uint flags, uint ext)
    {
        uint entry = (uint)vector * 4;
        if (entry + 3 > State->Idtr.Limit)
            throw Fault(Vectors.GP, (entry * 2) | ErrorIdt | ext);
        uint pointer = ReadLinear<uint>((uint)(State->Idtr.Base + entry));
        JumpThroughVector(pointer, flags, flags & ~(Eflags.IF | Eflags.TF | Eflags.AC | Eflags.RF));
    }

    /// <summary>Pushes FLAGS, CS and IP as an 8086 does and goes to a far pointer: real mode, and VME's redirected interrupts.</summary>
    private void JumpThroughVector(uint pointer, uint pushed, uint flags)
    {
        StackFrame frame = CurrentStackFrame(2, flat: false);
        frame.Push(pushed);
        frame.Push(State->Cs.Selector);
        frame.Push(State->Rip);
        if ((pointer & 0xFFFF) > State->Cs.Limit)
            throw Fault(Vectors.GP, 0);
        frame.Probe();
        CommitFrame(frame);
        SetRealSegment(Seg.Cs, (ushort)(pointer >> 16));
        State->Rip = pointer & 0xFFFF;
        Flags = flags;
    }

    /// <summary>INT n in virtual-8086 mode that VME redirects to the guest's own vector (SDM vol. 3, table 20-2).</summary>
    private void Redirect(byte vector)
    {
        uint flags = Flags & ~Eflags.RF;
        uint pointer = ReadLinear<uint>((uint)vector * 4);
        if (Iopl < 3)
            JumpThroughVector(pointer, VirtualFlagsImage(flags), flags & ~(Eflags.TF | Eflags.VIF));
        else
            JumpThroughVector(pointer, flags, flags & ~(Eflags.TF | Eflags.IF));
    }

    /// <summary>FLAGS as a virtual-8086 program with virtual interrupts sees them: IF is VIF, IOPL is 3.</summary>
    internal static uint VirtualFlagsImage(uint flags) =>
        (flags & ~Eflags.IF) | Eflags.IoplMask | ((flags & Eflags.VIF) != 0 ? Eflags.IF : 0);

    /// <summary>The bit of a vector in the TSS's interrupt redirection bit map, which ends where the I/O map begins.</summary>
    private bool IsInterruptIntercepted(byte vector)
    {
        ref SegmentCache tr = ref State->Tr;
        if (tr.Unusable || (tr.Type & 8) == 0 || tr.Limit < TssIoMapBase32 + 1)
            throw Fault(Vectors.GP, 0);
        long place = ReadLinear<ushort>(TssAddress(TssIoMapBase32)) - 32 + (vector >> 3);
        if (place < 0 || place > tr.Limit)
            throw Fault(Vectors.GP, 0);
        return ((ReadLinear<byte>(TssAddress((uint)place)) >> (vector & 7)) & 1) != 0;
    }

    private Descriptor ReadIdtGate(byte vector, int entrySize, EventKind kind, uint ext)
    {
        uint entry = (uint)vector * (uint)entrySize;
        uint name = ((uint)vector * 8) | ErrorIdt | ext;
        if (entry + (uint)entrySize - 1 > State->Idtr.Limit)
            throw Fault(Vectors.GP, name);
        ulong address = WrapLinear(State->Idtr.Base + entry);
        var gate = new Descriptor(ReadLinear<ulong>(address), address);
        bool known = gate.IsSystem && (LongModeActive
            ? gate.Type is Descriptor.InterruptGate32 or Descriptor.TrapGate32
            : gate.Type is Descriptor.TaskGate or Descriptor.InterruptGate16 or Descriptor.TrapGate16
                or Descriptor.InterruptGate32 or Descriptor.TrapGate32);
        if (!known || (kind == EventKind.SoftwareInterrupt && gate.Dpl < Cpl))
            throw Fault(Vectors.GP, name);
        if (!gate.Present)
            throw Fault(Vectors.NP, name);
        return gate;
    }

    private void DeliverProtected(byte vector, EventKind kind, uint flags, uint ext, bool hasError, uint error)
    {
        Descriptor gate = ReadIdtGate(vector, 8, kind, ext);
        if (gate.Type == Descriptor.TaskGate)
        {
            InterruptThroughTaskGate(gate, ext, flags, hasError, error);
            return;
        }
        int size = (gate.Type & 8) != 0 ? 4 : 2;
        ulong rip = size == 4 ? gate.GateOffset32 : gate.GateOffset16;
        Descriptor code = ReadGateTarget(gate.GateSelector, ext);
        bool inner = !code.IsConforming && code.Dpl < Cpl;
        if (Vm86 && (!inner || code.Dpl != 0))
            throw Fault(Vectors.GP, SelectorError(gate.GateSelector, ext));
        uint cleared = Eflags.TF | Eflags.NT | Eflags.RF | Eflags.VM | ((gate.Type & 1) == 0 ? Eflags.IF : 0);
        if (inner)
            InterruptToInnerRing(gate, code, rip, size, flags, ext, hasError, error);
        else
            InterruptSameRing(gate, code, rip, size, flags, ext, hasError, error);
        Flags = flags & ~cleared;
    }

    private void InterruptSameRing(in Descriptor gate, in Descriptor code, ulong rip, int size, uint flags, uint ext, bool hasError, uint error)
    {
        int cpl = Cpl;
        StackFrame frame = CurrentStackFrame(size, flat: false, ext);
        PushReturn(ref frame, flags, hasError, error);
        CheckInstructionPointer(code, rip, ext);
        frame.Probe();
        Descriptor codeSet = SetAccessed(code);
        CommitFrame(frame);
        SetCodeSegment(codeSet, gate.GateSelector, cpl, rip);
    }

    private void InterruptToInnerRing(in Descriptor gate, in Descriptor code, ulong rip, int size, uint flags, uint ext, bool hasError, uint error)
    {
        bool virtual8086 = Vm86;
        InnerStack inner = ReadInnerStack(code.Dpl, ext);
        var frame = new StackFrame(this, inner.Segment, inner.Sp, size, flat: false, user: false, SelectorError(inner.Selector, ext));
        if (virtual8086)
        {
            frame.Push(State->Gs.Selector);
            frame.Push(State->Fs.Selector);
            frame.Push(State->Ds.Selector);
            frame.Push(State->Es.Selector);
        }
        frame.Push(State->Ss.Selector);
        frame.Push(State->Gpr[StackPointer]);
        PushReturn(ref frame, flags, hasError, error);
        CheckInstructionPointer(code, rip, ext);
        frame.Probe();
        Descriptor codeSet = SetAccessed(code);
        inner = MarkInnerStack(inner);
        Flags &= ~Eflags.VM;
        SetSegment(Seg.Ss, inner.Segment);
        CommitFrame(frame);
        SetCodeSegment(codeSet, gate.GateSelector, codeSet.Dpl, rip);
        if (virtual8086)
        {
            SetNull(Seg.Gs, 0);
            SetNull(Seg.Fs, 0);
            SetNull(Seg.Ds, 0);
            SetNull(Seg.Es, 0);
        }
    }

    private void PushReturn(ref StackFrame frame, uint flags, bool hasError, uint error)
    {
        frame.Push(flags);
        frame.Push(State->Cs.Selector);
        frame.Push(State->Rip);
        if (hasError)
            frame.Push(error);
    }

    private void DeliverLong(byte vector, EventKind kind, uint flags, uint ext, bool hasError, uint error)
    {
        Descriptor gate = ReadIdtGate(vector, 16, kind, ext);
        ulong rip = gate.GateOffset32 | (ReadLinear<ulong>(gate.Address + 8) << 32);
        Descriptor code = ReadGateTarget(gate.GateSelector, ext);
        int cpl = Cpl;
        bool inner = !code.IsConforming && code.Dpl < cpl;
        int newCpl = inner ? code.Dpl : cpl;
        SegmentCache stack = State->Ss;
        ulong sp = State->Gpr[StackPointer];
        if (gate.GateIst != 0)
            sp = ReadTssPointer(0x24 + ((gate.GateIst - 1) * 8), ext);
        else if (inner)
            sp = ReadTssPointer(4 + (newCpl * 8), ext);
        if (inner)
            stack = new SegmentCache { Selector = (ushort)newCpl, Access = UnusableAccess | ((uint)newCpl << 5) };
        var frame = new StackFrame(this, stack, sp & ~0xFul, 8, flat: true, newCpl == 3, ext);
        frame.Push(State->Ss.Selector);
        frame.Push(State->Gpr[StackPointer]);
        PushReturn(ref frame, flags, hasError, error);
        CheckInstructionPointer(code, rip, ext);
        frame.Probe();
        Descriptor codeSet = SetAccessed(code);
        SetSegment(Seg.Ss, stack);
        CommitFrame(frame);
        SetCodeSegment(codeSet, gate.GateSelector, newCpl, rip);
        Flags = flags & ~(Eflags.TF | Eflags.NT | Eflags.RF | ((gate.Type & 1) == 0 ? Eflags.IF : 0));
    }
}
