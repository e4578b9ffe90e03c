using System.Globalization;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;
using YamlDotNet.RepresentationModel;

namespace Farm.Catalogue;

/// <summary>One YAML file being read: values by key, every error kept with its line, unknown keys told.</summary>
internal sealed class YamlFile
{
    private const int LargestFile = 1 << 20;
    private const int MaximumDepth = 20;
    private const int LongestMessage = 500;

    private readonly string[] _lines;
    private readonly List<string> _errors = [];

    private YamlFile(string path, string text)
    {
        Path = path;
        _lines = text.Split('\n');
    }

    /// <summary>The name in errors.</summary>
    public string Path { get; }
    public IReadOnlyList<string> Errors => _errors;

    public static (YamlFile File, YamlMappingNode? Root) Read(string path, string text)
    {
        var file = new YamlFile(path, text);
        if (text.Length > LargestFile)
        {
            file._errors.Add($"{path}: {text.Length} characters; a guest's definition has at most {LargestFile}.");
            return (file, null);
        }
        try
        {
            if (!file.IsShallow(text))
                return (file, null);
            var stream = new YamlStream();
            stream.Load(new StringReader(text));
            if (stream.Documents.Count == 1 && stream.Documents[0].RootNode is YamlMappingNode root)
                return (file, root);
            file._errors.Add($"{path}:1: a guest's definition is one YAML mapping (id: ..., name: ...).");
        }
        catch (YamlException e)
        {
            file._errors.Add($"{path}:{e.Start.Line}: this is not YAML: {(e.InnerException ?? e).Message}");
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentException)
        {
            // the scanner's own answer to some texts that break off
            file._errors.Add($"{path}: this is not YAML: it breaks off inside a bracket or a quote.");
        }
        return (file, null);
    }

    public void Error(YamlNode at, string message) =>
        _errors.Add($"{Path}:{at.Start.Line}: {(message.Length <= LongestMessage ? message : message[..LongestMessage] + "...")}");

    /// <summary>The mapping's children by key; a key that is not among <paramref name="known"/> is an error.</summary>
    public Dictionary<string, YamlNode> Keys(YamlNode node, string what, params string[] known)
    {
        var keys = new Dictionary<string, YamlNode>();
        if (node is not YamlMappingNode mapping)
        {
            Error(node, $"{what} has to be a mapping (key: value).");
            return keys;
        }
        foreach (var (key, value) in mapping.Children)
        {
            var name = (key as YamlScalarNode)?.Value ?? "";
            if (!known.Contains(name))
                Error(key, $"{what} has no '{name}'; it has {string.Join(", ", known)}.");
            else
                keys[name] = value;
        }
        return keys;
    }

    public string? Text(Dictionary<string, YamlNode> keys, string name)
    {
        if (!keys.TryGetValue(name, out var node))
            return null;
        if (node is YamlScalarNode scalar && !IsNull(scalar))
            return scalar.Value;
        if (node is not YamlScalarNode)
            Error(node, $"{name} has to be a text.");
        return null;
    }

    public string Required(YamlNode parent, Dictionary<string, YamlNode> keys, string name)
    {
        if (Text(keys, name) is { Length: > 0 } text)
            return text;
        Error(parent, $"{name} is missing.");
        return "";
    }

    public int Int(Dictionary<string, YamlNode> keys, string name, int least, int most, int otherwise)
    {
        if (Text(keys, name) is not { } text)
            return otherwise;
        if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var value) && value >= least && value <= most)
            return value;
        Error(keys[name], $"{name} '{text}' has to be a number from {least} to {most}.");
        return otherwise;
    }

    public IReadOnlyList<string> Texts(Dictionary<string, YamlNode> keys, string name)
    {
        if (!keys.TryGetValue(name, out var node))
            return [];
        if (node is YamlScalarNode { Value: { Length: > 0 } one })
            return [one];
        if (node is YamlSequenceNode list && list.Children.All(child => child is YamlScalarNode))
            return [.. list.Children.Cast<YamlScalarNode>().Select(child => child.Value ?? "")];
        Error(node, $"{name} has to be a list of texts.");
        return [];
    }

    public T? Choice<T>(Dictionary<string, YamlNode> keys, string name) where T : struct, Enum
    {
        if (Text(keys, name) is not { } text)
            return null;
        if (text.Length > 0 && char.IsAsciiLetter(text[0]) && Enum.TryParse<T>(text, ignoreCase: true, out var value))
            return value;
        Error(keys[name], $"{name} '{text}' has to be one of {string.Join(", ", Enum.GetNames<T>().Select(known => known.ToLowerInvariant()))}.");
        return null;
    }

    /// <summary>A block mapping's own text as it stands in the file, moved to the left margin.</summary>
    public string Source(YamlMappingNode node)
    {
        var first = (int)node.Start.Line - 1;
        var indent = (int)node.Start.Column - 1;
        var lines = new List<string> { _lines[first][indent..] };
        var kept = 1;
        for (var line = first + 1; line < _lines.Length; line++)
        {
            var text = _lines[line];
            var blank = text.Length - text.TrimStart(' ').Length;
            var empty = blank == text.Length || text[blank] == '#';
            if (!empty && blank < indent)
                break;
            lines.Add(text[Math.Min(blank, indent)..]);
            if (!empty)
                kept = lines.Count;
        }
        return string.Join('\n', lines.Take(kept)) + "\n";
    }

    private static bool IsNull(YamlScalarNode scalar) => scalar.Style is ScalarStyle.Plain && scalar.Value is null or "" or "~" or "null";

    /// <summary>The loader of nodes is recursive: depth is looked at before. Aliases would let a small file be a huge one.</summary>
    private bool IsShallow(string text)
    {
        var parser = new Parser(new StringReader(text));
        var depth = 0;
        while (parser.MoveNext())
        {
            depth += parser.Current!.NestingIncrease;
            var refusal = depth > MaximumDepth ? $"nested deeper than {MaximumDepth} levels." : parser.Current is AnchorAlias ? "aliases are not supported; write the value out." : null;
            if (refusal is not null)
            {
                _errors.Add($"{Path}:{parser.Current.Start.Line}: {refusal}");
                return false;
            }
        }
        return true;
    }
}
