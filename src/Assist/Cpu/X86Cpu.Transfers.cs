namespace Farm.Assist.Cpu;

// Far JMP, CALL and RET in every mode (SDM vol. 2 under JMP, CALL, RET; vol. 3, 5.8). Nothing changes before the last check.
public sealed unsafe partial class X86Cpu
{
    /// <summary>Far JMP to a code segment, call gate, task gate or TSS. The offset is already cut to the operand size.</summary>
    public void FarJump(ushort selector, ulong offset)
    {
        if (SelectorsAreParagraphs)
        {
            if (offset > State->Cs.Limit)
                throw Fault(Vectors.GP, 0);
            SetRealSegment(Seg.Cs, selector);
            State->Rip = offset;
            return;
        }
        Descriptor target = ReadTransferTarget(selector);
        int cpl = Cpl;
        if (!target.IsSystem)
        {
            CheckDirectTarget(selector, target, cpl);
            ulong rip = LongModeActive && target.IsLongCode ? offset : (uint)offset;
            CheckInstructionPointer(target, rip);
            SetCodeSegment(SetAccessed(target), selector, cpl, rip);
            return;
        }
        CheckGatePrivilege(selector, target, cpl);
        switch (target.Type)
        {
            case Descriptor.CallGate16 when !LongModeActive:
            case Descriptor.CallGate32:
                JumpThroughGate(selector, target, cpl);
                return;
            case Descriptor.TaskGate when !LongModeActive:
                SwitchThroughTaskGate(selector, target, TaskSwitch.Jump);
                return;
            case Descriptor.TssAvailable16 or Descriptor.TssAvailable32 when !LongModeActive:
                RequirePresent(selector, target);
                SwitchTask(selector, target, TaskSwitch.Jump);
                return;
            default:
                throw Fault(Vectors.GP, SelectorError(selector));
        }
    }

    /// <summary>Far CALL; as <see cref="FarJump"/>, leaving a return address on the stack or a back link in the new TSS.</summary>
    public void FarCall(ushort selector, ulong offset, int size)
    {
        if (SelectorsAreParagraphs)
        {
            StackFrame real = CurrentStackFrame(size, flat: false);
            real.Push(State->Cs.Selector);
            real.Push(State->Rip);
            if (offset > State->Cs.Limit)
                throw Fault(Vectors.GP, 0);
            real.Probe();
            CommitFrame(real);
            SetRealSegment(Seg.Cs, selector);
            State->Rip = offset;
            return;
        }
        Descriptor target = ReadTransferTarget(selector);
        int cpl = Cpl;
        if (!target.IsSystem)
        {
            CheckDirectTarget(selector, target, cpl);
            ulong rip = LongModeActive && target.IsLongCode ? offset : (uint)offset;
            CallSamePrivilege(target, selector, rip, size, Mode64);
            return;
        }
        CheckGatePrivilege(selector, target, cpl);
        switch (target.Type)
        {
            case Descriptor.CallGate16 when !LongModeActive:
            case Descriptor.CallGate32:
                CallThroughGate(selector, target, cpl);
                return;
            case Descriptor.TaskGate when !LongModeActive:
                SwitchThroughTaskGate(selector, target, TaskSwitch.Call);
                return;
            case Descriptor.TssAvailable16 or Descriptor.TssAvailable32 when !LongModeActive:
                RequirePresent(selector, target);
                SwitchTask(selector, target, TaskSwitch.Call);
                return;
            default:
                throw Fault(Vectors.GP, SelectorError(selector));
        }
    }

    /// <summary>Far RET, dropping <paramref name="release"/> bytes of parameters from the stack, from both on a return to an outer ring.</summary>
    public void FarReturn(int size, int release)
    {
        ulong rip = PeekSized(0, size);
        var selector = (ushort)PeekSized(size, size);
        if (SelectorsAreParagraphs)
        {
            if (rip > State->Cs.Limit)
                throw Fault(Vectors.GP, 0);
            AdjustSp((2 * size) + release);
            SetRealSegment(Seg.Cs, selector);
            State->Rip = rip;
            return;
        }
        Descriptor code = ReadReturnTarget(selector);
        if ((selector & 3) == Cpl)
        {
            CheckInstructionPointer(code, rip);
            code = SetAccessed(code);
            AdjustSp((2 * size) + release);
            SetCodeSegment(code, selector, Cpl, rip);
            return;
        }
        ulong sp = PeekSized((2 * size) + release, size);
        var ss = (ushort)PeekSized((3 * size) + release, size);
        ReturnToOuterRing(code, selector, rip, ss, sp, release);
    }

