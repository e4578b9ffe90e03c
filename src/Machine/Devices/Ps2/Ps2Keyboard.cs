namespace Farm.Machine.Devices.Ps2;

/// <summary>
/// A 101-key PS/2 keyboard. Typematic repeat is accepted as a setting but a held key does not repeat: keys come from scripts,
/// which hold none.
/// </summary>
public sealed class Ps2Keyboard : Ps2Device
{
    private byte _command;
    private int _set = 2;

    public Ps2Keyboard() => Reset();

    /// <summary>LEDs: bit 0 Scroll Lock, 1 Num Lock, 2 Caps Lock.</summary>
    public byte Leds { get; private set; }

    /// <summary>False after F5h: no scan codes are sent.</summary>
    public bool Scanning { get; private set; }

    public int ScanCodeSet => _set;

    public override void Reset()
    {
        ClearOutput();
        _command = 0;
        Defaults();
        Scanning = true;
        Leds = 0;
    }

    /// <summary>Sends a key's bytes; ignored while scanning is disabled.</summary>
    internal void Press(KeyEvent key)
    {
        if (Scanning)
            Send(ScanCodes.Encode(key, _set));
    }

    internal override void Receive(byte value)
    {
        byte command = _command;
        _command = 0;
        // A command byte ends a command that waits for its parameter.
        if (command != 0 && value < 0xED)
            Parameter(command, value);
        else
            Command(value);
    }

    private void Command(byte value)
    {
        switch (value)
        {
            case 0xED or 0xF0 or 0xF3 or 0xFB or 0xFC or 0xFD:
                _command = value;
                Send(Acknowledge);
                break;
            case 0xEE:
                Send(0xEE);
                break;
            case 0xF2:
                Send(Acknowledge, 0xAB, 0x83);
                break;
            case 0xF4:
                ClearOutput();
                Scanning = true;
                Send(Acknowledge);
                break;
            case 0xF5 or 0xF6:
                ClearOutput();
                Defaults();
                Scanning = value == 0xF6;
                Send(Acknowledge);
                break;
            case >= 0xF7 and <= 0xFA:
                Send(Acknowledge);
                break;
            case 0xFE:
                Send(LastSent);
                break;
            case 0xFF:
                Reset();
                Send(Acknowledge, SelfTestPassed);
                break;
            default:
                Send(Resend);
                break;
        }
    }

    private void Parameter(byte command, byte value)
    {
        switch (command)
        {
            case 0xED:
                Leds = (byte)(value & 7);
                Send(Acknowledge);
                break;
            case 0xF0 when value == 0:
                Send(Acknowledge, (byte)_set);
                break;
            case 0xF0 when value <= 3:
                _set = value;
                Send(Acknowledge);
                break;
            case 0xF0:
                Send(Resend);
                break;
            default:
                Send(Acknowledge);
                break;
        }
    }

    private void Defaults() => _set = 2;
}
