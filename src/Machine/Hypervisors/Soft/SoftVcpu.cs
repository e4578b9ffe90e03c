using Farm.Assist.Cpu;
using Farm.Machine.Time;

namespace Farm.Machine.Hypervisors.Soft;

/// <summary>A vCPU that is an interpreter. Where real mode is not allowed it models an early VT-x processor.</summary>
public sealed class SoftVcpu(PhysicalMemory memory, ICpuDoor door, PartitionOptions options, int index) : IVcpu
{
    /// <summary>The processor itself, for the door and for reports.</summary>
    public X86Cpu Cpu { get; } = new(memory, door, options.CpuModel) { RealModeAllowed = options.RealModeAllowed, ApicId = (byte)index };

    public unsafe CpuState* State => Cpu.State;

    public ulong Instructions => Cpu.InstructionCount;

    public ulong RealModeInstructions => Cpu.RealModeInstructions;

    public bool InterruptLine
    {
        get => Cpu.InterruptLine;
        set => Cpu.InterruptLine = value;
    }

    public unsafe VcpuExit Run(ulong budget)
    {
        var reason = Cpu.Run(budget);
        return reason switch
        {
            StopReason.Budget => new(VcpuExitReason.Budget),
            StopReason.Halted => new(VcpuExitReason.Halted),
            StopReason.AssistCall => new(VcpuExitReason.AssistCall),
            StopReason.RealModeEntered => new(VcpuExitReason.RealModeEntered),
            StopReason.Shutdown => new(VcpuExitReason.Shutdown),
            StopReason.Unsupported => new(VcpuExitReason.EmulationFailure, Cpu.UnsupportedBytes),
            StopReason.Kicked => new(VcpuExitReason.Kicked),
            _ => new(VcpuExitReason.Stopped),
        };
    }

    public void RequestStop(VcpuExitReason reason) =>
        Cpu.RequestStop(reason == VcpuExitReason.AssistCall ? StopReason.AssistCall : StopReason.Stopped);

    public void LimitTo(ulong instructions)
    {
        ulong deadline = Cpu.InstructionCount + instructions;
        if (deadline < Cpu.Deadline)
            Cpu.Deadline = deadline;
    }

    public void KickAfter(long nanoseconds) => throw new InvalidOperationException("The soft backend has virtual time.");

    public ClockRate? TimeStampRate { get; } = new ClockRate(1, InstructionTime.NanosecondsPerInstruction);

    public unsafe void AdvanceTimeStamp(ulong ticks) => Cpu.State->TscOffset += ticks;

    public void PendNmi() => Cpu.PendNmi();

    public void PendSmi() => Cpu.PendSmi();

    public void ForgetEvents() => Cpu.ForgetEvents();

    public ulong Smis => Cpu.SmiCount;

    public void Kick() => Cpu.Kick();

    public IReadOnlyList<(ulong From, ulong To)> LastBranches() => [.. Cpu.LastBranches().Reverse()];

    public void Dispose() => Cpu.Dispose();
}
