using System.Text.RegularExpressions;
using Farm.Machine.Hypervisors;

namespace Farm.Machine.Boot;

/// <summary>Where a pattern is looked for.</summary>
[Flags]
public enum TextSource
{
    Screen = 1,
    Serial = 2,
    Any = Screen | Serial,
}

/// <summary>What drives a guest to its expected state: steps in order, patterns that end the run early, limits in guest terms.</summary>
public sealed record GuestScript
{
    public IReadOnlyList<ScriptStep> Steps { get; init; } = [];

    public IReadOnlyList<FailPattern> FailOn { get; init; } = [];

    /// <summary>Limit in guest time for the whole run; null: the caller's.</summary>
    public TimeSpan? GuestTime { get; init; }

    /// <summary>Limit in guest instructions for the whole run; null: none.</summary>
    public ulong? Instructions { get; init; }

    /// <summary>Guest time that each waiting step gets unless it has a timeout of its own; null: none.</summary>
    public TimeSpan? StepTime { get; init; }

    /// <summary>The same steps with limits in time so many times as long, for a slow host.</summary>
    public GuestScript WithPatience(double patience) => this with
    {
        GuestTime = GuestTime * patience,
        StepTime = StepTime * patience,
        Steps = [.. Steps.Select(step => step with { Timeout = step.Timeout * patience })],
    };

    /// <summary>Waits for the guest to power off.</summary>
    public static GuestScript Empty { get; } = new();

    /// <summary>Reads a YAML script.</summary>
    /// <exception cref="BadInputException">The file cannot be read or is no script: file, line, column, what, what to do.</exception>
    public static GuestScript Load(string path)
    {
        try
        {
            var info = new FileInfo(path);
            if (info.Exists && info.Length > GuestScriptReader.MaximumLength)
                throw new BadInputException($"{path} has {info.Length} bytes; a guest script has at most {GuestScriptReader.MaximumLength}.");
            return Parse(File.ReadAllText(path), path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new BadInputException($"The guest script {path} cannot be read: {e.Message}", e);
        }
    }

    /// <summary>Reads a script from YAML text; <paramref name="source"/> is its name in errors.</summary>
    /// <exception cref="BadInputException">The text is no script: source, line, column, what, what to do.</exception>
    public static GuestScript Parse(string yaml, string source) => new GuestScriptReader(source).Read(yaml);
}

/// <summary>A text that means the guest has failed.</summary>
/// <param name="Reason">What it means, for the report; null: the pattern speaks for itself.</param>
public sealed record FailPattern(ScriptPattern Pattern, TextSource Source, string? Reason);

/// <summary>
/// A regular expression of a script. It is matched in time linear in the text (no look-around, no back-references), <c>^</c> and
/// <c>$</c> match at lines, rows of the screen are lines with trailing blanks trimmed.
/// </summary>
public sealed class ScriptPattern
{
    public const int MaximumLength = 4096;

    /// <summary>Bound on the automaton of a pattern; nested counts ((a{1000}){1000}) would be matched in linear time but without bound on memory.</summary>
    private const int MaximumAutomaton = 50_000;

    static ScriptPattern() => AppContext.SetData("REGEX_NONBACKTRACKING_MAX_AUTOMATA_SIZE", MaximumAutomaton);

    /// <exception cref="BadInputException">It is no regular expression, or one that cannot be matched in linear time.</exception>
    public ScriptPattern(string pattern)
    {
        if (pattern.Length is 0 or > MaximumLength)
            throw new BadInputException($"A pattern has 1 to {MaximumLength} characters; this one has {pattern.Length}.");
        try
        {
            Regex = new Regex(pattern, RegexOptions.NonBacktracking | RegexOptions.Multiline | RegexOptions.CultureInvariant);
        }
        catch (NotSupportedException e)
        {
            throw new BadInputException($"The pattern '{pattern}' uses look-around, back-references or the like, or is too large; write it without them.", e);
        }
        catch (ArgumentException e)
        {
            throw new BadInputException($"'{pattern}' is not a regular expression: {e.Message} Put a backslash before a character that is meant literally.", e);
        }
        Text = pattern;
    }

    public string Text { get; }

    public Regex Regex { get; }

    public override string ToString() => Text;
}
