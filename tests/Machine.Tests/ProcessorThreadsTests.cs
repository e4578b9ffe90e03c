using Farm.Assist.Cpu;
using Farm.Assist.Monitor;
using Farm.Machine.Hypervisors;
using Farm.Machine.Hypervisors.Soft;
using Farm.Machine.Time;

namespace Farm.Machine.Tests;

/// <summary>Processors at once whose runs end before the host has come to the others.</summary>
public sealed class ProcessorThreadsTests
{
    [Theory]
    [InlineData(2)]
    [InlineData(4)]
    public void However_short_the_first_ones_runs_are_the_others_have_their_turns(int processors)
    {
        using var machine = TestMachine.Build(new MachineOptions { Assist = AssistStrength.Native });
        BriefVcpu[] vcpus = [.. Enumerable.Range(0, processors).Select(_ => new BriefVcpu(machine.Vcpu))];
        Execution[] executions = [.. vcpus.Select(vcpu => new Execution(
            vcpu, machine.Parts.Partition.Memory, machine.Parts.Door, MonitorImage.Build(), new AssistOptions { Strength = AssistStrength.Native }, new SoftHypervisor()))];
        const int runs = 1000;
        using (var threads = new ProcessorThreads(executions))
        {
            for (int i = 0; i < runs; i++)
                Assert.Equal(VcpuExitReason.Kicked, threads.Run(1).Reason);
        }
        Assert.Equal(runs, vcpus[0].Runs);
        // One may be missed, the next not.
        Assert.All(vcpus[1..], static vcpu => Assert.InRange(vcpu.Runs, (runs / 2) - 1, int.MaxValue));
        foreach (var execution in executions)
            execution.Dispose();
    }

    /// <summary>A run of it is over at once, and nobody else gets the gate meanwhile.</summary>
    private sealed unsafe class BriefVcpu(IVcpu model) : IVcpu
    {
        public int Runs { get; private set; }

        public object? Gate { get; set; }

        public CpuState* State => model.State;

        public ulong Instructions => 0;

        public ulong RealModeInstructions => 0;

        public bool InterruptLine { get; set; }

        public ClockRate? TimeStampRate => null;

        public VcpuExit Run(ulong budget)
        {
            Runs++;
            return new(VcpuExitReason.Kicked);
        }

        public void Kick()
        {
        }

        public void RequestStop(VcpuExitReason reason)
        {
        }

        public void LimitTo(ulong instructions)
        {
        }

        public void KickAfter(long nanoseconds)
        {
        }

        public void AdvanceTimeStamp(ulong ticks)
        {
        }

        public void PendNmi()
        {
        }

        public IReadOnlyList<(ulong From, ulong To)> LastBranches() => [];

        public void Dispose()
        {
        }
    }
}
