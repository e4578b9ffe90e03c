using System.Runtime.InteropServices;
using Farm.Assist.Cpu;
using Farm.Machine.Hypervisors.Kvm.Native;

namespace Farm.Machine.Hypervisors.Kvm;

// With the kernel's local APIC: interrupts through it are the kernel's business, a processor rests in HLT, and before its SIPI, within its
// run; others may touch the machine while it does.
internal sealed unsafe partial class KvmVcpu
{
    /// <summary>Bit of immediate_exit: the machine has something for a processor that executes; its run goes on.</summary>
    private const byte Prodded = 8;

    /// <summary>struct kvm_lapic_state.</summary>
    private const int ApicSize = 1024;

    /// <summary>Null: the local APIC is the machine's.</summary>
    private readonly KvmLocalApics? _apics;

    /// <summary>The local APIC's registers after a reset.</summary>
    private readonly void* _resetApic;

    /// <summary>Guest code executes, outside of the gate where there is one.</summary>
    private volatile bool _executes;
    private bool _interruptLine;

    /// <summary>Its run has begun and it has executed nothing yet.</summary>
    private bool _turnDue;

    public object? Gate { get; set; }

    public bool InterruptLine
    {
        get => _interruptLine;
        set
        {
            _interruptLine = value;
            // Another processor raised it.
            if (value && _executes)
                Prod();
        }
    }

    public void PendNmi()
    {
        _nmi = true;
        // The processor's calls are its thread's, and wait while it runs.
        if (_apics is null)
            _file.Call(KvmIoctl.Nmi, 0, "KVM_NMI");
        else if (_executes)
            Prod();
    }

    /// <summary>With the machine's own local APIC nothing is latched that <see cref="State"/> does not show.</summary>
    public void ForgetEvents()
    {
        if (_apics is null)
            return;
        CompleteAccess();
        _nmi = false;
        // Asked first: that takes an INIT which would else come after the reset.
        _ = ActivityNow();
        SetActivity(_index == 0 ? KvmMpState.Runnable : KvmMpState.Uninitialized);
        _file.Call(KvmIoctl.SetLapic, _resetApic, "KVM_SET_LAPIC");
        var none = new KvmVcpuEvents { Flags = KvmConstants.EventsNmiPending | KvmConstants.EventsShadow | KvmConstants.EventsSmm };
        _file.Call(KvmIoctl.SetVcpuEvents, &none, "KVM_SET_VCPU_EVENTS");
        _known = 0;
        if (!_fetched)
            return;
        for (int i = 0; i < 2; i++)
        {
            _state[i].Activity = _index == 0 ? Activity.Active : Activity.WaitForSipi;
            _state[i].Cr8 = 0;
        }
    }

    /// <summary>For another processor within the gate: returns when this one executes nothing, which it will not before the gate is free.</summary>
    public void StopExecuting()
    {
        if (!_executes)
            return;
        Prod();
        SpinWait.SpinUntil(() => !_executes);
    }

    private void* NewApic()
    {
        void* registers = NativeMemory.AllocZeroed(ApicSize);
        _file.Call(KvmIoctl.GetLapic, registers, "KVM_GET_LAPIC");
        return registers;
    }

    /// <summary>Ends the execution of guest code, not the run.</summary>
    private void Prod()
    {
        Interlocked.Or(ref _run->Head, Prodded << ImmediateShift);
        KickSignal.Send(_thread);
    }

    /// <summary>
    /// All but the first are stopped whenever that one's run ends. It may come to that before the host has let one of them begin, again and
    /// again: each has its turn all the same.
    /// </summary>
    private void AllowTurn()
    {
        _turnDue = false;
        const int kicked = FromKick << ImmediateShift;
        if ((Interlocked.And(ref _run->Head, ~kicked) & kicked) != 0)
            KickSignal.SetTimer(_timer, ShortestRun);
    }

    private void PrepareAmongOthers(KvmLocalApics apics)
    {
        if (_slots.Changed)
            apics.StopOthers(this);
        if ((Volatile.Read(ref _run->Head) & (Prodded << ImmediateShift)) != 0)
            Interlocked.And(ref _run->Head, ~(Prodded << ImmediateShift));
    }

    /// <summary>The guest's own time: others may touch the machine meanwhile.</summary>
    private int RunGuest()
    {
        _executes = true;
        if (Gate is { } gate)
            Monitor.Exit(gate);
        // Last of all: whoever waited for the gate may have been given this one's time.
        if (_turnDue)
            AllowTurn();
        int result = _file.Run();
        _executes = false;
        if (Gate is { } again)
            Monitor.Enter(again);
        return result;
    }

    private Activity ActivityNow()
    {
        if (_apics is null)
            return _halted ? Activity.Halted : Activity.Active;
        KvmMpState state;
        _file.Call(KvmIoctl.GetMpState, &state, "KVM_GET_MP_STATE");
        // The call takes an INIT or a SIPI that waits: the registers are new.
        _known = 0;
        return state switch
        {
            KvmMpState.Halted => Activity.Halted,
            KvmMpState.Uninitialized or KvmMpState.InitReceived => Activity.WaitForSipi,
            _ => Activity.Active,
        };
    }

    private void SetActivity(KvmMpState state) => _file.Call(KvmIoctl.SetMpState, &state, "KVM_SET_MP_STATE");

    /// <summary>What of a changed state goes another way to the kernel, or does not go with the next entry, where its processor rests.</summary>
    private void WriteResting(CpuState* state, CpuState* old)
    {
        // Whoever puts a processor that waits for its SIPI into the state of a reset does not start it.
        if (state->Activity != old->Activity && old->Activity != Activity.WaitForSipi)
            SetActivity(state->Activity == Activity.Halted ? KvmMpState.Halted : KvmMpState.Runnable);
        ref var sync = ref _run->Sync;
        // What waits in the kernel (NMI, INIT) is not the state's to take back.
        sync.Events.Flags &= KvmConstants.EventsShadow;
        _file.Call(KvmIoctl.SetRegs, &_run->Sync.Regs, "KVM_SET_REGS");
        _file.Call(KvmIoctl.SetSregs, &_run->Sync.Sregs, "KVM_SET_SREGS");
        _file.Call(KvmIoctl.SetVcpuEvents, &_run->Sync.Events, "KVM_SET_VCPU_EVENTS");
        // Whether it takes an interrupt now is to be known before it rests again.
        Interlocked.Or(ref _run->Head, Completing << ImmediateShift);
        _run->DirtyRegs = 0;
        _ = _file.Try(KvmIoctl.Run);
        Interlocked.And(ref _run->Head, ~(Completing << ImmediateShift));
    }
}
