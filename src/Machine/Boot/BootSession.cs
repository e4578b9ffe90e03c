using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using Farm.Assist.Cpu;
using Farm.Machine.Hypervisors;
using Farm.Machine.Hypervisors.Soft;
using Farm.Machine.Network;

namespace Farm.Machine.Boot;

/// <summary>Runs one VM by its script, from power-on to a verdict.</summary>
public sealed class BootSession : IDisposable
{
    /// <summary>Guest time between two looks at where the guest executes; each costs an exit where time is the host's.</summary>
    private long SampleEvery => _virtualTime ? 1_000_000 : 20_000_000;

    /// <summary>Guest time without a look, at the most.</summary>
    private const long LongestPause = 1_000_000_000;

    private readonly BootRequest _request;
    private readonly PcMachine _machine;
    private readonly IncrementalHash _serialHash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly Stopwatch _host = new();
    private readonly PhaseTracker _phases;
    private readonly ScreenHistory _screens;
    private readonly List<StepMet> _steps = [];
    private TimeSpan _pollCost, _lookCost;
    private readonly StallClassifier _stalls = new();
    private readonly string _backend;
    private readonly bool _virtualTime;
    private long _slice;

    /// <exception cref="BadInputException">The request cannot be built: an image, an option.</exception>
    /// <exception cref="HostException">The backend cannot run here.</exception>
    public BootSession(BootRequest request)
        : this(request, Backends.Choose(request.Backend))
    {
    }

    /// <summary>On a backend that is not among <see cref="Backends.All"/>.</summary>
    /// <inheritdoc cref="BootSession(BootRequest)"/>
    public BootSession(BootRequest request, IHypervisor hypervisor)
    {
        _request = request;
        _backend = hypervisor.Name;
        _virtualTime = hypervisor.Capabilities.VirtualTime;
        _machine = MachineBuilder.Build(request.Machine, hypervisor);
        _phases = new PhaseTracker(_machine, _host);
        _screens = new ScreenHistory(_machine.Screen);
        _machine.SerialSink = value =>
        {
            Script?.SerialOutput([value]);
            _serialHash.AppendData([value]);
            SerialSink?.WriteByte(value);
            OnSerial?.Invoke(value);
        };
        _machine.DebugSink = value => DebugSink?.WriteByte(value);
    }

    /// <summary>Where COM1's bytes go.</summary>
    public Stream? SerialSink { get; init; }

    /// <summary>Called for each byte of COM1.</summary>
    public Action<byte>? OnSerial { get; init; }

    /// <summary>Where the debug ports' bytes go.</summary>
    public Stream? DebugSink { get; init; }

    /// <summary>Finds a medium that the script names; default: a path as it stands.</summary>
    public Func<string, string?> Media { get; init; } = static name => File.Exists(name) ? name : null;

    /// <summary>Called between two slices of the run, every few milliseconds of guest time.</summary>
    public Action<BootSession>? OnPoll { get; init; }

    public PcMachine Machine => _machine;

    /// <summary>The backend chosen.</summary>
    public string Backend => _backend;

    public int StepsTotal => _request.Script.Steps.Count;

    public PhaseTracker Phases => _phases;

    public ScriptRunner? Script { get; private set; }

    /// <summary>Runs to the end. Cancelling ends it as <see cref="OperationCanceledException"/>.</summary>
    public BootReport Run(CancellationToken cancel)
    {
        _host.Start();
        _slice = SampleEvery;
        var target = new MachineScriptTarget(_machine, _phases, Media);
        var script = Script = new ScriptRunner(_request.Script, target) { OnStepMet = Note, Settle = _request.Settle };
        using var hostLimit = new CancellationTokenSource();
        if (_request.HostTimeout is { } limit)
            hostLimit.CancelAfter(limit);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancel, hostLimit.Token);
        using var kick = either.Token.Register(_machine.Kick);
        long guestLimit = (long)(_request.Script.GuestTime ?? _request.GuestTimeout).TotalMilliseconds * 1_000_000;

