using Farm.Machine.Bus;
using Farm.Machine.Devices.Chipset;
using Farm.Machine.Devices.Ps2;
using Farm.Machine.Hypervisors;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Devices;

public class I8042Tests
{
    private readonly VirtualClock _clock = new();
    private readonly InterruptLine _irq1 = new(static _ => { });
    private readonly InterruptLine _irq12 = new(static _ => { });
    private readonly List<string> _requests = [];
    private readonly SystemControl _system = new();
    private readonly I8042 _i8042;

    public I8042Tests()
    {
        _system.ResetRequested = (kind, source) => _requests.Add($"{kind} {source}");
        _i8042 = new I8042(_clock, _irq1, _irq12, _system);
    }

    [Fact]
    public void Self_test_and_interface_tests_answer_as_the_BIOS_expects()
    {
        Assert.Equal(0, Status & 0x04);
        Assert.Equal(0x55, Command(0xAA));
        Assert.Equal(0x04, Status & 0x04);
        Assert.Equal(0x00, Command(0xAB));
        Assert.Equal(0x00, Command(0xA9));
    }

    [Fact]
    public void Keyboard_reset_acknowledges_then_passes_its_test()
    {
        _i8042.Out(0x60, 0xFF);
        Assert.Equal([0xFA, 0xAA], ReadAll());
    }

    [Fact]
    public void Identity_passes_through_translation()
    {
        _i8042.Out(0x60, 0xF2);
        Assert.Equal([0xFA, 0xAB, 0x41], ReadAll());
        Write(0x60, 0x01);
        _i8042.Out(0x60, 0xF2);
        Assert.Equal([0xFA, 0xAB, 0x83], ReadAll());
    }

    [Fact]
    public void Keys_arrive_in_set_1_through_translation_with_IRQ_1()
    {
        _i8042.Keys.Enqueue(KeyMap.Text("aA"));
        Assert.Equal([0x1E, 0x9E, 0x2A, 0x1E, 0x9E, 0xAA], ReadAll());
        Assert.True(_i8042.Keys.Idle);
    }

    [Fact]
    public void Untranslated_keys_are_set_2_and_set_3_on_request()
    {
        Write(0x60, 0x01);
        _i8042.Keys.Enqueue(KeyMap.Chord("up"));
        Assert.Equal([0xE0, 0x75, 0xE0, 0xF0, 0x75], ReadAll());
        _i8042.Out(0x60, 0xF0);
        _i8042.Out(0x60, 0x03);
        Assert.Equal([0xFA, 0xFA], ReadAll());
        _i8042.Keys.Enqueue(KeyMap.Chord("up"));
        Assert.Equal([0x63, 0xF0, 0x63], ReadAll());
    }

    [Fact]
    public void Set_1_without_translation_equals_translated_set_2()
    {
        var keys = Enum.GetValues<Key>().Where(k => k is not (Key.None or Key.Extended)).SelectMany(k => new[] { new KeyEvent(k, true), new KeyEvent(k, false) }).ToArray();
        _i8042.Keys.Enqueue(keys);
        var translated = ReadAll();
        Write(0x60, 0x01);
        _i8042.Out(0x60, 0xF0);
        _i8042.Out(0x60, 0x01);
        ReadAll();
        _i8042.Keys.Enqueue(keys);
        Assert.Equal(translated, ReadAll());
    }

    [Fact]
    public void Pause_and_print_screen_have_their_long_sequences()
    {
        _i8042.Keys.Enqueue(KeyMap.Chord("pause"));
        Assert.Equal([0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5], ReadAll());
        _i8042.Keys.Enqueue(KeyMap.Chord("printscreen"));
        Assert.Equal([0xE0, 0x2A, 0xE0, 0x37, 0xE0, 0xB7, 0xE0, 0xAA], ReadAll());
    }

    [Fact]
    public void Next_key_waits_until_the_guest_has_read_the_last()
    {
        _i8042.Keys.Enqueue(KeyMap.Text("ab"));
        _clock.AdvanceTo(10_000_000_000);
        Assert.Equal(3, _i8042.Keys.Count);
        Assert.False(_i8042.Keys.Idle);
        Assert.True(_irq1.Level);
        Assert.Equal(0x1E, _i8042.In(0x60));
        Assert.False(_irq1.Level);
        Assert.Equal(0x1E, _i8042.In(0x60)); // the buffer keeps its last byte
        Assert.Equal([0x9E, 0x30, 0xB0], ReadAll());
    }

    [Fact]
    public void Held_or_disabled_keyboard_keeps_the_keys()
    {
        bool hold = true;
        _i8042.Keys.Hold = () => hold;
        _i8042.Keys.Enqueue(KeyMap.Text("x"));
        Assert.Empty(ReadAll());
        hold = false;
        _i8042.Out(0x64, 0xAD);
        Assert.Empty(ReadAll());
        _i8042.Out(0x64, 0xAE);
        Assert.Equal([0x2D, 0xAD], ReadAll());
        _i8042.Out(0x60, 0xF5);
        Assert.Equal([0xFA], ReadAll());
        _i8042.Keys.Enqueue(KeyMap.Text("x"));
        Assert.Empty(ReadAll());
        _i8042.Out(0x60, 0xF4);
        Assert.Equal([0xFA, 0x2D, 0xAD], ReadAll());
    }

