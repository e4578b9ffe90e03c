using Farm.Assist.Cpu;

namespace Farm.Assist.Monitor;

// What the processor cannot run: real mode under full, real-mode states that virtual-8086 mode cannot hold, the way through the
// transition until the state is one for VM entry.
public sealed unsafe partial class AssistHost
{
    /// <summary>Real-mode instructions between two looks at whether virtual-8086 mode can go on.</summary>
    private const ulong RealBatch = 64;

    /// <summary>Real-mode instructions to interpret after an access beyond 64 KiB.</summary>
    private const ulong BigAccessBatch = 512;

    /// <summary>Instructions after a transition that are looked at one by one.</summary>
    private const ulong CloseLook = 64;

    private ulong _settle, _close;

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
            ulong ran = _cpu.InstructionCount - before;
            _settle -= Math.Min(_settle, ran);
            _close -= Math.Min(_close, ran);
            switch (reason)
            {
                case StopReason.Budget:
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
        if (Guest->Activity != Activity.Active || _cpu.TrapPending || Guest->Shadow != InterruptShadow.None)
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

    /// <summary>How far to run before the next look: in protected mode each instruction may be the one that makes the state fit.</summary>
    private ulong Batch
    {
        get
        {
            bool real = (Guest->Cr0 & ControlRegisters.Cr0PE) == 0;
            _cpu.StopsAtProtectedMode = real;
            if (!real)
                return 1;
            if (_options.Strength != AssistStrength.Vm86)
                return ulong.MaxValue;
            return _close != 0 ? 1 : _settle != 0 ? _settle : RealBatch;
        }
    }
}
