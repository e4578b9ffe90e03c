using Farm.Assist.Cpu;
using Farm.Machine.Hypervisors;

namespace Farm.Backends.Tests;

// Several processors at once: each but the first on a thread of its own, while the first is in its run. The threads stay: to KVM a vCPU
// that comes to another thread costs a grace period of the kernel's RCU, which is longer than such a run.
public sealed unsafe partial class Bed
{
    private readonly object _gate = new();
    private Thread[] _threads = [];
    private long _round;
    private int _active;
    private bool _go, _over;

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
        lock (_gate)
        {
            _go = true;
            _round++;
            Monitor.PulseAll(_gate);
            if (_threads.Length == 0)
            {
                _threads = [.. Others.Select(other => new Thread(() => RunOther(other)))];
                foreach (var thread in _threads)
                    thread.Start();
            }
            try
            {
                return RunFirst();
            }
            finally
            {
                _go = false;
                foreach (var other in Others)
                    other.Kick();
                while (_active != 0)
                    Monitor.Wait(_gate);
            }
        }
    }

    private void RunOther(IVcpu vcpu)
    {
        long round = 0;
        lock (_gate)
        {
            while (!_over)
            {
                if (!_go || round == _round)
                {
                    Monitor.Wait(_gate);
                    continue;
                }
                round = _round;
                _active++;
                while (_go)
                {
                    var exit = vcpu.Run(ulong.MaxValue);
                    if (exit.Reason is VcpuExitReason.Kicked or VcpuExitReason.Halted)
                        continue;
                    OtherExits.Add(exit.Reason);
                    break;
                }
                _active--;
                Monitor.PulseAll(_gate);
            }
        }
    }

    private void EndThreads()
    {
        lock (_gate)
        {
            _over = true;
            Monitor.PulseAll(_gate);
        }
        foreach (var thread in _threads)
            thread.Join();
    }
}
