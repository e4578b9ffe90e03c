using Farm.Machine.Time;

namespace Farm.Machine.Devices.Apic;

/// <summary>The local APIC's timer: one-shot and periodic, counting the divided bus clock down to zero.</summary>
internal sealed class ApicTimer
{
    /// <summary>A periodic timer expires at most once per microsecond of guest time; a faster one coalesces.</summary>
    private const long ShortestPeriod = 1000;

    private readonly IVirtualClock _clock;
    private readonly IClockTimer _timer;
    private readonly Action _expired;
    private uint _initial;
    private uint _divide;
    private bool _periodic;

    /// <summary>Bus pulse at which the present count began.</summary>
    private long _start;

    public ApicTimer(string name, IVirtualClock clock, Action expired)
    {
        _clock = clock;
        _expired = expired;
        _timer = clock.CreateTimer(name, OnExpired);
    }

    public bool Periodic
    {
        set
        {
            // One-shot to periodic or back continues with the present count.
            if (value == _periodic)
                return;
            uint rest = CurrentCount;
            _periodic = value;
            if (_initial == 0)
                return;
            _start = Now - (long)(_initial - rest) * Divisor;
            if (rest != 0 || value)
                Schedule(Now);
        }
    }

    public uint InitialCount
    {
        get => _initial;
        set
        {
            _initial = value;
            _start = Now;
            Schedule(_start);
        }
    }

    public uint CurrentCount
    {
        get
        {
            if (_initial == 0)
                return 0;
            long elapsed = (Now - _start) / Divisor;
            if (_periodic)
                return (uint)(_initial - elapsed % _initial);
            return elapsed >= _initial ? 0 : (uint)(_initial - elapsed);
        }
    }

    public uint DivideConfiguration
    {
        get => _divide;
        set
        {
            uint rest = CurrentCount;
            _divide = value & 0x0B;
            if (_initial == 0 || rest == 0)
                return;
            _start = Now - (long)(_initial - rest) * Divisor;
            Schedule(Now);
        }
    }

    private long Now => LocalApic.BusClock.TicksAt(_clock.Now);

    /// <summary>1, 2, 4 ... 128 (SDM figure 11-10: 111b is 1, 000b is 2).</summary>
    private long Divisor => 1L << ((int)((_divide & 3 | (_divide & 8) >> 1) + 1) & 7);

    private long Period => _initial * Divisor;

    public void Reset()
    {
        _initial = 0;
        _divide = 0;
        _periodic = false;
        _timer.Disarm();
    }

    private void OnExpired(long deadline)
    {
        long now = LocalApic.BusClock.TicksAt(deadline);
        if (_periodic && _initial != 0)
            Schedule(now + LocalApic.BusClock.TicksAt(ShortestPeriod) - 1);
        _expired();
    }

    /// <summary>Arms for the first expiry after bus pulse <paramref name="after"/>.</summary>
    private void Schedule(long after)
    {
        if (_initial == 0)
        {
            _timer.Disarm();
            return;
        }
        long expiry = _start + Period;
        if (_periodic && expiry <= after)
            expiry = _start + ((after - _start) / Period + 1) * Period;
        if (expiry > after || _periodic)
            _timer.Arm(LocalApic.BusClock.TimeOf(expiry));
        else
            _timer.Disarm();
    }
}