        while (true)
        {
            RunSlice(Math.Min(Math.Max(script.NextPoll, Earliest(_pollCost)), guestLimit), either.Token);
            var start = _host.Elapsed;
            _screens.Sample();
            OnPoll?.Invoke(this);
            var status = _machine.End is { Kind: MachineEndKind.PoweredOff } || target.PowerCut ? script.GuestPoweredOff() : script.Poll();
            _pollCost = _host.Elapsed - start;
            if (status == ScriptStatus.Passed)
            {
                if (_request.Script.Steps.Count > 0)
                    _phases.Reach(PhaseTracker.Prompt);
                return Report(BootOutcome.Pass, script.Message);
            }
            if (status == ScriptStatus.Failed)
                return Report(BootOutcome.Fail, script.Message);
            if (status == ScriptStatus.TimedOut)
                return TimedOut(script.Message);
            if (_machine.End is { } end)
                return Report(Outcome(end), $"{end.Reason}. {script.Explain()}", Stalled(end));
            // Where time is the host's, seconds of it may be little work for the guest: a busy host does not hang it.
            if (_virtualTime && _request.Machine.Vcpus == 1 && _stalls.Endless && script.CurrentStep is not WaitStep)
                return Stuck($"nothing can get the guest out of a loop. {script.Explain()}");
            cancel.ThrowIfCancellationRequested();
            if (hostLimit.IsCancellationRequested)
                return TimedOut(string.Create(CultureInfo.InvariantCulture, $"the limit of {_request.HostTimeout!.Value.TotalSeconds:F0} s of host time was reached. {script.Explain()}"));
            if (_machine.Time.Now >= guestLimit)
                return TimedOut(string.Create(CultureInfo.InvariantCulture, $"the limit of {guestLimit / 1e9:F0} s of guest time was reached. {script.Explain()}"));
        }
    }

    /// <summary>The screen as PNG.</summary>
    public byte[] Screenshot() => _machine.Screen.Render().ToPng();

    public void Dispose()
    {
        _machine.Dispose();
        _screens.Dispose();
        _serialHash.Dispose();
    }

    private static BootOutcome Outcome(MachineEnd end) => end.Kind switch
    {
        MachineEndKind.TripleFault => BootOutcome.TripleFault,
        MachineEndKind.UnsupportedOpcode => BootOutcome.UnsupportedOpcode,
        _ => BootOutcome.Hang,
    };

    private static Stall? Stalled(MachineEnd end) => end.Kind switch
    {
        MachineEndKind.TripleFault => new(StallKind.TripleFault, end.Reason),
        MachineEndKind.Hang => new(StallKind.HaltedForGood, end.Reason),
        _ => null,
    };

    /// <summary>A limit was reached: by a guest that works, or by one that hangs.</summary>
    private BootReport TimedOut(string reason) =>
        _stalls.Classify() is { } stall ? Stuck(reason, stall) : Report(BootOutcome.Timeout, reason);

    private BootReport Stuck(string reason, Stall? stall = null)
    {
        stall ??= _stalls.Classify();
        return Report(BootOutcome.Hang, stall is null ? reason : $"{stall.Text}; {reason}", stall);
    }

    private void RunSlice(long until, CancellationToken cancel)
    {
        while (_machine.Time.Now < until && _machine.End is null && !cancel.IsCancellationRequested)
        {
            long start = _machine.Time.Now, idle = _machine.IdleTime;
            _machine.Run(Math.Min(until, Math.Max(start + _slice, Earliest(_lookCost))), cancel);
            var look = _host.Elapsed;
            // A guest that sleeps is where it was: the look costs more than the sleep.
            _slice = (_machine.IdleTime - idle) * 10 > (_machine.Time.Now - start) * 9 ? Math.Min(_slice * 2, 32 * SampleEvery) : SampleEvery;
            _phases.Sample();
            _stalls.Add(Sample());
            _lookCost = _host.Elapsed - look;
        }
    }

    /// <summary>
    /// Where guest time is the host's: the next look that leaves the guest nine tenths of it. One look that took seconds (the first one is
    /// compiled) does not make the run blind for a minute.
    /// </summary>
    private long Earliest(TimeSpan cost) => _virtualTime ? 0 : _machine.Time.Now + Math.Min((long)(cost.TotalMilliseconds * 9_000_000), LongestPause);

    private unsafe StallSample Sample()
    {
        var guest = _machine.Parts.Processors.Bootstrap.Guest;
        var pic = _machine.Pic;
        var doors = _machine.Parts.Doors;
        var ports = _machine.Parts.Ports;
        ulong registers = 0;
        for (int i = 0; i < 16; i++)
            registers = (registers ^ guest->Gpr[i]) * 0x100000001B3; // FNV-1
        return new StallSample(
            _machine.Time.Now, guest->Cs.Base + guest->Rip, guest->Cs.Selector, guest->Rip, (guest->Rflags & Eflags.IF) != 0,
            (ushort)(pic.Requests & ~pic.Masked), pic.InService, Sum(static door => door.InterruptsTaken),
            ports.UnmappedReads, ports.UnmappedPort, Sum(static door => door.PortReads + door.PortWrites + door.MmioReads + door.MmioWrites), _machine.IdleTime, registers);

        ulong Sum(Func<MachineDoor, ulong> part) => doors.Aggregate(0ul, (sum, door) => sum + part(door));
    }

    private void Note(ScriptStep step)
    {
        if (step is ExpectStep or ExpectGraphicsStep or ExpectRegionStep)
            _steps.Add(new StepMet(step.Describe(), _machine.Time.Now / 1e9, _machine.Screen.ReadText()?.ToText().Split('\n') ?? []));
    }

    private BootReport Report(BootOutcome outcome, string reason, Stall? stall = null)
    {
        var processors = _machine.Parts.Processors;
        var screen = _machine.Screen.Capture();
        return new BootReport
        {
            Outcome = outcome,
            Reason = reason,
            Backend = _backend,
            AssistStrength = _request.Machine.Assist.ToString().ToLowerInvariant(),
            Firmware = _request.Machine.Firmware,
            CpuModel = _request.Machine.CpuModel,
            MemoryMiB = _request.Machine.MemoryMiB,
            ClockMode = _machine.Time.Mode,
            GuestSeconds = _machine.Time.Now / 1e9,
            HostSeconds = _host.Elapsed.TotalSeconds,
            Instructions = _machine.Instructions,
            AssistInstructions = processors.AssistInstructions,
            RealModeInstructions = processors.RealModeInstructions,
            Stall = stall,
            FurthestPhase = _phases.Furthest,
            Phases = _phases.Reached,
            Steps = _steps,
            Exits = _machine.ExitCounts(),
            AssistTraps = processors.Traps,
            AssistTrapsTotal = processors.Traps.Aggregate(0ul, static (sum, trap) => sum + trap.Value),
            UnsupportedOpcodes = processors.UnsupportedOpcodes,
            Interrupts = _machine.InterruptCounts(),
            PostCodes = _machine.SystemPorts.PostCodes,
            Screen = screen.Text?.ToText().Split('\n') ?? [],
            ScreenHash = screen.Hash.ToString("x16", CultureInfo.InvariantCulture),
            Screens = _screens.Count,
            ScreensHash = _screens.Hash,
            SerialHash = Convert.ToHexStringLower(_serialHash.GetCurrentHash()),
            DiskWriteHash = _machine.Storage.WriteHash,
            Network = [.. _request.Machine.Nics.Zip(_machine.Parts.Cables, (nic, cable) => new NetworkTraffic(
                NicOptions.NameOf(nic.Model), cable.FramesSent, cable.BytesSent, cable.FramesReceived, cable.BytesReceived, cable.FramesDropped, cable.TrafficHash))],
            Events = [.. _machine.Events.Events.Select(item => item.ToString())],
        };
    }
}
