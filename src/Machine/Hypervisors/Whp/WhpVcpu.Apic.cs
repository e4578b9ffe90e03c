using Farm.Assist.Cpu;
using Farm.Machine.Devices.Apic;
using Farm.Machine.Hypervisors.Whp.Native;

namespace Farm.Machine.Hypervisors.Whp;

// With the platform's local APIC: interrupts through it are the platform's business, HLT does not exit, the 8259's interrupts go in as
// pending events.
internal sealed unsafe partial class WhpVcpu
{
    /// <summary>
    /// How often a processor that cannot take the 8259's interrupt yet is asked again: with its own APIC the platform has been seen to take a
    /// deliverability notification and never to answer it.
    /// </summary>
    private const long WindowPoll = 500_000;

    /// <summary>Instructions that the interpreter goes to look for the window itself.</summary>
    private const ulong WindowSearch = 4096;

    private readonly WhpLocalApics? _apics;
    private readonly WhpLocalApic? _apic;
    private readonly KickTimer? _window;

    /// <summary>An ExtINT message of an IOAPIC, which LINT0 does not hold back.</summary>
    private volatile bool _externalMessage;

    /// <summary>The interpreter stopped at an instruction that touches the local APIC.</summary>
    private bool _reachedApic;

    /// <summary>The fetched state is that of a processor that rests in HLT within its run.</summary>
    private bool _parked;

    /// <summary>The interpreter is on its way to where the 8259's interrupt can be taken, and takes it there.</summary>
    private bool _searching;

    /// <summary>The interpreter has been on that way since the processor last ran.</summary>
    private bool _searched;

    /// <summary>Any thread.</summary>
    public void PendExternal()
    {
        _externalMessage = true;
        Cancel();
    }

    /// <summary>For another processor within the gate: returns when this one executes nothing, which it will not before the gate is free.</summary>
    public void StopExecuting()
    {
        if (!_executes)
            return;
        Cancel();
        SpinWait.SpinUntil(() => !_executes);
    }

    /// <summary>The platform has a halted processor: it went on sleeping when its run was cancelled.</summary>
    private bool IsParked => _apic is not null && _exit->ExitReason == WhvRunVpExitReason.Canceled
        && (_registers.Get(WhvRegister.InternalActivityState).Reg64 & WhvBits.HaltSuspend) != 0;

    /// <summary>It halted with interrupts off: only another processor could end that.</summary>
    private bool HaltedForGood => !_fetched && (Flags & Eflags.IF) == 0 && IsParked;

    private void ResetApic(WhpLocalApic apic)
    {
        apic.Reset();
        _externalMessage = false;
        _registers.Queue(WhvRegister.InternalActivityState, _index == 0 ? 0 : WhvBits.StartupSuspend);
        _parked = false;
    }

    /// <summary>What of the state goes another way to the platform than by its register.</summary>
    private void WriteBackApic(WhpLocalApic apic)
    {
        CpuState* state = _cpu.State;
        apic.Base = (ApicBase)state->ApicBase;
        if (_halted != _parked)
            _registers.Queue(WhvRegister.InternalActivityState, _halted ? WhvBits.HaltSuspend : 0);
        _parked = _halted = false;
        if (state->Cr8 == _cr8)
            return;
        _cr8 = (uint)state->Cr8;
        _registers.Queue(WhvRegister.Cr8, _cr8);
    }

    /// <summary>
    /// Gives the 8259's interrupt to the processor when it can take one; true: it waits, and an exit is asked for then. A pending event does
    /// not end a HLT: the processor is sent on by hand.
    /// </summary>
    private bool OfferExternal()
    {
        if (!_externalMessage && !(_interruptLine && _apic!.TakesExternal))
            return false;
        bool given = !_eventPending && !Shadowed && (Flags & Eflags.IF) != 0;
        if (given)
        {
            _externalMessage = false;
            ulong vector = _cpu.Door.AcknowledgeInterrupt();
            _registers.Queue(WhvRegister.PendingEvent, WhvBits.PendingEvent | ((ulong)WhvX64PendingEvent.ExtInt << 1) | (vector << 8));
            _registers.Queue(WhvRegister.InternalActivityState, 0);
            if (!_interruptLine)
                return false;
        }
        _window!.Set(WindowPoll);
        if ((_notifications & WhvBits.NotifyInterrupt) == 0)
        {
            _notifications |= WhvBits.NotifyInterrupt;
            _registers.Queue(WhvRegister.DeliverabilityNotifications, _notifications);
        }
        return !given;
    }

    /// <summary>
    /// BIOSes poll with interrupts off and open them for one instruction (STI, NOP, CLI): no look from outside would meet that. Once before
    /// each run the interpreter goes some way to find it, and takes the interrupt there. Not with paging, see <see cref="Interpret"/>: what
    /// pages is an operating system, which leaves interrupts on. False: the processor is to run.
    /// </summary>
    private bool SearchWindow(out VcpuExit? exit)
    {
        exit = null;
        if (_searched || _eventPending || (State->Cr0 & ControlRegisters.Cr0PG) != 0 || _cpu.State->Activity != Activity.Active)
            return false;
        // What the interpreter does is not atomic to them.
        _apics!.StopOthers(this);
        _searched = _searching = _cpu.InterruptLine = true;
        exit = Emulate(carryOn: true);
        _searching = _cpu.InterruptLine = false;
        // The message was taken, or its interrupt is gone.
        _externalMessage &= _interruptLine;
        return true;
    }

    /// <summary>As <see cref="Interpret"/>, up to what only the processor itself can do: to reach its local APIC, and to halt.</summary>
    private StopReason InterpretBesideApic(CpuState* state, bool carryOn)
    {
        ulong before = _cpu.InstructionCount;
        _reachedApic = false;
        StopReason stop;
        try
        {
            stop = _searching ? Settle(state, _cpu.Run(WindowSearch)) : Interpret(state, carryOn);
        }
        catch (LocalApicAccess)
        {
            _cpu.AbandonInstruction();
            _reachedApic = true;
            stop = StopReason.Unsupported;
        }
        // An instruction that is the platform's and ours at once is neither's.
        return stop == StopReason.Unsupported && (_searching || _cpu.InstructionCount != before) ? StopReason.Budget : stop;
    }
}
