using System.Runtime.CompilerServices;

namespace Farm.Assist.Cpu;

// The run loop. A block of ops runs without a check between them; everything else (stops, interrupts, traps, shadows) is looked
// at between blocks, and EndBlock makes a block end after the instruction in execution.
public sealed unsafe partial class X86Cpu
{
    /// <summary>What a block boundary has to look at closely.</summary>
    [Flags]
    private enum Attention
    {
        None = 0,

        /// <summary><see cref="RequestStop"/>.</summary>
        Stop = 1,

        /// <summary>The INTR pin is high.</summary>
        Interrupt = 2,
        Nmi = 4,

        /// <summary>EFLAGS.TF or RF was set.</summary>
        Trace = 8,

        /// <summary>DR7 enables breakpoints.</summary>
        Breakpoints = 16,

        /// <summary>A #DB trap is due.</summary>
        Debug = 32,

        /// <summary>Real mode on a processor that may not run it.</summary>
        RealMode = 64,

        /// <summary>Protected mode on a processor that is to stop there.</summary>
        ProtectedMode = 128,

        /// <summary>A watched segment register was loaded.</summary>
        Segment = 256,

        /// <summary>A repeated instruction stands between two iterations.</summary>
        Repeat = 512,

        /// <summary>SMI# is latched.</summary>
        Smi = 1024,
    }

    private Attention _attention;
    private volatile int _kicked;
    private StopReason _stop;
    private bool _interruptLine;

    /// <summary>Instructions retired before the block in execution.</summary>
    private ulong _count;
    private ulong _deadline;

    /// <summary>The op in execution; null between blocks.</summary>
    private Op* _op;
    private Op* _first;

    /// <summary>The block runs while ops lie below; null: it ends after the present one.</summary>
    private Op* _end;
    private ulong _blockRip, _blockLinear;

    /// <summary>The instruction has taken effect: a fault from here on does not restart it.</summary>
    private bool _committed;
    private bool _stepping;

    /// <summary>Control registers as at the last stop, to notice what the host changed in between.</summary>
    private (ulong Cr0, ulong Cr3, ulong Cr4, ulong Efer) _translation;

    /// <summary>Instructions retired; a REP iteration and a delivered fault count as one each. Exact in calls to the door too.</summary>
    public ulong InstructionCount => _op == null ? _count : _count + (ulong)(_op - _first);

    /// <summary>Instruction count at which <see cref="Run"/> returns; the door may change it during the run.</summary>
    public ulong Deadline
    {
        get => _deadline;
        set
        {
            _deadline = value;
            EndBlock();
        }
    }

    /// <summary>False: a block boundary with CR0.PE clear stops with <see cref="StopReason.RealModeEntered"/>.</summary>
    public bool RealModeAllowed { get; set; } = true;

    /// <summary>Level of the INTR pin.</summary>
    public bool InterruptLine
    {
        get => _interruptLine;
        set
        {
            if (value == _interruptLine)
                return;
            _interruptLine = value;
            if (value)
            {
                _attention |= Attention.Interrupt;
                EndBlock();
            }
            else
            {
                _attention &= ~Attention.Interrupt;
            }
        }
    }

    /// <summary>Latches a non-maskable interrupt.</summary>
    public void PendNmi()
    {
        _attention |= Attention.Nmi;
        EndBlock();
    }

    /// <summary>For the door, on the processor's thread: <see cref="Run"/> returns after the instruction in execution. The first reason wins.</summary>
    public void RequestStop(StopReason reason = StopReason.Stopped)
    {
        if ((_attention & Attention.Stop) == 0)
            _stop = reason;
        _attention |= Attention.Stop;
        EndBlock();
    }

    /// <summary>Makes <see cref="Run"/> return soon with <see cref="StopReason.Kicked"/>; any thread.</summary>
    public void Kick() => _kicked = 1;

    /// <summary>
    /// Runs until <paramref name="budget"/> instructions are retired or something else stops it. What the host changed in
    /// <see cref="State"/> since the last call takes effect.
    /// </summary>
    public StopReason Run(ulong budget)
    {
        Import();
        return RunImported(budget);
    }

    private StopReason RunImported(ulong budget)
    {
        _deadline = budget < ulong.MaxValue - _count ? _count + budget : ulong.MaxValue;
        StopReason reason = RunToStop();
        Export();
        return reason;
    }

    /// <summary>Executes one instruction (one iteration of a repeated one). <see cref="StopReason.Budget"/>: it is done, or its fault delivered (see <see cref="FaultCount"/>).</summary>
    public StopReason StepOne() => Run(1);

    /// <summary>True once the block must end after the instruction in execution: a repeated instruction returns after this iteration.</summary>
    public bool BlockEnded => _end == null;

    /// <summary>Iterations that a repeated instruction may do before it must give way (at least 1).</summary>
    public ulong RepAllowance
    {
        get
        {
            ulong now = InstructionCount;
            return _stepping || _deadline <= now ? 1 : _deadline - now;
        }
    }

