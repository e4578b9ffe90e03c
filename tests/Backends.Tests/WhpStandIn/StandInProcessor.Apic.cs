using System.Buffers.Binary;
using Farm.Assist.Cpu;
using Farm.Machine.Devices.Apic;
using Farm.Machine.Hypervisors.Whp.Native;
using static Farm.Backends.Tests.WhpStandIn.StandInLibrary;

namespace Farm.Backends.Tests.WhpStandIn;

// With the platform's local APIC. Where the documentation says nothing it does what has been measured on Windows 11, build 26200 (on GitHub:
// r3bb1t/rusty_box, docs/whp-platform-probe-2026-09-03.md): HLT rests within the run, and only an interrupt of the APIC's or a cleared
// HaltSuspend ends it; notifications are taken and never answered; an external interrupt is not held back by LINT0; a trapped write has
// happened, and RIP stands behind it; vectors below 16 are refused; an APIC that software has not enabled drops what is sent to it.
internal sealed unsafe partial class StandInProcessor : ILocalApicPins
{
    /// <summary>
    /// Instructions between two looks at the clock and at the other processors; not always as many, or the turns of a loop that opens a lock
    /// for an instant would all end at another place.
    /// </summary>
    private ulong Turn => 1500 + ((ulong)(_turns = (_turns * 1103515245) + 12345) % 1000);

    private uint _turns;

    private const int StateSize = 1024, AccessDenied = unchecked((int)0xC0350006), InvalidParameter = unchecked((int)0xC0350005);
    private const int InvalidArgument = unchecked((int)0x80070057);

    private readonly LocalApic? _apic;
    private readonly StandInTurns.Sleeper _sleeper = new();
    private volatile bool _cancelled;
    private volatile bool _apicLine;
    private volatile bool _apicNmi;
    private volatile bool _apicInit;
    private volatile int _apicStartup = -1;
    private ulong _pendingEvent;
    private ulong _suspended;
    private byte[] _apicReset = [];
    private (WhvRunVpExitReason Reason, WhvX64ApicWriteType Register, ulong Value)? _apicExit;

    public byte[] ApicState()
    {
        RequireStopped();
        RequireApic();
        return Page(_apic!);
    }

    /// <summary>Only the state of a reset is taken back.</summary>
    public int SetApicState(ReadOnlySpan<byte> state)
    {
        RequireStopped();
        RequireApic();
        if (!state.SequenceEqual(_apicReset))
            throw new StandInMisuse(InvalidArgument, $"{state.Length} bytes of local APIC state that are not those of a reset");
        ResetApic(_apic!);
        return WhvResult.Ok;
    }

    void ILocalApicPins.SetInterrupt(bool level)
    {
        _apicLine = level;
        if (level)
            _partition.Turns.Wake(_sleeper);
    }

    void ILocalApicPins.Nmi()
    {
        _apicNmi = true;
        _partition.Turns.Wake(_sleeper);
    }

    void ILocalApicPins.Smi() => StandInHost.Complain("SMI reached a processor: nothing traps it");

    void ILocalApicPins.Init()
    {
        _apicInit = true;
        _apicStartup = -1;
        _partition.Turns.Wake(_sleeper);
    }

    void ILocalApicPins.Startup(byte vector)
    {
        _apicStartup = vector;
        _partition.Turns.Wake(_sleeper);
    }

    public void SetApicBase(ulong value) => _apic?.BaseMsr = value;

    private LocalApic NewApic(byte index)
    {
        var apic = new LocalApic(index, _partition.Apics, _partition.Clock, this, static () => throw new InvalidOperationException("LINT0 is not wired."));
        ResetApic(apic);
        _apicReset = Page(apic);
        _suspended = index == 0 ? 0 : WhvBits.StartupSuspend;
        _cpu.State->ApicBase = apic.BaseMsr;
        return apic;
    }

    /// <summary>The registers where software finds them.</summary>
    private static byte[] Page(LocalApic apic)
    {
        byte[] page = new byte[StateSize];
        for (int offset = 0; offset < StateSize; offset += 16)
        {
            if (offset is 0x20 or 0x30 or 0x80 or 0xD0 or 0xE0 or 0xF0 or (>= 0x100 and <= 0x280) or (>= 0x300 and <= 0x380) or 0x3E0)
                BinaryPrimitives.WriteUInt32LittleEndian(page.AsSpan(offset), apic.Read(offset));
        }
        return page;
    }

    /// <summary>LINT0 is masked after a reset, as the manual says.</summary>
    private static void ResetApic(LocalApic apic)
    {
        apic.InitReset();
        apic.Write((int)WhvX64ApicWriteType.Lint0, (uint)Lvt.Masked);
    }

