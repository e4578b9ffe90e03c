using Farm.Machine.Bus;
using Farm.Machine.Devices.Chipset;
using Farm.Machine.Devices.Pci;
using Farm.Machine.Time;

namespace Farm.Machine.Devices.Acpi;

/// <summary>
/// The power management function of the PIIX4 (data sheet 290562), 8086:7113, slot 1 function 3: ACPI PM1 registers and timer
/// behind PMBA, the APM ports B2h/B3h, and a GPE0 block at AFE0h where the BIOS payloads' tables say it is.
/// </summary>
public sealed class Piix4PowerManagement : PciDevice, IPortDevice
{
    private const int PmBase = 0x40;
    private const int DeviceActivityB = 0x58;
    private const int PmRegMisc = 0x80;
    private const uint ApmcEnable = 1u << 25;
    private const int BlockSize = 64;
    private const ushort Gpe0 = 0xAFE0;
    private const byte AcpiEnable = 0xF1;
    private const byte AcpiDisable = 0xF0;
    private const int SleepTypeSoftOff = 0;
    private const int TimerBits = 24;

    private readonly IVirtualClock _clock;
    private readonly InterruptLine _sci;
    private readonly SystemControl _system;
    private readonly IClockTimer _timer;
    private readonly PortMapping _block;
    private readonly PortBus _ports;
    private readonly byte[] _other = new byte[BlockSize];
    private readonly byte[] _gpe = new byte[4];
    private Pm1Event _status;
    private Pm1Event _enable;
    private Pm1Control _control;
    private long _timerCheckedAt;
    private byte _apmControl;
    private byte _apmStatus;

    /// <param name="sci">The system control interrupt: ISA interrupt 9.</param>
    public Piix4PowerManagement(IVirtualClock clock, InterruptLine sci, SystemControl system, PortBus ports)
        : base("PIIX4 PM", 0x8086, 0x7113, 0x068000, 0x03)
    {
        _clock = clock;
        _sci = sci;
        _system = system;
        _ports = ports;
        _timer = clock.CreateTimer("ACPI PM timer", UpdateSci);
        _block = ports.MapMovable("PIIX4 PM block", new PmBlock(this), BlockSize, 4);
        Initial16(PciHeader.Status, 0x0280);
        Writable(PciHeader.Command, 0x01, 0x00);
        UseInterruptPin(1);
        Initial8(PmBase, 0x01);
        Writable(PmBase, 0xC0, 0xFF);
        Writable(0x44, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF);
        Writable(0x50, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF);
        Writable(0x5C, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF);
        Writable(PmRegMisc, 0x01);
        Initial8(0x90, 0x01);
        Writable(0x90, 0xF0, 0xFF);
        // Without SMM a BIOS must not wait for its SMI handler: APMC_EN reads as already set up.
        if (system.SmiRequested is null)
            Initial32(DeviceActivityB, ApmcEnable);
    }

    public IReadOnlyList<PortRange> Ports { get; } = [new(0xB2, 2), new(Gpe0, 4)];

    /// <summary>The 24-bit power management timer.</summary>
    public uint TimerValue => (uint)(ClockRate.PmTimer.TicksAt(_clock.Now) & ((1 << TimerBits) - 1));

    public override void Reset()
    {
        base.Reset();
        _status = 0;
        _enable = 0;
        _control = 0;
        _apmControl = _apmStatus = 0;
        _timerCheckedAt = _clock.Now;
        Array.Clear(_other);
        Array.Clear(_gpe);
        PlaceBlock();
        UpdateSci();
    }

    /// <summary>A press of the power button.</summary>
    public void PressPowerButton()
    {
        _status |= Pm1Event.PowerButton;
        UpdateSci();
    }

    public uint ReadPort(ushort port, int size) => port switch
    {
        0xB2 => _apmControl,
        0xB3 => _apmStatus,
        >= Gpe0 and < Gpe0 + 4 => _gpe[port - Gpe0],
        _ => 0xFF,
    };

    public void WritePort(ushort port, uint value, int size)
    {
        switch (port)
        {
            case 0xB2:
                WriteApmControl((byte)value);
                break;
            case 0xB3:
                _apmStatus = (byte)value;
                break;
            case Gpe0 or Gpe0 + 1:
                _gpe[port - Gpe0] &= (byte)~value;
                break;
            case Gpe0 + 2 or Gpe0 + 3:
                _gpe[port - Gpe0] = (byte)value;
                break;
        }
    }

    protected override void ConfigWritten(int offset, int size) => PlaceBlock();

