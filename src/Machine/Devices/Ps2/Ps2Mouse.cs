namespace Farm.Machine.Devices.Ps2;

[Flags]
public enum MouseButtons : byte
{
    None = 0,
    Left = 1,
    Right = 2,
    Middle = 4,
}

/// <summary>
/// A PS/2 mouse with the IntelliMouse extension (identity 3 after the sample rates 200, 100, 80: a fourth byte for the wheel).
/// Movement accumulates until the previous packet has been taken.
/// </summary>
public sealed class Ps2Mouse : Ps2Device
{
    private const int Limit = 255;
    private byte _command;
    private byte _sampleRate;
    private byte _resolution;
    private bool _scaling21;
    private bool _remote;
    private bool _wrap;
    private int _knock;
    private int _dx, _dy, _wheel;
    private MouseButtons _buttons;
    private bool _changed;

    public Ps2Mouse() => Reset();

    /// <summary>0 for a plain mouse, 3 for a wheel mouse.</summary>
    public byte Identity { get; private set; }

    /// <summary>Stream mode with data reporting enabled.</summary>
    public bool Reporting { get; private set; }

    public override void Reset()
    {
        ClearOutput();
        _command = 0;
        _wrap = false;
        Identity = 0;
        _knock = 0;
        Defaults();
    }

    /// <summary>Moves by counts (y up) and wheel notches (away from the user negative); sets the buttons.</summary>
    public void Move(int dx, int dy, int wheel, MouseButtons buttons)
    {
        _dx = Math.Clamp(_dx + Math.Clamp(dx, -Limit, Limit), -4 * Limit, 4 * Limit);
        _dy = Math.Clamp(_dy + Math.Clamp(dy, -Limit, Limit), -4 * Limit, 4 * Limit);
        _wheel = Math.Clamp(_wheel + Math.Clamp(wheel, -7, 7), -7, 7);
        _changed |= dx != 0 || dy != 0 || wheel != 0 || buttons != _buttons;
        _buttons = buttons;
        Report();
    }

    internal override void OutputDrained() => Report();

    internal override void Receive(byte value)
    {
        if (_wrap && value is not (0xEC or 0xFF))
        {
            Send(value);
            return;
        }
        byte command = _command;
        _command = 0;
        if (command != 0)
            Parameter(command, value);
        else
            Command(value);
    }

    private void Command(byte value)
    {
        if (value is not 0xEB)
            ClearOutput();
        switch (value)
        {
            case 0xE6 or 0xE7:
                _scaling21 = value == 0xE7;
                Send(Acknowledge);
                break;
            case 0xE8 or 0xF3:
                _command = value;
                Send(Acknowledge);
                break;
            case 0xE9:
                Send(Acknowledge, StatusByte(), _resolution, _sampleRate);
                break;
            case 0xEA or 0xF0:
                _remote = value == 0xF0;
                Send(Acknowledge);
                break;
            case 0xEB:
                ClearOutput();
                Send(Acknowledge);
                SendPacket();
                break;
            case 0xEC or 0xEE:
                _wrap = value == 0xEE;
                Send(Acknowledge);
                break;
            case 0xF2:
                Send(Acknowledge, Identity);
                break;
            case 0xF4 or 0xF5:
                Reporting = value == 0xF4;
                Discard();
                Send(Acknowledge);
                break;
            case 0xF6:
                Defaults();
                Send(Acknowledge);
                break;
            case 0xFE:
                Send(LastSent);
                break;
            case 0xFF:
                Reset();
                Send(Acknowledge, SelfTestPassed, Identity);
                break;
            default:
                Send(Resend);
                break;
        }
    }

    private void Parameter(byte command, byte value)
    {
        if (command == 0xE8)
        {
            if (value > 3)
            {
                Send(Resend);
                return;
            }
            _resolution = value;
        }
        else
        {
            _sampleRate = value;
            _knock = (_knock, value) switch
            {
                (_, 200) => 1,
                (1, 100) => 2,
                (2, 80) => 3,
                _ => 0,
            };
            if (_knock == 3)
                Identity = 3;
        }
        Send(Acknowledge);
    }

    private byte StatusByte() => (byte)(
        ((_buttons & MouseButtons.Right) != 0 ? 0x01 : 0)
        | ((_buttons & MouseButtons.Middle) != 0 ? 0x02 : 0)
        | ((_buttons & MouseButtons.Left) != 0 ? 0x04 : 0)
        | (_scaling21 ? 0x10 : 0) | (Reporting ? 0x20 : 0) | (_remote ? 0x40 : 0));

    private void Report()
    {
        if (!Reporting || _remote || _wrap || !_changed || !Drained)
            return;
        SendPacket();
    }

    private void SendPacket()
    {
        int dx = Math.Clamp(_dx, -Limit, Limit), dy = Math.Clamp(_dy, -Limit, Limit), wheel = _wheel;
        _dx -= dx;
        _dy -= dy;
        _wheel = 0;
        _changed = _dx != 0 || _dy != 0;
        if (_scaling21 && !_remote)
        {
            dx = Scale21(dx);
            dy = Scale21(dy);
        }
        byte first = (byte)(0x08 | (byte)_buttons | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0));
        if (Identity == 3)
            Send(first, (byte)dx, (byte)dy, (byte)(sbyte)wheel);
        else
            Send(first, (byte)dx, (byte)dy);
    }

    private static int Scale21(int counts) => Math.Abs(counts) switch
    {
        0 => 0,
        1 or 2 => Math.Sign(counts),
        3 => 3 * Math.Sign(counts),
        4 => 6 * Math.Sign(counts),
        5 => 9 * Math.Sign(counts),
        _ => Math.Clamp(2 * counts, -Limit, Limit),
    };

    private void Defaults()
    {
        _sampleRate = 100;
        _resolution = 2;
        _scaling21 = false;
        _remote = false;
        Reporting = false;
        Discard();
    }

    private void Discard()
    {
        _dx = _dy = _wheel = 0;
        _changed = false;
    }
}
