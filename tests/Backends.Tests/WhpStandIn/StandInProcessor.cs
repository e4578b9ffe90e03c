using System.Runtime.CompilerServices;
using Farm.Assist.Cpu;
using Farm.Assist.Monitor;
using Farm.Machine.Hypervisors.Whp.Native;
using Iced.Intel;
using static Farm.Backends.Tests.WhpStandIn.StandInLibrary;

namespace Farm.Backends.Tests.WhpStandIn;

/// <summary>
/// A virtual processor of the stand-in: the soft CPU, which leaves the run wherever the platform would. An access that is not the CPU's own
/// throws out of the door, before anything of the instruction has happened.
/// </summary>
internal sealed unsafe partial class StandInProcessor : ICpuDoor, IDisposable
{
    private readonly StandInPartition _partition;
    private readonly StandInHost _host;
    private readonly X86Cpu _cpu;
    private readonly ExitException _exit = new();
    private int _running;
    private int _runs;
    private ulong _pending;
    private ulong _notifications;

    /// <summary>Intercepted instructions run after all: the platform's own business.</summary>
    private bool _allowed;

    private byte _taskPriority;

    public StandInProcessor(StandInPartition partition, StandInHost host, byte index)
    {
        _partition = partition;
        _host = host;
        _cpu = new X86Cpu(partition.Memory, this, host.Model, Intercepts) { ApicId = index };
        _cpu.State->Rflags = 2;
        if (partition.HasApics)
            _apic = NewApic(index);
    }

    /// <summary>Exits so far, by reason.</summary>
    public Dictionary<WhvRunVpExitReason, int> Exits { get; } = [];

    /// <summary>Exits that the next runs end with at once, whatever the guest does.</summary>
    public Queue<WhvRunVpExitReason> Forced { get; } = new();

    /// <summary>The local APIC's; without one CR8 alone.</summary>
    public byte TaskPriority
    {
        get => _apic?.TaskPriority ?? _taskPriority;
        set
        {
            if (_apic is { } apic)
                apic.TaskPriority = value;
            else
                _taskPriority = value;
        }
    }

    public int Run(WhvRunVpExitContext* context)
    {
        if (Interlocked.Exchange(ref _running, 1) != 0)
            throw new StandInMisuse("it is running already");
        try
        {
            // What an exit does not say is not zero.
            Unsafe.InitBlock(context, 0xCD, (uint)sizeof(WhvRunVpExitContext));
            context->ExitReason = RunToExit(context);
            Exits[context->ExitReason] = Exits.GetValueOrDefault(context->ExitReason) + 1;
            return WhvResult.Ok;
        }
        finally
        {
            _running = 0;
        }
    }

    public void Cancel()
    {
        _cancelled = true;
        _cpu.Kick();
        _partition.Turns.Wake(_sleeper);
    }

    public int Get(ReadOnlySpan<WhvRegister> names, Span<WhvRegisterValue> values)
    {
        RequireStopped();
        for (int i = 0; i < names.Length; i++)
        {
            values[i] = names[i] switch
            {
                WhvRegister.PendingInterruption => new() { Reg64 = _pending },
                WhvRegister.DeliverabilityNotifications => new() { Reg64 = _notifications },
                WhvRegister.Tsc => new() { Reg64 = _cpu.TimeStamp },
                WhvRegister.Cr8 => new() { Reg64 = (uint)TaskPriority >> 4 },
                WhvRegister.PendingEvent => new() { Reg64 = _pendingEvent },
                WhvRegister.InternalActivityState => new() { Reg64 = _suspended },
                _ => StandInRegisters.Get(_cpu.State, names[i]),
            };
        }
        return WhvResult.Ok;
    }

