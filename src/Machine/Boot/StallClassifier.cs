using System.Globalization;

namespace Farm.Machine.Boot;

/// <summary>What a guest that makes no progress is doing.</summary>
public enum StallKind
{
    /// <summary>It executes the same few instructions over and over.</summary>
    TightLoop,

    /// <summary>HLT with interrupts off.</summary>
    HaltedForGood,

    /// <summary>HLT with interrupts on, but none comes.</summary>
    HaltedWithoutInterrupts,

    /// <summary>A device's request waits: interrupts are off, or one in service was never ended.</summary>
    UnansweredInterrupt,

    /// <summary>It polls a port that no device owns.</summary>
    UnhandledPort,
    TripleFault,
}

/// <param name="Kind">What it is.</param>
/// <param name="Text">One sentence with the address, interrupt or port.</param>
public sealed record Stall(StallKind Kind, string Text);

/// <summary>One look at the machine, between two slices of its run.</summary>
/// <param name="Time">Guest time in nanoseconds.</param>
/// <param name="Linear">Linear address of the next instruction.</param>
/// <param name="Selector">CS.</param>
/// <param name="Offset">(E)IP.</param>
/// <param name="InterruptsOn">EFLAGS.IF.</param>
/// <param name="Waiting">IRQs requested and not masked.</param>
/// <param name="InService">IRQs in service.</param>
/// <param name="Taken">External interrupts taken so far.</param>
/// <param name="UnmappedReads">Reads from ports that nobody owns so far.</param>
/// <param name="UnmappedPort">The port of the last of them.</param>
/// <param name="Accesses">Port and MMIO accesses so far.</param>
/// <param name="Idle">Guest time spent in HLT so far.</param>
/// <param name="Registers">A hash of the general registers.</param>
public readonly record struct StallSample(
    long Time, ulong Linear, ushort Selector, ulong Offset, bool InterruptsOn, ushort Waiting, ushort InService, ulong Taken,
    long UnmappedReads, ushort UnmappedPort, ulong Accesses, long Idle, ulong Registers = 0);

/// <summary>Names what a guest has been doing for the last second of its time, when that is not progress.</summary>
public sealed class StallClassifier
{
    /// <summary>Guest time looked back on: a thousand samples at one per millisecond, fewer when the guest sleeps.</summary>
    private const long View = 1_000_000_000;
    private const long ShortestView = 900_000_000;
    private const int MostSamples = 1002;
    private const long EndlessAfter = 5_000_000_000;

    /// <summary>A loop of so many bytes at most is a tight one.</summary>
    private const ulong LoopBytes = 64;

    private readonly Dictionary<ulong, ulong> _registers = [];
    private readonly Queue<StallSample> _samples = new(MostSamples);
    private StallSample _newest;
    private (ulong Low, ulong High, long Since, ulong Accesses) _locked;

    public void Add(in StallSample sample)
    {
        Lock(sample, first: _samples.Count == 0);
        _samples.Enqueue(_newest = sample);
        while (_samples.Count >= MostSamples || sample.Time - _samples.Peek().Time > View)
            _samples.Dequeue();
    }

    /// <summary>
    /// Nothing in the machine can get the guest out: for five seconds it has run the same few instructions with interrupts off and without
    /// asking any device, and an instruction met again found the same registers. (A checksum over a kernel takes as long; it counts.)
    /// </summary>
    public bool Endless => _newest.Time - _locked.Since >= EndlessAfter;

    /// <summary>The stall that the last second shows; null: the guest works, or nothing is known.</summary>
    public Stall? Classify()
    {
        if (_samples.Count == 0 || Newest.Time - Oldest.Time < ShortestView)
            return null;
        return Polling() ?? NeverEnded() ?? Halted() ?? Looping() ?? NeverTaken();
    }

    private StallSample Newest => _newest;

    private StallSample Oldest => _samples.Peek();

    private double Seconds => (Newest.Time - Oldest.Time) / 1e9;