    /// <summary>
    /// A repeated instruction gives way between two iterations: it is next again, what interrupts it pushes RF set, and a breakpoint
    /// on it does not strike anew (SDM vol. 3, 18.3.1.1).
    /// </summary>
    internal void GiveWay()
    {
        State->Rip = _repeatRip = InstructionStart;
        _attention |= Attention.Repeat;
        EndBlock();
    }

    private ulong _repeatRip;

    /// <summary>The instruction at RIP has iterations behind it.</summary>
    private bool AmidRepeat => (_attention & Attention.Repeat) != 0 && State->Rip == _repeatRip;

    /// <summary>Counts iterations of a repeated instruction; its last one counts when it retires.</summary>
    public void AddInstructions(ulong count) => _count += count;

    /// <summary>
    /// The instruction has taken effect (a task switch is past its commit point): a fault from here on belongs to the new context and
    /// RIP is not restored.
    /// </summary>
    internal void Commit() => _committed = true;

    /// <summary>Ends the block after the instruction in execution.</summary>
    internal void EndBlock() => _end = null;

    /// <summary>Takes over what the host wrote to <see cref="State"/>.</summary>
    private void Import()
    {
        ArithmeticFlags = (uint)State->Rflags;
        bool paged = Paging || (_translation.Cr0 & ControlRegisters.Cr0PG) != 0;
        if (paged && _translation != (State->Cr0, State->Cr3, State->Cr4, State->Efer))
        {
            if (Paging && (State->Cr4 & ControlRegisters.Cr4PAE) != 0 && !LongModeActive)
                TryLoadPdptes(State->Cr3);
            FlushTlb();
        }
        ModeChanged();
    }

    private void Export()
    {
        _ = Flags;
        _translation = (State->Cr0, State->Cr3, State->Cr4, State->Efer);
    }

    private StopReason RunToStop()
    {
        if (_jumpsOutdated)
            ForgetJumps();
        while (true)
        {
            try
            {
                return Execute();
            }
            catch (GuestFault)
            {
                RaiseFault();
            }
        }
    }

    private StopReason Execute()
    {
        while (true)
        {
            RunCached();
            uint limit = uint.MaxValue;
            if (NeedsAttention)
            {
                if (Attend(out StopReason reason))
                    return reason;
                if (_stepping)
                    limit = 1;
            }
            if (_deadline <= _count)
                return StopReason.Budget;
            ulong left = _deadline - _count;
            Window* window = _windows + (int)Seg.Cs;
            ulong rip = State->Rip & window->LinearMask;
            ulong linear = (window->Base + rip) & window->LinearMask;
            if (linear != _nextLinear)
                NoteBranch(linear);
            Block* block = Lookup(linear, rip);
            uint count = block->Count;
            if (rip + block->Bytes > _codeEnd)
                count = CountWithinLimit(block, rip);
            if (count > limit)
                count = limit;
            if (count > left)
                count = (uint)left;
            RunBlock(Block.Ops(block), count, rip, linear);
            if (_stepping)
                FinishStep(Block.Ops(block));
        }
    }

    /// <summary>
    /// Runs blocks as long as the jump cache leads to them and nothing else is to be looked at. A method of its own: there are
    /// registers enough for what its loop needs.
    /// </summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void RunCached()
    {
        while (!NeedsAttention)
        {
            Window* window = _windows + (int)Seg.Cs;
            ulong rip = State->Rip & window->LinearMask;
            ulong linear = (window->Base + rip) & window->LinearMask;
            Jump* jump = JumpAt(linear);
            Block* block = jump->Block;
            if (jump->Key != ((linear & Block.AddressMask) | _context))
                return;
            uint count = block->Count;
            if (count == 0 || _count + count > _deadline || rip + block->Bytes > _codeEnd)
                return;
            if (linear != _nextLinear)
                NoteBranch(linear);
            RunBlock(Block.Ops(block), count, rip, linear);
        }
    }

    /// <summary>False too when all there is to see is an interrupt that the guest does not let in.</summary>
    private bool NeedsAttention
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get
        {
            int seen = (int)_attention | (_kicked << 16) | (*(ushort*)&State->Shadow << 17);
            return seen != 0 && (seen != (int)Attention.Interrupt || (State->Rflags & Eflags.IF) != 0);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void RunBlock(Op* op, uint count, ulong rip, ulong linear)
    {
        CpuState* state = State;
        _first = op;
        _end = op + count;
        _blockRip = rip;
        _blockLinear = linear;
        do
        {
            _op = op;
            state->Rip = rip + op->Next;
            op->Handler(this, op);
            op++;
        }
        while (op < _end);
        _op = null;
        _committed = false;
        _count += (uint)((byte*)op - (byte*)_first) / (uint)sizeof(Op);
        op--;
        _nextLinear = _blockLinear + op->Next;
        _lastLinear = _nextLinear - op->Length;
    }

    /// <summary>Ops of the block that lie within CS's limit.</summary>
    private uint CountWithinLimit(Block* block, ulong rip)
    {
        uint count = 0;
        while (count < block->Count && rip + Block.Ops(block)[count].Next <= _codeEnd)
            count++;
        return count != 0 ? count : throw Fault(Vectors.GP, 0);
    }
}