    public int Set(ReadOnlySpan<WhvRegister> names, ReadOnlySpan<WhvRegisterValue> values)
    {
        RequireStopped();
        for (int i = 0; i < names.Length; i++)
        {
            switch (names[i])
            {
                case WhvRegister.PendingInterruption:
                    _pending = values[i].Reg64;
                    break;
                case WhvRegister.DeliverabilityNotifications:
                    _notifications = values[i].Reg64;
                    break;
                case WhvRegister.Cr8 when values[i].Reg64 < 16:
                    TaskPriority = (byte)(values[i].Reg64 << 4);
                    break;
                case WhvRegister.PendingEvent:
                    _pendingEvent = values[i].Reg64;
                    break;
                case WhvRegister.InternalActivityState:
                    SetActivity(values[i].Reg64);
                    break;
                case WhvRegister.ApicBase when _apic is { } apic:
                    apic.BaseMsr = values[i].Reg64;
                    _cpu.State->ApicBase = values[i].Reg64;
                    break;
                case WhvRegister.Tsc:
                    _cpu.TimeStamp = values[i].Reg64;
                    break;
                default:
                    StandInRegisters.Set(_cpu.State, names[i], values[i]);
                    break;
            }
        }
        return WhvResult.Ok;
    }

    public void Dispose()
    {
        RequireStopped();
        _cpu.Dispose();
        _sleeper.Dispose();
    }

    public uint ReadPort(ushort port, int size) => throw Port(port, size, isWrite: false);

    public void WritePort(ushort port, uint value, int size) => throw Port(port, size, isWrite: true);

    public ulong ReadMmio(ulong address, int size) => ApicAt(address) is { } apic ? apic.ReadMmio(address, size) : throw Access(address, WhvMemoryAccess.Read);

    public void WriteMmio(ulong address, ulong value, int size)
    {
        if (ApicAt(address) is not { } apic)
            throw Access(address, WhvMemoryAccess.Write);
        WriteApic(apic, address, value, size);
    }

    /// <summary>The local APIC's; without one the line is up while the caller waits for the window: this is it.</summary>
    public byte AcknowledgeInterrupt()
    {
        if (_apic is { } apic)
        {
            byte vector = apic.Acknowledge();
            _cpu.InterruptLine = _apicLine;
            return vector;
        }
        _exit.Reason = WhvRunVpExitReason.X64InterruptWindow;
        throw _exit;
    }

    private WhvRunVpExitReason RunToExit(WhvRunVpExitContext* context)
    {
        CpuState* state = _cpu.State;
        state->Activity = Activity.Active;
        _apicExit = null;
        Describe(context, state->Rip, 0);
        if (Forced.TryDequeue(out var forced))
            return forced;
        if (_host.SpuriousCancel != 0 && ++_runs % _host.SpuriousCancel == 0)
            return WhvRunVpExitReason.Canceled;
        if (Refusal() is { } why)
        {
            StandInHost.Complain($"WHvRunVirtualProcessor: a state that VM entry refuses: {why}");
            return WhvRunVpExitReason.InvalidVpRegisterValue;
        }
        // Whoever fills memory does so behind this map's back.
        _cpu.ForgetCode();
        if (_apic is not null)
            _partition.Turns.Enter();
        try
        {
            return _apic is null ? ExecuteAfterDelivery(context) : ExecuteBesideApic(context);
        }
        catch (ExitException)
        {
            return Leave(context);
        }
        finally
        {
            if (_apic is not null)
                _partition.Turns.Exit();
        }
    }

    private WhvRunVpExitReason ExecuteAfterDelivery(WhvRunVpExitContext* context)
    {
        Deliver();
        return Execute(context);
    }

    private WhvRunVpExitReason Execute(WhvRunVpExitContext* context)
    {
        CpuState* state = _cpu.State;
        while (true)
        {
            if ((_notifications & WhvBits.NotifyNmi) != 0 && state->NmiBlocked == 0 && state->Shadow == InterruptShadow.None)
            {
                _notifications = 0;
                context->InterruptWindow = WhvX64Pending.Nmi;
                Describe(context, state->Rip, 0);
                return WhvRunVpExitReason.X64InterruptWindow;
            }
            _cpu.InterruptLine = (_notifications & WhvBits.NotifyInterrupt) != 0;
            var stop = _cpu.Run((_notifications & WhvBits.NotifyNmi) != 0 ? 1ul : ulong.MaxValue);
            Describe(context, state->Rip, 0);
            switch (stop)
            {
                case StopReason.Budget:
                    continue;
                case StopReason.Halted:
                    return WhvRunVpExitReason.X64Halt;
                case StopReason.Shutdown:
                    return WhvRunVpExitReason.UnrecoverableException;
                case StopReason.Kicked:
                    return WhvRunVpExitReason.Canceled;
                case StopReason.Unsupported:
                    if (Intercept(context) is { } reason)
                        return reason;
                    RunAllowed();
                    continue;
                default:
                    throw new InvalidOperationException($"The soft CPU stopped with {stop}.");
            }
        }
    }