    /// <summary>Shared by RET and IRET: loads CS:RIP and SS:RSP of an outer ring. Nothing changes when it faults.</summary>
    private void ReturnToOuterRing(in Descriptor code, ushort selector, ulong rip, ushort stackSelector, ulong sp, int release)
    {
        int oldCpl = Cpl;
        int cpl = selector & 3;
        bool nullStack = IsNull(stackSelector);
        Descriptor stack = default;
        if (!nullStack)
            stack = ReadStackSegment(stackSelector, cpl, Vectors.GP, 0);
        else if (!LongModeActive || !code.IsLongCode || cpl == 3 || (stackSelector & 3) != cpl)
            throw Fault(Vectors.GP, 0);
        CheckInstructionPointer(code, rip);
        Descriptor codeSet = SetAccessed(code);
        if (nullStack)
        {
            State->Ss.Access = UnusableAccess | ((uint)cpl << 5);
            SetNull(Seg.Ss, stackSelector);
        }
        else
        {
            SetSegment(Seg.Ss, SetAccessed(stack).ToCache(stackSelector));
        }
        SetCodeSegment(codeSet, selector, cpl, rip);
        SetStackPointer(sp, LongModeActive && codeSet.IsLongCode);
        if (release != 0)
            AdjustSp(release);
        if (cpl > oldCpl)
            DropInnerSegments();
    }

    /// <summary>Loads (R)SP as wide as the current SS says; a 16-bit stack keeps the upper half of ESP, as processors do.</summary>
    private void SetStackPointer(ulong sp, bool flat)
    {
        ref ulong rsp = ref State->Gpr[StackPointer];
        if (flat)
            rsp = sp;
        else if (State->Ss.Big)
            rsp = (uint)sp;
        else
            rsp = (rsp & ~0xFFFFul) | (ushort)sp;
    }

    private StackFrame CurrentStackFrame(int size, bool flat, uint error = 0) =>
        new(this, State->Ss, State->Gpr[StackPointer], size, flat, Cpl == 3, error);

    /// <summary>Writes a probed frame and moves (R)SP.</summary>
    private void CommitFrame(in StackFrame frame)
    {
        frame.Commit();
        State->Gpr[StackPointer] = frame.Sp;
    }

    internal ulong PeekSized(int displacement, int size) => size switch
    {
        2 => Peek<ushort>(displacement),
        4 => Peek<uint>(displacement),
        _ => Peek<ulong>(displacement),
    };

    private Descriptor ReadTransferTarget(ushort selector)
    {
        if (IsNull(selector))
            throw Fault(Vectors.GP, 0);
        if (!TryReadDescriptor(selector, out Descriptor descriptor))
            throw Fault(Vectors.GP, SelectorError(selector));
        return descriptor;
    }

    /// <summary>Code segment as the direct target of JMP or CALL.</summary>
    private void CheckDirectTarget(ushort selector, in Descriptor code, int cpl)
    {
        bool allowed = code.IsCode
            && (code.IsConforming ? code.Dpl <= cpl : (selector & 3) <= cpl && code.Dpl == cpl)
            && !(LongModeActive && code.IsLongCode && code.IsBig);
        if (!allowed)
            throw Fault(Vectors.GP, SelectorError(selector));
        RequirePresent(selector, code);
    }

    private void CheckGatePrivilege(ushort selector, in Descriptor gate, int cpl)
    {
        if (gate.Dpl < cpl || gate.Dpl < (selector & 3))
            throw Fault(Vectors.GP, SelectorError(selector));
    }

    private void RequirePresent(int selector, in Descriptor descriptor)
    {
        if (!descriptor.Present)
            throw Fault(Vectors.NP, SelectorError(selector));
    }

    /// <summary>Code segment as the target of RET or IRET.</summary>
    private Descriptor ReadReturnTarget(ushort selector)
    {
        Descriptor code = ReadTransferTarget(selector);
        int rpl = selector & 3;
        bool allowed = code.IsCode && rpl >= Cpl && (code.IsConforming ? code.Dpl <= rpl : code.Dpl == rpl)
            && !(LongModeActive && code.IsLongCode && code.IsBig);
        if (!allowed)
            throw Fault(Vectors.GP, SelectorError(selector));
        RequirePresent(selector, code);
        return code;
    }

    private void CallSamePrivilege(in Descriptor code, int selector, ulong rip, int size, bool flat)
    {
        int cpl = Cpl;
        StackFrame frame = CurrentStackFrame(size, flat);
        frame.Push(State->Cs.Selector);
        frame.Push(State->Rip);
        CheckInstructionPointer(code, rip);
        frame.Probe();
        Descriptor codeSet = SetAccessed(code);
        CommitFrame(frame);
        SetCodeSegment(codeSet, selector, cpl, rip);
    }

