using Farm.Machine.Bus;
using Farm.Machine.Time;

namespace Farm.Machine.Devices.Uart;

/// <summary>
/// A PC16550D as a PC serial port: characters take their time on the line by the programmed divisor, OUT2 gates the interrupt.
/// The peer never overruns the receiver: a character waits until there is room for it.
/// </summary>
public sealed class Uart16550 : IPortDevice
{
    public const ushort Com1 = 0x3F8;
    public const ushort Com2 = 0x2F8;
    public const ushort Com3 = 0x3E8;
    public const ushort Com4 = 0x2E8;

    private const int FifoDepth = 16;

    /// <summary>1.8432 MHz.</summary>
    private const long Crystal = 1_843_200;

    private readonly IVirtualClock _clock;
    private readonly InterruptLine _irq;
    private readonly IClockTimer _transmitTimer;
    private readonly IClockTimer _receiveTimer;
    private readonly IClockTimer _timeoutTimer;
    private readonly Queue<byte> _transmitFifo = new();
    private readonly Queue<byte> _receiveFifo = new();
    private readonly Queue<byte> _input = new();
    private readonly ushort _base;
    private Ier _ier;
    private Fcr _fcr;
    private Lcr _lcr;
    private Mcr _mcr;
    private Lsr _errors;
    private ModemStatus _lines;
    private ModemStatus _deltas;
    private ushort _divisor;
    private byte _scratch;
    private byte _shifting;
    private bool _transmitting;
    private bool _emptyPending;
    private bool _timeoutPending;

    public Uart16550(string name, ushort basePort, IVirtualClock clock, InterruptLine irq)
    {
        Name = name;
        _base = basePort;
        _clock = clock;
        _irq = irq;
        Ports = [new(basePort, 8)];
        _transmitTimer = clock.CreateTimer($"{name} transmitter", _ => Transmitted());
        _receiveTimer = clock.CreateTimer($"{name} receiver", _ => Receive());
        _timeoutTimer = clock.CreateTimer($"{name} FIFO timeout", _ => TimedOut());
        Reset();
    }

    public string Name { get; }

    public IReadOnlyList<PortRange> Ports { get; }

    /// <summary>Gets each character that leaves on the line.</summary>
    public Action<byte>? Output { get; set; }

    /// <summary>State of the modem lines that the peer drives; a connected terminal asserts CTS, DSR and DCD.</summary>
    public ModemStatus PeerLines { get; private set; } = ModemStatus.CTS | ModemStatus.DSR | ModemStatus.DCD;

    /// <summary>Characters from the peer that have not arrived yet.</summary>
    public int PendingInput => _input.Count;

    private bool FifosEnabled => (_fcr & Fcr.Enable) != 0;

    private bool Loop => (_mcr & Mcr.Loop) != 0;

    private int TriggerLevel => !FifosEnabled ? 1 : (_fcr & Fcr.TriggerMask) switch
    {
        0 => 1,
        (Fcr)0x40 => 4,
        (Fcr)0x80 => 8,
        _ => 14,
    };

    /// <summary>Time of one character: start bit, data, parity, stop bits (half bits counted double).</summary>
    private long CharacterTime
    {
        get
        {
            int data = 5 + (int)(_lcr & Lcr.WordLengthMask);
            int stopHalves = (_lcr & Lcr.STB) == 0 ? 2 : data == 5 ? 3 : 4;
            int halves = 2 * (1 + data + ((_lcr & Lcr.PEN) != 0 ? 1 : 0)) + stopHalves;
            long divisor = _divisor == 0 ? 0x10000 : _divisor;
            return halves * 8 * divisor * 1_000_000_000 / Crystal;
        }
    }

    public void Reset()
    {
        _ier = 0;
        _fcr = 0;
        _lcr = 0;
        _mcr = 0;
        _errors = 0;
        _deltas = 0;
        _lines = PeerLines;
        _divisor = 12;
        _scratch = 0;
        _transmitting = false;
        _emptyPending = false;
        _timeoutPending = false;
        _transmitFifo.Clear();
        _receiveFifo.Clear();
        _transmitTimer.Disarm();
        _timeoutTimer.Disarm();
        UpdateInterrupt();
    }

