using Farm.Assist.Cpu;

namespace Farm.Assist.Monitor;

// What the processor cannot run: real mode under full, real-mode states that virtual-8086 mode cannot hold, the way through the
// transition until the state is one for VM entry.
public sealed unsafe partial class AssistHost
{
    /// <summary>Real-mode instructions to interpret after an access beyond 64 KiB.</summary>
    private const ulong BigAccessBatch = 512;

    private const int AllSegments = 0x3F;

    private ulong _settle;

    /// <summary>Instruction count at which <see cref="Interpret"/> returns.</summary>
    private ulong _end;

    private AssistStep Interpret(ulong budget)
    {
        _end = _cpu.InstructionCount + Math.Min(budget, ulong.MaxValue - _cpu.InstructionCount);
        while (true)
        {
            if (TryHandOver())
                return AssistStep.RunVcpu;
            ulong before = _cpu.InstructionCount;
            if (before >= _end)
                return AssistStep.Budget;
            var reason = _cpu.Run(Math.Min(_end - before, Batch));
            _settle -= Math.Min(_settle, _cpu.InstructionCount - before);
            switch (reason)
            {
                case StopReason.Budget or StopReason.SegmentLoaded:
                    break;
                case StopReason.ProtectedModeEntered:
                    EnteredProtectedMode();
                    break;
                case StopReason.Halted:
                    return AssistStep.Halted;
                case StopReason.Shutdown:
                    return AssistStep.Shutdown;
                case StopReason.Unsupported:
                    return Refuse();
                case StopReason.Kicked:
                    return AssistStep.Kicked;
                default:
                    return AssistStep.Stopped;
            }
        }
    }

    /// <summary>Hands the guest to the processor if that can run its state.</summary>
    private bool TryHandOver()
    {
        if (Guest->Activity != Activity.Active || _cpu.EventPending || Guest->Shadow != InterruptShadow.None || Guest->InSystemManagement)
            return false;
        if ((Guest->Cr0 & ControlRegisters.Cr0PE) == 0)
        {
            if (_options.Strength != AssistStrength.Vm86 || _settle != 0 || !Vm86State.IsRepresentable(Guest))
                return false;
            EnterVm86();
            return true;
        }
        if (VmxGuestState.Check(Guest) is not null)
            return false;
        CpuState* state = Vcpu.State;
        *state = *Guest;
        state->TscOffset = VcpuTscOffset;
        Statistics.ToProtected++;
        Mode = AssistMode.Aside;
        return true;
    }

    /// <summary>
    /// How far to run before the next look. In protected mode each instruction may be the one that makes the state fit; in real
    /// mode only the load of a segment register that stood in the way can.
    /// </summary>
    private ulong Batch
    {
        get
        {
            if (Guest->InSystemManagement)
            {
                // Until RSM.
                _cpu.StopsAtProtectedMode = false;
                _cpu.WatchedSegments = AllSegments;
                return ulong.MaxValue;
            }
            bool real = (Guest->Cr0 & ControlRegisters.Cr0PE) == 0;
            _cpu.StopsAtProtectedMode = real;
            _cpu.WatchedSegments = 0;
            if (!real)
                return 1;
            if (_options.Strength != AssistStrength.Vm86)
                return ulong.MaxValue;
            if (_settle != 0)
                return _settle;
            _cpu.WatchedSegments = Vm86State.BlockingSegments(Guest);
            return _cpu.WatchedSegments != 0 ? ulong.MaxValue : 1;
        }
    }
}
