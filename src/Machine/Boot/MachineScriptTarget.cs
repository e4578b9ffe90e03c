using Farm.Assist.Cpu;
using Farm.Machine.Devices.Chipset;
using Farm.Machine.Devices.Ps2;
using Farm.Machine.Devices.Vga;
using Farm.Machine.Hypervisors;

namespace Farm.Machine.Boot;

/// <summary>A real machine as a script's target.</summary>
/// <param name="media">Finds a medium that a script names: a path, or null.</param>
internal sealed class MachineScriptTarget : IScriptTarget
{
    private readonly PcMachine _machine;
    private readonly PhaseTracker _phases;
    private readonly Func<string, string?> _media;

    public MachineScriptTarget(PcMachine machine, PhaseTracker phases, Func<string, string?> media)
    {
        _machine = machine;
        _phases = phases;
        _media = media;
        var buffer = new BiosKeyboardBuffer(machine.Memory);
        machine.Keyboard.Keys.Hold = () => machine.RunsRealModeCode && buffer.Holds(machine.Time.Now);
    }

    /// <summary>Set by the script's <c>poweroff</c>.</summary>
    public bool PowerCut { get; private set; }

    public long GuestTime => _machine.Time.Now;

    public ulong Instructions => _machine.Instructions;

    public ScreenSize Screen => _machine.Screen.Size;

    public ulong ScreenStamp => _machine.Screen.Stamp();

    public TextScreen? ReadText() => _machine.Screen.ReadText();

    public RgbaImage Render() => _machine.Screen.Render();

    public bool KeyboardIdle => _machine.Keyboard.Keys.Idle;

    public void SendKeys(IReadOnlyList<KeyEvent> keys) => _machine.Keyboard.Keys.Enqueue(keys);

    public string? Insert(string drive, string media)
    {
        if (_media(media) is not { } path)
            return $"the guest has no medium '{media}'";
        try
        {
            return _machine.Insert(drive, path);
        }
        catch (BadInputException e)
        {
            return e.Message;
        }
    }

    public string? Eject(string drive) => _machine.Eject(drive);

    public void Reset() => _machine.RequestReset(ResetKind.Hard, "script");

    public void PowerOff() => PowerCut = true;

    public void ReachPhase(string name) => _phases.Reach(name);
}
