using Farm.Assist.Cpu;
using Farm.Machine.Hypervisors;

namespace Farm.Backends.Tests;

// Several processors at once: each but the first on a thread of its own, while the first is in its run.
public sealed unsafe partial class Bed
{
    private readonly object _gate = new();
    private bool _stop;

    /// <summary>All but the first, in the order of their numbers; they wait for a SIPI.</summary>
    public IReadOnlyList<IVcpu> Others { get; }

    /// <summary>Exits of the others that ended their runs.</summary>
    public List<VcpuExitReason> OtherExits { get; } = [];

    private List<IVcpu> BindOthers(int count)
    {
        var others = new List<IVcpu>();
        for (int i = 1; i <= count; i++)
            others.Add(_partition.BindVcpu(i, this));
        foreach (var other in others)
        {
            other.Gate = Vcpu.Gate = _gate;
            other.ForgetEvents();
            // As a machine has them after power-on: the state of a reset does not start them.
            CpuState* state = other.State;
            *state = default;
            state->Rflags = 2;
            state->Cr0 = ControlRegisters.Cr0ET;
            state->ApicBase = 0xFEE00800;
        }
        return others;
    }

    private VcpuExitReason RunAll()
    {
        Thread[] threads = [.. Others.Select(other => new Thread(() => RunOther(other)))];
        lock (_gate)
        {
            _stop = false;
            foreach (var thread in threads)
                thread.Start();
            try
            {
                return RunFirst();
            }
            finally
            {
                _stop = true;
                foreach (var other in Others)
                    other.Kick();
                Monitor.Exit(_gate);
                foreach (var thread in threads)
                    thread.Join();
                Monitor.Enter(_gate);
            }
        }
    }

    private void RunOther(IVcpu vcpu)
    {
        lock (_gate)
        {
            while (!_stop)
            {
                var exit = vcpu.Run(ulong.MaxValue);
                if (exit.Reason is VcpuExitReason.Kicked or VcpuExitReason.Halted)
                    continue;
                OtherExits.Add(exit.Reason);
                return;
            }
        }
    }
}
