using Farm.Assist.Cpu;
using Farm.Assist.Monitor;
using Farm.Assist.Reports;
using Farm.Machine.Hypervisors;

namespace Farm.Machine;

/// <summary>
/// The processors of a machine, by turns on one thread: each executes <see cref="Quantum"/> instructions, those that halt or wait for a
/// SIPI are left out, and the time of all goes on with the instructions of one. Where there is one processor it runs without turns; on a
/// backend with local APICs of its own they run at once (<see cref="ProcessorThreads"/>).
/// </summary>
internal sealed unsafe class Processors : IDisposable
{
    /// <summary>Instructions of a turn: short beside what a guest waits for another processor, long beside the cost of a change.</summary>
    public const ulong Quantum = 2000;

    private readonly Execution[] _all;
    private readonly bool[] _waitsForSipi;
    private readonly bool[] _initPending;
    private readonly byte?[] _startPending;
    private readonly ProcessorThreads? _threads;
    private int _last;
    private long _skipped;
    private Execution? _running;
    private ulong _end;

    /// <param name="all">The bootstrap processor first.</param>
    /// <param name="atOnce">Several run at once, on threads of their own: INIT, SIPI and HLT are the backend's.</param>
    public Processors(IReadOnlyList<Execution> all, bool atOnce)
    {
        _all = [.. all];
        _threads = atOnce && _all.Length > 1 ? new ProcessorThreads(_all) : null;
        _waitsForSipi = new bool[_all.Length];
        _initPending = new bool[_all.Length];
        _startPending = new byte?[_all.Length];
        foreach (var processor in _all)
            processor.Woken = Reschedule;
    }

    public IReadOnlyList<Execution> All => _all;

    public Execution Bootstrap => _all[0];

    /// <summary>Guest instructions of all processors: what guest time is made of.</summary>
    public ulong Instructions
    {
        get
        {
            ulong sum = 0;
            foreach (var processor in _all)
                sum += processor.Instructions;
            return sum;
        }
    }

    public ulong AssistInstructions => Sum(static processor => processor.AssistInstructions);

    public ulong RealModeInstructions => Sum(static processor => processor.RealModeInstructions);

    public ulong Smis => Sum(static processor => processor.Smis);

    /// <summary>Exits of all vCPUs by reason.</summary>
    public Dictionary<VcpuExitReason, ulong> Exits => _all.SelectMany(static processor => processor.Exits)
        .GroupBy(static exit => exit.Key).ToDictionary(static group => group.Key, static group => group.Aggregate(0ul, static (sum, exit) => sum + exit.Value));

    /// <summary>Traps of all monitors by mnemonic, most frequent first.</summary>
    public Dictionary<string, ulong> Traps => _all.SelectMany(static processor => processor.Assist.TrapsByMnemonic)
        .GroupBy(static trap => trap.Key).OrderByDescending(static group => group.Sum(static trap => trap.Value)).ThenBy(static group => group.Key, StringComparer.Ordinal)
        .ToDictionary(static group => group.Key, static group => (ulong)group.Sum(static trap => trap.Value));

    public IReadOnlyList<UnsupportedOpcodeEvent> UnsupportedOpcodes => [.. _all.SelectMany(static processor => processor.UnsupportedOpcodes)];

    /// <summary>The processor that executes, or executed last: whose instruction it is that ended a run or touched a device.</summary>
    public Execution Current => _threads is null ? _running ?? _all[_last] : ProcessorThreads.Current ?? _all[_threads.Last];

    /// <summary>All wait in HLT, and at least one of them with interrupts on: an interrupt ends it.</summary>
    public bool CanBeWoken
    {
        get
        {
            for (int i = 0; i < _all.Length; i++)
            {
                if (!_waitsForSipi[i] && (_all[i].Guest->Rflags & Eflags.IF) != 0)
                    return true;
            }
            return false;
        }
    }

    /// <summary>As <see cref="Execution.Run"/>; <see cref="VcpuExitReason.Halted"/>: no processor has anything to execute.</summary>
    public VcpuExit Run(ulong budget)
    {
        if (_all.Length == 1)
            return Bootstrap.Run(budget);
        if (_threads is not null)
            return _threads.Run(budget);
        ulong now = Instructions;
        _end = now + Math.Min(budget, ulong.MaxValue - now);
        while (true)
        {
            TakeRequests();
            now = Instructions;
            if (now >= _end)
                return new(VcpuExitReason.Budget);
            int ready = Next(out bool alone);
            if (ready < 0)
                return new(VcpuExitReason.Halted);
            var exit = Turn(ready, alone ? _end - now : Math.Min(_end - now, Quantum));
            if (exit.Reason is not (VcpuExitReason.Budget or VcpuExitReason.Halted))
                return exit;
        }
    }

    /// <summary>Ends the present run after at most so many more instructions.</summary>
    public void LimitTo(ulong instructions)
    {
        ulong end = Instructions + instructions;
        _end = Math.Min(_end, end);
        Current.LimitTo(instructions);
    }

