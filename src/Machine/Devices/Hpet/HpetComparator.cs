using Farm.Machine.Time;

namespace Farm.Machine.Devices.Hpet;

/// <summary>Timer N of the block: configuration, comparator, and for timer 0 the period.</summary>
internal sealed class HpetComparator
{
    /// <summary>A periodic comparator matches at most once per microsecond of guest time; a faster one coalesces.</summary>
    private const ulong ShortestPeriod = 100;

    private readonly HpetTimerBlock _block;
    private readonly IVirtualClock _clock;
    private readonly int _index;
    private readonly IClockTimer _timer;
    private TimerConfiguration _configuration;
    private ulong _comparator;
    private ulong _period;
    private bool _asserted;

    public HpetComparator(HpetTimerBlock block, int index, IVirtualClock clock)
    {
        _block = block;
        _index = index;
        _clock = clock;
        _timer = clock.CreateTimer($"HPET comparator {index}", Match);
    }

    private bool Periodic => (_configuration & TimerConfiguration.Periodic) != 0;

    private bool Narrow => (_configuration & TimerConfiguration.Mode32) != 0;

    private bool LevelTriggered => (_configuration & TimerConfiguration.Level) != 0;

    private ulong Mask => Narrow ? uint.MaxValue : ulong.MaxValue;

    public void Reset()
    {
        Acknowledge();
        _configuration = 0;
        _comparator = ulong.MaxValue;
        _period = 0;
        _timer.Disarm();
    }

    public ulong Read(int register) => register switch
    {
        0x00 => (ulong)HpetTimerBlock.RoutingCapability << 32 | (ulong)_configuration | (ulong)TimerConfiguration.Size64
            | (_index == 0 ? (ulong)TimerConfiguration.PeriodicCapable : 0),
        0x08 => _comparator & Mask,
        _ => 0,
    };

    public void Write(int register, ulong value, ulong mask)
    {
        switch (register)
        {
            case 0x00:
                WriteConfiguration((TimerConfiguration)((ulong)_configuration & ~mask | value & mask));
                break;
            case 0x08:
                if (!Periodic || (_configuration & TimerConfiguration.SetValue) != 0)
                    _comparator = _comparator & ~mask | value & mask;
                if (Periodic)
                    _period = _period & ~mask | value & mask;
                _configuration &= ~TimerConfiguration.SetValue;
                break;
        }
        Schedule(_clock.Now);
    }

    /// <summary>Releases a level-triggered interrupt.</summary>
    public void Acknowledge()
    {
        if (!_asserted)
            return;
        _asserted = false;
        _block.Interrupt(_index, Route, LevelTriggered, asserted: false);
    }

    /// <summary>Arms for the next match after guest time <paramref name="time"/>.</summary>
    public void Schedule(long time)
    {
        if (!_block.Running)
        {
            _timer.Disarm();
            return;
        }
        ulong distance = (_comparator - _block.CounterAt(time)) & Mask;
        if (distance == 0)
            distance = Narrow ? 1ul << 32 : ulong.MaxValue;
        long deadline = HpetTimerBlock.TimeAfter(time, distance);
        if (deadline == long.MaxValue)
            _timer.Disarm();
        else
            _timer.Arm(deadline);
    }

    private int Route => (int)((ulong)_configuration >> 9 & 0x1F);

    private void WriteConfiguration(TimerConfiguration value)
    {
        var writable = TimerConfiguration.Level | TimerConfiguration.InterruptEnable | TimerConfiguration.Mode32 | TimerConfiguration.RouteMask;
        if (_index == 0)
            writable |= TimerConfiguration.Periodic | TimerConfiguration.SetValue;
        value &= writable;
        int route = (int)((ulong)value >> 9 & 0x1F);
        if ((HpetTimerBlock.RoutingCapability >> route & 1) == 0)
            value &= ~TimerConfiguration.RouteMask;
        if (_asserted && (value & (TimerConfiguration.InterruptEnable | TimerConfiguration.Level)) != (TimerConfiguration.InterruptEnable | TimerConfiguration.Level))
            Acknowledge();
        _configuration = value;
    }

    private void Match(long deadline)
    {
        long time = Math.Max(deadline, _clock.Now);
        ulong counter = _block.CounterAt(time);
        if (Periodic && _period != 0)
        {
            // Catches up to the counter at once when the period is shorter than what is worth an event.
            ulong behind = (counter - _comparator) & Mask;
            ulong step = Math.Max(_period & Mask, 1);
            ulong periods = behind / step + 1;
            if (step < ShortestPeriod)
                periods += ShortestPeriod / step;
            _comparator += periods * step;
        }
        if ((_configuration & TimerConfiguration.InterruptEnable) != 0)
        {
            _asserted = LevelTriggered;
            _block.Interrupt(_index, Route, LevelTriggered, asserted: true);
        }
        Schedule(time);
    }

    [Flags]
    private enum TimerConfiguration : ulong
    {
        Level = 0x0002,
        InterruptEnable = 0x0004,
        Periodic = 0x0008,
        PeriodicCapable = 0x0010,
        Size64 = 0x0020,
        SetValue = 0x0040,
        Mode32 = 0x0100,
        RouteMask = 0x3E00,
    }
}
