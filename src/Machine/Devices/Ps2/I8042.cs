using Farm.Machine.Bus;
using Farm.Machine.Devices.Chipset;
using Farm.Machine.Time;

namespace Farm.Machine.Devices.Ps2;

/// <summary>
/// The 8042 keyboard controller of a PS/2 (IBM PS/2 Technical Reference, "Keyboard and auxiliary device controller") at 60h/64h.
/// A device's byte takes <see cref="ByteTime"/> to arrive, and the next one starts only when the guest has read the last.
/// </summary>
public sealed class I8042 : IPortDevice
{
    /// <summary>Guest time between the read of port 60h and the next byte of a device.</summary>
    public const long ByteTime = 300_000;

    private const int MaximumReplies = 8;

    private readonly byte[] _ram = new byte[32];
    private readonly Queue<(byte Value, bool Auxiliary)> _replies = new();
    private readonly IVirtualClock _clock;
    private readonly InterruptLine _keyboardIrq;
    private readonly InterruptLine _auxiliaryIrq;
    private readonly SystemControl _system;
    private readonly IClockTimer _transfer;
    private I8042Status _status;
    private byte _outputBuffer;
    private byte _parameterFor;
    private bool _release;
    private bool _fromKeyboard;

    public I8042(IVirtualClock clock, InterruptLine keyboardIrq, InterruptLine auxiliaryIrq, SystemControl system)
    {
        _clock = clock;
        _keyboardIrq = keyboardIrq;
        _auxiliaryIrq = auxiliaryIrq;
        _system = system;
        _transfer = clock.CreateTimer("8042 transfer", _ => Transfer());
        Keyboard.BytesReady = Kick;
        Mouse.BytesReady = Kick;
        Keys = new KeyboardQueue(clock, Keyboard, this);
        Reset();
    }

    public string Name => "8042";

    public IReadOnlyList<PortRange> Ports { get; } = [new(0x60, 1), new(0x64, 1)];

    public Ps2Keyboard Keyboard { get; } = new();

    public Ps2Mouse Mouse { get; } = new();

    /// <summary>Key presses from the host, paced by the guest.</summary>
    public KeyboardQueue Keys { get; }

    /// <summary>A byte of the keyboard is in the output buffer and has not been read.</summary>
    public bool KeyboardBytePending => (_status & I8042Status.OutputBufferFull) != 0 && _fromKeyboard;

    /// <summary>The keyboard's clock is enabled in the command byte.</summary>
    public bool KeyboardEnabled => (CommandByte & I8042CommandByte.DisableKeyboard) == 0;

    private I8042CommandByte CommandByte
    {
        get => (I8042CommandByte)_ram[0];
        set => _ram[0] = (byte)value;
    }

    public void Reset()
    {
        Array.Clear(_ram);
        CommandByte = I8042CommandByte.Translate | I8042CommandByte.KeyboardInterrupt;
        _status = I8042Status.NotInhibited;
        _outputBuffer = 0;
        _parameterFor = 0;
        _release = false;
        _fromKeyboard = false;
        _replies.Clear();
        _transfer.Disarm();
        _system.A20 = true;
        Keyboard.Reset();
        Mouse.Reset();
        Keys.Clear();
        UpdateInterrupts();
    }

    public uint ReadPort(ushort port, int size)
    {
        if (port == 0x64)
            return (uint)(_status & ~I8042Status.SystemFlag) | ((CommandByte & I8042CommandByte.SystemFlag) != 0 ? (uint)I8042Status.SystemFlag : 0);
        if ((_status & I8042Status.OutputBufferFull) == 0)
            return _outputBuffer;
        byte value = _outputBuffer;
        bool auxiliary = (_status & I8042Status.AuxiliaryOutputBufferFull) != 0;
        _status &= ~(I8042Status.OutputBufferFull | I8042Status.AuxiliaryOutputBufferFull);
        UpdateInterrupts();
        if (_replies.TryDequeue(out var reply))
            Fill(reply.Value, reply.Auxiliary, fromKeyboard: false);
        else if (auxiliary && Mouse.Drained)
            Mouse.OutputDrained();
        Kick();
        return value;
    }

    public void WritePort(ushort port, uint value, int size)
    {
        if (port == 0x64)
        {
            _status |= I8042Status.Command;
            _parameterFor = 0;
            Command((byte)value);
            return;
        }
        _status &= ~I8042Status.Command;
        byte command = _parameterFor;
        _parameterFor = 0;
        if (command != 0)
            Parameter(command, (byte)value);
        else
            SendToKeyboard((byte)value);
    }

