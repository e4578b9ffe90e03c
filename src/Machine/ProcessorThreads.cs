using System.Runtime.ExceptionServices;
using Farm.Machine.Hypervisors;

namespace Farm.Machine;

/// <summary>
/// Several processors at once, on a backend with local APICs of its own: the bootstrap processor on the machine's thread, each other on one
/// of its own that runs while the bootstrap processor is in its run, and no longer. Outside of <see cref="Run"/> the machine has one thread
/// as ever. Within it whoever touches the machine holds the gate; a processor gives it up while it executes guest code.
/// </summary>
internal sealed class ProcessorThreads : IDisposable
{
    [ThreadStatic]
    private static Execution? _current;

    private readonly object _gate = new();
    private readonly IReadOnlyList<Execution> _all;
    private readonly Thread[] _threads;

    /// <summary>The last run of all in which a processor has executed, or stopped the machine.</summary>
    private readonly long[] _taken;
    private bool _started;
    private bool _go;
    private bool _disposed;

    /// <summary>Number of the present run of all.</summary>
    private long _round;

    /// <summary>Processors in their run.</summary>
    private int _active;
    private VcpuExit? _exit;
    private Exception? _failure;

    /// <param name="all">The bootstrap processor first.</param>
    public ProcessorThreads(IReadOnlyList<Execution> all)
    {
        _all = all;
        _taken = new long[all.Count];
        foreach (var processor in all)
            processor.Gate = _gate;
        _threads = [.. Enumerable.Range(1, all.Count - 1).Select(i => new Thread(() => Execute(i)) { IsBackground = true, Name = $"vCPU {i}" })];
    }

    /// <summary>The processor that the thread which asks runs; null: none, <see cref="Run"/> is over.</summary>
    public static Execution? Current => _current;

    /// <summary>The processor whose exit <see cref="Run"/> gave.</summary>
    public int Last { get; private set; }

    /// <summary>Runs all until the bootstrap processor's run ends, or another one ends the machine's.</summary>
    public VcpuExit Run(ulong budget)
    {
        lock (_gate)
        {
            Start();
            VcpuExit exit;
            _current = _all[0];
            try
            {
                exit = _all[0].Run(budget);
            }
            finally
            {
                _current = null;
                Halt();
            }
            if (_failure is { } failure)
            {
                _failure = null;
                ExceptionDispatchInfo.Throw(failure);
            }
            if (_exit is { } other)
            {
                _exit = null;
                return other;
            }
            Last = 0;
            // That one processor has halted for good says nothing of the others.
            return exit.Reason == VcpuExitReason.Halted ? new(VcpuExitReason.Kicked) : exit;
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _disposed = true;
            Monitor.PulseAll(_gate);
        }
        if (!_started)
            return;
        foreach (var thread in _threads)
            thread.Join();
    }

    private void Start()
    {
        _go = true;
        _round++;
        Monitor.PulseAll(_gate);
        if (_started)
            return;
        _started = true;
        foreach (var thread in _threads)
            thread.Start();
    }

    private void Halt()
    {
        _go = false;
        foreach (var processor in _all.Skip(1))
            processor.Kick();
        while (_active > 0 || Enumerable.Range(1, _threads.Length).Any(IsOverdue))
            Monitor.Wait(_gate);
    }

    /// <summary>
    /// The host had not come to it before the last run of all was over: the next does not end without it. A bootstrap processor whose runs are
    /// short would leave the others behind for good.
    /// </summary>
    private bool IsOverdue(int index) => _taken[index] < _round - 1;

    private void Execute(int index)
    {
        var processor = _all[index];
        _current = processor;
        lock (_gate)
        {
            while (!_disposed)
            {
                if (_go ? _taken[index] == _round : !IsOverdue(index))
                {
                    Monitor.Wait(_gate);
                    continue;
                }
                _taken[index] = _round;
                _active++;
                try
                {
                    while (Continues(index, processor.Run(ulong.MaxValue)) && _go)
                    {
                    }
                }
                catch (Exception failure)
                {
                    _failure ??= failure;
                    _all[0].Kick();
                }
                _active--;
                Monitor.PulseAll(_gate);
            }
        }
    }

    /// <summary>False: the machine is to look at the exit, or at what was asked of it.</summary>
    private bool Continues(int index, VcpuExit exit)
    {
        switch (exit.Reason)
        {
            case VcpuExitReason.Shutdown:
            case VcpuExitReason.EmulationFailure:
                if (_exit is null)
                    (_exit, Last) = (exit, index);
                _all[0].Kick();
                return false;
            case VcpuExitReason.Stopped:
                _all[0].Kick();
                return false;
            default:
                return true;
        }
    }
}
