using System.Globalization;
using Farm.Assist.Cpu;
using Farm.Assist.Monitor;
using Farm.Assist.Reports;
using Farm.Firmware;
using Farm.Machine.Hypervisors;
using Farm.Machine.Time;

namespace Farm.Machine;

/// <summary>
/// What executes guest instructions: a vCPU and the assist's host half, by turns. Above it nobody knows who ran an instruction; exits
/// that come out are Budget, Halted, Shutdown, EmulationFailure, Kicked and Stopped.
/// </summary>
internal sealed unsafe class Execution : IDisposable
{
    private const int MostReports = 64;
    private readonly IVcpu _vcpu;
    private readonly AssistHost _assist;
    private readonly PhysicalMemory _memory;
    private readonly AssistOptions _options;
    private readonly IHypervisor _hypervisor;
    private readonly List<UnsupportedOpcodeEvent> _unsupported = [];
    private readonly ulong[] _exits = new ulong[Enum.GetValues<VcpuExitReason>().Length];
    private ulong _end;

    /// <summary>SMI# waits until the assist can take it.</summary>
    private bool _smi;

    /// <summary>Instructions to let the monitor run before it is asked again.</summary>
    private const ulong MonitorSlice = 16;

    /// <param name="hypervisor">The vCPU's backend: what it can do, and what its emulation failures are called.</param>
    public Execution(IVcpu vcpu, PhysicalMemory memory, MachineDoor door, MonitorImage monitor, AssistOptions options, IHypervisor hypervisor)
    {
        _vcpu = vcpu;
        _memory = memory;
        _options = options;
        _hypervisor = hypervisor;
        _assist = new AssistHost(memory, door, monitor, options);
        _assist.Attach(vcpu);
        door.Divert(MonitorLayout.Port, TakeCall);
        door.Translate = _assist.TranslateVector;
    }

    public ulong Instructions => _vcpu.Instructions + _assist.Instructions;

    /// <summary>Of these, interpreted by the assist's host half.</summary>
    public ulong AssistInstructions => _assist.Instructions;

    public AssistStatistics Assist => _assist.Statistics;

    /// <summary>Exits of the vCPU by reason.</summary>
    public IReadOnlyDictionary<VcpuExitReason, ulong> Exits =>
        Enum.GetValues<VcpuExitReason>().Where(reason => _exits[(int)reason] != 0).ToDictionary(reason => reason, reason => _exits[(int)reason]);

    public IReadOnlyList<UnsupportedOpcodeEvent> UnsupportedOpcodes => _unsupported;

    /// <summary>How far the guest is, for the owner of an address.</summary>
    public GuestProgress Progress { get; set; }

    /// <summary>The guest's own state, whoever holds it. Valid until the next run.</summary>
    public CpuState* Guest => _assist.View();

    /// <summary>Where the guest executes, for records of what it does: in the midst of a run too.</summary>
    public CodePosition Position => _assist.IsInterpreting ? CodePosition.Of(_assist.Interpreter.State) : _vcpu.Position;

    /// <summary>Of the instructions, those executed by the vCPU itself in real mode.</summary>
    public ulong RealModeInstructions => _vcpu.RealModeInstructions;

    /// <summary>The last run ended in HLT and nothing has happened since that could end it.</summary>
    public bool Idle { get; private set; }

    public bool InSystemManagement => Guest->InSystemManagement;

    /// <inheritdoc cref="IVcpu.Gate"/>
    public object? Gate
    {
        set => _vcpu.Gate = value;
    }

    /// <summary>Called when <see cref="Idle"/> ends.</summary>
    public Action? Woken { get; set; }

    /// <summary>Level of the INTR pin.</summary>
    public void SetInterruptLine(bool level)
    {
        _vcpu.InterruptLine = level;
        _assist.InterruptLine = level;
        if (level)
            Wake();
    }

    /// <summary>A non-maskable interrupt, to whoever executes the guest.</summary>
    public void PendNmi()
    {
        Wake();
        if (!_assist.PendNmi())
            _vcpu.PendNmi();
    }

    public VcpuExit Run(ulong budget)
    {
        var exit = Execute(budget);
        Idle = exit.Reason == VcpuExitReason.Halted;
        return exit;
    }

