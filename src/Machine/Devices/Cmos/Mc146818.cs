using Farm.Machine.Bus;
using Farm.Machine.Time;

namespace Farm.Machine.Devices.Cmos;

/// <summary>
/// The MC146818A real-time clock with 128 bytes of battery-backed RAM at 70h/71h. The clock starts at a date given in the
/// settings and follows guest time only.
/// </summary>
public sealed class Mc146818 : IPortDevice
{
    private const long Second = 1_000_000_000;

    /// <summary>UIP rises 244 us before an update, which takes 1984 us (data sheet, table 6 for 32.768 kHz).</summary>
    private const long UpdateInProgress = 244_000 + 1_984_000;

    private readonly byte[] _nvram = new byte[128];
    private readonly IVirtualClock _clock;
    private readonly InterruptLine _irq;
    private readonly IClockTimer _periodicTimer;
    private readonly IClockTimer _updateTimer;
    private byte _index;
    private RegisterC _flags;

    /// <summary>The calendar at guest time <see cref="_calendarAt"/>; it runs unless <see cref="Stopped"/>.</summary>
    private DateTime _calendar;
    private long _calendarAt;

    /// <summary>Weekday written by the guest minus the calendar's own.</summary>
    private int _weekdayOffset;

    /// <summary>Day of the month as written, which the month written after it may make valid.</summary>
    private int _wantedDay;

    /// <summary>Up to which guest time PF, UF and AF have been brought up to date.</summary>
    private long _flagsAt;

    public Mc146818(IVirtualClock clock, InterruptLine irq, CmosSettings settings)
    {
        _clock = clock;
        _irq = irq;
        _periodicTimer = clock.CreateTimer("RTC periodic", deadline => Synchronize(deadline));
        _updateTimer = clock.CreateTimer("RTC update", deadline => Synchronize(deadline));
        CmosLayout.Fill(_nvram, settings);
        _calendar = settings.BaseTime;
        _calendarAt = clock.Now;
        _flagsAt = clock.Now;
        Reset();
    }

    public string Name => "MC146818";

    public IReadOnlyList<PortRange> Ports { get; } = [new(0x70, 2)];

    /// <summary>Bit 7 of port 70h: the NMI is masked.</summary>
    public bool NmiMasked { get; private set; }

    /// <summary>Time of the clock as the guest sees it.</summary>
    public DateTime Calendar => CalendarAt(_clock.Now);

    private RegisterA A => (RegisterA)_nvram[CmosAddress.RegisterA];

    private RegisterB B => (RegisterB)_nvram[CmosAddress.RegisterB];

    private bool DividerRuns => (A & RegisterA.DividerMask) == RegisterA.Divider32768Hz;

    private bool Stopped => (B & RegisterB.SET) != 0 || !DividerRuns;

    /// <summary>RESET pin: interrupt enables and flags; time and RAM live on the battery.</summary>
    public void Reset()
    {
        _nvram[CmosAddress.RegisterB] &= (byte)~(RegisterB.PIE | RegisterB.AIE | RegisterB.UIE | RegisterB.SQWE);
        _flags = 0;
        _flagsAt = _clock.Now;
        _index = 0;
        NmiMasked = false;
        UpdateInterrupt();
        Schedule();
    }

    /// <summary>A byte of RAM without side effects, for the machine's own use and for tests.</summary>
    public byte this[int address]
    {
        get => _nvram[address & 0x7F];
        set => _nvram[address & 0x7F] = value;
    }

    public uint ReadPort(ushort port, int size) => (port & 1) == 0 ? 0xFFu : Read(_index);

    public void WritePort(ushort port, uint value, int size)
    {
        if ((port & 1) == 0)
        {
            _index = (byte)(value & 0x7F);
            NmiMasked = (value & 0x80) != 0;
        }
        else
        {
            Write(_index, (byte)value);
        }
    }

    private byte Read(int address)
    {
        switch (address)
        {
            case CmosAddress.RegisterA:
                return (byte)(_nvram[address] & ~(byte)RegisterA.UIP | (UpdatingAt(_clock.Now) ? (byte)RegisterA.UIP : 0));
            case CmosAddress.RegisterC:
                Synchronize();
                byte value = (byte)_flags;
                _flags = 0;
                UpdateInterrupt();
                return value;
            case CmosAddress.RegisterD:
                return 0x80;
            case CmosAddress.Century or CmosAddress.CenturyPs2:
                return RtcCalendar.Bcd(Calendar.Year / 100);
            default:
                return RtcCalendar.IsTime(address)
                    ? RtcCalendar.Read(address, Calendar, _weekdayOffset, B)
                    : _nvram[address];
        }
    }

