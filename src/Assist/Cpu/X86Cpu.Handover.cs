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
        ForgetJumps();
    }

    /// <summary>Which instructions are refused has changed: everything is decoded anew.</summary>
    public void DecodeAnew()
    {
        _code.Clear();
        ForgetJumps();
    }

    /// <summary>Counts the calls of <see cref="ForgetCode"/>: blocks of an earlier one are not trusted.</summary>
    private ulong _codeEpoch;

    /// <summary>What the instruction at CS:IP is, decoded as it will be executed; INVALID where its fetch faults.</summary>
    public Iced.Intel.Code PeekCode()
    {
        Import();
        Window* window = _windows + (int)Seg.Cs;
        ulong rip = State->Rip & window->LinearMask;
        try
        {
            return (Iced.Intel.Code)Block.Ops(Lookup((window->Base + rip) & window->LinearMask, rip))->Code;
        }
        catch (GuestFault)
        {
            return Iced.Intel.Code.INVALID;
        }
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
