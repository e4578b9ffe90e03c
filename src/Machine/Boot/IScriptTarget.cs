using Farm.Machine.Devices.Ps2;
using Farm.Machine.Devices.Vga;

namespace Farm.Machine.Boot;

/// <summary>The machine as a guest script drives it. All calls come from the machine's own thread, from <see cref="ScriptRunner.Poll"/>.</summary>
public interface IScriptTarget
{
    /// <summary>Guest time in nanoseconds since power-on.</summary>
    long GuestTime { get; }

    /// <summary>Guest instructions executed, where the backend counts them; else 0.</summary>
    ulong Instructions { get; }

    /// <summary>Kind and size of the present mode (<see cref="ScreenReader.Size"/>).</summary>
    ScreenSize Screen { get; }

    /// <summary>Stays the same while the screen does (<see cref="ScreenReader.Stamp"/>).</summary>
    ulong ScreenStamp { get; }

    /// <summary>The text screen, or null in a graphics mode.</summary>
    TextScreen? ReadText();

    /// <summary>The picture shown.</summary>
    RgbaImage Render();

    /// <summary>True when the guest has taken every key sent so far (<see cref="KeyboardQueue.Idle"/>).</summary>
    bool KeyboardIdle { get; }

    /// <summary>Queues keys; they go out as fast as the guest takes them.</summary>
    void SendKeys(IReadOnlyList<KeyEvent> keys);

    /// <summary>Puts the guest's medium of that name into a drive. Returns what is wrong, or null.</summary>
    string? Insert(string drive, string media);

    /// <summary>Returns what is wrong, or null.</summary>
    string? Eject(string drive);

    void Reset();

    /// <summary>Cuts the power; the run loop ends.</summary>
    void PowerOff();

    /// <summary>The script says that the guest has come this far.</summary>
    void ReachPhase(string name);
}