    /// <summary>Offset and operand size of a call gate; reads the second half of a 64-bit one.</summary>
    private ulong ReadCallGate(ushort selector, in Descriptor gate, out int size)
    {
        RequirePresent(selector, gate);
        if (LongModeActive)
        {
            size = 8;
            return gate.GateOffset32 | (ReadDescriptorUpper(selector, gate, Vectors.GP) << 32);
        }
        size = gate.Type == Descriptor.CallGate32 ? 4 : 2;
        return size == 4 ? gate.GateOffset32 : gate.GateOffset16;
    }

    private void JumpThroughGate(ushort selector, in Descriptor gate, int cpl)
    {
        ulong rip = ReadCallGate(selector, gate, out _);
        Descriptor code = ReadGateTarget(gate.GateSelector, 0);
        if (!code.IsConforming && code.Dpl != cpl)
            throw Fault(Vectors.GP, SelectorError(gate.GateSelector));
        CheckInstructionPointer(code, rip);
        SetCodeSegment(SetAccessed(code), gate.GateSelector, cpl, rip);
    }

    private void CallThroughGate(ushort selector, in Descriptor gate, int cpl)
    {
        ulong rip = ReadCallGate(selector, gate, out int size);
        Descriptor code = ReadGateTarget(gate.GateSelector, 0);
        if (code.IsConforming || code.Dpl == cpl)
        {
            CallSamePrivilege(code, gate.GateSelector, rip, size, LongModeActive);
            return;
        }
        InnerStack inner = ReadInnerStack(code.Dpl, 0);
        int parameters = LongModeActive ? 0 : gate.GateParameters;
        var frame = new StackFrame(this, inner.Segment, inner.Sp, size, LongModeActive, user: false, SelectorError(inner.Selector));
        frame.Push(State->Ss.Selector);
        frame.Push(State->Gpr[StackPointer]);
        for (int i = parameters - 1; i >= 0; i--)
            frame.Push(PeekSized(i * size, size));
        frame.Push(State->Cs.Selector);
        frame.Push(State->Rip);
        CheckInstructionPointer(code, rip);
        frame.Probe();
        Descriptor codeSet = SetAccessed(code);
        inner = MarkInnerStack(inner);
        SetSegment(Seg.Ss, inner.Segment);
        CommitFrame(frame);
        SetCodeSegment(codeSet, gate.GateSelector, codeSet.Dpl, rip);
    }

    /// <summary>A stack of an inner ring, read from the TSS and checked.</summary>
    private readonly record struct InnerStack(ushort Selector, ulong Sp, SegmentCache Segment, Descriptor Descriptor);

    /// <summary>SS:(R)SP for ring <paramref name="cpl"/> from the TSS: #TS for a bad one, #SS if not present. In IA-32e mode SS is null.</summary>
    private InnerStack ReadInnerStack(int cpl, uint ext)
    {
        if (LongModeActive)
        {
            var flat = new SegmentCache { Selector = (ushort)cpl, Access = UnusableAccess | ((uint)cpl << 5) };
            return new InnerStack((ushort)cpl, ReadTssPointer(4 + (cpl * 8), ext), flat, default);
        }
        ref SegmentCache tr = ref State->Tr;
        bool wide = (tr.Type & 8) != 0;
        uint place = (uint)(wide ? 4 + (cpl * 8) : 2 + (cpl * 4));
        if (tr.Unusable || place + (wide ? 5u : 3u) > tr.Limit)
            throw Fault(Vectors.TS, SelectorError(tr.Selector, ext));
        ulong sp = wide ? ReadLinear<uint>(TssAddress(place)) : ReadLinear<ushort>(TssAddress(place));
        ushort selector = ReadLinear<ushort>(TssAddress(place + (wide ? 4u : 2u)));
        if (IsNull(selector))
            throw Fault(Vectors.TS, ext);
        Descriptor descriptor = ReadStackSegment(selector, cpl, Vectors.TS, ext);
        return new InnerStack(selector, sp, descriptor.ToCache(selector), descriptor);
    }

    /// <summary>RSPn or ISTn of the 64-bit TSS.</summary>
    private ulong ReadTssPointer(int place, uint ext)
    {
        if (State->Tr.Unusable || (uint)place + 7 > State->Tr.Limit)
            throw Fault(Vectors.TS, SelectorError(State->Tr.Selector, ext));
        ulong pointer = ReadLinear<ulong>(State->Tr.Base + (ulong)place);
        return IsCanonical(pointer) ? pointer : throw Fault(Vectors.SS, ext);
    }

    private ulong TssAddress(uint offset) => WrapLinear(State->Tr.Base + offset);

    /// <summary>Sets the accessed bit of the inner stack's descriptor: it may fault, so this comes before anything else is stored.</summary>
    private InnerStack MarkInnerStack(in InnerStack inner) =>
        inner.Segment.Unusable ? inner : inner with { Segment = SetAccessed(inner.Descriptor).ToCache(inner.Selector) };
}