    /// <summary>The door threw: the instruction has not happened.</summary>
    private WhvRunVpExitReason Leave(WhvRunVpExitContext* context)
    {
        CpuState* state = _cpu.State;
        ulong start = _cpu.InstructionStart, length = state->Rip - start;
        _cpu.AbandonInstruction();
        _cpu.InterruptLine = false;
        Describe(context, start, (uint)length & 15);
        switch (_exit.Reason)
        {
            case WhvRunVpExitReason.X64InterruptWindow:
                // One shot, and both of them.
                _notifications = 0;
                context->InterruptWindow = WhvX64Pending.Interrupt;
                break;
            case WhvRunVpExitReason.X64IoPortAccess:
                DescribePort(context, (int)length);
                break;
            default:
                // Fetching the instruction, or in its course.
                var type = length == 0 && (_pending & WhvBits.PendingInterruption) == 0 ? WhvMemoryAccess.Execute : _exit.Type;
                bool unmapped = _partition.Memory.KindAt(_exit.Address) == PageKind.Mmio;
                context->MemoryAccess = new WhvMemoryAccessContext { AccessInfo = (uint)type | (unmapped ? WhvBits.MemoryGpaUnmapped : 0), Gpa = _exit.Address };
                break;
        }
        return _exit.Reason;
    }

    private void DescribePort(WhvRunVpExitContext* context, int length)
    {
        CpuState* state = _cpu.State;
        bool text = false, repeated = false;
        for (int i = 0; i < length; i++)
        {
            byte value = _cpu.ReadLinear<byte>(Linear(state->Rip + (ulong)i));
            repeated |= value is 0xF2 or 0xF3;
            if (value is >= 0x6C and <= 0x6F)
                text = true;
            if (value is (>= 0x6C and <= 0x6F) or (>= 0xE4 and <= 0xEF))
                break;
        }
        context->IoPortAccess = new WhvX64IoPortAccessContext
        {
            AccessInfo = (_exit.Type == WhvMemoryAccess.Write ? WhvBits.PortIsWrite : 0) | ((uint)_exit.Size << 1)
                | (text ? WhvBits.PortStringOp : 0) | (repeated ? WhvBits.PortRepPrefix : 0),
            PortNumber = (ushort)_exit.Address,
            Rax = state->Gpr[0],
            Rcx = state->Gpr[1],
            Rsi = state->Gpr[6],
            Rdi = state->Gpr[7],
            Ds = StandInRegisters.Get(state, WhvRegister.Ds).Segment,
            Es = StandInRegisters.Get(state, WhvRegister.Es).Segment,
        };
    }

    private void Describe(WhvRunVpExitContext* context, ulong rip, uint length)
    {
        CpuState* state = _cpu.State;
        // The shadow itself is gone when the instruction in it runs: an STI just before shows where it was.
        bool shadow = state->Shadow != InterruptShadow.None || (length != 0 && (state->Rflags & Eflags.IF) != 0 && PrecededBy(rip, 0xFB));
        context->VpContext = new WhvVpExitContext
        {
            ExecutionState = (ushort)((uint)_cpu.Cpl
                | ((state->Cr0 & ControlRegisters.Cr0PE) != 0 ? WhvBits.StateCr0Pe : 0)
                | ((state->Efer & ControlRegisters.EferLMA) != 0 ? WhvBits.StateEferLma : 0)
                | ((state->Dr[7] & 0xFF) != 0 ? WhvBits.StateDebugActive : 0)
                | ((_pending & WhvBits.PendingInterruption) != 0 ? WhvBits.StateInterruptionPending : 0)
                | (shadow ? WhvBits.StateInterruptShadow : 0)),
            InstructionLengthAndCr8 = (byte)(length | (uint)(TaskPriority & 0xF0)),
            Cs = StandInRegisters.Get(state, WhvRegister.Cs).Segment,
            Rip = rip,
            Rflags = state->Rflags,
        };
    }

