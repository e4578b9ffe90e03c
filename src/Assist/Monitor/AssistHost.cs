using System.Runtime.CompilerServices;
using Farm.Assist.Cpu;

namespace Farm.Assist.Monitor;

/// <summary>Where the guest's instructions are executed at the moment.</summary>
public enum AssistMode
{
    /// <summary>By the processor: the loader, or the monitor being set up. The next thing is the monitor's Enter call.</summary>
    Loading,

    /// <summary>By the processor in virtual-8086 mode under the monitor.</summary>
    Vm86,

    /// <summary>By the host half's interpreter.</summary>
    Interpreting,

    /// <summary>By the processor, without the assist.</summary>
    Aside,
}

/// <summary>What <see cref="AssistHost.Run"/> wants next.</summary>
public enum AssistStep
{
    /// <summary>Run the processor.</summary>
    RunVcpu,

    /// <summary>The budget is used up.</summary>
    Budget,

    /// <summary>The guest executed HLT; call again when an interrupt is pending.</summary>
    Halted,

    /// <summary>Triple fault.</summary>
    Shutdown,

    /// <summary>An instruction that the assist cannot emulate, see <see cref="AssistHost.Unsupported"/>; the guest's state stands at it.</summary>
    Unsupported,
    Kicked,

    /// <summary>The door asked the interpreter to stop.</summary>
    Stopped,
}

/// <summary>An instruction that could not be emulated.</summary>
/// <param name="Bytes">The instruction.</param>
/// <param name="Linear">Its linear address.</param>
/// <param name="Code">What Iced calls it.</param>
/// <param name="Refused">True when the assist is set to refuse it, false when the core lacks it.</param>
public sealed record UnsupportedInstruction(byte[] Bytes, ulong Linear, Iced.Intel.Code Code, bool Refused);

/// <summary>
/// The host half of the assist of one processor. It owns an interpreter, answers the resident monitor's calls, carries the guest
/// between real mode (virtual-8086 mode on the processor) and protected mode, and hands the processor over when that can run
/// the guest's state by itself. All members but <see cref="Kick"/> belong to the processor's thread.
/// </summary>
/// <remarks>
/// While the mode is <see cref="AssistMode.Vm86"/>, the interpreter's state is the guest's real-mode view: control registers,
/// descriptor tables, hidden parts of segments and debug registers are always right there, general registers, selectors and
/// flags as of the last trap; the FPU's registers live in the processor.
/// </remarks>
public sealed unsafe partial class AssistHost : IDisposable
{
    private readonly AssistOptions _options;
    private readonly MonitorImage _image;
    private readonly MonitorMemory _monitor;
    private readonly X86Cpu _cpu;
    private IVcpuState? _vcpu;
    private MonitorCall _call;
    private byte? _sipiVector;
    private bool _halted;
    private bool _interruptLine;

    /// <summary>General registers, selectors and flags of the view are those of now.</summary>
    private bool _viewCurrent;

    /// <summary>The interpreter has not run since its state was replaced.</summary>
    private bool _stateReplaced = true;

    /// <summary>The interpreter runs: what passes the door is not the processor's.</summary>
    private bool _interpreting;

    /// <summary>The interpreter has the guest at the moment: what passes the door is its doing.</summary>
    public bool IsInterpreting => _interpreting;

    /// <param name="memory">The machine's map, with the monitor's RAM in it.</param>
    /// <param name="door">The machine's door; it asks <see cref="TryCall"/> and <see cref="TranslateVector"/>.</param>
    public AssistHost(PhysicalMemory memory, ICpuDoor door, MonitorImage image, AssistOptions options)
    {
        _options = options;
        _image = image;
        _monitor = new MonitorMemory(memory, options.Processor);
        bool refuses = options.Strength == AssistStrength.Vm86 && options.Refused.Count != 0;
        _cpu = new X86Cpu(memory, door, options.Model, refuses ? options.Refused.Contains : null) { ApicId = (byte)options.Processor };
        Mode = options.Strength == AssistStrength.Native ? AssistMode.Aside : AssistMode.Loading;
    }