    private void PlaceBlock()
    {
        ushort at = (ushort)(Config16(PmBase) & 0xFFC0);
        bool enabled = (Config8(PmRegMisc) & 1) != 0 && at != 0;
        _ports.Move(_block, enabled ? at : null);
    }

    private void WriteApmControl(byte value)
    {
        _apmControl = value;

        // The Bochs BIOS's SMI handler does this; SeaBIOS' leaves it to the emulator, and without SMM there is no handler.
        if (value is AcpiEnable or AcpiDisable)
        {
            _control = value == AcpiEnable ? _control | Pm1Control.SciEnable : _control & ~Pm1Control.SciEnable;
            UpdateSci();
        }
        if (_system.SmiRequested is { } smi && (Config32(DeviceActivityB) & ApmcEnable) != 0)
            smi();
    }

    private uint ReadBlock(int register, int size)
    {
        if (register == 8 && size == 4)
            return TimerValue;
        uint value = 0;
        for (int i = 0; i < size && register + i < BlockSize; i++)
            value |= (uint)ReadBlockByte(register + i) << (8 * i);
        return value;
    }

    private byte ReadBlockByte(int register)
    {
        switch (register)
        {
            case 0 or 1:
                CheckTimer();
                return (byte)((int)_status >> (8 * register));
            case 2 or 3:
                return (byte)((int)_enable >> (8 * (register - 2)));
            case 4 or 5:
                return (byte)((int)_control >> (8 * (register - 4)));
            case >= 8 and <= 11:
                return (byte)(TimerValue >> (8 * (register - 8)));
            default:
                return _other[register];
        }
    }

    private void WriteBlock(int register, uint value, int size)
    {
        CheckTimer();
        bool sleep = false;
        for (int i = 0; i < size && register + i < BlockSize; i++)
        {
            int at = register + i;
            int bits = (int)(value >> (8 * i) & 0xFF) << (8 * (at & 1));
            int lane = 0xFF << (8 * (at & 1));
            switch (at)
            {
                case 0 or 1:
                    _status &= (Pm1Event)~bits;
                    break;
                case 2 or 3:
                    _enable = (Pm1Event)((int)_enable & ~lane | bits);
                    break;
                case 4 or 5:
                    sleep |= (bits & (int)Pm1Control.SleepEnable) != 0;
                    _control = (Pm1Control)((int)_control & ~lane | bits) & ~Pm1Control.SleepEnable;
                    break;
                case >= 8 and <= 11:
                    break;
                default:
                    _other[at] = (byte)(value >> (8 * i));
                    break;
            }
        }
        UpdateSci();
        if (sleep && ((int)(_control & Pm1Control.SleepTypeMask) >> 10) == SleepTypeSoftOff)
            _system.RequestPowerOff("ACPI S5");
    }

    /// <summary>The timer's top bit changes every 2^23 pulses; that sets TMR_STS.</summary>
    private void CheckTimer(long notBefore = 0)
    {
        const int topBit = TimerBits - 1;
        long now = Math.Max(notBefore, _clock.Now);
        if (ClockRate.PmTimer.TicksAt(now) >> topBit != ClockRate.PmTimer.TicksAt(_timerCheckedAt) >> topBit)
            _status |= Pm1Event.Timer;
        _timerCheckedAt = Math.Max(_timerCheckedAt, now);
    }

    private void UpdateSci(long notBefore = 0)
    {
        CheckTimer(notBefore);
        const Pm1Event sources = Pm1Event.Timer | Pm1Event.GlobalLock | Pm1Event.PowerButton | Pm1Event.RealTimeClock;
        _sci.Set((_control & Pm1Control.SciEnable) != 0 && (_status & _enable & sources) != 0);
        if ((_enable & Pm1Event.Timer) != 0 && (_status & Pm1Event.Timer) == 0)
            _timer.Arm(ClockRate.PmTimer.TimeOf(((ClockRate.PmTimer.TicksAt(_timerCheckedAt) >> (TimerBits - 1)) + 1) << (TimerBits - 1)));
        else
            _timer.Disarm();
    }

    /// <summary>The PM I/O block, which the guest places by PMBA.</summary>
    private sealed class PmBlock(Piix4PowerManagement owner) : IPortDevice
    {
        public string Name => "PIIX4 PM block";

        public IReadOnlyList<PortRange> Ports => [];

        public void Reset()
        {
        }

        public uint ReadPort(ushort port, int size) => owner.ReadBlock(port & (BlockSize - 1), size);

        public void WritePort(ushort port, uint value, int size) => owner.WriteBlock(port & (BlockSize - 1), value, size);
    }
}