    private bool PrecededBy(ulong rip, byte opcode)
    {
        if (_cpu.Memory.HostAt(Linear(rip - 1)) is var host && (_cpu.State->Cr0 & ControlRegisters.Cr0PG) == 0)
            return host != null && *host == opcode;
        return false;
    }

    private ulong Linear(ulong rip) => _cpu.Mode64 ? rip : (uint)(_cpu.State->Cs.Base + rip);

    /// <summary>Delivers the event that the caller put into the pending-interruption register; it stays there until that is done.</summary>
    private void Deliver()
    {
        if ((_pending & WhvBits.PendingInterruption) == 0)
            return;
        var type = (WhvX64Pending)((_pending & WhvBits.PendingInterruptionType) >> 1);
        byte vector = (byte)(_pending >> 16);
        uint? error = (_pending & WhvBits.PendingDeliverErrorCode) != 0 ? (uint)(_pending >> 32) : null;
        _cpu.Inject(vector, type == WhvX64Pending.Interrupt ? EventKind.ExternalInterrupt : type == WhvX64Pending.Nmi ? EventKind.Nmi : EventKind.Exception, error);
        _pending = 0;
    }

    /// <summary>What VM entry checks, of the state and of the event.</summary>
    private string? Refusal()
    {
        CpuState* state = _cpu.State;
        if ((_pending & WhvBits.PendingInterruption) != 0)
        {
            bool external = (_pending & WhvBits.PendingInterruptionType) == 0;
            if (external && (state->Rflags & Eflags.IF) == 0)
                return "an external interrupt with IF = 0";
            if (external && _apic is not null)
                return "an external interrupt beside the local APIC, where it is a pending event";
            if (state->Shadow != InterruptShadow.None)
                return "an event in an interrupt shadow";
        }
        if (RefusalOfEvent() is { } why)
            return why;
        if ((state->Cr0 & ControlRegisters.Cr0PE) == 0)
            return null;
        // An unrestricted guest's RPLs are not looked at, and its CS may still be that of real mode (SDM 27.3.1.2).
        CpuState relaxed = *state;
        if ((state->Rflags & Eflags.VM) == 0)
        {
            foreach (WhvRegister name in (WhvRegister[])[WhvRegister.Es, WhvRegister.Ss, WhvRegister.Ds, WhvRegister.Fs, WhvRegister.Gs])
                WithRpl(ref (&relaxed.Es)[name - WhvRegister.Es], (&relaxed.Es)[name - WhvRegister.Es].Dpl);
            WithRpl(ref relaxed.Cs, relaxed.Ss.Dpl);
            if (relaxed.Cs.Type == 3 && relaxed.Cs.Dpl == 0)
                relaxed.Cs.Access |= 8;
        }
        return VmxGuestState.Check(&relaxed);

        static void WithRpl(ref SegmentCache segment, int rpl) => segment.Selector = (ushort)((segment.Selector & ~3) | rpl);
    }

    private bool Intercepts(Code code) => !_allowed
        && (code is Code.Cpuid or Code.Rdmsr or Code.Wrmsr
            || ((_partition.Exceptions & (1 << Vectors.UD)) != 0 && code is Code.Ud2)
            || _host.Lacks.Contains(code));

