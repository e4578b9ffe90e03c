using System.Runtime.CompilerServices;

namespace Farm.Assist.Cpu;

// For who moves a guest between this processor and another.
public sealed unsafe partial class X86Cpu
{
    /// <summary>True: a block boundary with CR0.PE set stops with <see cref="StopReason.ProtectedModeEntered"/>.</summary>
    public bool StopsAtProtectedMode { get; set; }

    /// <summary>Segment registers (bit 0 ES, 1 CS...) whose loading in real mode stops the run with <see cref="StopReason.SegmentLoaded"/>.</summary>
    public int WatchedSegments { get; set; }

    /// <summary>A #DB trap of the last instruction, or an SMI, is still to be delivered; it does not show in <see cref="State"/>.</summary>
    public bool EventPending => (_attention & (Attention.Debug | Attention.Smi)) != 0;

    /// <summary>RESET and INIT: latched NMI and SMI, and debug traps that are due, are gone.</summary>
    public void ForgetEvents()
    {
        _attention &= ~(Attention.Nmi | Attention.Smi | Attention.Debug | Attention.Repeat);
        _pendingDr6 = 0;
    }

    /// <summary>
    /// Another processor may have stored to memory without the map noticing: what was decoded so far is compared with its memory before
    /// it is executed again.
    /// </summary>
    public void ForgetCode()
    {
        _codeEpoch++;
        _jumpsOutdated = true;
    }

    /// <summary>Which instructions are refused has changed: everything is decoded anew.</summary>
    public void DecodeAnew()
    {
        _code.Clear();
        ForgetJumps();
    }

    /// <summary>Counts the calls of <see cref="ForgetCode"/>: blocks of an earlier one are not trusted.</summary>
    private ulong _codeEpoch;

    /// <summary>To be done before blocks are found by their linear address.</summary>
    private bool _jumpsOutdated;

    /// <summary>The block at CS:IP that <see cref="PeekCode"/> found; null where its fetch faults.</summary>
    private Block* _peeked;
    private ulong _peekedRip, _peekedLinear;

    /// <summary>What the instruction at CS:IP is, decoded as it will be executed; INVALID where its fetch faults.</summary>
    /// <param name="sameMode">
    /// Since the last run the host changed general registers, RIP and flags only, and loaded segment registers as real-mode code does.
    /// </param>
    public Iced.Intel.Code PeekCode(bool sameMode = false)
    {
        if (sameMode)
            ImportRegisters();
        else
            Import();
        Window* window = _windows + (int)Seg.Cs;
        _peekedRip = State->Rip & window->LinearMask;
        _peekedLinear = (window->Base + _peekedRip) & window->LinearMask;
        if (sameMode && (_peeked = Remembered(_peekedLinear)) != null)
            return (Iced.Intel.Code)Block.Ops(_peeked)->Code;
        try
        {
            _peeked = Lookup(_peekedLinear, _peekedRip);
            return (Iced.Intel.Code)Block.Ops(_peeked)->Code;
        }
        catch (GuestFault)
        {
            _peeked = null;
            return Iced.Intel.Code.INVALID;
        }
    }

    /// <summary>As <see cref="StepOne"/> directly behind <see cref="PeekCode"/>.</summary>
    public StopReason StepPeeked()
    {
        Block* block = _peeked;
        _peeked = null;
        if (block == null || NeedsAttention || _peekedRip + Block.Ops(block)->Next > _codeEnd)
            return RunImported(1);
        ulong result = State->LazyResult;
        uint carries = State->LazyCarries;
        _deadline = _count + 1;
        // No branch: what led here was another's to execute.
        try
        {
            RunOne(Block.Ops(block), _peekedRip, _peekedLinear);
        }
        catch (GuestFault)
        {
            RaiseFault();
        }
        var reason = NeedsAttention || _count < _deadline ? RunToStop() : StopReason.Budget;
        // Most of what is stepped so leaves the flags as they came.
        if (State->LazyResult != result || State->LazyCarries != carries)
            _ = Flags;
        _translation = (State->Cr0, State->Cr3, State->Cr4, State->Efer);
        return reason;
    }

    /// <summary>
    /// The block that the jump cache has for a linear address without paging, if the bytes of its first instruction are still those in memory:
    /// the others are not looked at.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Block* Remembered(ulong linear)
    {
        Jump* jump = JumpAt(linear);
        Block* block = jump->Block;
        if (jump->Key != ((linear & Block.AddressMask) | _context) || block->Count == 0)
            return null;
        ulong address = block->Key & Block.AddressMask;
        byte* memory = Memory.HostAt(address), decoded = Block.Code(block);
        int length = Block.Ops(block)->Length;
        // Behind decoded bytes a cache has room, behind those in memory is a page's end.
        if (length <= sizeof(ulong) && (address & (PhysicalMemory.PageSize - 1)) <= PhysicalMemory.PageSize - sizeof(ulong))
            return (*(ulong*)memory ^ *(ulong*)decoded) << (8 * (sizeof(ulong) - length)) == 0 ? block : null;
        return HasFirst(memory, decoded, length) ? block : null;
    }

    private static bool HasFirst(byte* memory, byte* decoded, int length)
    {
        int same = 0;
        while (same + sizeof(uint) <= length && *(uint*)(memory + same) == *(uint*)(decoded + same))
            same += sizeof(uint);
        while (same < length && memory[same] == decoded[same])
            same++;
        return same == length;
    }

    /// <summary>A block of one op, as <see cref="RunBlock"/> runs it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void RunOne(Op* op, ulong rip, ulong linear)
    {
        _op = _first = op;
        _end = op + 1;
        _blockRip = rip;
        _blockLinear = linear;
        State->Rip = rip + op->Next;
        op->Handler(this, op);
        _op = null;
        _committed = false;
        _count++;
        _nextLinear = _blockLinear + op->Next;
        _lastLinear = _nextLinear - op->Length;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void ImportRegisters()
    {
        ArithmeticFlags = _modeFlags = (uint)State->Rflags;
        Window* window = _windows;
        CpuState* state = State;
        window[(int)Seg.Es].Base = state->Es.Base;
        window[(int)Seg.Cs].Base = state->Cs.Base;
        window[(int)Seg.Ss].Base = state->Ss.Base;
        window[(int)Seg.Ds].Base = state->Ds.Base;
        window[(int)Seg.Fs].Base = state->Fs.Base;
        window[(int)Seg.Gs].Base = state->Gs.Base;
        _attention &= ~Attention.ProtectedMode;
        if (((uint)State->Rflags & (Eflags.TF | Eflags.RF)) != 0)
            _attention |= Attention.Trace;
    }

    /// <summary>
    /// Delivers an event between two runs as if it had come up at RIP; what its delivery raises is delivered instead, up to shutdown.
    /// </summary>
    public void Inject(byte vector, EventKind kind, uint? errorCode = null)
    {
        Import();
        try
        {
            DeliverEvent(vector, kind, errorCode is not null, errorCode ?? 0);
        }
        catch (GuestFault)
        {
            RaiseFault();
        }
        Export();
    }

    /// <summary>
    /// For a door that threw, so that <see cref="Run"/> did not return: the instruction in execution has not begun, and the state stands at it.
    /// </summary>
    public void AbandonInstruction()
    {
        ulong start = InstructionStart;
        _count = InstructionCount;
        State->Rip = start;
        _op = null;
        _end = null;
        _stepping = _tracing = _committed = false;
        Export();
    }

    private void NoteSegmentLoad()
    {
        _attention |= Attention.Segment;
        EndBlock();
    }
}
