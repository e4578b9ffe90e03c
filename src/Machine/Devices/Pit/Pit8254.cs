using Farm.Machine.Bus;
using Farm.Machine.Time;

namespace Farm.Machine.Devices.Pit;

/// <summary>
/// The 8254 interval timer at 40h-43h, driven by 105/88 MHz. Counter 0 drives an interrupt line, counter 2 the speaker; the
/// gates of counters 0 and 1 are tied high.
/// </summary>
public sealed class Pit8254 : IPortDevice
{
    /// <summary>Pulses between two toggles of the refresh bit of port 61h: counter 1's usual count, 15 microseconds.</summary>
    private const int RefreshPulses = 18;

    private readonly PitCounter[] _counters = [new(), new(), new()];
    private readonly IVirtualClock _clock;
    private readonly InterruptLine _output0;
    private readonly IClockTimer _timer;

    public Pit8254(IVirtualClock clock, InterruptLine output0)
    {
        _clock = clock;
        _output0 = output0;
        _timer = clock.CreateTimer("8254 counter 0", OnChange);
        Reset();
    }

    public string Name => "8254";

    public IReadOnlyList<PortRange> Ports { get; } = [new(0x40, 4)];

    /// <summary>GATE of counter 2 (port 61h bit 0).</summary>
    public bool Gate2
    {
        get => _counters[2].Gate;
        set => _counters[2].SetGate(value, Pulse);
    }

    /// <summary>OUT of counter 2 (port 61h bit 5).</summary>
    public bool Output2 => _counters[2].OutputAt(Pulse);

    /// <summary>Bit 4 of port 61h.</summary>
    public bool RefreshToggle => (Pulse / RefreshPulses & 1) != 0;

    /// <summary>Period of counter 0 in input pulses, for reports.</summary>
    public int Counter0Reload => _counters[0].Reload;

    private long Pulse => ClockRate.Pit.TicksAt(_clock.Now);

    public void Reset()
    {
        _counters[0].Reset(gate: true);
        _counters[1].Reset(gate: true);
        _counters[2].Reset(gate: false);
        Schedule(Pulse);
    }

    public uint ReadPort(ushort port, int size)
    {
        int index = port & 3;
        return index == 3 ? 0xFFu : _counters[index].Read(Pulse);
    }

    public void WritePort(ushort port, uint value, int size)
    {
        CatchUp();
        long now = Pulse;
        int index = port & 3;
        if (index < 3)
        {
            _counters[index].WriteCount((byte)value, now);
        }
        else if ((value & 0xC0) == 0xC0)
        {
            var command = (PitReadBack)value;
            for (int i = 0; i < 3; i++)
            {
                if (((byte)command & 2 << i) != 0)
                    _counters[i].ReadBack(command, now);
            }
            return;
        }
        else
        {
            index = (int)(value >> 6 & 3);
            _counters[index].WriteControl((byte)value, now);
        }
        if (index == 0)
            Schedule(now);
    }

    /// <summary>A running processor can be a little ahead of the timer queue: an edge that is due comes before the write.</summary>
    private void CatchUp()
    {
        long time = _clock.Now;
        while (_timer.Armed && _timer.Deadline <= time)
        {
            long deadline = _timer.Deadline;
            _timer.Disarm();
            OnChange(deadline);
        }
    }

    private void OnChange(long deadline)
    {
        long now = ClockRate.Pit.TicksAt(deadline);
        if (_counters[0].Mode == PitMode.RateGenerator)
            _output0.Lower();
        Schedule(now);
    }

    private void Schedule(long now)
    {
        _output0.Set(_counters[0].OutputAt(now));
        long next = _counters[0].NextChange(now);
        if (next == long.MaxValue)
            _timer.Disarm();
        else
            _timer.Arm(ClockRate.Pit.TimeOf(next));
    }
}
