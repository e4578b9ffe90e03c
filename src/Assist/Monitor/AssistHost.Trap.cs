using System.Runtime.CompilerServices;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Monitor;

// The monitor's calls.
public sealed unsafe partial class AssistHost
{
    /// <summary>INT 16h.</summary>
    private const byte KeyboardServices = 0x16;

    /// <summary>What the interpreter reported beside the instruction that it executed: a kick, or the door's request to stop.</summary>
    private AssistStep? _request;

    /// <summary>Answers the pending call; a value ends the run, null goes on by <see cref="Mode"/>.</summary>
    private AssistStep? Answer()
    {
        switch (_call)
        {
            case MonitorCall.Enter:
                AnswerEnter();
                return null;
            case MonitorCall.Trap:
                return AnswerTrap();
            case MonitorCall.Reflect:
                return AnswerReflect();
            default:
                return AnswerPanic();
        }
    }

    /// <summary>The monitor stands ready and would enter virtual-8086 mode next: the guest's view begins as after RESET or SIPI.</summary>
    private void AnswerEnter()
    {
        CpuState* state = Vcpu.State;
        TakeState();
        Vm86State.EnterReal(Guest, _options.Model.Signature, _sipiVector);
        Guest->Cr4 = 0;
        if (_options.Strength == AssistStrength.Full)
        {
            Mode = AssistMode.Interpreting;
            return;
        }
        if (_options.TrapsTableReads)
            state->Cr4 |= ControlRegisters.Cr4UMIP;
        if (_options.TrapsKeyQuestions)
            _monitor.CloseGate(KeyboardServices);
        Mode = AssistMode.Vm86;
        _monitor.ForgetVectorTable();
        Resume();
    }

    /// <summary>
    /// Answers the call just taken while the processor still stands in the monitor's OUT, which then goes on by itself. Only on real processors,
    /// and where nothing but the monitor's frame has to be looked at and changed. False: the processor must stop and <see cref="Run"/> follow,
    /// with the whole answer or with what this one has led to.
    /// </summary>
    public bool TryAnswer()
    {
        var frame = _monitor.Frame;
        if (!_options.StoresUnseen || _call != MonitorCall.Trap || (frame->Eflags & Eflags.VM) == 0)
            return false;
        _interpreting = true;
        _cpu.ForgetCode();
        _cpu.InterruptLine = false;
        var mnemonic = PeekTrapped(frame);
        bool done = false;
        if (IsSimple(mnemonic))
        {
            var reason = StepTrapped();
            done = reason == StopReason.Budget && Guest->Activity == Activity.Active && CanResume;
            if (done)
            {
                CallPending = false;
                Resume(frame, sameTable: mnemonic != Mnemonic.Lidt);
            }
            else
            {
                var stop = Finish(reason);
                CallPending = stop == AssistStep.Unsupported;
                if (stop is null)
                    GoOn(throughFrame: true);
            }
            // One that the assist lacks comes again with the whole answer.
            if (!CallPending)
                Statistics.CountTrap(mnemonic);
        }
        _interpreting = _viewCurrent = false;
        return done;
    }

    /// <summary>#GP or #SS in virtual-8086 mode: the instruction is executed in real mode by the interpreter.</summary>
    private AssistStep? AnswerTrap()
    {
        var frame = _monitor.Frame;
        if ((frame->Eflags & Eflags.VM) == 0)
            return AnswerPanic();
        var mnemonic = PeekTrapped(frame);
        Statistics.CountTrap(mnemonic);

        bool simple = IsSimple(mnemonic);
        if (!simple)
            TakeLive();
        else if (Vcpu.Instructions != 0)
            TakeTimeStamp();
        ulong faults = _cpu.FaultCount;
        if (Finish(StepTrapped()) is { } stop)
        {
            // Called again, it answers the same.
            CallPending = stop == AssistStep.Unsupported;
            return stop;
        }
        // An access beyond 64 KiB through a big segment: more of them follow as a rule.
        if (!simple && _cpu.FaultCount == faults)
            _settle = BigAccessBatch;
        return GoOn(throughFrame: simple);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Mnemonic PeekTrapped(MonitorFrame* frame)
    {
        Vm86State.Load(Guest, frame);
        var code = _cpu.PeekCode(sameMode: !_stateReplaced);
        _stateReplaced = false;
        return code.Mnemonic();
    }

    /// <summary>An event whose vector the monitor does not reflect by itself.</summary>
    private AssistStep? AnswerReflect()
    {
        if ((_monitor.Frame->Eflags & Eflags.VM) == 0)
            return AnswerPanic();
        Statistics.HostReflections++;
        Vm86State.Load(Guest, _monitor.Frame);
        bool external = (byte)_monitor.Frame->Vector == MonitorLayout.InterruptGate;
        _cpu.Inject(_monitor.CallVector, external ? EventKind.ExternalInterrupt : EventKind.SoftwareInterrupt);
        if (Guest->Activity == Activity.Shutdown)
        {
            Mode = AssistMode.Interpreting;
            return AssistStep.Shutdown;
        }
        return GoOn(throughFrame: true);
    }

    /// <summary>The monitor itself faulted: its RAM was overwritten by a protected-mode guest. Nothing sensible can follow.</summary>
    private AssistStep AnswerPanic()
    {
        TakeState();
        Guest->Activity = Activity.Shutdown;
        Mode = AssistMode.Interpreting;
        return AssistStep.Shutdown;
    }

    /// <summary>
    /// After the guest's state was changed: back to virtual-8086 mode through the monitor's frame, or with the whole state, or on to the
    /// interpreter.
    /// </summary>
    private AssistStep? GoOn(bool throughFrame)
    {
        if (Guest->Activity == Activity.Halted)
        {
            _halted = true;
            Guest->Activity = Activity.Active;
        }
        if (_settle != 0 || !(throughFrame ? CanResume : CanEnterVm86))
        {
            EnteredProtectedMode();
            if (throughFrame)
                TakeLive();
            Mode = AssistMode.Interpreting;
            if (_halted)
            {
                Guest->Activity = Activity.Halted;
                _halted = false;
            }
            return null;
        }
        if (throughFrame)
        {
            if (Vcpu.Instructions != 0)
                Vcpu.State->TscOffset = VcpuTscOffset;
            Resume(_monitor.Frame);
        }
        else
        {
            EnterVm86();
        }
        return null;
    }

    /// <summary>To be called when the guest may just have set CR0.PE.</summary>
    private void EnteredProtectedMode()
    {
        if ((Guest->Cr0 & ControlRegisters.Cr0PE) != 0 && _options.Strength == AssistStrength.Vm86)
            Guest->Rflags = Vm86State.ToProtectedFlags(Guest->Rflags);
    }

    private bool CanEnterVm86 => Guest->Shadow == InterruptShadow.None && !_cpu.EventPending && Vm86State.IsRepresentable(Guest);

    /// <summary>As <see cref="CanEnterVm86"/> behind a simple instruction or an event: neither leaves a segment that virtual-8086 mode cannot hold.</summary>
    private bool CanResume
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Guest->Shadow == InterruptShadow.None && !_cpu.EventPending && Guest->Rip <= 0xFFFF;
    }

