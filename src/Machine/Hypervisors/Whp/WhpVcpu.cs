using System.Runtime.InteropServices;
using Farm.Assist.Cpu;
using Farm.Machine.Hypervisors.Whp.Native;

namespace Farm.Machine.Hypervisors.Whp;

/// <summary>
/// A WHP virtual processor: the run loop and its exits. Interrupts are beside in WhpVcpu.Events.cs, the platform's local APIC in
/// WhpVcpu.Apic.cs, what the platform leaves to us to execute in WhpVcpu.Emulation.cs, the time-stamp counter in WhpVcpu.Time.cs.
/// </summary>
internal sealed unsafe partial class WhpVcpu : IVcpu
{
    /// <summary>How long a processor runs, in nanoseconds, that was stopped before it had begun.</summary>
    private const long ShortestRun = 200_000;

    private readonly WhpApi _api;
    private readonly nint _partition;
    private readonly uint _index;
    private readonly GuestRanges _ranges;
    private readonly WhpRegisters _registers;
    private readonly KickTimer _timer;

    /// <summary>The interpreter; its state is what <see cref="State"/> hands out.</summary>
    private readonly X86Cpu _cpu;
    private readonly WhvRunVpExitContext* _exit;
    private volatile int _kicked;

    /// <summary>Guest code executes, outside of the gate where there is one.</summary>
    private volatile bool _executes;

    /// <summary>The interpreter's state is the processor's.</summary>
    private bool _fetched;
    private bool _halted;
    private VcpuExitReason? _stop;
    private bool _disposed;

    /// <param name="apics">The platform's local APICs; null: the machine's own are used.</param>
    /// <param name="interpreter">Makes what executes what the platform does not; it belongs to the processor from here on.</param>
    public WhpVcpu(WhpApi api, nint partition, uint index, GuestRanges ranges, WhpLocalApics? apics, Func<WhpLocalApic?, X86Cpu> interpreter)
    {
        _api = api;
        _partition = partition;
        _index = index;
        _ranges = ranges;
        WhpApi.Check(api.CreateVirtualProcessor(partition, index, 0), "WHvCreateVirtualProcessor");
        if (apics is not null)
        {
            _apics = apics;
            _apic = new WhpLocalApic(api, partition, index);
            _window = new KickTimer(Cancel);
        }
        _cpu = interpreter(_apic);
        _exit = (WhvRunVpExitContext*)NativeMemory.AlignedAlloc((nuint)sizeof(WhvRunVpExitContext), 16);
        *_exit = default;
        _registers = new WhpRegisters(api, partition, index);
        _timer = new KickTimer(Kick);
        _ = State;
    }

    /// <summary>Not to be asked for by a device that answers a read.</summary>
    public CpuState* State
    {
        get
        {
            if (!_fetched)
                Fetch();
            return _cpu.State;
        }
    }

    public CodePosition Position => _fetched
        ? CodePosition.Of(_cpu.State)
        : new(_exit->VpContext.Cs.Selector, _exit->VpContext.Rip, _exit->VpContext.Cs.Base + _exit->VpContext.Rip);

    public object? Gate { get; set; }

    /// <summary>Not known: the processor does not count for us.</summary>
    public ulong Instructions => 0;

    /// <inheritdoc cref="Instructions"/>
    public ulong RealModeInstructions => 0;

    public VcpuExit Run(ulong budget)
    {
        _stop = null;
        // All but the first are stopped whenever that one's run ends, maybe before they have begun: each has its turn all the same.
        if (Gate is not null && _index != 0 && TakeKick())
            _timer.Set(ShortestRun);
        while (true)
        {
            _ranges.Apply();
            if (TakeKick())
                return new(LeftProtectedMode ? VcpuExitReason.RealModeEntered : HaltedForGood ? VcpuExitReason.Halted : VcpuExitReason.Kicked);
            WriteBack();
            if (_apic is null)
            {
                if (_halted && !Wake())
                    return new(VcpuExitReason.Halted);
                OfferEvents();
                LoadTaskPriority();
            }
            else if (OfferExternal() && SearchWindow(out var found))
            {
                if (found is { } ended)
                    return ended;
                if (_stop is { } asked)
                    return new(asked);
                continue;
            }
            _registers.Flush();
            WhpApi.Check(RunGuest(), "WHvRunVirtualProcessor");
            _fetched = _searched = false;
            _eventPending = Is(WhvBits.StateInterruptionPending);
            if (_apic is null)
                StoreTaskPriority();
            else
                _cr8 = ExitCr8;
            if (Handle() is { } exit)
                return exit;
            if (_stop is { } stop)
                return new(stop);
            if (LeftProtectedMode)
                return new(VcpuExitReason.RealModeEntered);
        }
    }