    private void RequireApic()
    {
        if (_apic is null)
            throw new StandInMisuse("the partition has no local APICs");
    }

    private void SetActivity(ulong value)
    {
        if (_apic is null)
            throw new StandInMisuse(AccessDenied, "InternalActivityState without a local APIC");
        if ((value & ~(WhvBits.HaltSuspend | WhvBits.StartupSuspend)) != 0)
            throw new StandInMisuse(InvalidParameter, $"InternalActivityState {value:X}h");
        _suspended = value;
    }

    private LocalApic? ApicAt(ulong address) => _apic is { Enabled: true } apic && address - apic.Base < LocalApic.Length ? apic : null;

    private void WriteApic(LocalApic apic, ulong address, ulong value, int size)
    {
        int offset = (int)(address & (LocalApic.Length - 1));
        if (size < 4 || (offset & 0xF) != 0)
            return;
        switch (offset)
        {
            case 0xB0:
                int ended = Highest(apic, ApicRegister.InService);
                if (ended >= 0 && (apic.Read(ApicRegister.TriggerMode + (ended >> 5 << 4)) >> (ended & 31) & 1) != 0)
                    ExitBehind(WhvRunVpExitReason.X64ApicEoi, default, (ulong)ended);
                break;
            case (int)WhvX64ApicWriteType.Lint0 when (_partition.Exits & WhvBits.ExitsX64ApicWriteLint0) != 0:
            case (int)WhvX64ApicWriteType.Svr when (_partition.Exits & WhvBits.ExitsX64ApicWriteSvr) != 0:
                ExitBehind(WhvRunVpExitReason.X64ApicWriteTrap, (WhvX64ApicWriteType)offset, value);
                break;
            case ApicRegister.CommandLow:
                ulong command = (uint)value | ((ulong)apic.Read(ApicRegister.CommandHigh) << 32);
                var mode = (DeliveryMode)(command >> 8 & 7);
                WhvRunVpExitReason? trap = mode switch
                {
                    DeliveryMode.Init or DeliveryMode.Startup when (_partition.Exits & WhvBits.ExitsX64ApicInitSipi) != 0 => WhvRunVpExitReason.X64ApicInitSipiTrap,
                    DeliveryMode.Smi when (_partition.Exits & WhvBits.ExitsX64ApicSmi) != 0 => WhvRunVpExitReason.X64ApicSmiTrap,
                    _ => null,
                };
                if (trap is { } reason)
                {
                    ExitBehind(reason, default, command);
                    return;
                }
                break;
        }
        apic.WriteMmio(address, value, size);
        _cpu.InterruptLine = _apicLine;
    }

    /// <summary>The exit comes when the instruction is done.</summary>
    private void ExitBehind(WhvRunVpExitReason reason, WhvX64ApicWriteType register, ulong value)
    {
        _apicExit = (reason, register, value);
        _cpu.RequestStop();
    }

    private static int Highest(LocalApic apic, int register)
    {
        for (int vector = 255; vector >= 0; vector--)
        {
            if ((apic.Read(register + (vector >> 5 << 4)) >> (vector & 31) & 1) != 0)
                return vector;
        }
        return -1;
    }

    private string? RefusalOfEvent()
    {
        if ((_pendingEvent & WhvBits.PendingEvent) == 0)
            return null;
        if (_apic is null)
            return "a pending event without a local APIC";
        if ((WhvX64PendingEvent)((_pendingEvent & WhvBits.PendingEventType) >> 1) != WhvX64PendingEvent.ExtInt)
            return "a pending event that is no external interrupt";
        if ((_cpu.State->Rflags & Eflags.IF) == 0)
            return "an external interrupt with IF = 0";
        if (_cpu.State->Shadow != InterruptShadow.None)
            return "an external interrupt in an interrupt shadow";
        return (_pending & WhvBits.PendingInterruption) != 0 ? "two events at once" : null;
    }

