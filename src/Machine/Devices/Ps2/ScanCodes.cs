namespace Farm.Machine.Devices.Ps2;

/// <summary>Scan code sets 1, 2 and 3 (IBM PS/2 Technical Reference, "Keyboards (101- and 102-key)").</summary>
internal static class ScanCodes
{
    private const byte BreakPrefix = 0xF0;
    private const byte ExtendedPrefix = 0xE0;

    /// <summary>The 8042's translation of set 2 to set 1; index: set 2 code up to 84h. Higher codes pass unchanged.</summary>
    private static ReadOnlySpan<byte> Set2ToSet1 =>
    [
        0xFF, 0x43, 0x41, 0x3F, 0x3D, 0x3B, 0x3C, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3E, 0x0F, 0x29, 0x59,
        0x65, 0x38, 0x2A, 0x70, 0x1D, 0x10, 0x02, 0x5A, 0x66, 0x71, 0x2C, 0x1F, 0x1E, 0x11, 0x03, 0x5B,
        0x67, 0x2E, 0x2D, 0x20, 0x12, 0x05, 0x04, 0x5C, 0x68, 0x39, 0x2F, 0x21, 0x14, 0x13, 0x06, 0x5D,
        0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5E, 0x6A, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5F,
        0x6B, 0x33, 0x25, 0x17, 0x18, 0x0B, 0x0A, 0x60, 0x6C, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0C, 0x61,
        0x6D, 0x73, 0x28, 0x74, 0x1A, 0x0D, 0x62, 0x6E, 0x3A, 0x36, 0x1C, 0x1B, 0x75, 0x2B, 0x63, 0x76,
        0x55, 0x56, 0x77, 0x78, 0x79, 0x7A, 0x0E, 0x7B, 0x7C, 0x4F, 0x7D, 0x4B, 0x47, 0x7E, 0x7F, 0x6F,
        0x52, 0x53, 0x50, 0x4C, 0x4D, 0x48, 0x01, 0x45, 0x57, 0x4E, 0x51, 0x4A, 0x37, 0x49, 0x46, 0x54,
        0x80, 0x81, 0x82, 0x41, 0x54,
    ];

    public static byte Translate(byte set2) => set2 < Set2ToSet1.Length ? Set2ToSet1[set2] : set2;

    /// <summary>The bytes for a press or release in the keyboard's active set.</summary>
    public static byte[] Encode(KeyEvent key, int set)
    {
        if (set == 3)
            return Set3(key);
        byte[] bytes = Set2(key);
        return set == 2 ? bytes : ToSet1(bytes);
    }

    private static byte[] Set2(KeyEvent key)
    {
        byte code = (byte)key.Key;
        switch (key.Key)
        {
            case Key.Pause:
                return key.Pressed ? [0xE1, 0x14, 0x77, 0xE1, BreakPrefix, 0x14, BreakPrefix, 0x77] : [];
            case Key.PrintScreen:
                return key.Pressed
                    ? [ExtendedPrefix, 0x12, ExtendedPrefix, 0x7C]
                    : [ExtendedPrefix, BreakPrefix, 0x7C, ExtendedPrefix, BreakPrefix, 0x12];
        }
        bool extended = (key.Key & Key.Extended) != 0;
        return (extended, key.Pressed) switch
        {
            (false, true) => [code],
            (false, false) => [BreakPrefix, code],
            (true, true) => [ExtendedPrefix, code],
            (true, false) => [ExtendedPrefix, BreakPrefix, code],
        };
    }

    private static byte[] ToSet1(byte[] set2)
    {
        var bytes = new List<byte>(set2.Length);
        byte release = 0;
        foreach (byte value in set2)
        {
            if (value == BreakPrefix)
            {
                release = 0x80;
            }
            else
            {
                bytes.Add((byte)(Translate(value) | (value >= ExtendedPrefix ? 0 : release)));
                release = 0;
            }
        }
        return [.. bytes];
    }

    private static byte[] Set3(KeyEvent key)
    {
        byte code = Set3Code(key.Key);
        return key.Pressed ? [code] : [BreakPrefix, code];
    }

    private static byte Set3Code(Key key) => key switch
    {
        Key.F1 => 0x07,
        Key.F2 => 0x0F,
        Key.F3 => 0x17,
        Key.F4 => 0x1F,
        Key.F5 => 0x27,
        Key.F6 => 0x2F,
        Key.F7 => 0x37,
        Key.F8 => 0x3F,
        Key.F9 => 0x47,
        Key.F10 => 0x4F,
        Key.F11 => 0x56,
        Key.F12 => 0x5E,
        Key.Escape => 0x08,
        Key.PrintScreen => 0x57,
        Key.ScrollLock => 0x5F,
        Key.Pause => 0x62,
        Key.LeftControl => 0x11,
        Key.LeftAlt => 0x19,
        Key.RightAlt => 0x39,
        Key.RightControl => 0x58,
        Key.LeftWindows => 0x8B,
        Key.RightWindows => 0x8C,
        Key.Menu => 0x8D,
        Key.CapsLock => 0x14,
        Key.NonUsBackslash => 0x13,
        Key.Backslash => 0x5C,
        Key.Insert => 0x67,
        Key.Delete => 0x64,
        Key.Left => 0x61,
        Key.Home => 0x6E,
        Key.End => 0x65,
        Key.Up => 0x63,
        Key.Down => 0x60,
        Key.PageUp => 0x6F,
        Key.PageDown => 0x6D,
        Key.Right => 0x6A,
        Key.NumLock => 0x76,
        Key.KeypadSlash => 0x77,
        Key.KeypadMultiply => 0x7E,
        Key.KeypadMinus => 0x84,
        Key.KeypadPlus => 0x7C,
        Key.KeypadEnter => 0x79,
        _ => (byte)key,
    };
}
