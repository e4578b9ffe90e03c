namespace Farm.Machine.Devices.Ps2;

/// <summary>
/// The keys of a US PC keyboard. The value is the set 2 make code; <see cref="Key.Extended"/> marks those sent after E0h.
/// Pause and Print Screen have sequences of their own.
/// </summary>
[Flags]
public enum Key
{
    None = 0,
    F9 = 0x01, F5 = 0x03, F3 = 0x04, F1 = 0x05, F2 = 0x06, F12 = 0x07, F10 = 0x09, F8 = 0x0A, F6 = 0x0B, F4 = 0x0C,
    Tab = 0x0D, Grave = 0x0E,
    LeftAlt = 0x11, LeftShift = 0x12, LeftControl = 0x14, Q = 0x15, D1 = 0x16,
    Z = 0x1A, S = 0x1B, A = 0x1C, W = 0x1D, D2 = 0x1E,
    C = 0x21, X = 0x22, D = 0x23, E = 0x24, D4 = 0x25, D3 = 0x26,
    Space = 0x29, V = 0x2A, F = 0x2B, T = 0x2C, R = 0x2D, D5 = 0x2E,
    N = 0x31, B = 0x32, H = 0x33, G = 0x34, Y = 0x35, D6 = 0x36,
    M = 0x3A, J = 0x3B, U = 0x3C, D7 = 0x3D, D8 = 0x3E,
    Comma = 0x41, K = 0x42, I = 0x43, O = 0x44, D0 = 0x45, D9 = 0x46,
    Period = 0x49, Slash = 0x4A, L = 0x4B, Semicolon = 0x4C, P = 0x4D, Minus = 0x4E,
    Apostrophe = 0x52, LeftBracket = 0x54, EqualsSign = 0x55,
    CapsLock = 0x58, RightShift = 0x59, Enter = 0x5A, RightBracket = 0x5B, Backslash = 0x5D,
    NonUsBackslash = 0x61, Backspace = 0x66,
    Keypad1 = 0x69, Keypad4 = 0x6B, Keypad7 = 0x6C,
    Keypad0 = 0x70, KeypadPeriod = 0x71, Keypad2 = 0x72, Keypad5 = 0x73, Keypad6 = 0x74, Keypad8 = 0x75, Escape = 0x76,
    NumLock = 0x77, F11 = 0x78, KeypadPlus = 0x79, Keypad3 = 0x7A, KeypadMinus = 0x7B, KeypadMultiply = 0x7C, Keypad9 = 0x7D,
    ScrollLock = 0x7E, F7 = 0x83,

    Extended = 0x100,
    RightAlt = Extended | 0x11, RightControl = Extended | 0x14,
    LeftWindows = Extended | 0x1F, RightWindows = Extended | 0x27, Menu = Extended | 0x2F,
    KeypadSlash = Extended | 0x4A, KeypadEnter = Extended | 0x5A,
    End = Extended | 0x69, Left = Extended | 0x6B, Home = Extended | 0x6C, Insert = Extended | 0x70, Delete = Extended | 0x71,
    Down = Extended | 0x72, Right = Extended | 0x74, Up = Extended | 0x75, PageDown = Extended | 0x7A, PageUp = Extended | 0x7D,
    PrintScreen = Extended | 0x7C,
    Pause = Extended | 0x77,
}

/// <summary>One press or release.</summary>
public readonly record struct KeyEvent(Key Key, bool Pressed);