    /// <summary>For the door: so many ticks of guest time pass within the instruction in execution, and the present run ends that much earlier.</summary>
    public void Spend(ulong ticks)
    {
        if (_all.Length == 1)
        {
            Bootstrap.Spend(ticks);
            return;
        }
        PassTicks(ticks);
        ulong now = Instructions;
        if (now < _end)
            LimitTo(_end - now - Math.Min(_end - now, ticks));
    }

    /// <summary>At most one processor has anything to execute.</summary>
    public bool Alone
    {
        get
        {
            if (_all.Length == 1)
                return true;
            _ = Next(out bool alone);
            return alone;
        }
    }

    /// <summary>Ends the present run after the instruction in execution.</summary>
    public void RequestStop() => Current.RequestStop();

    /// <summary>All processors were idle for so much guest time, which was skipped: their time stamp counters go on by it.</summary>
    public void Skip(long nanoseconds)
    {
        if (nanoseconds == 0 || _all[0].TimeStampRate is not { } rate)
            return;
        // From the sum, so that what is rounded off does not add up.
        long before = rate.TicksAt(_skipped);
        _skipped += nanoseconds;
        PassTicks((ulong)(rate.TicksAt(_skipped) - before));
    }

    private void PassTicks(ulong ticks)
    {
        foreach (var processor in _all)
            processor.PassTicks(ticks);
    }

    public void Kick()
    {
        foreach (var processor in _all)
            processor.Kick();
    }

    /// <summary>Power-on or hard reset: the bootstrap processor at the loader's entry, the others waiting for a SIPI.</summary>
    public void PowerOn()
    {
        ForgetRequests();
        for (int i = 0; i < _all.Length; i++)
        {
            _all[i].PowerOn(bootstrap: i == 0);
            _waitsForSipi[i] = i != 0;
        }
        _last = 0;
    }

    /// <summary>INIT# of the chipset: real mode at F000:FFF0, memory and devices as they are; the others wait for a SIPI again.</summary>
    public void Init()
    {
        ForgetRequests();
        Bootstrap.Start();
        for (int i = 1; i < _all.Length; i++)
        {
            _waitsForSipi[i] = true;
            if (_threads is not null)
                _all[i].AwaitStartup();
        }
        _last = 0;
    }

    /// <summary>INIT through the local APIC of a processor other than the bootstrap processor; taken between two turns.</summary>
    public void RequestInit(int processor)
    {
        _initPending[processor] = true;
        _startPending[processor] = null;
        Reschedule();
    }

    /// <summary>Start-up interrupt: a processor that waits for it starts at <paramref name="vector"/> x 100h : 0, others ignore it (SDM vol. 3, 9.4.4).</summary>
    public void RequestStartup(int processor, byte vector)
    {
        if (!_waitsForSipi[processor] && !_initPending[processor])
            return;
        _startPending[processor] ??= vector;
        Reschedule();
    }

    public void Dispose()
    {
        _threads?.Dispose();
        foreach (var processor in _all)
            processor.Dispose();
    }

    /// <summary>Another processor may have something to execute: the one that has run alone gives way.</summary>
    private void Reschedule()
    {
        if (_all.Length > 1)
            _running?.RequestStop();
    }

    private VcpuExit Turn(int processor, ulong budget)
    {
        var execution = _all[processor];
        _last = processor;
        _running = execution;
        ulong before = execution.Instructions;
        var exit = execution.Run(budget);
        ulong done = execution.Instructions - before;
        _running = null;
        foreach (var other in _all)
        {
            if (other != execution)
                other.PassTicks(done);
        }
        return exit;
    }

    /// <summary>The next processor in turn that has something to execute, or -1; one in system management mode runs by itself.</summary>
    private int Next(out bool alone)
    {
        int found = -1, ready = 0;
        for (int i = 1; i <= _all.Length; i++)
        {
            int candidate = (_last + i) % _all.Length;
            if (_waitsForSipi[candidate] || _all[candidate].Idle)
                continue;
            if (_all[candidate].InSystemManagement)
            {
                alone = true;
                return candidate;
            }
            ready++;
            if (found < 0)
                found = candidate;
        }
        alone = ready == 1;
        return found;
    }

    private void TakeRequests()
    {
        for (int i = 0; i < _all.Length; i++)
        {
            if (_initPending[i])
            {
                _initPending[i] = false;
                _waitsForSipi[i] = true;
            }
            if (_startPending[i] is { } vector)
            {
                _startPending[i] = null;
                _waitsForSipi[i] = false;
                _all[i].Start(vector);
            }
        }
    }

    private void ForgetRequests()
    {
        Array.Clear(_initPending);
        Array.Clear(_startPending);
    }

    private ulong Sum(Func<Execution, ulong> part) => _all.Aggregate(0ul, (sum, processor) => sum + part(processor));
}
