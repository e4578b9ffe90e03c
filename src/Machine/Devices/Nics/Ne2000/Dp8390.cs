using Farm.Machine.Bus;
using Farm.Machine.Network;
using Farm.Machine.Time;

namespace Farm.Machine.Devices.Nics.Ne2000;

/// <summary>
/// The DP8390 network interface controller (National Semiconductor data sheet DP8390D) on an NE2000 board: 16 KiB of buffer memory
/// at 4000h, the station address PROM at 0, the remote DMA port at offset 10h and the reset port at 18h.
/// </summary>
public sealed partial class Dp8390 : IEthernetCard
{
    /// <summary>Ports of the board.</summary>
    public const int PortCount = 0x20;

    private const int DataPort = 0x10;
    private const int ResetPort = 0x18;
    private const int BufferStart = 0x4000;
    private const int BufferSize = 0x4000;
    private const int PromSize = 0x20;
    private const long NanosecondsPerByte = 800; // 10 Mbit/s
    private const int WireOverhead = 8 + 4 + 12; // preamble, check sequence, gap between frames

    private readonly Func<InterruptLine> _interrupt;
    private readonly EthernetCable _cable;
    private readonly IVirtualClock _clock;
    private readonly IClockTimer _transmitted;
    private readonly byte[] _prom = new byte[PromSize];
    private readonly byte[] _buffer = new byte[BufferSize];
    private readonly byte[] _station = new byte[MacAddress.Length];
    private readonly byte[] _multicast = new byte[8];
    private readonly byte[] _tally = new byte[3];

    private Dp8390Command _command;
    private bool _running;
    private Dp8390Interrupt _status;
    private Dp8390Interrupt _mask;
    private Dp8390DataConfiguration _data;
    private Dp8390TransmitConfiguration _transmit;
    private Dp8390ReceiveConfiguration _receive;
    private Dp8390TransmitStatus _transmitStatus;
    private Dp8390ReceiveStatus _receiveStatus;
    private byte _pageStart;
    private byte _pageStop;
    private byte _boundary;
    private byte _current;
    private byte _transmitPage;
    private ushort _transmitCount;
    private ushort _remoteStart;
    private ushort _remoteAddress;
    private ushort _remoteCount;

    /// <param name="interrupt">The line at the time of its use: a PCI card gets its own when it is put into a slot.</param>
    public Dp8390(IVirtualClock clock, Func<InterruptLine> interrupt, EthernetCable cable, MacAddress address)
    {
        _clock = clock;
        _interrupt = interrupt;
        _cable = cable;
        _transmitted = clock.CreateTimer("DP8390 transmission", _ => TransmissionDone());
        cable.Card = this;
        // each byte twice, as an 8-bit PROM looks on a 16-bit bus; 57h marks an NE2000
        for (int i = 0; i < PromSize; i++)
            _prom[i] = i < 2 * MacAddress.Length ? address[i / 2] : (byte)0x57;
    }

    /// <summary>Page 3, which the DP8390 does not have: what the board's own chip shows and takes there.</summary>
    internal Func<int, byte> ReadPage3 { get; init; } = _ => 0xFF;

    internal Action<int, byte> WritePage3 { get; init; } = (_, _) => { };

    /// <summary>Page 0, offsets 0Ah and 0Bh: reserved on the DP8390, the RTL8019 and RTL8029 name themselves there.</summary>
    internal (byte Low, byte High) ChipId { get; init; } = (0xFF, 0xFF);

    private bool Loopback => (_transmit & Dp8390TransmitConfiguration.LoopbackMask) != 0 || (_data & Dp8390DataConfiguration.NormalOperation) == 0;

    /// <summary>The state after the RESET pin (data sheet, 11.0): registers that are not named there keep their value.</summary>
    public void Reset()
    {
        _transmitted.Disarm();
        _command = Dp8390Command.Stop | Dp8390Command.RemoteAbort;
        _running = false;
        _status = Dp8390Interrupt.ResetStatus;
        _mask = 0;
        _data = Dp8390DataConfiguration.LongAddress;
        _transmit = 0;
        UpdateInterrupt();
    }

    /// <summary>Power-on: memory and all registers too.</summary>
    public void PowerOn()
    {
        _cable.Discard();
        Array.Clear(_buffer);
        Array.Clear(_station);
        Array.Clear(_multicast);
        Array.Clear(_tally);
        _receive = 0;
        _transmitStatus = 0;
        _receiveStatus = 0;
        _pageStart = _pageStop = _boundary = _current = _transmitPage = 0;
        _transmitCount = _remoteStart = _remoteAddress = _remoteCount = 0;
        Reset();
    }

    /// <summary>A read of 1 or 2 bytes at an offset of the board's ports; only the data port is wider than a byte.</summary>
    public uint ReadPort(int offset, int size)
    {
        if (offset >= ResetPort)
        {
            Reset();
            return 0;
        }
        if (offset >= DataPort)
            return ReadDataPort(size);
        uint value = ReadRegister(offset);
        return size == 1 ? value : value | (uint)(offset + 1 < DataPort ? ReadRegister(offset + 1) : 0xFF) << 8;
    }

    public void WritePort(int offset, uint value, int size)
    {
        if (offset >= ResetPort)
            return;
        if (offset >= DataPort)
        {
            WriteDataPort(value, size);
            return;
        }
        WriteRegister(offset, (byte)value);
        if (size > 1 && offset + 1 < DataPort)
            WriteRegister(offset + 1, (byte)(value >> 8));
    }

