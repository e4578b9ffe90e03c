using Farm.Machine.Hypervisors;

namespace Farm.Machine.Devices.Ps2;

/// <summary>Turns text and key names of scripts into key events for the US layout.</summary>
public static class KeyMap
{
    private const string Plain = "`1234567890-=qwertyuiop[]\\asdfghjkl;'zxcvbnm,./";
    private const string Shifted = "~!@#$%^&*()_+QWERTYUIOP{}|ASDFGHJKL:\"ZXCVBNM<>?";

    private static readonly Key[] Positions =
    [
        Key.Grave, Key.D1, Key.D2, Key.D3, Key.D4, Key.D5, Key.D6, Key.D7, Key.D8, Key.D9, Key.D0, Key.Minus, Key.EqualsSign,
        Key.Q, Key.W, Key.E, Key.R, Key.T, Key.Y, Key.U, Key.I, Key.O, Key.P, Key.LeftBracket, Key.RightBracket, Key.Backslash,
        Key.A, Key.S, Key.D, Key.F, Key.G, Key.H, Key.J, Key.K, Key.L, Key.Semicolon, Key.Apostrophe,
        Key.Z, Key.X, Key.C, Key.V, Key.B, Key.N, Key.M, Key.Comma, Key.Period, Key.Slash,
    ];

    private static readonly Dictionary<string, Key> Names = new(StringComparer.OrdinalIgnoreCase)
    {
        ["enter"] = Key.Enter,
        ["return"] = Key.Enter,
        ["esc"] = Key.Escape,
        ["escape"] = Key.Escape,
        ["tab"] = Key.Tab,
        ["space"] = Key.Space,
        ["backspace"] = Key.Backspace,
        ["up"] = Key.Up,
        ["down"] = Key.Down,
        ["left"] = Key.Left,
        ["right"] = Key.Right,
        ["home"] = Key.Home,
        ["end"] = Key.End,
        ["pageup"] = Key.PageUp,
        ["pgup"] = Key.PageUp,
        ["pagedown"] = Key.PageDown,
        ["pgdn"] = Key.PageDown,
        ["insert"] = Key.Insert,
        ["ins"] = Key.Insert,
        ["delete"] = Key.Delete,
        ["del"] = Key.Delete,
        ["ctrl"] = Key.LeftControl,
        ["control"] = Key.LeftControl,
        ["rctrl"] = Key.RightControl,
        ["alt"] = Key.LeftAlt,
        ["altgr"] = Key.RightAlt,
        ["shift"] = Key.LeftShift,
        ["rshift"] = Key.RightShift,
        ["win"] = Key.LeftWindows,
        ["menu"] = Key.Menu,
        ["capslock"] = Key.CapsLock,
        ["numlock"] = Key.NumLock,
        ["scrolllock"] = Key.ScrollLock,
        ["pause"] = Key.Pause,
        ["printscreen"] = Key.PrintScreen,
        ["prtsc"] = Key.PrintScreen,
        ["minus"] = Key.Minus,
        ["plus"] = Key.KeypadPlus,
        ["kpenter"] = Key.KeypadEnter,
        ["kpplus"] = Key.KeypadPlus,
        ["kpminus"] = Key.KeypadMinus,
        ["kpslash"] = Key.KeypadSlash,
        ["f1"] = Key.F1,
        ["f2"] = Key.F2,
        ["f3"] = Key.F3,
        ["f4"] = Key.F4,
        ["f5"] = Key.F5,
        ["f6"] = Key.F6,
        ["f7"] = Key.F7,
        ["f8"] = Key.F8,
        ["f9"] = Key.F9,
        ["f10"] = Key.F10,
        ["f11"] = Key.F11,
        ["f12"] = Key.F12,
    };

    /// <summary>Press and release of every character; line feed is Enter.</summary>
    /// <exception cref="BadInputException">A character has no key on the US layout.</exception>
    public static IReadOnlyList<KeyEvent> Text(string text)
    {
        var events = new List<KeyEvent>(text.Length * 2);
        foreach (char character in text)
        {
            if (character == '\r')
                continue;
            var (key, shift) = Find(character)
                ?? throw new BadInputException($"No key of the US keyboard types '{character}' (U+{(int)character:X4}); use a key name or another character.");
            if (shift)
                events.Add(new KeyEvent(Key.LeftShift, true));
            events.Add(new KeyEvent(key, true));
            events.Add(new KeyEvent(key, false));
            if (shift)
                events.Add(new KeyEvent(Key.LeftShift, false));
        }
        return events;
    }

    /// <summary>A named key or a chord such as <c>ctrl-alt-del</c>, <c>alt-f2</c>, <c>shift-a</c>: pressed in order, released in reverse.</summary>
    /// <exception cref="BadInputException">A part of the name is unknown.</exception>
    public static IReadOnlyList<KeyEvent> Chord(string name)
    {
        var keys = new List<Key>();
        foreach (string part in Parts(name))
        {
            if (Names.TryGetValue(part, out var named))
            {
                keys.Add(named);
            }
            else if (part.Length == 1 && Find(part[0]) is { } found)
            {
                if (found.Shift && !keys.Contains(Key.LeftShift))
                    keys.Add(Key.LeftShift);
                keys.Add(found.Key);
            }
            else
            {
                throw new BadInputException($"Unknown key '{part}' in '{name}'. Known names: {string.Join(", ", Names.Keys)}; or a single character.");
            }
        }
        return [.. keys.Select(key => new KeyEvent(key, true)), .. keys.AsEnumerable().Reverse().Select(key => new KeyEvent(key, false))];
    }

    /// <summary>Splits at hyphens; a hyphen that stands for itself is the last part ("ctrl--", "-").</summary>
    private static string[] Parts(string name)
    {
        if (name.EndsWith('-'))
            return name.Length == 1 ? ["-"] : [.. name[..^1].TrimEnd('-').Split('-', StringSplitOptions.RemoveEmptyEntries), "-"];
        return name.Split('-');
    }

    private static (Key Key, bool Shift)? Find(char character)
    {
        switch (character)
        {
            case ' ': return (Key.Space, false);
            case '\n': return (Key.Enter, false);
            case '\t': return (Key.Tab, false);
            case '\b': return (Key.Backspace, false);
            case '\e': return (Key.Escape, false);
        }
        int index = Plain.IndexOf(character, StringComparison.Ordinal);
        if (index >= 0)
            return (Positions[index], false);
        index = Shifted.IndexOf(character, StringComparison.Ordinal);
        return index >= 0 ? (Positions[index], true) : null;
    }
}
