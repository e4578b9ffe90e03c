using Farm.Machine.Bus;
using Farm.Machine.Devices.Pit;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Devices;

public class Pit8254Tests
{
    private readonly VirtualClock _clock = new();
    private readonly Pit8254 _pit;
    private readonly List<long> _edges = [];
    private readonly InterruptLine _line;

    public Pit8254Tests()
    {
        _line = new InterruptLine(level =>
        {
            if (level)
                _edges.Add(_clock.Now);
        });
        _pit = new Pit8254(_clock, _line);
    }

    [Fact]
    public void Rate_generator_ticks_without_drift_for_an_hour()
    {
        Program(0x34, 0);
        _edges.Clear();
        _clock.AdvanceTo(3600 * 1_000_000_000L);
        // 3600 s x 105/88 MHz / 65536
        Assert.Equal(3600L * 105_000_000 / 88 / 65536, _edges.Count);
        long last = _edges[^1];
        long pulses = 1 + _edges.Count * 65536L;
        Assert.Equal((pulses * 88_000 + 104) / 105, last);
    }

    [Fact]
    public void Square_wave_gives_one_rising_edge_per_period_and_halves_duty()
    {
        Program(0x36, 1193);
        _edges.Clear();
        Pulses(1193 * 10 + 10);
        Assert.Equal(10, _edges.Count);
        Assert.True(_line.Level);
        Pulses(600);
        Assert.False(_line.Level);
    }

    [Fact]
    public void Square_wave_counts_down_by_two()
    {
        Program(0x36, 1000);
        Pulses(1 + 100);
        Assert.Equal(800, Latch(0));
        Pulses(400);
        Assert.Equal(1000, Latch(0));
    }

    [Fact]
    public void Terminal_count_raises_OUT_once_and_goes_on_counting()
    {
        Program(0x30, 100);
        Assert.False(_line.Level);
        Pulses(100);
        Assert.False(_line.Level);
        Pulses(1);
        Assert.True(_line.Level);
        Pulses(5);
        Assert.Equal(0xFFFB, Latch(0));
        Assert.Single(_edges);
    }

    [Fact]
    public void First_byte_of_a_new_count_stops_mode_0()
    {
        Program(0x30, 50);
        _pit.Out(0x40, 0x10);
        Pulses(1000);
        Assert.False(_line.Level);
        _pit.Out(0x40, 0x00);
        Pulses(0x11);
        Assert.True(_line.Level);
    }

    [Fact]
    public void New_count_of_the_rate_generator_waits_for_the_end_of_the_period()
    {
        Program(0x34, 1000);
        Pulses(1 + 500);
        _edges.Clear();
        _pit.Out(0x40, 200);
        _pit.Out(0x40, 0);
        Pulses(499);
        Assert.Empty(_edges);
        Pulses(1);
        Assert.Single(_edges);
        Pulses(200);
        Assert.Equal(2, _edges.Count);
    }

    [Fact]
    public void Latched_count_stands_still_until_both_bytes_are_read()
    {
        Program(0x34, 0x1234);
        Pulses(1 + 0x34);
        _pit.Out(0x43, 0x00);
        Pulses(100);
        Assert.Equal(0x00, _pit.In(0x40));
        Assert.Equal(0x12, _pit.In(0x40));
        Assert.Equal(0x1200 - 100, _pit.In(0x40) | _pit.In(0x40) << 8);
    }

    [Fact]
    public void Read_back_gives_status_then_count()
    {
        Program(0x34, 1000);
        _pit.Out(0x43, 0xC2);
        Assert.Equal(0xC0 | 0x34, _pit.In(0x40)); // OUT high, null count: the count is loaded by the next pulse
        Pulses(11);
        _pit.In(0x40);
        _pit.In(0x40);
        _pit.Out(0x43, 0xC2);
        Assert.Equal(0x80 | 0x34, _pit.In(0x40));
        Assert.Equal(990, _pit.In(0x40) | _pit.In(0x40) << 8);
    }

    [Fact]
    public void BCD_counter_counts_in_decimal()
    {
        _pit.Out(0x43, 0x31);
        _pit.Out(0x40, 0x00);
        _pit.Out(0x40, 0x10);
        Pulses(2);
        Assert.Equal(0x0999, Latch(0));
        Pulses(1000);
        Assert.Equal(0x9999, Latch(0));
    }

