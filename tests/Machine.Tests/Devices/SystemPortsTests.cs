using System.Text;
using Farm.Machine.Bus;
using Farm.Machine.Devices.Chipset;
using Farm.Machine.Devices.Lpt;
using Farm.Machine.Devices.Pit;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Devices;

public class SystemPortsTests
{
    private readonly VirtualClock _clock = new();
    private readonly SystemControl _system = new();
    private readonly List<string> _requests = [];
    private readonly Pit8254 _pit;
    private readonly SystemPorts _ports;

    public SystemPortsTests()
    {
        _system.ResetRequested = (kind, source) => _requests.Add($"{kind} by {source}");
        _system.PowerOffRequested = source => _requests.Add($"off by {source}");
        _pit = new Pit8254(_clock, InterruptLine.Unconnected);
        _ports = new SystemPorts(_pit, _system);
    }

    [Fact]
    public void Refresh_bit_toggles_every_15_microseconds()
    {
        int toggles = 0;
        int last = _ports.In(0x61) & 0x10;
        for (long time = 0; time <= 1_000_000; time += 1000)
        {
            _clock.AdvanceTo(time);
            int now = _ports.In(0x61) & 0x10;
            toggles += now != last ? 1 : 0;
            last = now;
        }
        Assert.InRange(toggles, 65, 67);
    }

    [Fact]
    public void Timer_2_is_gated_and_read_through_port_61h()
    {
        // The BIOS's and Linux's calibration: one shot on counter 2, wait for OUT2.
        _ports.Out(0x61, 0x01);
        _pit.Out(0x43, 0xB0);
        _pit.Out(0x42, 0x9B);
        _pit.Out(0x42, 0x2E);
        Assert.Equal(0, _ports.In(0x61) & 0x20);
        _clock.AdvanceTo(9_990_000);
        Assert.Equal(0, _ports.In(0x61) & 0x20);
        _clock.AdvanceTo(10_010_000);
        Assert.Equal(0x20, _ports.In(0x61) & 0x20);
        Assert.Equal(0x01, _ports.In(0x61) & 0x0F);
    }

    [Fact]
    public void Port_92h_opens_A20_and_resets_the_processor_on_a_rising_bit()
    {
        Assert.Equal(0x02, _ports.In(0x92));
        _ports.Out(0x92, 0x00);
        Assert.False(_system.A20);
        _ports.Out(0x92, 0x03);
        Assert.True(_system.A20);
        Assert.Equal(["Processor by port 92h"], _requests);
    }

    [Fact]
    public void Debug_consoles_answer_and_pass_characters_on()
    {
        var text = new StringBuilder();
        _ports.DebugConsole = value => text.Append((char)value);
        Assert.Equal(0xE9, _ports.In(0xE9));
        Assert.Equal(0xE9, _ports.In(0x402));
        _ports.Out(0xE9, (byte)'h');
        _ports.Out(0x402, (byte)'i');
        Assert.Equal("hi", text.ToString());
    }

    [Fact]
    public void Post_codes_are_recorded_without_repetitions_and_bounded()
    {
        _ports.Out(0x80, 0x10);
        _ports.Out(0x80, 0x10);
        for (int i = 0; i < 100_000; i++)
            _ports.Out(0x80, (byte)i);
        Assert.Equal([0x10, 0x00, 0x01], _ports.PostCodes.Take(3));
        Assert.InRange(_ports.PostCodes.Count, 1000, 10_000);
        Assert.Equal(0x9F, _ports.PostCode);
    }

    [Fact]
    public void The_word_Shutdown_powers_off_even_after_a_false_start()
    {
        foreach (byte value in "ShutShutdow"u8)
            _ports.Out(0x8900, value);
        Assert.Empty(_requests);
        _ports.Out(0x8900, (byte)'n');
        Assert.Equal(["off by port 8900h"], _requests);
    }

    [Fact]
    public void Printer_takes_a_byte_on_each_strobe_and_acknowledges_by_interrupt()
    {
        var irq = new InterruptLine(static _ => { });
        var printed = new List<byte>();
        var lpt = new ParallelPort("LPT1", ParallelPort.Lpt1, irq) { Output = printed.Add };
        lpt.Reset();
        Assert.Equal(0xD8, lpt.In(0x379));
        foreach (byte value in "OK"u8)
        {
            lpt.Out(0x378, value);
            lpt.Out(0x37A, 0x1D);
            Assert.True(irq.Level);
            lpt.Out(0x37A, 0x1C);
            Assert.False(irq.Level);
        }
        Assert.Equal("OK"u8.ToArray(), printed);
    }
}
