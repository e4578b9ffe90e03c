using System.Globalization;
using Farm.Machine.Hypervisors;
using YamlDotNet.RepresentationModel;

namespace Farm.Machine.Boot;

/// <summary>The YAML form of <see cref="GuestScript"/>. Unknown keys are errors.</summary>
internal sealed class GuestScriptReader(string source)
{
    public const int MaximumLength = 1 << 20;
    private const double MaximumSeconds = 10_000_000;

    private static readonly string[] StepNames =
    [
        "expect", "type", "key", "insert", "eject", "reset", "wait", "expect-graphics", "expect-region-hash", "expect-poweroff", "poweroff", "phase",
    ];

    private readonly YamlSource _yaml = new(source);

    public GuestScript Read(string text)
    {
        var root = _yaml.Load(text, MaximumLength);
        var fields = Mapping(root, "a guest script", "steps", "fail-on", "limits");
        var limits = fields.TryGetValue("limits", out var limitsNode)
            ? Mapping(limitsNode, "limits", "guest-seconds", "instructions", "step-seconds")
            : [];
        return new GuestScript
        {
            Steps = fields.TryGetValue("steps", out var steps) ? [.. Sequence(steps, "steps").Select(ReadStep)] : [],
            FailOn = fields.TryGetValue("fail-on", out var failOn) ? [.. Sequence(failOn, "fail-on").Select(ReadFailPattern)] : [],
            GuestTime = limits.TryGetValue("guest-seconds", out var guest) ? Seconds(guest, "guest-seconds") : null,
            StepTime = limits.TryGetValue("step-seconds", out var step) ? Seconds(step, "step-seconds") : null,
            Instructions = limits.TryGetValue("instructions", out var instructions) ? Count(instructions) : null,
        };
    }

    private ScriptStep ReadStep(YamlNode node)
    {
        if (node is YamlScalarNode scalar)
        {
            ScriptStep? bare = scalar.Value switch
            {
                "reset" => new ResetStep(),
                "poweroff" => new PowerOffStep(),
                "expect-poweroff" => new ExpectPowerOffStep(),
                "expect-graphics" => new ExpectGraphicsStep(null, null),
                _ => null,
            };
            if (bare is null)
                throw _yaml.Error(node, $"'{scalar.Value}' is not a step; write one of {string.Join(", ", StepNames)} with its value, as in - expect: 'login:'");
            return bare with { Line = (int)node.Start.Line };
        }
        if (node is not YamlMappingNode mapping)
            throw _yaml.Error(node, "a step is a mapping such as - expect: 'login:'");
        var names = mapping.Children.Keys.Select(key => (key as YamlScalarNode)?.Value ?? "").ToList();
        var actions = names.Where(name => StepNames.Contains(name)).ToList();
        if (actions.Count != 1)
            throw _yaml.Error(node, $"a step does one thing: give exactly one of {string.Join(", ", StepNames)} (here: {string.Join(", ", names)})");
        string action = actions[0];
        string[] options = action switch
        {
            "expect" => ["on", "timeout", "anywhere"],
            "type" or "key" or "expect-graphics" or "expect-region-hash" or "expect-poweroff" => ["timeout"],
            _ => [],
        };
        var fields = Mapping(node, $"the step '{action}'", [action, .. options]);
        var step = Guarded(fields[action], () => ReadAction(action, fields));
        return step with
        {
            Line = (int)node.Start.Line,
            Timeout = fields.TryGetValue("timeout", out var timeout) ? Seconds(timeout, "timeout") : null,
        };
    }

    private ScriptStep ReadAction(string action, Dictionary<string, YamlNode> fields)
    {
        var value = fields[action];
        return action switch
        {
            "expect" => new ExpectStep(
                new ScriptPattern(Text(value, "expect")),
                fields.TryGetValue("on", out var on) ? Source(on) : TextSource.Any,
                fields.TryGetValue("anywhere", out var anywhere) && Flag(anywhere, "anywhere")),
            "type" => ScriptStep.Type(Text(value, "type")),
            "key" => ScriptStep.Press(Text(value, "key")),
            "insert" => ReadInsert(value),
            "eject" => new EjectStep(Drive(value)),
            "reset" => Bare(value, action, new ResetStep()),
            "poweroff" => Bare(value, action, new PowerOffStep()),
            "expect-poweroff" => Bare(value, action, new ExpectPowerOffStep()),
            "wait" => new WaitStep(Seconds(value, "wait")),
            "expect-graphics" => ReadGraphics(value),
            "expect-region-hash" => ReadRegion(value),
            _ => new PhaseStep(Text(value, "phase")),
        };
    }

    private InsertStep ReadInsert(YamlNode node)
    {
        var fields = Mapping(node, "insert", "drive", "media");
        return new InsertStep(Drive(Required(node, fields, "drive")), Text(Required(node, fields, "media"), "media"));
    }

    private ExpectGraphicsStep ReadGraphics(YamlNode node)
    {
        if (node is YamlScalarNode { Value: null or "" })
            return new ExpectGraphicsStep(null, null);
        var fields = Mapping(node, "expect-graphics", "width", "height");
        return new ExpectGraphicsStep(
            fields.TryGetValue("width", out var width) ? Integer(width, "width", 1, 4096) : null,
            fields.TryGetValue("height", out var height) ? Integer(height, "height", 1, 4096) : null);
    }