    [Fact]
    public void Gate_2_stops_and_restarts_mode_0_where_it_was()
    {
        _pit.Gate2 = true;
        _pit.Out(0x43, 0xB0);
        _pit.Out(0x42, 100);
        _pit.Out(0x42, 0);
        Pulses(51);
        _pit.Gate2 = false;
        Pulses(1000);
        Assert.Equal(50, Latch(2));
        Assert.False(_pit.Output2);
        _pit.Gate2 = true;
        Pulses(50);
        Assert.True(_pit.Output2);
    }

    [Fact]
    public void One_shot_starts_at_the_gate_and_can_be_retriggered()
    {
        _pit.Out(0x43, 0xB2);
        _pit.Out(0x42, 100);
        _pit.Out(0x42, 0);
        Pulses(500);
        Assert.True(_pit.Output2);
        _pit.Gate2 = true;
        Pulses(1);
        Assert.False(_pit.Output2);
        Pulses(60);
        _pit.Gate2 = false;
        _pit.Gate2 = true;
        Pulses(100);
        Assert.False(_pit.Output2);
        Pulses(1);
        Assert.True(_pit.Output2);
    }

    [Fact]
    public void Gate_low_forces_the_square_wave_high_and_gate_high_restarts_it()
    {
        _pit.Gate2 = true;
        _pit.Out(0x43, 0xB6);
        _pit.Out(0x42, 100);
        _pit.Out(0x42, 0);
        Pulses(1 + 60);
        Assert.False(_pit.Output2);
        _pit.Gate2 = false;
        Assert.True(_pit.Output2);
        Pulses(37);
        _pit.Gate2 = true;
        Pulses(1 + 49);
        Assert.True(_pit.Output2);
        Pulses(1);
        Assert.False(_pit.Output2);
    }

    [Fact]
    public void Software_strobe_is_low_for_one_pulse_after_the_count()
    {
        _pit.Gate2 = true;
        _pit.Out(0x43, 0xB8);
        _pit.Out(0x42, 10);
        _pit.Out(0x42, 0);
        Pulses(10);
        Assert.True(_pit.Output2);
        Pulses(1);
        Assert.False(_pit.Output2);
        Pulses(1);
        Assert.True(_pit.Output2);
    }

    [Fact]
    public void Hardware_strobe_waits_for_the_gate()
    {
        _pit.Out(0x43, 0xBA);
        _pit.Out(0x42, 10);
        _pit.Out(0x42, 0);
        Pulses(50);
        Assert.True(_pit.Output2);
        _pit.Gate2 = true;
        Pulses(11);
        Assert.False(_pit.Output2);
        Pulses(1);
        Assert.True(_pit.Output2);
    }

    [Fact]
    public void Write_that_comes_late_does_not_swallow_a_due_edge()
    {
        Program(0x34, 1000);
        _edges.Clear();
        long late = ClockRate.Pit.TimeOf(1500);
        _clock.Source = () => late;
        _pit.Out(0x40, 10);
        _pit.Out(0x40, 0);
        Assert.Single(_edges);
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(88_000, 105)]
    [InlineData(88_000L * 1_000_000_000, 105_000_000_000L)]
    [InlineData(long.MaxValue, (long)(9223372036854775807.0 / 88000 * 105))]
    public void Clock_rate_is_exact_and_never_overflows(long time, long ticks)
    {
        long actual = ClockRate.Pit.TicksAt(time);
        Assert.InRange(actual, ticks - ticks / 1_000_000_000_000, ticks + ticks / 1_000_000_000_000);
        Assert.Equal(actual, ClockRate.Pit.TicksAt(ClockRate.Pit.TimeOf(actual)));
    }

    private void Program(byte control, int count)
    {
        _pit.Out(0x43, control);
        _pit.Out(0x40, (byte)count);
        _pit.Out(0x40, (byte)(count >> 8));
    }

    private int Latch(int counter)
    {
        _pit.Out(0x43, (byte)(counter << 6));
        return _pit.In((ushort)(0x40 + counter)) | _pit.In((ushort)(0x40 + counter)) << 8;
    }

    private void Pulses(long count) => _clock.AdvanceTo(ClockRate.Pit.TimeOf(ClockRate.Pit.TicksAt(_clock.Now) + count));
}