    /// <summary>Lets the monitor return to the guest, where there is a frame with the state of now in it.</summary>
    /// <param name="sameTable">The guest's vector table is where it was.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Resume(MonitorFrame* frame = null, bool sameTable = false)
    {
        // Where stores go unseen nothing decoded is trusted anyway.
        if (!_options.StoresUnseen)
            _monitor.BeforeWrite();
        if (frame != null)
            Vm86State.Store(Guest, frame);
        if (!sameTable)
            _monitor.ShowVectorTable(Guest->Idtr.Base == 0 && Guest->Idtr.Limit >= 0x3FF, _options.TrapsKeyQuestions ? KeyboardServices : MonitorMemory.NoVector);
        _monitor.EndCall();
    }

    private void EnterVm86()
    {
        Vm86State.Enter(Vcpu.State, Guest, _options);
        Vcpu.State->TscOffset = VcpuTscOffset;
        Statistics.Vm86Entries++;
        Mode = AssistMode.Vm86;
        _monitor.ForgetVectorTable();
        Resume();
    }

    /// <summary>Executes one instruction of the guest's in the interpreter, without external interrupts.</summary>
    private AssistStep? StepGuest()
    {
        _cpu.StopsAtProtectedMode = false;
        _cpu.WatchedSegments = 0;
        return Finish(_cpu.StepOne());
    }

    /// <summary>The same of the instruction that <see cref="PeekTrapped"/> has found; <see cref="Finish"/> is to follow.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private StopReason StepTrapped()
    {
        _cpu.StopsAtProtectedMode = false;
        _cpu.WatchedSegments = 0;
        return _cpu.StepPeeked();
    }

    private AssistStep? Finish(StopReason reason)
    {
        // Stops that come before the instruction.
        while (reason is StopReason.Kicked or StopReason.SegmentLoaded)
        {
            if (reason == StopReason.Kicked)
                _request = AssistStep.Kicked;
            reason = _cpu.StepOne();
        }
        if (reason == StopReason.Stopped)
            _request = AssistStep.Stopped;
        if (reason == StopReason.Unsupported)
            return Refuse();
        return Guest->Activity == Activity.Shutdown ? Shutdown() : null;
    }

    private AssistStep? TakeRequests()
    {
        var request = _request;
        _request = null;
        return request;
    }

    private AssistStep Shutdown()
    {
        Mode = AssistMode.Interpreting;
        return AssistStep.Shutdown;
    }

    private AssistStep Refuse()
    {
        bool refused = _options.Strength == AssistStrength.Vm86 && _options.Refused.Contains(_cpu.UnsupportedCode);
        Unsupported = new UnsupportedInstruction(_cpu.UnsupportedBytes, _cpu.UnsupportedAt, _cpu.UnsupportedCode, refused);
        return AssistStep.Unsupported;
    }

    /// <summary>
    /// Instructions that touch general registers, flags, selectors, memory, ports and the guest's view only: the processor's other
    /// registers need neither be fetched nor written back.
    /// </summary>
    private static bool IsSimple(Mnemonic mnemonic) => SimpleOnes[(int)mnemonic];

    private static readonly bool[] SimpleOnes =
    [
        .. Enum.GetValues<Mnemonic>().Select(static mnemonic => mnemonic switch
        {
            Mnemonic.Hlt or Mnemonic.Int or Mnemonic.Int3 or Mnemonic.Into or Mnemonic.Iret or Mnemonic.Iretd => true,
            Mnemonic.In or Mnemonic.Out or Mnemonic.Insb or Mnemonic.Insw or Mnemonic.Insd => true,
            Mnemonic.Outsb or Mnemonic.Outsw or Mnemonic.Outsd => true,
            Mnemonic.Lgdt or Mnemonic.Lidt or Mnemonic.Sgdt or Mnemonic.Sidt or Mnemonic.Smsw => true,
            Mnemonic.Wbinvd or Mnemonic.Invd or Mnemonic.Invlpg => true,
            Mnemonic.Cli or Mnemonic.Sti or Mnemonic.Pushf or Mnemonic.Pushfd or Mnemonic.Popf or Mnemonic.Popfd => true,
            _ => false,
        }),
    ];
}
