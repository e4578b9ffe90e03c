using System.Text;
using Farm.Machine.Devices.Ps2;
using Farm.Machine.Hypervisors;

namespace Farm.Machine.Boot;

/// <summary>
/// The notation of typed text: a line feed or <c>\n</c> is Enter, <c>\t</c> Tab, <c>\\</c> one backslash (before any other character
/// a backslash is itself); <c>&lt;enter&gt;</c>, <c>&lt;f2&gt;</c>, <c>&lt;ctrl-c&gt;</c> are keys by name; <c>&lt;lt&gt;</c> is the
/// character <c>&lt;</c> where it would read as a key.
/// </summary>
public static class TypedText
{
    /// <exception cref="BadInputException">A character that no key types, or an unknown key name.</exception>
    public static IReadOnlyList<KeyEvent> Parse(string text)
    {
        var events = new List<KeyEvent>();
        var plain = new StringBuilder();
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] == '\\' && i + 1 < text.Length && text[i + 1] is 'n' or 't' or '\\')
            {
                plain.Append(text[++i] switch { 'n' => '\n', 't' => '\t', _ => '\\' });
            }
            else if (text[i] == '<' && KeyName(text, i) is { } name)
            {
                i += name.Length + 1;
                if (name == "lt")
                {
                    plain.Append('<');
                    continue;
                }
                Flush();
                events.AddRange(KeyMap.Chord(name));
            }
            else
            {
                plain.Append(text[i]);
            }
        }
        Flush();
        return events;

        void Flush()
        {
            events.AddRange(KeyMap.Text(plain.ToString()));
            plain.Clear();
        }
    }

    /// <summary>The name between angle brackets at <paramref name="start"/>, or null where the bracket is only a character.</summary>
    private static string? KeyName(string text, int start)
    {
        int end = text.IndexOf('>', start);
        if (end < start + 3)
            return null;
        string name = text[(start + 1)..end];
        return char.IsAsciiLetter(name[0]) && name.All(c => char.IsAsciiLetterOrDigit(c) || c == '-') ? name : null;
    }
}
