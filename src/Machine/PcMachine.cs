using System.Globalization;
using Farm.Assist.Cpu;
using Farm.Firmware;
using Farm.Machine.Bus;
using Farm.Machine.Devices.Chipset;
using Farm.Machine.Devices.Ide;
using Farm.Machine.Devices.Pic;
using Farm.Machine.Devices.Ps2;
using Farm.Machine.Devices.Vga;
using Farm.Machine.Hypervisors;
using Farm.Machine.Memory;
using Farm.Machine.Storage;
using Farm.Machine.Time;

namespace Farm.Machine;

/// <summary>
/// The PC, put together by <see cref="MachineBuilder"/>. One thread drives it through <see cref="Run"/>; only
/// <see cref="Kick"/> may be called from others.
/// </summary>
public sealed class PcMachine : IDisposable
{
    private ResetKind? _reset;
    private readonly KeyPolling _polling;
    private bool _running;

    /// <summary>Guest time at which the present run ends at the latest.</summary>
    private long _until;

    /// <summary>Guest time for which the program may be taken to be idle.</summary>
    private long _wait;

    internal PcMachine(MachineParts parts)
    {
        Parts = parts;
        _polling = new KeyPolling(() => parts.Vga.Generation, onHostTime: parts.Time is HostTime);
        parts.System.A20Changed = open => parts.Partition.Memory.A20 = open;
        parts.System.ResetRequested = (kind, source) =>
        {
            Events.Report(source, $"reset ({kind})");
            _reset = kind;
            Stop();
        };
        parts.System.InitRequested = processor =>
        {
            // The bootstrap processor never waits for a SIPI.
            if (processor == 0)
                parts.System.RequestReset(ResetKind.Processor, "INIT through the local APIC");
            else
                parts.Processors.RequestInit(processor);
        };
        parts.System.StartupRequested = parts.Processors.RequestStartup;
        parts.System.PowerOffRequested = source =>
        {
            End ??= new(MachineEndKind.PoweredOff, $"the guest powered off ({source})");
            Stop();
        };
        parts.SystemPorts.DebugConsole = value => DebugSink?.Invoke(value);
        parts.Com1.Output = value => SerialSink?.Invoke(value);
        parts.Clock.Source = () => Time.Now;
        parts.Clock.DeadlineChanged = deadline =>
        {
            if (_running)
                Parts.Processors.LimitTo(Time.BudgetUntil(Math.Min(deadline, _until)));
        };
        if (Time is InstructionTime time)
        {
            foreach (var door in parts.Doors)
            {
                door.BusCycle = () =>
                {
                    time.Pass(InstructionTime.NanosecondsPerBusCycle);
                    parts.Processors.Spend(InstructionTime.NanosecondsPerBusCycle / InstructionTime.NanosecondsPerInstruction);
                };
            }
        }
        if (Time.SkipsIdle)
        {
            foreach (var door in parts.Doors)
            {
                door.Waiting = () =>
                {
                    _wait = parts.Processors.Alone ? _polling.Poll(Time.Now, Time.Worked) : 0;
                    if (_wait > 0)
                        Stop();
                };
            }
        }
        Reset(ResetKind.Hard);
    }

    internal MachineParts Parts { get; }

    public IVcpu Vcpu => Parts.Vcpu;

    public IMachineTime Time => Parts.Time;

    public VirtualClock Clock => Parts.Clock;

    public EventLog Events => Parts.Events;

    public PcMemory Memory => Parts.Memory;

    /// <summary>The payloads that it boots with.</summary>
    public FirmwareSet Firmware => Parts.Firmware;

    public VgaDevice Vga => Parts.Vga;

    public ScreenReader Screen => Parts.Screen;

    public I8042 Keyboard => Parts.Keyboard;

    public SystemPorts SystemPorts => Parts.SystemPorts;

    public StorageActivity Storage => Parts.Storage;

    public Pic8259Pair Pic => Parts.Interrupts.Pic;

    /// <summary>Set once the machine cannot go on.</summary>
    public MachineEnd? End { get; private set; }

    public int Resets { get; private set; }

    /// <summary>Guest time that the processor has spent halted, in nanoseconds.</summary>
    public long IdleTime { get; private set; }

    /// <summary>Where COM1's output goes.</summary>
    public Action<byte>? SerialSink { get; set; }

    /// <summary>Where the output of ports E9h and 402h goes.</summary>
    public Action<byte>? DebugSink { get; set; }

    /// <summary>Exits of the vCPU by reason and accesses through its door by kind.</summary>
    public IReadOnlyDictionary<string, ulong> ExitCounts()
    {
        var counts = Parts.Processors.Exits.ToDictionary(exit => exit.Key.ToString(), exit => exit.Value);
        foreach (var door in Parts.Doors)
        {
            Add("PortIn", door.PortReads);
            Add("PortOut", door.PortWrites);
            Add("MmioRead", door.MmioReads);
            Add("MmioWrite", door.MmioWrites);
        }
        Add("Smi", Parts.Processors.Smis);
        return counts;

        void Add(string name, ulong count) => counts[name] = counts.GetValueOrDefault(name) + count;
    }

