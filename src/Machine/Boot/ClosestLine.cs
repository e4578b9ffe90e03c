using System.Text;

namespace Farm.Machine.Boot;

/// <summary>Finds the line that comes nearest to what a pattern asks for, for the error of an expectation that was not met.</summary>
/// <param name="Line">Index of the line.</param>
/// <param name="Text">The line.</param>
/// <param name="Literal">The longest literal part of the pattern.</param>
/// <param name="Distance">Insertions, deletions and replacements that make some part of the line the literal.</param>
public sealed record ClosestLine(int Line, string Text, string Literal, int Distance)
{
    /// <summary>The nearest line, or null when the pattern has no literal part or every line is empty. The first of equals wins.</summary>
    public static ClosestLine? Find(string pattern, IEnumerable<string> lines)
    {
        string literal = LongestLiteral(pattern);
        if (literal.Length == 0)
            return null;
        ClosestLine? best = null;
        int index = 0;
        foreach (string line in lines)
        {
            int distance = line.Length == 0 ? int.MaxValue : SubstringDistance(literal, line);
            if (distance < (best?.Distance ?? literal.Length + 1))
                best = new ClosestLine(index, line, literal, distance);
            index++;
        }
        return best;
    }

    /// <summary>The longest run of characters that a regular expression takes literally.</summary>
    public static string LongestLiteral(string pattern)
    {
        string best = "";
        var run = new StringBuilder();
        for (int i = 0; i < pattern.Length; i++)
        {
            char c = pattern[i];
            switch (c)
            {
                case '\\' when i + 1 < pattern.Length && !char.IsAsciiLetterOrDigit(pattern[i + 1]):
                    run.Append(pattern[++i]);
                    continue;
                case '\\':
                    i++;
                    break;
                case '?' or '*' or '{' when run.Length > 0:
                    run.Length--; // the character before may be absent
                    if (c == '{')
                        i = SkipTo(pattern, i, '}');
                    break;
                case '[':
                    i = SkipTo(pattern, i + 1, ']');
                    break;
                case '^' or '$' or '.' or '|' or '(' or ')' or '+' or '?' or '*' or '{':
                    break;
                default:
                    run.Append(c);
                    continue;
            }
            Keep();
        }
        Keep();
        return best;

        void Keep()
        {
            if (run.Length > best.Length)
                best = run.ToString();
            run.Clear();
        }
    }

    private static int SkipTo(string pattern, int from, char end)
    {
        int at = pattern.IndexOf(end, Math.Min(from + 1, pattern.Length));
        return at < 0 ? pattern.Length - 1 : at;
    }

    /// <summary>Sellers' algorithm: the least edit distance between the needle and any part of the line.</summary>
    private static int SubstringDistance(string needle, string line)
    {
        var column = new int[needle.Length + 1];
        for (int i = 0; i < column.Length; i++)
            column[i] = i;
        int best = needle.Length;
        foreach (char c in line)
        {
            int diagonal = column[0];
            for (int i = 1; i <= needle.Length; i++)
            {
                int next = Math.Min(diagonal + (needle[i - 1] == c ? 0 : 1), 1 + Math.Min(column[i], column[i - 1]));
                diagonal = column[i];
                column[i] = next;
            }
            best = Math.Min(best, column[needle.Length]);
        }
        return best;
    }
}