    private WhvRunVpExitReason ExecuteBesideApic(WhvRunVpExitContext* context)
    {
        CpuState* state = _cpu.State;
        while (true)
        {
            TakeMessages();
            if (_suspended != 0)
            {
                if (Rest())
                    continue;
                Describe(context, state->Rip, 0);
                return WhvRunVpExitReason.Canceled;
            }
            if ((_pendingEvent & WhvBits.PendingEvent) != 0)
            {
                _pending = WhvBits.PendingInterruption | ((_pendingEvent & WhvBits.PendingExtIntVector) << 8);
                _pendingEvent = 0;
            }
            Deliver();
            if (_host.WindowBesideApic && (_notifications & WhvBits.NotifyInterrupt) != 0 && (state->Rflags & Eflags.IF) != 0 && state->Shadow == InterruptShadow.None)
            {
                _notifications = 0;
                Describe(context, state->Rip, 0);
                context->InterruptWindow = WhvX64Pending.Interrupt;
                return WhvRunVpExitReason.X64InterruptWindow;
            }
            _cpu.InterruptLine = _apicLine;
            var stop = _cpu.Run(Turn);
            Describe(context, state->Rip, 0);
            switch (stop)
            {
                case StopReason.Budget:
                    break;
                case StopReason.Halted:
                    _suspended = WhvBits.HaltSuspend;
                    break;
                case StopReason.Shutdown:
                    return WhvRunVpExitReason.UnrecoverableException;
                case StopReason.Kicked:
                    if (!_cancelled)
                        break;
                    _cancelled = false;
                    return WhvRunVpExitReason.Canceled;
                case StopReason.Stopped:
                    if (_apicExit is { } exit)
                        return LeaveApic(context, exit);
                    break;
                case StopReason.Unsupported:
                    if (Intercept(context) is { } reason)
                        return reason;
                    RunAllowed();
                    break;
                default:
                    throw new InvalidOperationException($"The soft CPU stopped with {stop}.");
            }
            _partition.Turns.Exit();
            _partition.Turns.Enter();
        }
    }

    private static WhvRunVpExitReason LeaveApic(WhvRunVpExitContext* context, (WhvRunVpExitReason Reason, WhvX64ApicWriteType Register, ulong Value) exit)
    {
        switch (exit.Reason)
        {
            case WhvRunVpExitReason.X64ApicEoi:
                context->ApicEoi.InterruptVector = (uint)exit.Value;
                break;
            case WhvRunVpExitReason.X64ApicWriteTrap:
                context->ApicWrite = new() { Type = exit.Register, WriteValue = exit.Value };
                break;
            default:
                context->ApicInitSipi.ApicIcr = exit.Value;
                break;
        }
        return exit.Reason;
    }

    /// <summary>What reached the local APIC since the last look.</summary>
    private void TakeMessages()
    {
        _partition.Clock.AdvanceTo(_partition.Clock.Now);
        CpuState* state = _cpu.State;
        if (_apicInit)
        {
            _apicInit = false;
            _suspended = WhvBits.StartupSuspend;
        }
        if (_apicStartup is >= 0 and var vector)
        {
            _apicStartup = -1;
            if (_suspended == WhvBits.StartupSuspend)
                Start((byte)vector);
        }
        if (_apicNmi && _suspended != WhvBits.StartupSuspend)
        {
            _apicNmi = false;
            _suspended = 0;
            _cpu.PendNmi();
        }
        if (_suspended == WhvBits.HaltSuspend && _apicLine && (state->Rflags & Eflags.IF) != 0)
            _suspended = 0;
        if (_suspended == 0)
            state->Activity = Activity.Active;
    }

    /// <summary>Sleeps until something may have changed; false: the run was cancelled.</summary>
    private bool Rest()
    {
        if (_cancelled)
        {
            _cancelled = false;
            return false;
        }
        long deadline = _partition.Clock.NextDeadline, wait = (deadline - _partition.Clock.Now) / 1_000_000;
        _partition.Turns.Rest(_sleeper, deadline == long.MaxValue ? Timeout.Infinite : (int)Math.Clamp(wait, 0, 1000));
        // Others may have stored code meanwhile.
        _cpu.ForgetCode();
        return true;
    }

    /// <summary>SIPI: real mode at the vector, everything as after INIT.</summary>
    private void Start(byte vector)
    {
        CpuState* state = _cpu.State;
        ulong apicBase = state->ApicBase;
        *state = default;
        state->ApicBase = apicBase;
        state->Rflags = 2;
        state->Cr0 = ControlRegisters.Cr0ET;
        state->Cs = SegmentCache.RealMode((ushort)(vector << 8), code: true);
        state->Ds = state->Es = state->Fs = state->Gs = state->Ss = SegmentCache.RealMode(0);
        state->Gdtr.Limit = state->Idtr.Limit = 0xFFFF;
        state->Ldtr = new SegmentCache { Limit = 0xFFFF, Access = 0x82 };
        state->Tr = new SegmentCache { Limit = 0xFFFF, Access = 0x8B };
        state->Dr[6] = 0xFFFF0FF0;
        state->Dr[7] = 0x400;
        state->Gpr[2] = _host.Model.Signature;
        state->Pat = 0x0007040600070406;
        state->FpuControl = 0x37F;
        state->FpuTag = 0xFFFF;
        state->Mxcsr = 0x1F80;
        _suspended = 0;
    }
}