    /// <summary>The exit for the intercepted instruction; null: it is the platform's own.</summary>
    private WhvRunVpExitReason? Intercept(WhvRunVpExitContext* context)
    {
        CpuState* state = _cpu.State;
        Describe(context, state->Rip, (uint)_cpu.UnsupportedBytes.Length);
        uint ecx = (uint)state->Gpr[1];
        switch (_cpu.UnsupportedCode)
        {
            case Code.Cpuid:
                uint leaf = (uint)state->Gpr[0];
                if ((_partition.Exits & WhvBits.ExitsX64Cpuid) == 0 || !_partition.CpuidExits.Contains(leaf))
                    return null;
                var (a, b, c, d) = _host.Model.Leaf(leaf, 39);
                context->CpuidAccess = new() { Rax = state->Gpr[0], Rcx = state->Gpr[1], Rdx = state->Gpr[2], Rbx = state->Gpr[3], DefaultResultRax = a, DefaultResultRbx = b, DefaultResultRcx = c, DefaultResultRdx = d };
                return WhvRunVpExitReason.X64Cpuid;
            case Code.Rdmsr or Code.Wrmsr:
                bool exits = (_partition.Exits & WhvBits.ExitsX64Msr) != 0;
                if (!exits && !IsPlatformMsr(ecx) && (_partition.Exceptions & (1 << Vectors.GP)) != 0)
                {
                    // The platform's own answer to what it does not know.
                    context->VpException = new() { ExceptionType = Vectors.GP, ExceptionInfo = WhvBits.ExceptionErrorCodeValid };
                    return WhvRunVpExitReason.Exception;
                }
                if (!exits || _cpu.Cpl != 0
                    || (IsPlatformMsr(ecx) && !(ecx == 0x1B && _cpu.UnsupportedCode == Code.Wrmsr && (_partition.MsrExits & WhvBits.MsrsApicBaseWrite) != 0)))
                    return null;
                context->MsrAccess = new() { AccessInfo = _cpu.UnsupportedCode == Code.Wrmsr ? WhvBits.MsrIsWrite : 0, MsrNumber = ecx, Rax = state->Gpr[0], Rdx = state->Gpr[2] };
                return WhvRunVpExitReason.X64MsrAccess;
            default:
                if ((_partition.Exceptions & (1 << Vectors.UD)) != 0)
                {
                    context->VpException = new() { ExceptionType = Vectors.UD };
                    return WhvRunVpExitReason.Exception;
                }
                _cpu.Inject(Vectors.UD, EventKind.Exception);
                return null;
        }
    }

    /// <summary>Executes the instruction at RIP although it is intercepted.</summary>
    private void RunAllowed()
    {
        _allowed = true;
        _cpu.DecodeAnew();
        // A kick that comes here is for the run.
        if (_cpu.StepOne() == StopReason.Kicked)
            _cpu.Kick();
        _allowed = false;
        _cpu.DecodeAnew();
    }

    /// <summary>Registers that the platform keeps itself.</summary>
    private static bool IsPlatformMsr(uint index) => index is 0x10 or 0x1B or 0xFE or (>= 0x174 and <= 0x176) or 0x277
        or (>= 0x200 and <= 0x20F) or 0x250 or 0x258 or 0x259 or (>= 0x268 and <= 0x26F) or 0x2FF
        or (>= 0xC0000080 and <= 0xC0000084) or (>= 0xC0000100 and <= 0xC0000103);

    private ExitException Port(ushort port, int size, bool isWrite)
    {
        _exit.Reason = WhvRunVpExitReason.X64IoPortAccess;
        _exit.Address = port;
        _exit.Size = size;
        _exit.Type = isWrite ? WhvMemoryAccess.Write : WhvMemoryAccess.Read;
        return _exit;
    }

    private ExitException Access(ulong address, WhvMemoryAccess type)
    {
        _exit.Reason = WhvRunVpExitReason.MemoryAccess;
        _exit.Address = address;
        _exit.Type = type;
        return _exit;
    }

    private void RequireStopped()
    {
        if (_running != 0)
            throw new StandInMisuse("while it runs");
    }

    /// <summary>One for all exits: it is thrown very often.</summary>
    private sealed class ExitException : Exception
    {
        public WhvRunVpExitReason Reason { get; set; }

        public ulong Address { get; set; }

        public int Size { get; set; }

        public WhvMemoryAccess Type { get; set; }
    }
}
