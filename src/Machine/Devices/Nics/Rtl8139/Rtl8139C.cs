using System.Buffers.Binary;
using Farm.Machine.Bus;
using Farm.Machine.Devices.Pci;
using Farm.Machine.Network;
using Farm.Machine.Time;

namespace Farm.Machine.Devices.Nics.Rtl8139;

/// <summary>
/// The RTL8139C, 10EC:8139 (Realtek data sheet RTL8139C(L)): registers in I/O and in memory space, four transmit descriptors, one
/// receive ring in guest memory, a 93C46 with station address and identifiers. Its link is up, 100 Mbit/s full duplex.
/// </summary>
public sealed partial class Rtl8139C : PciDevice, IEthernetCard
{
    private const int NetworkEthernet = 0x020000;
    private const int Registers = 256;
    private const uint HardwareVersion = 0x7400_0000;
    private const byte ChipRevision = 0x10;
    private const byte ConfigWriteEnable = 0xC0;
    private const byte EepromProgramming = 0x80;
    private const int Descriptors = 4;
    private const long ClockMegahertz = 33;

    private readonly IGuestMemory _memory;
    private readonly IVirtualClock _clock;
    private readonly EthernetCable _cable;
    private readonly IClockTimer _transmitted;
    private readonly IClockTimer _timeOut;
    private readonly SerialEeprom _eeprom;

    private readonly byte[] _station = new byte[8];
    private readonly byte[] _multicast = new byte[8];
    private readonly Rtl8139TransmitStatus[] _transmitStatus = new Rtl8139TransmitStatus[Descriptors];
    private readonly uint[] _transmitAddress = new uint[Descriptors];
    private int _transmitting;
    private Rtl8139Command _command;
    private Rtl8139Interrupt _status;
    private Rtl8139Interrupt _mask;
    private uint _transmitConfiguration;
    private Rtl8139ReceiveConfiguration _receiveConfiguration;
    private uint _receiveBuffer;
    private ushort _readPointer;
    private int _writePointer;
    private uint _missed;
    private byte _eepromCommand;
    private byte _config1;
    private byte _config3;
    private byte _config4;
    private byte _config5;
    private ushort _multipleInterrupt;
    private ushort _basicControl;
    private ushort _advertisement;
    private uint _timerInterrupt;
    private long _timerStart;

    public Rtl8139C(IGuestMemory memory, IVirtualClock clock, EthernetCable cable, MacAddress address)
        : base("RTL8139C", 0x10EC, 0x8139, NetworkEthernet, ChipRevision)
    {
        _memory = memory;
        _clock = clock;
        _cable = cable;
        cable.Card = this;
        _transmitted = clock.CreateTimer("RTL8139 transmission", _ => TransmissionDone());
        _timeOut = clock.CreateTimer("RTL8139 timer", _ => Raise(Rtl8139Interrupt.TimeOut));
        _eeprom = new SerialEeprom([0x8129, 0x10EC, 0x8139, 0x10EC, 0x8139, 0x4020, 0xE112, Word(0), Word(1), Word(2), 0x4D15, 0xF7C2, 0x8001, 0xB388, 0x58FA, 0x0708]);
        Initial16(PciHeader.Status, 0x0280);
        Initial16(PciHeader.SubsystemVendorId, 0x10EC);
        Initial16(PciHeader.SubsystemVendorId + 2, 0x8139);
        Initial8(0x3E, 0x20); // MIN_GNT
        Initial8(0x3F, 0x40); // MAX_LAT
        Writable(PciHeader.Command, 0x07, 0x01);
        UseInterruptPin(1);
        AddBar(0, PciBarKind.Io, Registers);
        AddBar(1, PciBarKind.Memory, Registers);

        ushort Word(int index) => (ushort)(address[2 * index] | address[2 * index + 1] << 8);
    }

    private bool MasterEnabled => (Command & PciCommand.BusMaster) != 0;

    public override void Reset()
    {
        base.Reset();
        _cable.Discard();
        _eepromCommand = 0;
        _config1 = 0x0C; // decodes I/O and memory
        _config3 = _config4 = _config5 = 0;
        Array.Clear(_multicast);
        LoadStationAddress();
        ResetController();
        ResetPhy();
    }

    protected internal override ulong ReadBar(int bar, ulong offset, int size)
    {
        ulong value = 0;
        for (int i = 0; i < size; i++)
        {
            int at = (int)offset + i & Registers - 1;
            value |= (ulong)(Read(at & ~3) >> (8 * (at & 3)) & 0xFF) << (8 * i);
        }
        return value;
    }

    protected internal override void WriteBar(int bar, ulong offset, ulong value, int size)
    {
        int at = (int)offset;
        for (int done = 0; done < size;)
        {
            int lane = at & 3;
            int count = Math.Min(size - done, 4 - lane);
            uint mask = (uint)((1ul << (8 * count)) - 1) << (8 * lane);
            Write(at & (Registers - 1) & ~3, (uint)(value >> (8 * done)) << (8 * lane), mask);
            at += count;
            done += count;
        }
    }