    private VcpuExit Execute(ulong budget)
    {
        _end = Instructions + Math.Min(budget, ulong.MaxValue - Instructions);
        while (true)
        {
            ulong now = Instructions;
            if (now >= _end)
                return new(VcpuExitReason.Budget);
            if (_smi)
                _smi = !_assist.TryManageSystem();
            if (_assist.Busy)
            {
                var step = _assist.Run(_end - now);
                if (step == AssistStep.RunVcpu)
                    continue;
                if (step == AssistStep.Unsupported)
                    Report(_assist.Unsupported!.Bytes, OpcodeReasons.Assist);
                return FromAssist(step);
            }
            _vcpu.MayLeaveProtectedMode = _assist.Mode == AssistMode.Aside;
            var exit = _vcpu.Run(_smi ? Math.Min(_end - now, MonitorSlice) : _end - now);
            _exits[(int)exit.Reason]++;
            switch (exit.Reason)
            {
                case VcpuExitReason.AssistCall:
                case VcpuExitReason.Budget when _smi:
                    break;
                case VcpuExitReason.RealModeEntered:
                    _assist.TakeOver(late: !_hypervisor.Capabilities.InterceptsCr0);
                    break;
                case VcpuExitReason.EmulationFailure:
                    if (TryEmulate() is { } after)
                    {
                        if (after == AssistStep.RunVcpu)
                            break;
                        return FromAssist(after);
                    }
                    return exit with { Bytes = Convert.FromHexString(Report(exit.Bytes, _hypervisor.FailureReason).Bytes) };
                default:
                    return exit;
            }
        }
    }

    /// <summary>Ends the present run after at most so many more instructions.</summary>
    public void LimitTo(ulong instructions)
    {
        ulong end = Instructions + instructions;
        if (end >= _end)
            return;
        _end = end;
        _vcpu.LimitTo(instructions);
        _assist.LimitTo(instructions);
    }

    /// <summary>For the door: so many ticks of guest time pass within the instruction in execution, and the present run ends that much earlier.</summary>
    public void Spend(ulong ticks)
    {
        PassTicks(ticks);
        ulong now = Instructions;
        if (now < _end)
            LimitTo(_end - now - Math.Min(_end - now, ticks));
    }

    /// <summary>Ends the present run after the instruction in execution.</summary>
    public void RequestStop()
    {
        _vcpu.RequestStop(VcpuExitReason.Stopped);
        _assist.RequestStop();
    }

    /// <summary>SMI#, taken after the instruction in execution.</summary>
    public void RaiseSmi()
    {
        Wake();
        if (_options.Strength == AssistStrength.Native)
        {
            _vcpu.PendSmi();
            return;
        }
        _smi = true;
        RequestStop();
    }

    /// <summary>SMIs taken.</summary>
    public ulong Smis => _vcpu.Smis + _assist.Interpreter.SmiCount;

    /// <summary>Power-on or hard reset: the loader's entry. Another than the bootstrap processor is not to run before <see cref="Start"/>.</summary>
    public void PowerOn(bool bootstrap)
    {
        Idle = _smi = false;
        _vcpu.ForgetEvents();
        SetLoaderEntry(_vcpu.State, _options.Model.Signature, bootstrap);
        _assist.Reset();
    }

    /// <summary>INIT where the backend's own local APIC waits for the SIPI.</summary>
    public void AwaitStartup() => _vcpu.ForgetEvents();

    /// <summary>INIT of the processor alone: real mode at F000:FFF0; or a SIPI: at the vector x 100h : 0. Everything else stays.</summary>
    public void Start(byte? sipiVector = null)
    {
        Idle = _smi = false;
        _vcpu.ForgetEvents();
        _assist.Start(sipiVector);
    }

    /// <inheritdoc cref="IVcpu.TimeStampRate"/>
    public ClockRate? TimeStampRate => _vcpu.TimeStampRate;

    /// <summary>The time stamp counter goes on while the processor does not execute.</summary>
    public void PassTicks(ulong ticks)
    {
        // One of the two holds the guest's counter; whoever takes over derives its own from that.
        _vcpu.AdvanceTimeStamp(ticks);
        _assist.Interpreter.State->TscOffset += ticks;
    }

    public void Kick()
    {
        _vcpu.Kick();
        _assist.Kick();
    }

