using Farm.Assist.Cpu;
using Farm.Machine.Hypervisors.Whp.Native;

namespace Farm.Machine.Hypervisors.Whp;

// What the platform reports without doing it is done by the interpreter on the processor's state: MMIO, string I/O, CPUID, unknown MSRs,
// intercepted exceptions, task switches.
internal sealed unsafe partial class WhpVcpu
{
    /// <summary>Iterations of one repeated instruction before the run loop looks around.</summary>
    private const int MostIterations = 4096;

    /// <summary>Code that touched a device is likely to go on with it, and an exit costs more than so many instructions.</summary>
    private const ulong Batch = 32;

    private bool _emulating;

    /// <summary>Something wants the run loop's attention.</summary>
    private bool _endEmulation;

    public void RequestStop(VcpuExitReason reason)
    {
        _stop ??= reason;
        if (_emulating)
            EndEmulation();
    }

    private void EndEmulation()
    {
        _endEmulation = true;
        _cpu.RequestStop();
    }

    /// <param name="carryOn">A few instructions more may follow.</param>
    private VcpuExit? Emulate(bool carryOn = false)
    {
        if (LeftProtectedMode)
            return new(VcpuExitReason.RealModeEntered);
        CpuState* state = State;
        bool paged = (state->Cr0 & ControlRegisters.Cr0PG) != 0;
        // The guest stored to memory unseen, and changed its page tables.
        _cpu.ForgetCode();
        if (paged)
            _cpu.FlushTlb();
        // An instruction that the host lacks may be a locked one, which the interpreter's is not to the other processors.
        if (Gate is not null && _exit->ExitReason is WhvRunVpExitReason.Exception or WhvRunVpExitReason.UnsupportedFeature)
            _apics!.StopOthers(this);
        // The processor's counter is all of the time stamp; the interpreter adds its own instructions.
        state->TscOffset -= _cpu.InstructionCount;
        bool few = carryOn && !paged && !_interruptLine && Gate is null;
        _emulating = true;
        _endEmulation = false;
        var stop = StopReason.Budget;
        if (_eventPending)
            DeliverPendingEvent();
        else
            stop = _apic is null ? Interpret(state, few) : InterpretBesideApic(state, few);
        _emulating = false;
        state->TscOffset += _cpu.InstructionCount;
        return stop switch
        {
            StopReason.RealModeEntered => new(VcpuExitReason.RealModeEntered),
            StopReason.Unsupported => new(VcpuExitReason.EmulationFailure, _reachedApic ? null : _cpu.UnsupportedBytes),
            _ when state->Activity == Activity.Shutdown => new(VcpuExitReason.Shutdown),
            _ => null,
        };
    }

    /// <summary>
    /// The instruction at RIP, and a few behind it. With paging they are left alone: what they flush from the TLB must be the processor's; and
    /// beside other processors, to which they are not atomic.
    /// </summary>
    private StopReason Interpret(CpuState* state, bool carryOn)
    {
        ulong rip = state->Rip;
        var stop = _cpu.StepOne();
        for (int i = 1; stop == StopReason.Budget && state->Rip == rip && !_endEmulation && i < MostIterations; i++)
            stop = carryOn ? _cpu.Run(Batch) : _cpu.StepOne();
        if (carryOn && stop == StopReason.Budget && !_endEmulation)
            stop = _cpu.Run(Batch);
        return Settle(state, stop);
    }

    /// <summary>A single-step trap that is due does not show in the state: it is delivered.</summary>
    private StopReason Settle(CpuState* state, StopReason stop)
    {
        while (_cpu.EventPending && stop is StopReason.Budget or StopReason.Stopped && state->Activity == Activity.Active)
            stop = _cpu.StepOne();
        return stop;
    }
}