    /// <summary>Characters that the peer sends.</summary>
    public void Send(ReadOnlySpan<byte> characters)
    {
        foreach (byte character in characters)
            _input.Enqueue(character);
        StartReceiving();
    }

    /// <summary>Changes the modem lines that the peer drives.</summary>
    public void SetPeerLines(ModemStatus lines)
    {
        PeerLines = lines & (ModemStatus.CTS | ModemStatus.DSR | ModemStatus.RI | ModemStatus.DCD);
        UpdateModemLines();
        UpdateInterrupt();
    }

    public uint ReadPort(ushort port, int size)
    {
        bool divisorLatch = (_lcr & Lcr.DLAB) != 0;
        switch (port - _base)
        {
            case 0 when divisorLatch:
                return (byte)_divisor;
            case 1 when divisorLatch:
                return (byte)(_divisor >> 8);
            case 0:
                return ReadReceiver();
            case 1:
                return (byte)_ier;
            case 2:
                var pending = Pending();
                if (pending == Iir.TransmitterHoldingRegisterEmpty)
                {
                    _emptyPending = false;
                    UpdateInterrupt();
                }
                return FifosEnabled ? (byte)(pending | Iir.FifosEnabled) : (byte)pending;
            case 3:
                return (byte)_lcr;
            case 4:
                return (byte)_mcr;
            case 5:
                return ReadLineStatus();
            case 6:
                uint value = (uint)(_lines | _deltas);
                _deltas = 0;
                UpdateInterrupt();
                return value;
            default:
                return _scratch;
        }
    }

    public void WritePort(ushort port, uint value, int size)
    {
        bool divisorLatch = (_lcr & Lcr.DLAB) != 0;
        switch (port - _base)
        {
            case 0 when divisorLatch:
                _divisor = (ushort)(_divisor & 0xFF00u | value & 0xFF);
                break;
            case 1 when divisorLatch:
                _divisor = (ushort)(_divisor & 0x00FFu | (value & 0xFF) << 8);
                break;
            case 0:
                WriteTransmitter((byte)value);
                break;
            case 1:
                WriteInterruptEnable((Ier)value & Ier.All);
                break;
            case 2:
                WriteFifoControl((Fcr)value);
                break;
            case 3:
                _lcr = (Lcr)value;
                break;
            case 4:
                _mcr = (Mcr)value & Mcr.All;
                UpdateModemLines();
                break;
            case 7:
                _scratch = (byte)value;
                break;
        }
        UpdateInterrupt();
    }

    private byte ReadReceiver()
    {
        _timeoutPending = false;
        _receiveFifo.TryDequeue(out byte value);
        RestartTimeout();
        UpdateInterrupt();
        StartReceiving();
        return value;
    }

    private byte ReadLineStatus()
    {
        var status = _errors;
        if (_receiveFifo.Count > 0)
            status |= Lsr.DR;
        if (_transmitFifo.Count == 0)
            status |= _transmitting ? Lsr.THRE : Lsr.THRE | Lsr.TEMT;
        _errors = 0;
        UpdateInterrupt();
        return (byte)status;
    }

    private void WriteTransmitter(byte value)
    {
        _emptyPending = false;
        if (_transmitFifo.Count < (FifosEnabled ? FifoDepth : 1))
            _transmitFifo.Enqueue(value);
        if (!_transmitting)
            Shift();
    }

    private void WriteInterruptEnable(Ier value)
    {
        if ((value & ~_ier & Ier.ETBEI) != 0 && _transmitFifo.Count == 0)
            _emptyPending = true;
        _ier = value;
    }