    private int Page => (int)(_command & Dp8390Command.PageMask) >> 6;

    private byte ReadRegister(int offset) => offset == 0 ? (byte)_command : Page switch
    {
        0 => ReadPage0(offset),
        1 => ReadPage1(offset),
        2 => ReadPage2(offset),
        _ => ReadPage3(offset),
    };

    private byte ReadPage0(int offset)
    {
        switch (offset)
        {
            case 0x03:
                return _boundary;
            case 0x04:
                return (byte)_transmitStatus;
            case 0x07:
                return (byte)_status;
            case 0x08:
                return (byte)_remoteAddress;
            case 0x09:
                return (byte)(_remoteAddress >> 8);
            case 0x0A:
                return ChipId.Low;
            case 0x0B:
                return ChipId.High;
            case 0x0C:
                return (byte)_receiveStatus;
            case 0x0D or 0x0E or 0x0F:
                byte count = _tally[offset - 0x0D];
                _tally[offset - 0x0D] = 0;
                return count;
            default:
                return 0; // CLDA, NCR, FIFO
        }
    }

    private byte ReadPage1(int offset) => offset switch
    {
        <= 0x06 => _station[offset - 1],
        0x07 => _current,
        _ => _multicast[offset - 8],
    };

    private byte ReadPage2(int offset) => offset switch
    {
        0x01 => _pageStart,
        0x02 => _pageStop,
        0x04 => _transmitPage,
        0x05 => _current,
        0x0C => (byte)((byte)_receive | 0xC0),
        0x0D => (byte)((byte)_transmit | 0xE0),
        0x0E => (byte)((byte)_data | 0x80),
        0x0F => (byte)((byte)_mask | 0x80),
        _ => 0,
    };

    private void WriteRegister(int offset, byte value)
    {
        if (offset == 0)
        {
            WriteCommand((Dp8390Command)value);
            return;
        }
        switch (Page)
        {
            case 0:
                WritePage0(offset, value);
                break;
            case 1 when offset <= 0x06:
                _station[offset - 1] = value;
                break;
            case 1 when offset == 0x07:
                _current = value;
                break;
            case 1:
                _multicast[offset - 8] = value;
                break;
            case 3:
                WritePage3(offset, value);
                break;
        }
    }

    private void WritePage0(int offset, byte value)
    {
        switch (offset)
        {
            case 0x01:
                _pageStart = value;
                break;
            case 0x02:
                _pageStop = value;
                break;
            case 0x03:
                _boundary = value;
                _cable.RoomMade();
                break;
            case 0x04:
                _transmitPage = value;
                break;
            case 0x05:
                _transmitCount = (ushort)(_transmitCount & 0xFF00 | value);
                break;
            case 0x06:
                _transmitCount = (ushort)(_transmitCount & 0x00FF | value << 8);
                break;
            case 0x07:
                // RST is a status, not a latch
                _status &= ~(Dp8390Interrupt)value | Dp8390Interrupt.ResetStatus;
                UpdateInterrupt();
                break;
            case 0x08:
                _remoteStart = (ushort)(_remoteStart & 0xFF00 | value);
                _remoteAddress = _remoteStart;
                break;
            case 0x09:
                _remoteStart = (ushort)(_remoteStart & 0x00FF | value << 8);
                _remoteAddress = _remoteStart;
                break;
            case 0x0A:
                _remoteCount = (ushort)(_remoteCount & 0xFF00 | value);
                break;
            case 0x0B:
                _remoteCount = (ushort)(_remoteCount & 0x00FF | value << 8);
                break;
            case 0x0C:
                _receive = (Dp8390ReceiveConfiguration)(value & 0x3F);
                break;
            case 0x0D:
                _transmit = (Dp8390TransmitConfiguration)(value & 0x1F);
                break;
            case 0x0E:
                _data = (Dp8390DataConfiguration)(value & 0x7F);
                break;
            case 0x0F:
                _mask = (Dp8390Interrupt)(value & 0x7F);
                UpdateInterrupt();
                break;
        }
    }

    private void WriteCommand(Dp8390Command value)
    {
        bool transmitting = (_command & Dp8390Command.TransmitPacket) != 0;
        _command = value & ~Dp8390Command.TransmitPacket | _command & Dp8390Command.TransmitPacket;
        // with neither bit the controller goes on as it is; drivers switch pages like that
        if ((value & Dp8390Command.Stop) != 0)
        {
            // what is on the wire is sent to its end
            _running = false;
            _status |= Dp8390Interrupt.ResetStatus;
        }
        else if ((value & Dp8390Command.Start) != 0)
        {
            _running = true;
            _status &= ~Dp8390Interrupt.ResetStatus;
            _cable.RoomMade();
        }
        var remote = value & Dp8390Command.RemoteMask;
        if (remote == Dp8390Command.SendPacket)
            BeginSendPacket();
        else if (remote is Dp8390Command.RemoteRead or Dp8390Command.RemoteWrite && _remoteCount == 0)
            RemoteDmaDone();
        if ((value & Dp8390Command.TransmitPacket) != 0 && _running && !transmitting)
            Transmit();
    }

    private void UpdateInterrupt() => _interrupt().Set((_status & _mask & ~Dp8390Interrupt.ResetStatus) != 0);

    private void Raise(Dp8390Interrupt cause)
    {
        _status |= cause;
        UpdateInterrupt();
    }
}