    public AssistMode Mode { get; private set; }

    public AssistStatistics Statistics { get; } = new();

    /// <summary>Instructions that the host half executed: they are guest instructions, beside those that the processor counts.</summary>
    public ulong Instructions => _cpu.InstructionCount;

    /// <summary>Events that the resident monitor reflected by itself, as it says.</summary>
    public uint ResidentReflections => _monitor.Reflected;

    /// <summary>The monitor called; <see cref="Run"/> deals with it before the processor runs again.</summary>
    public bool CallPending { get; private set; }

    /// <summary>The guest waits in HLT under the assist.</summary>
    public bool Halted => _halted || (Mode == AssistMode.Interpreting && _cpu.State->Activity == Activity.Halted);

    /// <summary><see cref="Run"/> has something to do; else the processor runs.</summary>
    public bool Busy => CallPending || _halted || _request is not null || Mode == AssistMode.Interpreting;

    /// <summary>Level of the INTR pin, kept current by the machine.</summary>
    public bool InterruptLine
    {
        get => _interruptLine;
        set
        {
            _interruptLine = value;
            if (_interpreting && Mode == AssistMode.Interpreting)
                _cpu.InterruptLine = value;
        }
    }

    /// <summary>Set with <see cref="AssistStep.Unsupported"/>.</summary>
    public UnsupportedInstruction? Unsupported { get; private set; }

    /// <summary>The interpreter, for its last branches.</summary>
    public X86Cpu Interpreter => _cpu;

    private IVcpuState Vcpu => _vcpu ?? throw new InvalidOperationException("The assist has no processor yet: Attach comes first.");

    private CpuState* Guest => _cpu.State;

    /// <summary>Binds the processor that the assist looks after.</summary>
    public void Attach(IVcpuState vcpu) => _vcpu = vcpu;

    /// <summary>Machine reset: the machine has put the processor at the loader's entry.</summary>
    public void Reset()
    {
        Forget();
        Mode = _options.Strength == AssistStrength.Native ? AssistMode.Aside : AssistMode.Loading;
    }

    /// <summary>
    /// INIT of the processor alone (keyboard controller, port 92h, shutdown cycle), or SIPI: real mode starts at F000:FFF0 or at
    /// vector x 100h : 0. RAM, shadow RAM and the monitor stay as they are.
    /// </summary>
    public void Start(byte? sipiVector = null)
    {
        CpuState* state = Mode is AssistMode.Interpreting ? Guest : Vcpu.State;
        if (state != Vcpu.State)
            *Vcpu.State = *state;
        Forget();
        state = Vcpu.State;
        Vm86State.EnterReal(state, _options.Model.Signature, sipiVector);
        switch (_options.Strength)
        {
            case AssistStrength.Native:
                Mode = AssistMode.Aside;
                break;
            case AssistStrength.Full:
                TakeState();
                Mode = AssistMode.Interpreting;
                break;
            default:
                _monitor.Restore(_image);
                Vm86State.EnterFlat(state, _image.Start);
                state->Gpr[0] = (ulong)_options.Strength;
                state->Gpr[1] = _options.Model.Signature;
                state->Gpr[2] = (ulong)_options.Processor;
                state->Gpr[3] = sipiVector ?? 0;
                _sipiVector = sipiVector;
                Mode = AssistMode.Loading;
                break;
        }
    }

    /// <summary>
    /// A write of a byte to the private port passes the door. True: it is the monitor's call, the processor must stop and
    /// <see cref="Run"/> follow. False: an ordinary write.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryCall(byte value)
    {
        if (_interpreting)
            return false;
        var call = (MonitorCall)value;
        // In virtual-8086 mode the I/O bitmap keeps the port from the guest.
        bool accepted = Mode == AssistMode.Vm86 ? call is MonitorCall.Trap or MonitorCall.Reflect or MonitorCall.Panic
            : Enters(call);
        if (!accepted || !_monitor.Calling)
            return false;
        _call = call;
        CallPending = true;
        return true;
    }

