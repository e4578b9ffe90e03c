using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Iced.Intel;

namespace Farm.Assist.Cpu;

// What happens between instructions: stops, interrupts, debug traps; and what becomes of a fault.
public sealed unsafe partial class X86Cpu
{
    private const uint Dr6Step = 0x4000, Dr7GeneralDetect = 0x2000;
    private const int BranchRing = 32;

    /// <summary>DR6 bits of #DB traps due at the next boundary.</summary>
    private uint _pendingDr6;

    /// <summary>EFLAGS.TF at the start of the instruction being stepped.</summary>
    private bool _tracing;

    private readonly (ulong From, ulong To)* _branches = ((ulong, ulong)*)NativeMemory.AllocZeroed(BranchRing, (nuint)sizeof((ulong, ulong)));
    private (ulong From, ulong To) _lastBranch;
    private ulong _branchCount;
    private ulong _lastLinear;
    private ulong _nextLinear;

    /// <summary>Faults raised by instructions or fetches so far.</summary>
    public ulong FaultCount { get; private set; }

    /// <summary>The last fault that <see cref="FaultCount"/> counts.</summary>
    public (byte Vector, uint ErrorCode) LastFault { get; private set; }

    /// <summary>External interrupts delivered so far.</summary>
    public ulong InterruptCount { get; private set; }

    /// <summary>Blocks decoded so far.</summary>
    public ulong BlocksDecoded => _code.Decoded;

    /// <summary>Blocks dropped so far because their bytes changed.</summary>
    public ulong BlocksInvalidated => _code.Invalidated;

    /// <summary>Linear address of the instruction that stopped with <see cref="StopReason.Unsupported"/>.</summary>
    public ulong UnsupportedAt { get; private set; }

    /// <summary>What Iced calls it.</summary>
    public Code UnsupportedCode { get; private set; }

    /// <summary>Its bytes.</summary>
    public byte[] UnsupportedBytes { get; private set; } = [];

    /// <summary>The last control transfers (linear addresses of the instruction left and the one entered), oldest first; no repeats of the same pair in a row.</summary>
    public (ulong From, ulong To)[] LastBranches()
    {
        int count = (int)Math.Min(_branchCount, BranchRing);
        var branches = new (ulong, ulong)[count];
        for (int i = 0; i < count; i++)
            branches[i] = _branches[(_branchCount - (ulong)count + (ulong)i) % BranchRing];
        return branches;
    }

    /// <summary>#DB trap with these DR6 bits after the instruction in execution (task switch with the T bit, I/O breakpoints).</summary>
    internal void PendDebugTrap(uint dr6)
    {
        _pendingDr6 |= dr6;
        _attention |= Attention.Debug;
        EndBlock();
    }