    protected override void ConfigWritten(int offset, int size)
    {
        if (MasterEnabled)
            StartTransmission();
    }

    /// <summary>The software reset of bit RST: FIFOs, descriptors, configuration; not the station address (data sheet, 5.6).</summary>
    private void ResetController()
    {
        _transmitted.Disarm();
        _timeOut.Disarm();
        Array.Fill(_transmitStatus, Rtl8139TransmitStatus.Own);
        Array.Clear(_transmitAddress);
        _transmitting = 0;
        _command = 0;
        _status = 0;
        _mask = 0;
        _transmitConfiguration = 0;
        _receiveConfiguration = 0;
        _receiveBuffer = 0;
        _readPointer = 0xFFF0;
        _writePointer = 0;
        _missed = 0;
        _multipleInterrupt = 0;
        _timerInterrupt = 0;
        _timerStart = _clock.Now;
        UpdateInterrupt();
    }

    private void LoadStationAddress()
    {
        for (int i = 0; i < MacAddress.Length; i++)
            _station[i] = (byte)(_eeprom[7 + i / 2] >> (8 * (i & 1)));
    }

    private uint Read(int offset)
    {
        switch (offset)
        {
            case Rtl8139Offset.Id or Rtl8139Offset.Id + 4:
                return BinaryPrimitives.ReadUInt32LittleEndian(_station.AsSpan(offset));
            case Rtl8139Offset.Multicast or Rtl8139Offset.Multicast + 4:
                return BinaryPrimitives.ReadUInt32LittleEndian(_multicast.AsSpan(offset - Rtl8139Offset.Multicast));
            case >= Rtl8139Offset.TransmitStatus and < Rtl8139Offset.TransmitAddress:
                return (uint)_transmitStatus[(offset >> 2) & (Descriptors - 1)];
            case >= Rtl8139Offset.TransmitAddress and < Rtl8139Offset.ReceiveBuffer:
                return _transmitAddress[(offset >> 2) & (Descriptors - 1)];
            case Rtl8139Offset.ReceiveBuffer:
                return _receiveBuffer;
            case Rtl8139Offset.EarlyReceiveAndCommand:
                return (uint)(_command | (BufferEmpty ? Rtl8139Command.BufferEmpty : 0)) << 24;
            case Rtl8139Offset.ReadPointerAndWritePointer:
                return _readPointer | (uint)_writePointer << 16;
            case Rtl8139Offset.Interrupt:
                return (uint)_mask | (uint)_status << 16;
            case Rtl8139Offset.TransmitConfiguration:
                return _transmitConfiguration | HardwareVersion;
            case Rtl8139Offset.ReceiveConfiguration:
                return (uint)_receiveConfiguration;
            case Rtl8139Offset.Timer:
                return (uint)((_clock.Now - _timerStart) * ClockMegahertz / 1000);
            case Rtl8139Offset.MissedPackets:
                return _missed;
            case Rtl8139Offset.EepromAndConfiguration:
                return EepromRegister | (uint)_config1 << 16;
            case Rtl8139Offset.TimerInterrupt:
                return _timerInterrupt;
            case Rtl8139Offset.MediaStatus:
                return (uint)_config3 << 8 | (uint)_config4 << 16; // MSR: link up, 100 Mbit/s
            case Rtl8139Offset.MultipleInterruptAndRevision:
                return _multipleInterrupt | (uint)ChipRevision << 16;
            case Rtl8139Offset.TransmitSummaryAndBasicControl:
                return TransmitSummary | (uint)_basicControl << 16;
            case Rtl8139Offset.BasicStatusAndAdvertisement:
                return BasicStatus | (uint)_advertisement << 16;
            case Rtl8139Offset.PartnerAbilityAndExpansion:
                return PartnerAbility | PartnerNegotiates << 16;
            case 0xD8:
                return _config5;
            default:
                return 0;
        }
    }