    [Fact]
    public void Output_port_drives_A20_and_reset()
    {
        Write(0xD1, 0xDD);
        Assert.False(_system.A20);
        Assert.Equal(0, Command(0xD0) & 0x02);
        Write(0xD1, 0xDF);
        Assert.True(_system.A20);
        Assert.Equal(0x02, Command(0xD0) & 0x02);
        _i8042.Out(0x64, 0xFE);
        Write(0xD1, 0x02);
        Assert.Equal(["Processor 8042 output port pulse", "Processor 8042 output port"], _requests);
    }

    [Fact]
    public void Command_byte_is_read_back_and_gates_the_interrupts()
    {
        Write(0x60, 0x64);
        Assert.Equal(0x64, Command(0x20));
        _i8042.Keys.Enqueue(KeyMap.Text("a"));
        _clock.AdvanceTo(1_000_000_000);
        Assert.False(_irq1.Level);
        Assert.Equal(0x01, Status & 0x21);
    }

    [Fact]
    public void Loopback_commands_fill_the_output_buffer()
    {
        Write(0xD2, 0x5A);
        Assert.Equal(0x01, Status & 0x21);
        Assert.Equal(0x5A, _i8042.In(0x60));
        Write(0xD3, 0xA5);
        Assert.Equal(0x21, Status & 0x21);
        Assert.Equal(0xA5, _i8042.In(0x60));
    }

    [Fact]
    public void Mouse_is_reset_identified_and_enabled_as_drivers_do()
    {
        Write(0x60, 0x47);
        Assert.Equal([0xFA, 0xAA, 0x00], Mouse(0xFF));
        foreach (byte rate in new byte[] { 200, 100, 80 })
        {
            Assert.Equal([0xFA], Mouse(0xF3));
            Assert.Equal([0xFA], Mouse(rate));
        }
        Assert.Equal([0xFA, 0x03], Mouse(0xF2));
        Assert.Equal([0xFA], Mouse(0xF4));
        _i8042.Mouse.Move(5, -3, 1, MouseButtons.Left);
        _clock.AdvanceTo(_clock.Now + 1_000_000);
        Assert.True(_irq12.Level);
        Assert.Equal(0x21, Status & 0x21);
        Assert.Equal([0x29, 0x05, 0xFD, 0x01], ReadAll());
    }

    [Fact]
    public void Movement_adds_up_until_the_packet_is_taken()
    {
        Mouse(0xF4);
        for (int i = 0; i < 100; i++)
            _i8042.Mouse.Move(2, 0, 0, MouseButtons.None);
        Assert.Equal([0x08, 2, 0, 0x08, 198, 0], ReadAll());
    }

    [Fact]
    public void Remote_mode_sends_only_on_request()
    {
        Mouse(0xF0);
        Mouse(0xF4);
        _i8042.Mouse.Move(1, 1, 0, MouseButtons.Right);
        Assert.Empty(ReadAll());
        Assert.Equal([0xFA, 0x0A, 0x01, 0x01], Mouse(0xEB));
    }

    [Fact]
    public void Status_request_reports_the_settings()
    {
        Mouse(0xE7);
        Mouse(0xE8);
        Mouse(3);
        Assert.Equal([0xFA, 0x10, 0x03, 100], Mouse(0xE9));
    }

    [Theory]
    [InlineData("ctrl-alt-del", new[] { Key.LeftControl, Key.LeftAlt, Key.Delete })]
    [InlineData("alt-f2", new[] { Key.LeftAlt, Key.F2 })]
    [InlineData("Enter", new[] { Key.Enter })]
    [InlineData("A", new[] { Key.LeftShift, Key.A })]
    [InlineData("ctrl--", new[] { Key.LeftControl, Key.Minus })]
    [InlineData("-", new[] { Key.Minus })]
    public void Chords_press_in_order_and_release_in_reverse(string name, Key[] keys)
    {
        var expected = keys.Select(k => new KeyEvent(k, true)).Concat(keys.Reverse().Select(k => new KeyEvent(k, false)));
        Assert.Equal(expected, KeyMap.Chord(name));
    }

    [Theory]
    [InlineData("foo")]
    [InlineData("ctrl-bar")]
    [InlineData("")]
    [InlineData("ctrl-é")]
    public void Unknown_key_name_is_named_in_the_error(string name)
    {
        var error = Assert.Throws<BadInputException>(() => KeyMap.Chord(name));
        Assert.Contains($"in '{name}'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Character_without_a_key_is_an_error_that_names_it()
    {
        var error = Assert.Throws<BadInputException>(() => KeyMap.Text("dir é"));
        Assert.Contains("U+00E9", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_printable_ASCII_character_has_a_key()
    {
        string all = string.Concat(Enumerable.Range(0x20, 0x5F).Select(c => (char)c));
        Assert.Equal(95, KeyMap.Text(all).Count(e => e.Pressed && e.Key != Key.LeftShift));
    }

    private int Status => _i8042.In(0x64);

    private int Command(byte command)
    {
        _i8042.Out(0x64, command);
        Assert.Equal(1, Status & 1);
        return _i8042.In(0x60);
    }

    private void Write(byte command, byte value)
    {
        _i8042.Out(0x64, command);
        _i8042.Out(0x60, value);
    }

    private List<byte> Mouse(byte value)
    {
        Write(0xD4, value);
        return ReadAll();
    }

    /// <summary>Reads what comes within a tenth of a second after the last byte.</summary>
    private List<byte> ReadAll()
    {
        var bytes = new List<byte>();
        for (int quiet = 0; quiet < 100; quiet++)
        {
            _clock.AdvanceTo(_clock.Now + 1_000_000);
            if ((Status & 1) == 0)
                continue;
            bytes.Add(_i8042.In(0x60));
            quiet = 0;
        }
        return bytes;
    }
}