    private void Lock(in StallSample sample, bool first)
    {
        ulong low = Math.Min(_locked.Low, sample.Linear), high = Math.Max(_locked.High, sample.Linear);
        bool kept = !first && !sample.InterruptsOn && high - low <= LoopBytes && sample.Accesses == _locked.Accesses;
        kept &= !_registers.TryGetValue(sample.Linear, out ulong registers) || registers == sample.Registers;
        if (!kept)
            _registers.Clear();
        _registers[sample.Linear] = sample.Registers;
        _locked = kept ? _locked with { Low = low, High = high } : (sample.Linear, sample.Linear, sample.Time, sample.Accesses);
    }

    /// <summary>Reads from one port that nobody owns, again and again.</summary>
    private Stall? Polling()
    {
        long reads = Newest.UnmappedReads - Oldest.UnmappedReads;
        ushort port = Newest.UnmappedPort;
        foreach (var sample in _samples)
        {
            if (sample.UnmappedPort != port)
                return null;
        }
        // A port read once in a while is a probe.
        return reads < _samples.Count ? null : new(StallKind.UnhandledPort, Invariant(
            $"the guest polls port {port:X4}h, which no device owns, from {At(Newest)} ({reads} reads in {Seconds:F1} s)"));
    }

    /// <summary>A request that waits behind an interrupt in service, with interrupts on.</summary>
    private Stall? NeverEnded()
    {
        int inService = 0xFFFF;
        bool on = false;
        foreach (var sample in _samples)
        {
            inService &= sample.InService;
            on |= sample.InterruptsOn;
        }
        return Waiting() is not { } irq || inService == 0 || !on ? null : new(StallKind.UnansweredInterrupt, Invariant(
            $"IRQ {irq} has been waiting for {Seconds:F1} s behind IRQ {int.TrailingZeroCount(inService)}, which was never ended (no EOI), at {At(Newest)}"));
    }

    /// <summary>A request that waits for a guest which does something else with interrupts off.</summary>
    private Stall? NeverTaken()
    {
        foreach (var sample in _samples)
        {
            if (sample.InterruptsOn)
                return null;
        }
        return Waiting() is not { } irq ? null : new(StallKind.UnansweredInterrupt, Invariant(
            $"IRQ {irq} has been waiting for {Seconds:F1} s with interrupts off (IF=0) at {At(Newest)}"));
    }

    /// <summary>The IRQ that has been requested, unmasked, all the time while none was taken.</summary>
    private int? Waiting()
    {
        int waiting = 0xFFFF;
        foreach (var sample in _samples)
            waiting &= sample.Waiting;
        return waiting == 0 || Newest.Taken != Oldest.Taken ? null : int.TrailingZeroCount(waiting);
    }

    private Stall? Halted()
    {
        if (!MostlyIdle || Newest.Taken != Oldest.Taken)
            return null;
        return new(StallKind.HaltedWithoutInterrupts, Invariant($"HLT at {At(Newest)}: no interrupt has come for {Seconds:F1} s"));
    }

    /// <summary>Nine samples of ten within a few bytes; the others belong to interrupt handlers.</summary>
    private Stall? Looping()
    {
        if (MostlyIdle)
            return null;
        ulong[] addresses = [.. _samples.Select(static sample => sample.Linear)];
        Array.Sort(addresses);
        int first = 0, most = 0, from = 0;
        for (int last = 0; last < addresses.Length; last++)
        {
            while (addresses[last] - addresses[first] > LoopBytes)
                first++;
            if (last - first + 1 > most)
                (most, from) = (last - first + 1, first);
        }
        if (most * 10 < addresses.Length * 9)
            return null;
        ulong low = addresses[from], high = addresses[from + most - 1];
        var inside = _newest;
        foreach (var sample in _samples)
        {
            if (sample.Linear == low)
                inside = sample;
        }
        return new(StallKind.TightLoop, Invariant(
            $"the guest has looped within {high - low + 1} bytes at {At(inside)} for {Seconds:F1} s with interrupts {(Newest.InterruptsOn ? "on" : "off")}"));
    }

    private bool MostlyIdle => (Newest.Idle - Oldest.Idle) * 2 > Newest.Time - Oldest.Time;

    private static string At(in StallSample sample) => Invariant($"{sample.Selector:X4}:{sample.Offset:X4} (linear {sample.Linear:X8})");

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