    /// <summary>
    /// Turns the vector that the guest's interrupt controller gave into the one to inject into the processor: under the
    /// monitor all external interrupts enter by one gate and are reflected to the guest's own vector.
    /// </summary>
    public byte TranslateVector(byte vector)
    {
        if (Mode != AssistMode.Vm86)
            return vector;
        _monitor.SetInterruptVector(vector);
        return MonitorLayout.InterruptGate;
    }

    /// <summary>The processor stopped because CR0.PE is clear: the assist takes the guest over.</summary>
    /// <param name="late">Real-mode code may have run on the processor before.</param>
    public void TakeOver(bool late = false)
    {
        Statistics.ToReal++;
        if (late)
            Statistics.LateToReal++;
        TakeState();
        _settle = 0;
        Mode = AssistMode.Interpreting;
    }

    /// <summary>
    /// SMI#: system management mode is interpreted, whoever runs the guest. To be called between two runs. False: the monitor is at
    /// work; ask again after a few instructions of the processor.
    /// </summary>
    public bool TryManageSystem()
    {
        switch (Mode)
        {
            case AssistMode.Interpreting:
                break;
            case AssistMode.Aside when _options.Strength != AssistStrength.Native:
                TakeState();
                break;
            case AssistMode.Vm86 when _halted:
                Guest->Activity = Activity.Halted;
                _halted = false;
                break;
            case AssistMode.Vm86 when !CallPending && (Vcpu.State->Rflags & Eflags.VM) != 0:
                View();
                break;
            default:
                return false;
        }
        _settle = 0;
        Mode = AssistMode.Interpreting;
        _cpu.PendSmi();
        return true;
    }

    /// <summary>
    /// Does what is due: the monitor's call, then interpretation as long as the processor cannot run the guest's state.
    /// To be called while <see cref="Busy"/>.
    /// </summary>
    /// <param name="budget">Bound on interpreted instructions; the answer to a call may exceed it by one.</param>
    public AssistStep Run(ulong budget)
    {
        _interpreting = true;
        if (_options.StoresUnseen)
            _cpu.ForgetCode();
        var step = Proceed(budget);
        _interpreting = false;
        _viewCurrent = step != AssistStep.RunVcpu;
        return step;
    }

    /// <summary>
    /// Executes for the processor the one instruction at which its backend failed: <see cref="AssistStep.RunVcpu"/> when it is done,
    /// its fault delivered included.
    /// </summary>
    public AssistStep EmulateOne()
    {
        CpuState view = *Guest;
        TakeState();
        _interpreting = true;
        if (_options.StoresUnseen)
            _cpu.ForgetCode();
        _cpu.StopsAtProtectedMode = false;
        _cpu.InterruptLine = false;
        var stop = StepGuest();
        _interpreting = false;
        Statistics.Emulated++;
        ulong tscOffset = VcpuTscOffset;
        *Vcpu.State = *Guest;
        Vcpu.State->TscOffset = tscOffset;
        *Guest = view;
        _stateReplaced = true;
        _viewCurrent = false;
        return stop ?? TakeRequests() ?? AssistStep.RunVcpu;
    }

    /// <summary>For the door while the interpreter runs: <see cref="Run"/> returns after the instruction in execution.</summary>
    public void RequestStop()
    {
        if (_interpreting)
            _cpu.RequestStop();
    }

    /// <summary>For the door: the present <see cref="Run"/> ends after at most so many more instructions.</summary>
    public void LimitTo(ulong instructions)
    {
        if (!_interpreting)
            return;
        ulong end = _cpu.InstructionCount + instructions;
        if (end >= _end)
            return;
        _end = end;
        if (end < _cpu.Deadline)
            _cpu.Deadline = end;
    }

    /// <summary>Latches a non-maskable interrupt in the interpreter. False: the processor has the guest, and is to latch it.</summary>
    public bool PendNmi()
    {
        if (Mode != AssistMode.Interpreting)
        {
            _halted = false;
            return false;
        }
        _cpu.PendNmi();
        return true;
    }

