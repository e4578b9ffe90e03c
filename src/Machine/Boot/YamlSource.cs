using Farm.Machine.Hypervisors;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;
using YamlDotNet.RepresentationModel;

namespace Farm.Machine.Boot;

/// <summary>Loads untrusted YAML: bounded in length, depth and number of nodes, one document, every error with its place.</summary>
internal sealed class YamlSource(string name)
{
    private const int MaximumDepth = 16;
    private const int MaximumNodes = 20_000;
    private const int LongestMessage = 500;

    /// <exception cref="BadInputException">Not YAML, or beyond the bounds.</exception>
    public YamlNode Load(string text, int maximumLength)
    {
        if (text.Length > maximumLength)
            throw new BadInputException($"{name}: {text.Length} characters; at most {maximumLength} are allowed.");
        try
        {
            CheckBounds(text);
            var stream = new YamlStream();
            stream.Load(new StringReader(text));
            if (stream.Documents.Count != 1)
                throw new BadInputException($"{name}: {stream.Documents.Count} YAML documents; give exactly one.");
            return stream.Documents[0].RootNode;
        }
        catch (YamlException e)
        {
            throw new BadInputException($"{Place(e.Start)}: not valid YAML: {Innermost(e)}", e);
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentException)
        {
            // the scanner's own answer to some texts that break off
            throw new BadInputException($"{name}:1:1: not valid YAML: it breaks off inside a bracket or a quote.", e);
        }
    }

    public BadInputException Error(YamlNode node, string message) => new($"{Place(node.Start)}: {(message.Length <= LongestMessage ? message : message[..LongestMessage] + "...")}");

    private static string Innermost(Exception e) => (e.InnerException ?? e).Message;

    private string Place(Mark mark) => $"{name}:{mark.Line}:{mark.Column}";

    /// <summary>The parser proper is not recursive, the loader of nodes is: depth is checked before it runs. Aliases are refused.</summary>
    private void CheckBounds(string text)
    {
        var parser = new Parser(new StringReader(text));
        int depth = 0;
        int nodes = 0;
        while (parser.MoveNext())
        {
            if (parser.Current is not { } current)
                continue;
            depth += current.NestingIncrease;
            if (depth > MaximumDepth + 2)
                throw new BadInputException($"{Place(current.Start)}: nested deeper than {MaximumDepth} levels.");
            if (current is AnchorAlias)
                throw new BadInputException($"{Place(current.Start)}: aliases are not supported; write the value out.");
            if (++nodes > MaximumNodes)
                throw new BadInputException($"{Place(current.Start)}: more than {MaximumNodes} values.");
        }
    }
}
