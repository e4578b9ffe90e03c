using System.Text;
using Farm.Machine.Bus;
using Farm.Machine.Devices.Uart;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Devices;

public class Uart16550Tests
{
    private const ushort Base = Uart16550.Com1;

    /// <summary>One character of 8N1 at 115200 baud, in nanoseconds.</summary>
    private const long Character = 10 * 1_000_000_000L / 115_200;

    private readonly VirtualClock _clock = new();
    private readonly InterruptLine _irq = new(static _ => { });
    private readonly List<byte> _output = [];
    private readonly Uart16550 _uart;

    public Uart16550Tests()
    {
        _uart = new Uart16550("COM1", Base, _clock, _irq) { Output = _output.Add };
        Set(3, 0x80);
        Set(0, 1);
        Set(1, 0);
        Set(3, 0x03);
        Set(4, 0x0B);
    }

    [Fact]
    public void Characters_leave_at_the_programmed_rate()
    {
        Set(0, (byte)'A');
        Assert.Equal(0x20, Get(5) & 0x60); // in the shift register
        Set(0, (byte)'B');
        Assert.Equal(0x00, Get(5) & 0x60);
        _clock.AdvanceTo(Character - 1000);
        Assert.Empty(_output);
        _clock.AdvanceTo(Character);
        Assert.Equal("A", Text);
        _clock.AdvanceTo(2 * Character);
        Assert.Equal("AB", Text);
        Assert.Equal(0x60, Get(5) & 0x60);
    }

    [Fact]
    public void FIFO_takes_sixteen_characters_and_interrupts_when_empty()
    {
        Set(2, 0x07);
        Set(1, 0x02);
        Assert.Equal(0xC2, Get(2));
        Assert.Equal(0xC1, Get(2)); // reading IIR cleared it
        for (int i = 0; i < 16; i++)
            Set(0, (byte)('a' + i));
        Assert.False(_irq.Level);
        _clock.AdvanceTo(17 * Character);
        Assert.Equal("abcdefghijklmnop", Text);
        Assert.True(_irq.Level);
        Assert.Equal(0xC2, Get(2));
    }

    [Fact]
    public void Interrupt_priority_is_line_status_data_transmitter_modem()
    {
        Set(1, 0x0F);
        _uart.SetPeerLines(ModemStatus.None);
        Assert.Equal(0x02, Get(2)); // ETBEI with an empty transmitter
        Assert.Equal(0x00, Get(2));
        _uart.Send("x"u8);
        _clock.AdvanceTo(2 * Character);
        Assert.Equal(0x04, Get(2));
        Assert.Equal((byte)'x', Get(0));
        Assert.Equal(0x00, Get(2));
        Assert.Equal(0x0B, Get(6)); // CTS, DSR and DCD fell
        Assert.Equal(0x01, Get(2));
        Assert.False(_irq.Level);
    }

    [Fact]
    public void Receiver_interrupts_at_the_trigger_level_and_after_a_timeout()
    {
        Set(2, 0x81); // trigger at 8
        Set(1, 0x01);
        _uart.Send("0123456789"u8);
        _clock.AdvanceTo(7 * Character + Character / 2);
        Assert.False(_irq.Level);
        _clock.AdvanceTo(10 * Character + Character / 2);
        Assert.Equal(0xC4, Get(2));
        for (int i = 0; i < 8; i++)
            Assert.Equal('0' + i, Get(0));
        Assert.False(_irq.Level);
        _clock.AdvanceTo(20 * Character);
        Assert.Equal(0xCC, Get(2));
        Assert.Equal('8', Get(0));
        Assert.Equal('9', Get(0));
        Assert.Equal(0x00, Get(5) & 1);
    }

    [Fact]
    public void Input_waits_for_a_slow_guest()
    {
        _uart.Send("hello"u8);
        var read = new StringBuilder();
        for (int i = 1; i <= 10; i++)
        {
            _clock.AdvanceTo(i * 1_000_000_000L);
            if ((Get(5) & 1) != 0)
                read.Append((char)Get(0));
        }
        Assert.Equal("hello", read.ToString());
        Assert.Equal(0, _uart.PendingInput);
    }

    [Fact]
    public void Loopback_returns_characters_and_modem_outputs_and_overruns()
    {
        Set(4, 0x1B);
        Assert.Equal(0xB0, Get(6) & 0xF0); // DTR, RTS and OUT2 looped to DSR, CTS and DCD
        Set(4, 0x1F);
        Assert.Equal(0xF0, Get(6) & 0xF0);
        Set(4, 0x10);
        Assert.Equal(0x0F, Get(6));
        Set(0, 0x55);
        _clock.AdvanceTo(Character);
        Assert.Empty(_output);
        Set(0, 0xAA);
        _clock.AdvanceTo(3 * Character);
        Assert.Equal(0x03, Get(5) & 0x03);
        Assert.Equal(0xAA, Get(0));
    }

    [Fact]
    public void Seven_bit_words_lose_the_top_bit()
    {
        Set(3, 0x02);
        Set(0, 0xC1);
        _clock.AdvanceTo(1_000_000);
        Assert.Equal([0x41], _output);
    }

    [Fact]
    public void OUT2_gates_the_interrupt()
    {
        Set(4, 0x03);
        Set(1, 0x02);
        Assert.False(_irq.Level);
        Set(4, 0x0B);
        Assert.True(_irq.Level);
    }

    [Fact]
    public void Registers_identify_a_16550A()
    {
        Set(7, 0x5A);
        Assert.Equal(0x5A, Get(7));
        Set(2, 0xE7);
        Assert.Equal(0xC0, Get(2) & 0xC0);
        Set(2, 0x00);
        Assert.Equal(0x00, Get(2) & 0xC0);
        Set(1, 0xFF);
        Assert.Equal(0x0F, Get(1));
    }

    private string Text => Encoding.ASCII.GetString([.. _output]);

    private int Get(int register) => _uart.In((ushort)(Base + register));

    private void Set(int register, byte value) => _uart.Out((ushort)(Base + register), value);
}