    private void Command(byte command)
    {
        switch (command)
        {
            case >= 0x20 and <= 0x3F:
                Reply(_ram[command & 0x1F]);
                break;
            case (>= 0x60 and <= 0x7F) or 0xD1 or 0xD2 or 0xD3 or 0xD4:
                _parameterFor = command;
                break;
            case 0xA4:
                Reply(0xF1); // no password is loaded
                break;
            case 0xA7:
                CommandByte |= I8042CommandByte.DisableAuxiliary;
                break;
            case 0xA8:
                CommandByte &= ~I8042CommandByte.DisableAuxiliary;
                Kick();
                break;
            case 0xA9 or 0xAB:
                Reply(0x00);
                break;
            case 0xAA:
                CommandByte |= I8042CommandByte.SystemFlag;
                Reply(0x55);
                break;
            case 0xAD:
                CommandByte |= I8042CommandByte.DisableKeyboard;
                break;
            case 0xAE:
                CommandByte &= ~I8042CommandByte.DisableKeyboard;
                Kick();
                break;
            case 0xC0:
                Reply(0xB0); // keyboard not locked, no manufacturing jumper, colour display
                break;
            case 0xD0:
                Reply((byte)OutputPort());
                break;
            case 0xDD or 0xDF:
                _system.A20 = command == 0xDF;
                break;
            case 0xE0:
                Reply(0x00);
                break;
            case >= 0xF0 when (command & 1) == 0:
                _system.RequestReset(ResetKind.Processor, "8042 output port pulse");
                break;
        }
    }

    private void Parameter(byte command, byte value)
    {
        switch (command)
        {
            case 0x60:
                _ram[0] = value;
                UpdateInterrupts();
                Kick();
                break;
            case > 0x60 and <= 0x7F:
                _ram[command & 0x1F] = value;
                break;
            case 0xD1:
                _system.A20 = (value & (byte)I8042OutputPort.GateA20) != 0;
                if ((value & (byte)I8042OutputPort.ResetHigh) == 0)
                    _system.RequestReset(ResetKind.Processor, "8042 output port");
                break;
            case 0xD2:
                Reply(value);
                break;
            case 0xD3:
                Reply(value, auxiliary: true);
                break;
            case 0xD4:
                CommandByte &= ~I8042CommandByte.DisableAuxiliary;
                Mouse.Receive(value);
                break;
        }
    }

    /// <summary>A byte for the keyboard enables its clock.</summary>
    private void SendToKeyboard(byte value)
    {
        CommandByte &= ~I8042CommandByte.DisableKeyboard;
        Keyboard.Receive(value);
        Kick();
    }

    private I8042OutputPort OutputPort()
    {
        var port = I8042OutputPort.ResetHigh | I8042OutputPort.KeyboardData;
        if (_system.A20)
            port |= I8042OutputPort.GateA20;
        if ((_status & I8042Status.AuxiliaryOutputBufferFull) != 0)
            port |= I8042OutputPort.AuxiliaryOutputBufferFull;
        else if ((_status & I8042Status.OutputBufferFull) != 0)
            port |= I8042OutputPort.OutputBufferFull;
        if (!KeyboardEnabled)
            port |= I8042OutputPort.KeyboardClock;
        if ((CommandByte & I8042CommandByte.DisableAuxiliary) != 0)
            port |= I8042OutputPort.AuxiliaryClock;
        return port;
    }

    private void Reply(byte value, bool auxiliary = false)
    {
        if ((_status & I8042Status.OutputBufferFull) == 0)
            Fill(value, auxiliary, fromKeyboard: false);
        else if (_replies.Count < MaximumReplies)
            _replies.Enqueue((value, auxiliary));
    }

    private void Fill(byte value, bool auxiliary, bool fromKeyboard)
    {
        _outputBuffer = value;
        _fromKeyboard = fromKeyboard;
        _status |= I8042Status.OutputBufferFull;
        if (auxiliary)
            _status |= I8042Status.AuxiliaryOutputBufferFull;
        UpdateInterrupts();
    }

    /// <summary>Starts the next byte on its way if one waits and the output buffer is free.</summary>
    private void Kick()
    {
        if ((_status & I8042Status.OutputBufferFull) != 0 || _transfer.Armed)
            return;
        if (!Keyboard.Drained && KeyboardEnabled || !Mouse.Drained && (CommandByte & I8042CommandByte.DisableAuxiliary) == 0)
            _transfer.Arm(_clock.Now + ByteTime);
    }

    private void Transfer()
    {
        if ((_status & I8042Status.OutputBufferFull) != 0)
            return;
        while (KeyboardEnabled && Keyboard.TryDequeue(out byte value))
        {
            if ((CommandByte & I8042CommandByte.Translate) != 0)
            {
                if (value == 0xF0)
                {
                    _release = true;
                    continue;
                }
                value = ScanCodes.Translate(value);
                if (_release)
                    value |= 0x80;
                _release = false;
            }
            Fill(value, auxiliary: false, fromKeyboard: true);
            return;
        }
        if ((CommandByte & I8042CommandByte.DisableAuxiliary) == 0 && Mouse.TryDequeue(out byte packet))
            Fill(packet, auxiliary: true, fromKeyboard: false);
    }

    private void UpdateInterrupts()
    {
        bool full = (_status & I8042Status.OutputBufferFull) != 0;
        bool auxiliary = (_status & I8042Status.AuxiliaryOutputBufferFull) != 0;
        _keyboardIrq.Set(full && !auxiliary && (CommandByte & I8042CommandByte.KeyboardInterrupt) != 0);
        _auxiliaryIrq.Set(full && auxiliary && (CommandByte & I8042CommandByte.AuxiliaryInterrupt) != 0);
    }
}