    /// <summary>Makes <see cref="Run"/> return soon; any thread.</summary>
    public void Kick() => _cpu.Kick();

    /// <summary>
    /// The guest as it sees itself, for reports: in virtual-8086 mode the real-mode state that it stands for. Valid until the next run.
    /// </summary>
    public CpuState* View()
    {
        if (Mode is AssistMode.Loading or AssistMode.Aside)
            return Vcpu.State;
        if (Mode == AssistMode.Vm86 && !_viewCurrent)
        {
            CpuState* state = Vcpu.State;
            if ((state->Rflags & Eflags.VM) != 0)
                Vm86State.Load(Guest, state);
            else
                Vm86State.Load(Guest, _monitor.Frame);
            TakeLive();
        }
        return Guest;
    }

    public void Dispose() => _cpu.Dispose();

    private AssistStep Proceed(ulong budget)
    {
        if (CallPending)
        {
            CallPending = false;
            _cpu.InterruptLine = false;
            if (Answer() is { } stop)
                return stop;
        }
        if (TakeRequests() is { } request)
            return request;
        if (_halted)
        {
            if (!_interruptLine || (Guest->Rflags & Eflags.IF) == 0)
                return AssistStep.Halted;
            _halted = false;
        }
        if (Mode != AssistMode.Interpreting)
            return AssistStep.RunVcpu;
        _cpu.InterruptLine = _interruptLine;
        return Interpret(budget);
    }

    private void Forget()
    {
        CallPending = false;
        _halted = false;
        _request = null;
        _sipiVector = null;
        Unsupported = null;
        _cpu.ForgetEvents();
        _cpu.Door.SetSystemManagement(false);
    }

    /// <summary>The monitor's first call: flat ring 0 in its code, just at or after its OUT.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool Enters(MonitorCall call) =>
        Mode == AssistMode.Loading && call == MonitorCall.Enter && Vcpu.State is var state
        && (state->Cr0 & (ControlRegisters.Cr0PE | ControlRegisters.Cr0PG)) == ControlRegisters.Cr0PE
        && (state->Rflags & Eflags.VM) == 0
        && state->Ss.Dpl == 0
        && state->Cs.Base == 0
        && state->Rip >= MonitorLayout.Base
        && state->Rip < _image.CodeEnd;

    /// <summary>Copies the whole state of the processor into the interpreter.</summary>
    private void TakeState()
    {
        CpuState* state = Vcpu.State;
        *Guest = *state;
        _stateReplaced = true;
        TakeTimeStamp();
        // The guest changed its page tables meanwhile.
        if ((Guest->Cr0 & ControlRegisters.Cr0PG) != 0)
            _cpu.FlushTlb();
    }

    /// <summary>Copies what virtual-8086 code changes without a trap beside the general registers: FPU and SSE state, DR6, TSC.</summary>
    private void TakeLive()
    {
        CpuState* state = Vcpu.State;
        new ReadOnlySpan<ulong>(state->Fpr, 16).CopyTo(new Span<ulong>(Guest->Fpr, 16));
        new ReadOnlySpan<ulong>(state->Xmm, 32).CopyTo(new Span<ulong>(Guest->Xmm, 32));
        Guest->FpuControl = state->FpuControl;
        Guest->FpuStatus = state->FpuStatus;
        Guest->FpuTag = state->FpuTag;
        Guest->FpuOpcode = state->FpuOpcode;
        Guest->FpuIp = state->FpuIp;
        Guest->FpuDp = state->FpuDp;
        Guest->FpuCs = state->FpuCs;
        Guest->FpuDs = state->FpuDs;
        Guest->Mxcsr = state->Mxcsr;
        Guest->Dr[6] = state->Dr[6];
        Guest->NmiBlocked = state->NmiBlocked;
        TakeTimeStamp();
    }

    private void TakeTimeStamp() => Guest->TscOffset = Vcpu.State->TscOffset + Vcpu.Instructions - _cpu.InstructionCount;

    private ulong VcpuTscOffset => Guest->TscOffset + _cpu.InstructionCount - Vcpu.Instructions;
}
