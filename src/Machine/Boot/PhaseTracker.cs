using System.Diagnostics;
using Farm.Assist.Cpu;
using Farm.Assist.Reports;
using Farm.Machine.Storage;

namespace Farm.Machine.Boot;

/// <summary>
/// Tells how far a guest got, without an agent in it: from where it executes, what it reads and writes, and the processor's mode.
/// Each phase is reported once, the first time it is seen.
/// </summary>
public sealed class PhaseTracker
{
    public const string Loader = "loader", Post = "post", OptionRom = "option-rom", BootSector = "boot-sector", BootLoader = "boot-loader",
        ProtectedMode = "protected-mode", Kernel = "kernel", FirstDiskWrite = "first-disk-write", Prompt = "prompt";

    /// <summary>Sectors that a BIOS reads at most to find and load a boot sector.</summary>
    private const long BootSectorReads = 4;

    private readonly PcMachine _machine;
    private readonly Stopwatch _host;
    private readonly List<PhaseReached> _reached = [];
    private readonly ulong _blankScreen;
    private bool _shown;

    public PhaseTracker(PcMachine machine, Stopwatch host)
    {
        _machine = machine;
        _host = host;
        _blankScreen = machine.Vga.Generation;
        machine.Storage.FirstWrite += _ => Reach(FirstDiskWrite);
        Reach(Loader);
    }

    public IReadOnlyList<PhaseReached> Reached => _reached;

    /// <summary>The last phase reached.</summary>
    public string Furthest => _reached[^1].Name;

    /// <summary>Called for each phase as it is reached.</summary>
    public Action<PhaseReached>? OnReached { get; set; }

    public void Reach(string phase)
    {
        if (_reached.Any(known => known.Name == phase))
            return;
        var reached = new PhaseReached(phase, _machine.Time.Now / 1e9, _host.Elapsed.TotalSeconds, _machine.Instructions);
        _reached.Add(reached);
        OnReached?.Invoke(reached);
    }

    /// <summary>Looks at the machine between two slices of its run.</summary>
    public unsafe void Sample()
    {
        var state = _machine.Parts.Processors.Bootstrap.Guest;
        ulong linear = state->Cs.Base + state->Rip;
        bool paragraphs = (state->Cr0 & ControlRegisters.Cr0PE) == 0 || (state->Rflags & Eflags.VM) != 0;
        if (_machine.SystemPorts.PostCodes.Count > 0 || (paragraphs && linear is >= 0xE0000 and < 0x100000))
            Reach(Post);
        if (!_shown && _machine.Vga.Generation != _blankScreen)
        {
            _shown = true;
            Reach(OptionRom);
        }
        long read = _machine.Storage.Units.Values.Sum(unit => unit.SectorsRead);
        if (read > 0)
        {
            Reach(BootSector);
            Progress(GuestProgress.BootSector);
        }
        if (read <= BootSectorReads)
            return;
        Reach(BootLoader);
        Progress(GuestProgress.BootLoader);
        if (!paragraphs && linear is < 0xC0000 or >= 0x100000 and < 0xFFE00000)
            Reach(ProtectedMode);
        if ((state->Cr0 & ControlRegisters.Cr0PG) != 0)
        {
            Reach(Kernel);
            Progress(GuestProgress.Kernel);
        }
    }

    private void Progress(GuestProgress progress)
    {
        if (_machine.Parts.Processors.Bootstrap.Progress < progress)
            _machine.Parts.Processors.Bootstrap.Progress = progress;
    }
}