    private void Write(int offset, uint value, uint mask)
    {
        switch (offset)
        {
            case Rtl8139Offset.Id or Rtl8139Offset.Id + 4 when ConfigWritable:
                Merge(_station.AsSpan(offset), value, offset == Rtl8139Offset.Id ? mask : mask & 0xFFFF);
                break;
            case Rtl8139Offset.Multicast or Rtl8139Offset.Multicast + 4:
                Merge(_multicast.AsSpan(offset - Rtl8139Offset.Multicast), value, mask);
                break;
            case >= Rtl8139Offset.TransmitStatus and < Rtl8139Offset.TransmitAddress:
                WriteTransmitStatus((offset >> 2) & (Descriptors - 1), value, mask);
                break;
            case >= Rtl8139Offset.TransmitAddress and < Rtl8139Offset.ReceiveBuffer:
                ref uint address = ref _transmitAddress[(offset >> 2) & (Descriptors - 1)];
                address = Merged(address, value, mask);
                break;
            case Rtl8139Offset.ReceiveBuffer:
                _receiveBuffer = Merged(_receiveBuffer, value, mask);
                break;
            case Rtl8139Offset.EarlyReceiveAndCommand when (mask & 0xFF00_0000) != 0:
                WriteCommand((Rtl8139Command)(value >> 24));
                break;
            case Rtl8139Offset.ReadPointerAndWritePointer when (mask & 0xFFFF) != 0:
                _readPointer = (ushort)Merged(_readPointer, value, mask);
                _cable.RoomMade();
                break;
            case Rtl8139Offset.Interrupt:
                _mask = (Rtl8139Interrupt)Merged((uint)_mask, value, mask & (uint)Rtl8139Interrupt.All);
                _status &= (Rtl8139Interrupt)~((value & mask) >> 16);
                UpdateInterrupt();
                break;
            case Rtl8139Offset.TransmitConfiguration:
                const uint writable = 0x0307_07F1; // IFG, LBK, CRC, MXDMA, TXRR, CLRABT
                _transmitConfiguration = Merged(_transmitConfiguration, value, mask) & writable & ~1u;
                break;
            case Rtl8139Offset.ReceiveConfiguration:
                const uint kept = 0x0F03_FFBF;
                _receiveConfiguration = (Rtl8139ReceiveConfiguration)(Merged((uint)_receiveConfiguration, value, mask) & kept);
                break;
            case Rtl8139Offset.Timer:
                _timerStart = _clock.Now;
                ArmTimer();
                break;
            case Rtl8139Offset.MissedPackets:
                _missed = 0;
                break;
            case Rtl8139Offset.EepromAndConfiguration:
                WriteConfiguration(value, mask);
                break;
            case Rtl8139Offset.TimerInterrupt:
                _timerInterrupt = Merged(_timerInterrupt, value, mask);
                ArmTimer();
                break;
            case Rtl8139Offset.MediaStatus when ConfigWritable:
                _config3 = (byte)(Merged((uint)_config3 << 8, value, mask & 0x2100) >> 8);
                _config4 = (byte)(Merged((uint)_config4 << 16, value, mask & 0xFF_0000) >> 16);
                break;
            case Rtl8139Offset.MultipleInterruptAndRevision:
                _multipleInterrupt = (ushort)Merged(_multipleInterrupt, value, mask & 0x0FFF);
                break;
            case Rtl8139Offset.TransmitSummaryAndBasicControl when (mask >> 16) != 0:
                WriteBasicControl((ushort)(Merged((uint)_basicControl << 16, value, mask) >> 16));
                break;
            case Rtl8139Offset.BasicStatusAndAdvertisement when (mask >> 16) != 0:
                _advertisement = (ushort)(Merged((uint)_advertisement << 16, value, mask) >> 16);
                break;
            case 0xD8:
                _config5 = (byte)Merged(_config5, value, mask & 0xFF);
                break;
        }
    }

    private void WriteCommand(Rtl8139Command value)
    {
        if ((value & Rtl8139Command.Reset) != 0)
        {
            ResetController();
            return;
        }
        bool receiverWasOff = (_command & Rtl8139Command.ReceiverEnable) == 0;
        _command = value & (Rtl8139Command.TransmitterEnable | Rtl8139Command.ReceiverEnable);
        if ((_command & Rtl8139Command.TransmitterEnable) == 0)
        {
            _transmitted.Disarm();
            _transmitting = 0;
        }
        if ((_command & Rtl8139Command.ReceiverEnable) == 0)
            return;
        if (receiverWasOff)
            _writePointer = 0;
        _cable.RoomMade();
    }

    private void Raise(Rtl8139Interrupt cause)
    {
        _status |= cause;
        UpdateInterrupt();
    }

    private void UpdateInterrupt() => Interrupt.Set((_status & _mask) != 0);

    /// <summary>TimerInt sets the time-out when the timer reaches it; 0 never does (data sheet, 5.17).</summary>
    private void ArmTimer()
    {
        long ticks = (_clock.Now - _timerStart) * ClockMegahertz / 1000;
        if (_timerInterrupt != 0 && _timerInterrupt > ticks)
            _timeOut.Arm(_timerStart + (_timerInterrupt * 1000L + ClockMegahertz - 1) / ClockMegahertz);
        else
            _timeOut.Disarm();
    }

    private static uint Merged(uint old, uint value, uint mask) => old & ~mask | value & mask;

    private static void Merge(Span<byte> register, uint value, uint mask) =>
        BinaryPrimitives.WriteUInt32LittleEndian(register, Merged(BinaryPrimitives.ReadUInt32LittleEndian(register), value, mask));
}