    /// <summary>The guest's own time: others may touch the machine meanwhile.</summary>
    private int RunGuest()
    {
        _executes = true;
        if (Gate is { } gate)
            Monitor.Exit(gate);
        int result = _api.RunVirtualProcessor(_partition, _index, _exit, (uint)sizeof(WhvRunVpExitContext));
        _executes = false;
        if (Gate is { } again)
            Monitor.Enter(again);
        return result;
    }

    /// <summary>There is nothing to limit: the timer's kick ends the run.</summary>
    public void LimitTo(ulong instructions)
    {
    }

    public void KickAfter(long nanoseconds) => _timer.Set(nanoseconds);

    public IReadOnlyList<(ulong From, ulong To)> LastBranches() => [];

    /// <summary>A cancellation between two runs ends the next one.</summary>
    public void Kick()
    {
        _kicked = 1;
        Cancel();
    }

    private void Cancel() => _ = _api.CancelRunVirtualProcessor(_partition, _index, 0);

    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        _timer.Dispose();
        _window?.Dispose();
        _apic?.Dispose();
        _ = _api.DeleteVirtualProcessor(_partition, _index);
        _registers.Dispose();
        NativeMemory.AlignedFree(_exit);
        _cpu.Dispose();
    }

    /// <summary>The guest is in real mode where it may not be, and no event is half delivered: the assist can take it over.</summary>
    private bool LeftProtectedMode =>
        !_cpu.RealModeAllowed && !_eventPending && (_fetched ? (_cpu.State->Cr0 & ControlRegisters.Cr0PE) == 0 : !Is(WhvBits.StateCr0Pe));

    private uint Flags => (uint)(_fetched ? _cpu.State->Rflags : _exit->VpContext.Rflags);

    private bool Is(uint executionState) => (_exit->VpContext.ExecutionState & executionState) != 0;

    private bool TakeKick() => Interlocked.Exchange(ref _kicked, 0) != 0;

    private VcpuExit? Handle()
    {
        switch (_exit->ExitReason)
        {
            case WhvRunVpExitReason.X64IoPortAccess:
                return HandlePort();
            case WhvRunVpExitReason.MemoryAccess:
                return Emulate(carryOn: true);
            case WhvRunVpExitReason.X64Cpuid:
            case WhvRunVpExitReason.X64MsrAccess:
            case WhvRunVpExitReason.X64Rdtsc:
            case WhvRunVpExitReason.Exception:
            case WhvRunVpExitReason.UnsupportedFeature:
                return Emulate();
            case WhvRunVpExitReason.X64Halt:
                // With the platform's local APIC a processor rests within its run.
                _halted = _apic is null;
                return null;
            case WhvRunVpExitReason.X64ApicEoi when _apics is not null:
                _apics.Ended?.Invoke((byte)_exit->ApicEoi.InterruptVector);
                return null;
            case WhvRunVpExitReason.X64ApicInitSipiTrap when _apics is not null:
                _apics.SendInitOrStartup(_exit->ApicInitSipi.ApicIcr, (int)_index);
                return null;
            case WhvRunVpExitReason.X64ApicWriteTrap when _apic is not null:
                _apic.Written(_exit->ApicWrite);
                return null;
            case WhvRunVpExitReason.X64ApicSmiTrap when _apic is not null:
                // There is no system management mode here.
                return null;
            case WhvRunVpExitReason.X64InterruptWindow:
                _notifications = 0;
                return null;
            case WhvRunVpExitReason.Canceled:
                return null;
            case WhvRunVpExitReason.UnrecoverableException:
                return new(VcpuExitReason.Shutdown);
            case WhvRunVpExitReason.InvalidVpRegisterValue:
                throw new HostException($"WHP: the processor refused the guest's registers at {Where()}.");
            case WhvRunVpExitReason.X64ApicEoi:
            case WhvRunVpExitReason.X64ApicSmiTrap:
            case WhvRunVpExitReason.X64ApicInitSipiTrap:
            case WhvRunVpExitReason.X64ApicWriteTrap:
            case WhvRunVpExitReason.SynicSintDeliverable:
            case WhvRunVpExitReason.Hypercall:
            case WhvRunVpExitReason.None:
            default:
                throw new HostException($"WHP: exit {_exit->ExitReason} ({(uint)_exit->ExitReason:X}h) at {Where()}, which nothing asked for.");
        }
    }

    private string Where() => $"{_exit->VpContext.Cs.Selector:X4}:{_exit->VpContext.Rip:X}";

    /// <summary>A plain IN or OUT is completed with two registers; everything else about ports is the interpreter's.</summary>
    private VcpuExit? HandlePort()
    {
        ref readonly var port = ref _exit->IoPortAccess;
        uint length = _exit->VpContext.InstructionLengthAndCr8 & WhvBits.ExitInstructionLength;
        bool plain = (port.AccessInfo & (WhvBits.PortStringOp | WhvBits.PortRepPrefix)) == 0 && length != 0
            && (Flags & (Eflags.TF | Eflags.RF)) == 0 && !Is(WhvBits.StateDebugActive | WhvBits.StateInterruptShadow | WhvBits.StateInterruptionPending);
        if (!plain)
            return Emulate();
        if (LeftProtectedMode)
            return new(VcpuExitReason.RealModeEntered);
        int size = (int)(port.AccessInfo & WhvBits.PortAccessSize) >> 1;
        ulong rip = _exit->VpContext.Rip + length;
        if (!Is(WhvBits.StateEferLma))
            rip = (uint)rip;
        if ((port.AccessInfo & WhvBits.PortIsWrite) != 0)
        {
            // A look at the state during the call finds the access complete.
            _registers.Queue(WhvRegister.Rip, rip);
            _cpu.Door.WritePort(port.PortNumber, (uint)(port.Rax & (uint.MaxValue >> (32 - (8 * size)))), size);
            return null;
        }
        uint value = _cpu.Door.ReadPort(port.PortNumber, size);
        _registers.Queue(WhvRegister.Rip, rip);
        _registers.Queue(WhvRegister.Rax, size switch
        {
            1 => (port.Rax & ~0xFFul) | (byte)value,
            2 => (port.Rax & ~0xFFFFul) | (ushort)value,
            _ => value,
        });
        return null;
    }

    private void Fetch()
    {
        CpuState* state = _cpu.State;
        _registers.Fetch(state);
        state->Cr8 = _cr8;
        _parked = IsParked;
        state->Activity = _halted || _parked ? Activity.Halted : Activity.Active;
        const ulong pae = ControlRegisters.Cr4PAE;
        if ((state->Cr0 & ControlRegisters.Cr0PG) != 0 && (state->Cr4 & pae) != 0 && (state->Efer & ControlRegisters.EferLMA) == 0)
            _cpu.Memory.Read(state->Cr3 & 0xFFFFFFE0, new Span<byte>(state->Pdpte, 32));
        _fetched = true;
    }

    private void WriteBack()
    {
        if (!_fetched)
            return;
        _halted = _cpu.State->Activity == Activity.Halted;
        if (_apic is not null)
            WriteBackApic(_apic);
        if (!_registers.Store(_cpu.State) || !_eventPending)
            return;
        // Whoever changed the state has dealt with the event that belonged to the old one.
        _registers.Queue(WhvRegister.PendingInterruption, 0);
        _eventPending = false;
    }
}