    private void WriteFifoControl(Fcr value)
    {
        bool toggled = ((value ^ _fcr) & Fcr.Enable) != 0;
        if (toggled || (value & Fcr.ReceiverReset) != 0)
        {
            _receiveFifo.Clear();
            _timeoutPending = false;
            _timeoutTimer.Disarm();
        }
        if (toggled || (value & Fcr.TransmitterReset) != 0)
            _transmitFifo.Clear();
        _fcr = (value & Fcr.Enable) != 0 ? value & (Fcr.Enable | Fcr.DmaMode | Fcr.TriggerMask) : 0;
        StartReceiving();
    }

    /// <summary>Moves the next character into the shift register.</summary>
    private void Shift()
    {
        _transmitting = _transmitFifo.TryDequeue(out _shifting);
        if (!_transmitting)
            return;
        if (_transmitFifo.Count == 0)
            _emptyPending = true;
        _transmitTimer.Arm(_clock.Now + CharacterTime);
    }

    private void Transmitted()
    {
        byte character = (byte)(_shifting & (0xFF >> (3 - (int)(_lcr & Lcr.WordLengthMask))));
        if (Loop)
            Arrive(character);
        else
            Output?.Invoke(character);
        Shift();
        UpdateInterrupt();
    }

    private void StartReceiving()
    {
        if (_input.Count > 0 && !_receiveTimer.Armed && !Loop)
            _receiveTimer.Arm(_clock.Now + CharacterTime);
    }

    private void Receive()
    {
        if (Loop || _input.Count == 0)
            return;
        if (_receiveFifo.Count < (FifosEnabled ? FifoDepth : 1))
        {
            Arrive(_input.Dequeue());
            StartReceiving();
            UpdateInterrupt();
        }
        // Else the read of the receiver starts the line again.
    }

    private void Arrive(byte character)
    {
        if (_receiveFifo.Count >= (FifosEnabled ? FifoDepth : 1))
        {
            _errors |= Lsr.OE;
            if (FifosEnabled)
                return;
            _receiveFifo.Clear();
        }
        _receiveFifo.Enqueue(character);
        RestartTimeout();
    }

    /// <summary>Four character times without traffic while something waits in the FIFO (8.11.1).</summary>
    private void RestartTimeout()
    {
        if (FifosEnabled && _receiveFifo.Count > 0)
            _timeoutTimer.Arm(_clock.Now + 4 * CharacterTime);
        else
            _timeoutTimer.Disarm();
    }

    private void TimedOut()
    {
        _timeoutPending = _receiveFifo.Count > 0;
        UpdateInterrupt();
    }

    private void UpdateModemLines()
    {
        var lines = PeerLines;
        if (Loop)
        {
            lines = ((_mcr & Mcr.RTS) != 0 ? ModemStatus.CTS : 0) | ((_mcr & Mcr.DTR) != 0 ? ModemStatus.DSR : 0)
                | ((_mcr & Mcr.OUT1) != 0 ? ModemStatus.RI : 0) | ((_mcr & Mcr.OUT2) != 0 ? ModemStatus.DCD : 0);
        }
        else
        {
            StartReceiving();
        }
        var changed = lines ^ _lines;
        var deltas = (ModemStatus)((byte)changed >> 4) & ~ModemStatus.TERI;
        if ((changed & ~lines & ModemStatus.RI) != 0)
            deltas |= ModemStatus.TERI;
        _deltas |= deltas;
        _lines = lines;
    }

    private Iir Pending()
    {
        if ((_ier & Ier.ELSI) != 0 && (_errors & Lsr.Errors) != 0)
            return Iir.ReceiverLineStatus;
        if ((_ier & Ier.ERBFI) != 0 && _receiveFifo.Count >= TriggerLevel)
            return Iir.ReceivedDataAvailable;
        if ((_ier & Ier.ERBFI) != 0 && _timeoutPending)
            return Iir.CharacterTimeout;
        if ((_ier & Ier.ETBEI) != 0 && _emptyPending)
            return Iir.TransmitterHoldingRegisterEmpty;
        return (_ier & Ier.EDSSI) != 0 && _deltas != 0 ? Iir.ModemStatus : Iir.None;
    }

    private void UpdateInterrupt() => _irq.Set(Pending() != Iir.None && (_mcr & Mcr.OUT2) != 0);
}