    private void Write(int address, byte value)
    {
        switch (address)
        {
            case CmosAddress.RegisterA:
                WriteA((byte)(value & 0x7F));
                break;
            case CmosAddress.RegisterB:
                WriteB((RegisterB)value);
                break;
            case CmosAddress.RegisterC or CmosAddress.RegisterD:
                break;
            case CmosAddress.Century or CmosAddress.CenturyPs2:
                SetCalendar(RtcCalendar.WithCentury(Calendar, value, _wantedDay));
                break;
            default:
                if (RtcCalendar.IsTime(address))
                {
                    Synchronize();
                    if (address == CmosAddress.DayOfWeek)
                        _weekdayOffset = (value & 7) - 1 - (int)Calendar.DayOfWeek;
                    else
                        SetCalendar(RtcCalendar.Write(address, value, Calendar, ref _wantedDay, B));
                }
                else
                {
                    _nvram[address] = value;
                }
                break;
        }
        if (address <= CmosAddress.RegisterB)
            Schedule();
    }

    private void WriteA(byte value)
    {
        Synchronize();
        bool ran = DividerRuns;
        var calendar = Calendar;
        _nvram[CmosAddress.RegisterA] = value;
        if (ran == DividerRuns)
            return;
        // Leaving divider reset, the first update comes half a second later (data sheet, "Divider control").
        var whole = calendar.AddTicks(-(calendar.Ticks % TimeSpan.TicksPerSecond));
        SetCalendar(DividerRuns ? whole.AddMilliseconds(500) : whole);
    }

    private void WriteB(RegisterB value)
    {
        Synchronize();
        var calendar = Calendar;
        if ((value & RegisterB.SET) != 0)
            value &= ~RegisterB.UIE;
        _nvram[CmosAddress.RegisterB] = (byte)value;
        SetCalendar(calendar);
        UpdateInterrupt();
    }

    private void SetCalendar(DateTime value)
    {
        _calendar = value;
        _calendarAt = _clock.Now;
    }

    private DateTime CalendarAt(long now)
    {
        if (Stopped)
            return _calendar;
        long ticks = (now - _calendarAt) / 100;
        return ticks >= (DateTime.MaxValue - _calendar).Ticks ? _calendar : _calendar.AddTicks(ticks);
    }

    /// <summary>Guest time of the first update (change of the seconds) after <paramref name="now"/>.</summary>
    private long NextUpdate(long now)
    {
        long phase = _calendar.Ticks % TimeSpan.TicksPerSecond * 100;
        long first = _calendarAt + Second - phase;
        return first > now ? first : first + ((now - first) / Second + 1) * Second;
    }

    private bool UpdatingAt(long now) => !Stopped && NextUpdate(now) - now <= UpdateInProgress;

    /// <summary>Pulses of the 32.768 kHz crystal per periodic interrupt, 0 for none (data sheet, table 5).</summary>
    private int PeriodicPulses
    {
        get
        {
            int rate = (int)(A & RegisterA.RateMask);
            if (rate == 0 || !DividerRuns)
                return 0;
            return 1 << (rate <= 2 ? rate + 6 : rate - 1);
        }
    }

    /// <summary>Sets PF, UF and AF for everything that has happened since they were last looked at.</summary>
    private void Synchronize(long notBefore = 0)
    {
        long now = Math.Max(notBefore, _clock.Now);
        if (now <= _flagsAt)
        {
            Schedule();
            return;
        }
        if (PeriodicPulses is > 0 and var pulses
            && ClockRate.Rtc.TicksAt(now) / pulses != ClockRate.Rtc.TicksAt(_flagsAt) / pulses)
        {
            _flags |= RegisterC.PF;
        }
        if (!Stopped && NextUpdate(_flagsAt) is var update && update <= now)
        {
            _flags |= RegisterC.UF;
            if ((_flags & RegisterC.AF) == 0 && AlarmBetween(update, now))
                _flags |= RegisterC.AF;
        }
        _flagsAt = now;
        UpdateInterrupt();
        Schedule();
    }

    private bool AlarmBetween(long update, long now)
    {
        const int secondsPerDay = 86_400;
        for (int i = 0; i < secondsPerDay && update <= now; i++, update += Second)
        {
            if (RtcCalendar.AlarmMatches(_nvram, CalendarAt(update), B))
                return true;
        }
        return false;
    }

    private void UpdateInterrupt()
    {
        const RegisterC sources = RegisterC.PF | RegisterC.AF | RegisterC.UF;
        bool active = ((byte)_flags & (byte)B & (byte)sources) != 0;
        _flags = active ? _flags | RegisterC.IRQF : _flags & ~RegisterC.IRQF;
        _irq.Set(active);
    }

    private void Schedule()
    {
        long now = Math.Max(_flagsAt, _clock.Now);
        if ((B & RegisterB.PIE) != 0 && PeriodicPulses is > 0 and var pulses)
            _periodicTimer.Arm(ClockRate.Rtc.TimeOf((ClockRate.Rtc.TicksAt(now) / pulses + 1) * pulses));
        else
            _periodicTimer.Disarm();
        if ((B & (RegisterB.UIE | RegisterB.AIE)) != 0 && !Stopped)
            _updateTimer.Arm(NextUpdate(now));
        else
            _updateTimer.Disarm();
    }
}
