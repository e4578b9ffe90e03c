using System.Globalization;
using Farm.Machine.Devices.Ps2;
using Farm.Machine.Hypervisors;

namespace Farm.Machine.Boot;

/// <summary>One step of a guest script.</summary>
public abstract record ScriptStep
{
    /// <summary>Guest time after which a waiting step fails the run; null: the script's own or the run's limit.</summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>Line in the script's source, 0 where it has none.</summary>
    public int Line { get; init; }

    /// <summary>The step in a few words, for progress and errors.</summary>
    public abstract string Describe();

    /// <summary>Waits for a text on the screen or the serial line.</summary>
    /// <exception cref="BadInputException">The pattern is not usable.</exception>
    public static ScriptStep Expect(string pattern, TextSource source = TextSource.Any) =>
        new ExpectStep(new ScriptPattern(pattern), source);

    /// <summary>Types a text: see <see cref="TypedText"/>.</summary>
    /// <exception cref="BadInputException">The text has a character or key name that no key types.</exception>
    public static ScriptStep Type(string text) => new TypeStep(text, TypedText.Parse(text));

    /// <summary>Presses one key or chord, e.g. <c>f2</c> or <c>ctrl-alt-del</c>.</summary>
    /// <exception cref="BadInputException">The name is unknown.</exception>
    public static ScriptStep Press(string key) => new TypeStep($"<{key}>", KeyMap.Chord(key));
}

/// <summary>
/// Waits for a text. On the screen only text that has appeared since the last keys or reset counts, so that an old prompt does not
/// answer for the new one; on the serial line only text after the last match.
/// </summary>
/// <param name="Anywhere">Old text counts as well.</param>
public sealed record ExpectStep(ScriptPattern Pattern, TextSource Source, bool Anywhere = false) : ScriptStep
{
    public override string Describe() => Source == TextSource.Any ? $"expect '{Pattern}'" : $"expect '{Pattern}' on {(Source == TextSource.Screen ? "screen" : "serial")}";
}

/// <summary>Types keys and waits until the guest has taken all of them.</summary>
public sealed record TypeStep(string Text, IReadOnlyList<KeyEvent> Keys) : ScriptStep
{
    public override string Describe() => $"type '{Text.ReplaceLineEndings("\\n")}'";
}

/// <summary>Puts a medium of the guest into a drive (<c>floppy0</c>, <c>cdrom0</c>).</summary>
public sealed record InsertStep(string Drive, string Media) : ScriptStep
{
    public override string Describe() => $"insert {Media} into {Drive}";
}

public sealed record EjectStep(string Drive) : ScriptStep
{
    public override string Describe() => $"eject {Drive}";
}

/// <summary>Presses the reset button.</summary>
public sealed record ResetStep : ScriptStep
{
    public override string Describe() => "reset";
}

/// <summary>Lets guest time pass.</summary>
public sealed record WaitStep(TimeSpan Time) : ScriptStep
{
    public override string Describe() => string.Create(CultureInfo.InvariantCulture, $"wait {Time.TotalSeconds} s");
}

/// <summary>Waits for a graphics mode; null: any width, any height.</summary>
public sealed record ExpectGraphicsStep(int? Width, int? Height) : ScriptStep
{
    public override string Describe() => $"expect graphics {Width?.ToString(CultureInfo.InvariantCulture) ?? "any"}x{Height?.ToString(CultureInfo.InvariantCulture) ?? "any"}";
}

/// <summary>Waits until a rectangle of the picture has a hash (as the error of a failed step tells it).</summary>
public sealed record ExpectRegionStep(int X, int Y, int Width, int Height, ulong Hash) : ScriptStep
{
    public override string Describe() => $"expect region {X},{Y} {Width}x{Height} with hash {Hash:x16}";
}

/// <summary>Waits for the guest to power itself off.</summary>
public sealed record ExpectPowerOffStep : ScriptStep
{
    public override string Describe() => "expect power-off";
}

/// <summary>Cuts the power; the script has passed.</summary>
public sealed record PowerOffStep : ScriptStep
{
    public override string Describe() => "power off";
}

/// <summary>Names how far the guest has come.</summary>
public sealed record PhaseStep(string Name) : ScriptStep
{
    public override string Describe() => $"phase {Name}";
}