    private ExpectRegionStep ReadRegion(YamlNode node)
    {
        var fields = Mapping(node, "expect-region-hash", "x", "y", "width", "height", "hash");
        var hash = Required(node, fields, "hash");
        string digits = Text(hash, "hash");
        if (!ulong.TryParse(digits, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong value))
            throw _yaml.Error(hash, $"hash '{digits}' is not a number of up to 16 hexadecimal digits; put it in quotes");
        return new ExpectRegionStep(
            Integer(Required(node, fields, "x"), "x", 0, 4096), Integer(Required(node, fields, "y"), "y", 0, 4096),
            Integer(Required(node, fields, "width"), "width", 1, 4096), Integer(Required(node, fields, "height"), "height", 1, 4096), value);
    }

    private FailPattern ReadFailPattern(YamlNode node)
    {
        if (node is YamlScalarNode)
            return Guarded(node, () => new FailPattern(new ScriptPattern(Text(node, "fail-on")), TextSource.Any, null));
        var fields = Mapping(node, "a fail-on entry", "text", "on", "reason");
        var text = Required(node, fields, "text");
        return Guarded(text, () => new FailPattern(
            new ScriptPattern(Text(text, "text")),
            fields.TryGetValue("on", out var on) ? Source(on) : TextSource.Any,
            fields.TryGetValue("reason", out var reason) ? Text(reason, "reason") : null));
    }

    /// <summary>Gives an error of a value's own parser its place.</summary>
    private T Guarded<T>(YamlNode node, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (BadInputException e) when (!e.Message.StartsWith(source + ":", StringComparison.Ordinal))
        {
            throw _yaml.Error(node, e.Message);
        }
    }

    private ScriptStep Bare(YamlNode value, string action, ScriptStep step) =>
        value is YamlScalarNode { Value: null or "" or "true" } ? step : throw _yaml.Error(value, $"'{action}' takes no value; write - {action}");

    private Dictionary<string, YamlNode> Mapping(YamlNode node, string what, params string[] known)
    {
        if (node is not YamlMappingNode mapping)
            throw _yaml.Error(node, $"{what} must be a mapping with the keys {string.Join(", ", known)}");
        var fields = new Dictionary<string, YamlNode>();
        foreach (var (key, value) in mapping.Children)
        {
            string name = (key as YamlScalarNode)?.Value ?? "";
            if (!known.Contains(name))
                throw _yaml.Error(key, $"unknown key '{name}' in {what}; known: {string.Join(", ", known)}");
            fields[name] = value;
        }
        return fields;
    }

    private IEnumerable<YamlNode> Sequence(YamlNode node, string what) => node switch
    {
        YamlSequenceNode sequence => sequence.Children,
        YamlScalarNode { Value: null or "" } => [],
        _ => throw _yaml.Error(node, $"{what} must be a list: lines that begin with -"),
    };

    private YamlNode Required(YamlNode node, Dictionary<string, YamlNode> fields, string name) =>
        fields.TryGetValue(name, out var value) ? value : throw _yaml.Error(node, $"'{name}' is missing");

    private string Text(YamlNode node, string what) =>
        node is YamlScalarNode { Value: { Length: > 0 } text } ? text : throw _yaml.Error(node, $"{what} needs a text; put it in single quotes");

    private TextSource Source(YamlNode node) => (node as YamlScalarNode)?.Value switch
    {
        "screen" => TextSource.Screen,
        "serial" => TextSource.Serial,
        "any" => TextSource.Any,
        var other => throw _yaml.Error(node, $"on: '{other}' is unknown; give screen, serial or any"),
    };

    private string Drive(YamlNode node)
    {
        string name = Text(node, "drive");
        return name is "floppy0" or "floppy1" or "cdrom0" or "cdrom1" or "cdrom2" or "cdrom3"
            ? name
            : throw _yaml.Error(node, $"drive '{name}' has no removable media; give floppy0, floppy1 or cdrom0 to cdrom3");
    }

    private bool Flag(YamlNode node, string what) => (node as YamlScalarNode)?.Value switch
    {
        "true" => true,
        "false" => false,
        var other => throw _yaml.Error(node, $"{what}: '{other}' is neither true nor false"),
    };

    private TimeSpan Seconds(YamlNode node, string what)
    {
        string text = Text(node, what);
        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double seconds) && seconds is > 0 and <= MaximumSeconds
            ? TimeSpan.FromSeconds(seconds)
            : throw _yaml.Error(node, $"{what}: '{text}' is not a number of guest seconds above 0");
    }

    private ulong Count(YamlNode node)
    {
        string text = Text(node, "instructions").Replace("_", "", StringComparison.Ordinal);
        return ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong count) && count > 0
            ? count
            : throw _yaml.Error(node, $"instructions: '{text}' is not a whole number above 0");
    }

    private int Integer(YamlNode node, string what, int least, int most)
    {
        string text = Text(node, what);
        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value) && value >= least && value <= most
            ? value
            : throw _yaml.Error(node, $"{what}: '{text}' is not a whole number from {least} to {most}");
    }
}