    /// <summary>Stops the run before the instruction: valid, but not implemented or refused.</summary>
    public void Unsupported(Op* op)
    {
        State->Rip = InstructionStart;
        UnsupportedAt = (_windows[(int)Seg.Cs].Base + State->Rip) & _windows[(int)Seg.Cs].LinearMask;
        UnsupportedCode = (Code)op->Code;
        UnsupportedBytes = new byte[op->Length];
        for (int i = 0; i < op->Length; i++)
            UnsupportedBytes[i] = ReadPhysical<byte>(TranslateCode(WrapLinear(UnsupportedAt + (ulong)i)));
        _count--;
        RequestStop(StopReason.Unsupported);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void NoteBranch(ulong linear)
    {
        ulong from = _lastLinear;
        if (linear == _lastBranch.To && from == _lastBranch.From)
            return;
        _lastBranch.From = from;
        _lastBranch.To = linear;
        (ulong From, ulong To)* branch = _branches + (_branchCount++ % BranchRing);
        branch->From = from;
        branch->To = linear;
    }

    /// <summary>The close look at a block boundary. True: stop for <paramref name="reason"/>; else events are delivered and <see cref="_stepping"/> set.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool Attend(out StopReason reason)
    {
        _stepping = false;
        _tracing = false;
        if ((_attention & Attention.Stop) != 0)
        {
            _attention &= ~Attention.Stop;
            reason = _stop;
            return true;
        }
        if (_kicked != 0)
        {
            _kicked = 0;
            reason = StopReason.Kicked;
            return true;
        }
        if (State->Activity == Activity.Shutdown)
        {
            reason = StopReason.Shutdown;
            return true;
        }
        if ((_attention & Attention.RealMode) != 0)
        {
            reason = StopReason.RealModeEntered;
            return true;
        }
        if ((_attention & Attention.ProtectedMode) != 0)
        {
            reason = StopReason.ProtectedModeEntered;
            return true;
        }
        if ((_attention & Attention.Segment) != 0)
        {
            _attention &= ~Attention.Segment;
            reason = StopReason.SegmentLoaded;
            return true;
        }
        if (_deadline <= _count)
        {
            reason = StopReason.Budget;
            return true;
        }
        DeliverPending();
        if (State->Activity != Activity.Active)
        {
            reason = StopReason.Halted;
            return true;
        }
        PrepareStep();
        reason = default;
        return false;
    }

    /// <summary>By priority (SDM vol. 3, table 6-2): debug traps, SMI, NMI, external interrupts; the shadows hold them off.</summary>
    private void DeliverPending()
    {
        if ((_attention & Attention.Debug) != 0 && State->Shadow != InterruptShadow.MovSs)
        {
            _attention &= ~Attention.Debug;
            State->Activity = Activity.Active;
            State->Dr[6] |= _pendingDr6;
            State->Dr[7] &= ~(ulong)Dr7GeneralDetect;
            _pendingDr6 = 0;
            DeliverEvent(Vectors.DB, EventKind.Trap, false, 0);
        }
        if (State->Shadow != InterruptShadow.None)
            return;
        if ((_attention & Attention.Smi) != 0 && !State->InSystemManagement && State->Activity is Activity.Active or Activity.Halted)
        {
            _attention &= ~Attention.Smi;
            EnterSystemManagement();
        }
        if ((_attention & Attention.Nmi) != 0 && State->NmiBlocked == 0)
        {
            _attention &= ~Attention.Nmi;
            State->Activity = Activity.Active;
            DeliverEvent(Vectors.NMI, EventKind.Nmi, false, 0);
        }
        if (_interruptLine && (State->Rflags & Eflags.IF) != 0)
        {
            State->Activity = Activity.Active;
            InterruptCount++;
            DeliverEvent(Door.AcknowledgeInterrupt(), EventKind.ExternalInterrupt, false, 0);
        }
    }

    /// <summary>Shadows, TF, RF and breakpoints: the next instruction runs alone.</summary>
    private void PrepareStep()
    {
        // No breakpoint strikes on the instruction after a load of SS (SDM vol. 3, 6.8.3), nor between two iterations of a repeat.
        bool resume = (State->Rflags & Eflags.RF) != 0 || State->Shadow == InterruptShadow.MovSs || AmidRepeat;
        _attention &= ~Attention.Repeat;
        if (State->Shadow != InterruptShadow.None)
        {
            State->Shadow = InterruptShadow.None;
            _stepping = true;
        }
        if ((State->Rflags & (Eflags.TF | Eflags.RF)) != 0)
        {
            _stepping = true;
            _tracing = (State->Rflags & Eflags.TF) != 0;
            State->Rflags &= ~(ulong)Eflags.RF;
        }
        else
        {
            _attention &= ~Attention.Trace;
        }
        if ((_attention & Attention.Breakpoints) == 0)
            return;
        _stepping = true;
        Window* window = _windows + (int)Seg.Cs;
        ulong linear = (window->Base + State->Rip) & window->LinearMask;
        uint hit = resume ? 0 : MatchBreakpoints(linear, 1, static kind => kind == 0);
        if (hit == 0)
            return;
        State->Dr[6] |= hit;
        State->Dr[7] &= ~(ulong)Dr7GeneralDetect;
        throw Fault(Vectors.DB);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void FinishStep(Op* op)
    {
        _stepping = false;

        // INT n clears TF and so takes its own trap away; a MOV SS shadow swallows it (SDM vol. 3, 6.8.3 and 17.3.1.4).
        bool swallowed = State->Shadow == InterruptShadow.MovSs
            || (((Code)op->Code).FlowControl() == FlowControl.Interrupt && (State->Rflags & Eflags.TF) == 0);
        if (_tracing && !swallowed)
        {
            _pendingDr6 |= Dr6Step;
            _attention |= Attention.Debug;
        }
        _tracing = false;
    }

    /// <summary>Data breakpoints; called on the slow path, which is the only one while DR7 enables any.</summary>
    private void WatchData(ulong linear, int size, bool write)
    {
        if ((_attention & Attention.Breakpoints) == 0)
            return;
        uint hit = write
            ? MatchBreakpoints(linear, size, static kind => (kind & 1) != 0)
            : MatchBreakpoints(linear, size, static kind => kind == 3);
        if (hit != 0)
            PendDebugTrap(hit);
    }

    /// <summary>I/O breakpoints (CR4.DE); the trap comes after the access.</summary>
    private void WatchPort(ushort port, int size)
    {
        if ((_attention & Attention.Breakpoints) == 0 || (State->Cr4 & ControlRegisters.Cr4DE) == 0)
            return;
        uint hit = MatchBreakpoints(port, size, static kind => kind == 2);
        if (hit != 0)
            PendDebugTrap(hit);
    }

    /// <summary>DR6 bits of the enabled breakpoints of a kind (DR7.R/W) that overlap the range (SDM vol. 3, 17.2.5).</summary>
    private uint MatchBreakpoints(ulong linear, int size, Func<uint, bool> kind)
    {
        uint dr7 = (uint)State->Dr[7], hit = 0;
        for (int i = 0; i < 4; i++)
        {
            if ((dr7 >> (i * 2) & 3) == 0 || !kind(dr7 >> (16 + (i * 4)) & 3))
                continue;
            ulong length = (dr7 >> (18 + (i * 4)) & 3) switch { 0 => 1, 1 => 2, 2 => 8, _ => 4ul };
            ulong start = State->Dr[i] & ~(length - 1);
            if (linear < start + length && start < linear + (ulong)size)
                hit |= 1u << i;
        }
        return hit;
    }

    /// <summary>
    /// Raises a fault as throwing <see cref="Fault(byte)"/> does, without the price of an exception, which is some 50,000 instructions of the
    /// host's. For a handler whose instruction has changed nothing: the instruction is over with this call, and the handler returns at once.
    /// </summary>
    internal void Raise(byte vector)
    {
        _ = Fault(vector);
        RaiseInPlace();
    }

    /// <inheritdoc cref="Raise(byte)"/>
    internal void Raise(byte vector, uint errorCode)
    {
        _ = Fault(vector, errorCode);
        RaiseInPlace();
    }

    /// <summary>At CPL 0 true; else #GP(0) is raised in place.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool RequireSupervisor()
    {
        if (_cpl == 0)
            return true;
        Raise(Vectors.GP, 0);
        return false;
    }

    private void RaiseInPlace()
    {
        ulong count = _count;
        RaiseFault();
        // The end of the block counts the instruction.
        _count = count;
    }

    /// <summary>
    /// Takes the fault just caught: restores RIP and delivers it; a fault in the delivery escalates to #DF and to shutdown (SDM vol. 3,
    /// table 6-5).
    /// </summary>
    private void RaiseFault()
    {
        FaultCount++;
        ulong restart = InstructionStart;
        _count = InstructionCount + 1;
        bool within = _op != null;
        _op = null;
        _end = null;
        _stepping = _tracing = false;
        if (_committed)
            restart = State->Rip;
        _committed = false;
        byte vector = _fault.Vector;
        bool hasError = _fault.HasErrorCode;
        uint error = _fault.ErrorCode;

        // A #DB before an instruction is its breakpoint, the one fault that leaves RF as it is.
        EventKind kind = vector == Vectors.DB && !within ? EventKind.Trap : EventKind.Exception;
        LastFault = (vector, error);
        while (true)
        {
            State->Rip = restart;
            try
            {
                DeliverEvent(vector, kind, hasError, error);
                return;
            }
            catch (GuestFault)
            {
                if (_committed)
                    restart = State->Rip;
                _committed = false;
                if (vector == Vectors.DF)
                {
                    State->Activity = Activity.Shutdown;
                    return;
                }
                bool doubled = (IsContributory(vector) && IsContributory(_fault.Vector))
                    || (vector == Vectors.PF && (_fault.Vector == Vectors.PF || IsContributory(_fault.Vector)));
                kind = EventKind.Exception;
                vector = doubled ? Vectors.DF : _fault.Vector;
                hasError = doubled || _fault.HasErrorCode;
                error = doubled ? 0 : _fault.ErrorCode;
            }
        }
    }

    private static bool IsContributory(byte vector) => vector is Vectors.DE or Vectors.TS or Vectors.NP or Vectors.SS or Vectors.GP;
}