    /// <summary>CS:IP and mode, for messages.</summary>
    public string Where()
    {
        var state = Guest;
        bool wide = state->Cs.Long && (state->Efer & ControlRegisters.EferLMA) != 0;
        ulong linear = (state->Cs.Base + state->Rip) & (wide ? ulong.MaxValue : uint.MaxValue);
        return string.Create(CultureInfo.InvariantCulture,
            $"{state->Cs.Selector:X4}:{state->Rip:X4} (linear {linear:X8}, {OpcodeReporter.ModeOf(state).ToString().ToLowerInvariant()})");
    }

    public void Dispose() => _assist.Dispose();

    /// <summary>Lets the assist execute the instruction at which the hardware's backend failed; null: it cannot either.</summary>
    private AssistStep? TryEmulate()
    {
        if (_hypervisor.Capabilities.EmulatesLikeAssist)
            return null;
        var step = _assist.EmulateOne();
        return step == AssistStep.Unsupported ? null : step;
    }

    /// <summary>A write to the monitor's private port.</summary>
    private bool TakeCall(uint value)
    {
        if (!_assist.TryCall((byte)value))
            return false;
        if (_assist.TryAnswer())
            _exits[(int)VcpuExitReason.AssistCall]++;
        else
            _vcpu.RequestStop(VcpuExitReason.AssistCall);
        return true;
    }

    private void Wake()
    {
        if (!Idle)
            return;
        Idle = false;
        Woken?.Invoke();
    }

    private static VcpuExit FromAssist(AssistStep step) => new(step switch
    {
        AssistStep.Budget => VcpuExitReason.Budget,
        AssistStep.Halted => VcpuExitReason.Halted,
        AssistStep.Shutdown => VcpuExitReason.Shutdown,
        AssistStep.Unsupported => VcpuExitReason.EmulationFailure,
        AssistStep.Kicked => VcpuExitReason.Kicked,
        _ => VcpuExitReason.Stopped,
    });

    private UnsupportedOpcodeEvent Report(byte[]? bytes, string reason)
    {
        var found = OpcodeReporter.Create(Guest, _memory, new OpcodeContext(reason, Progress, LastBranches(), Instructions, bytes));
        if (_unsupported.Count < MostReports)
            _unsupported.Add(found);
        return found;
    }

    /// <summary>Of whoever executed the guest last, newest first, without the monitor's own.</summary>
    private IReadOnlyList<(ulong From, ulong To)> LastBranches() => _assist.Mode == AssistMode.Interpreting
        ? [.. _assist.Interpreter.LastBranches().Reverse()]
        : [.. _vcpu.LastBranches().Where(branch => branch.To is < MonitorLayout.Base or >= MonitorLayout.Base + MemoryMap.AssistRamSize)];

    /// <summary>Flat 32-bit protected mode at the loader's first byte; everything else as after reset (SDM vol. 3, table 10-1).</summary>
    private static void SetLoaderEntry(CpuState* state, uint signature, bool bootstrap)
    {
        *state = default;
        state->Rflags = 2;
        state->Rip = MemoryMap.LoaderRom;
        state->Gpr[2] = signature;
        state->Cr0 = ControlRegisters.Cr0PE | ControlRegisters.Cr0ET | ControlRegisters.Cr0NW | ControlRegisters.Cr0CD;
        state->Dr[6] = 0xFFFF0FF0;
        state->Dr[7] = 0x400;
        state->Gdtr.Limit = state->Idtr.Limit = 0xFFFF;
        state->Cs = Flat(0x08, 0xC09B);
        state->Ds = state->Es = state->Fs = state->Gs = state->Ss = Flat(0x10, 0xC093);
        state->Ldtr = new SegmentCache { Limit = 0xFFFF, Access = 0x82 };
        state->Tr = new SegmentCache { Limit = 0xFFFF, Access = 0x8B };
        state->ApicBase = bootstrap ? 0xFEE00900 : 0xFEE00800u;
        state->Smbase = X86Cpu.InitialSmbase;
        state->Pat = 0x0007040600070406;
        state->FpuControl = 0x40;
        state->FpuTag = 0x5555;
        state->Mxcsr = 0x1F80;
    }

    private static SegmentCache Flat(ushort selector, uint access) => new() { Selector = selector, Limit = uint.MaxValue, Access = access };
}