    /// <summary>External interrupts taken: irqN by the 8259's input, apicVV by the local APIC's vector; those that never came are left out.</summary>
    public IReadOnlyDictionary<string, ulong> InterruptCounts() => Parts.Interrupts.Counts();

    /// <summary>Guest instructions executed so far, wherever.</summary>
    public ulong Instructions => Parts.Processors.Instructions;

    /// <summary>Of these, interpreted by the assist's host half.</summary>
    public ulong AssistInstructions => Parts.Processors.AssistInstructions;

    /// <summary>Of these, executed by the vCPUs themselves in real mode.</summary>
    public ulong RealModeInstructions => Parts.Processors.RealModeInstructions;

    /// <summary>CS:IP and mode of the processor whose turn it is, for messages.</summary>
    public string Where => Parts.Processors.Current.Where();

    /// <summary>Runs until guest time <paramref name="until"/>, or until the machine has ended or <paramref name="cancel"/> is set.</summary>
    public void Run(long until, CancellationToken cancel = default)
    {
        while (End is null && !cancel.IsCancellationRequested)
        {
            long now = Time.Now;
            Clock.AdvanceTo(now);
            if (_reset is { } kind)
                Reset(kind);
            if (now >= until || End is not null)
                return;
            Parts.Vga.OfferWindow();
            Step(Math.Min(until, Clock.NextDeadline));
        }
    }

    /// <summary>The guest is in real mode, or in virtual-8086 mode.</summary>
    public unsafe bool RunsRealModeCode
    {
        get
        {
            var guest = Parts.Processors.Bootstrap.Guest;
            return (guest->Cr0 & ControlRegisters.Cr0PE) == 0 || (guest->Rflags & Eflags.VM) != 0;
        }
    }

    /// <summary>Resets between two steps of the run.</summary>
    public void RequestReset(ResetKind kind, string source)
    {
        // The reset button works on a machine that hangs.
        if (End is { Kind: MachineEndKind.Hang or MachineEndKind.TripleFault })
            End = null;
        Parts.System.RequestReset(kind, source);
    }

    /// <summary>Puts the image at <paramref name="path"/> into floppy0, floppy1 or cdrom0...; says what is wrong, or null.</summary>
    public string? Insert(string drive, string path) => Parts.Removable.Insert(drive, path);

    /// <summary>Empties a drive; says what is wrong, or null.</summary>
    public string? Eject(string drive) => Parts.Removable.Eject(drive);

    /// <summary>Makes a run of another thread look at its cancellation.</summary>
    public void Kick()
    {
        Parts.Processors.Kick();
        Parts.Wake.Set();
    }

    /// <summary>Puts the machine into its power-on state, or resets the processor alone.</summary>
    public void Reset(ResetKind kind)
    {
        _reset = null;
        Resets++;
        if (kind == ResetKind.Hard)
        {
            foreach (var device in Parts.Devices)
                device.Reset();
            Parts.System.A20 = true;
        }
        if (kind == ResetKind.Hard)
        {
            Parts.Processors.PowerOn();
            return;
        }
        Parts.Processors.Init();
        foreach (var apic in Parts.Interrupts.LocalApics)
            apic.InitReset();
    }

    public void Dispose() => Parts.Dispose();

    private void Step(long deadline)
    {
        _running = true;
        _until = deadline;
        var exit = Parts.Processors.Run(Time.BudgetUntil(deadline));
        _running = false;
        switch (exit.Reason)
        {
            case VcpuExitReason.Halted:
                Idle(deadline);
                break;
            case VcpuExitReason.Shutdown:
                End ??= new(MachineEndKind.TripleFault, $"triple fault at {Where}");
                break;
            case VcpuExitReason.EmulationFailure:
                End ??= new(MachineEndKind.UnsupportedOpcode, $"unsupported opcode {Convert.ToHexString(exit.Bytes ?? [])} at {Where}");
                break;
            case VcpuExitReason.Budget:
            case VcpuExitReason.Stopped:
            case VcpuExitReason.Kicked:
                if (_wait > 0)
                    Wait(deadline);
                break;
            default:
                throw new InvalidOperationException($"The execution left the exit {exit.Reason} unhandled.");
        }
    }

    private void Idle(long deadline)
    {
        if (!Parts.Processors.CanBeWoken)
        {
            End ??= new(MachineEndKind.Hang, string.Create(CultureInfo.InvariantCulture, $"HLT with IF=0 at {Where}"));
            return;
        }
        if (deadline == long.MaxValue)
        {
            End ??= new(MachineEndKind.Hang, $"HLT with nothing that could wake it at {Where}");
            return;
        }
        PassUntil(deadline);
    }

    /// <summary>The program waits for a key.</summary>
    private void Wait(long deadline)
    {
        PassUntil(Math.Min(deadline, Time.Now + _wait));
        _wait = 0;
    }

    private void PassUntil(long deadline)
    {
        long before = Time.Now;
        // A timer may have been armed since the run began.
        Parts.Processors.Skip(Time.IdleUntil(Math.Min(deadline, Clock.NextDeadline), Parts.Wake));
        Parts.Wake.Reset();
        IdleTime += Time.Now - before;
    }

    private void Stop()
    {
        if (_running)
            Parts.Processors.RequestStop();
    }
}
