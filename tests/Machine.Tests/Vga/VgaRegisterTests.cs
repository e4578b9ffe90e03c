using Farm.Machine.Bus;
using Farm.Machine.Devices.Vga;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Vga;

public sealed class VgaRegisterTests : IDisposable
{
    private readonly VirtualClock _clock = new();
    private readonly VgaDevice _vga;
    private int _interrupts;

    public VgaRegisterTests()
    {
        _vga = new VgaDevice(_clock, new InterruptLine(level => _interrupts += level ? 1 : 0));
        VgaMode.Text80x25.Program(_vga);
    }

    public void Dispose() => _vga.Dispose();

    [Fact]
    public void The_attribute_port_alternates_between_index_and_data_until_status_1_is_read()
    {
        _vga.ReadPort(0x3DA, 1);
        _vga.WritePort(0x3C0, 0x31, 1);
        _vga.WritePort(0x3C0, 0x15, 1);
        _vga.WritePort(0x3C0, 0x32, 1);
        byte toggled = _vga.ReadIndexed(0x3D4, 0x24);
        _vga.ReadPort(0x3DA, 1);
        byte reset = _vga.ReadIndexed(0x3D4, 0x24);
        _vga.WritePort(0x3C0, 0x31, 1);

        Assert.Equal((0x80, 0x00), (toggled, reset));
        Assert.Equal(0x31u, _vga.ReadPort(0x3C0, 1));
        Assert.Equal(0x15u, _vga.ReadPort(0x3C1, 1));
    }

    [Fact]
    public void The_DAC_takes_and_gives_three_6_bit_components_and_steps_on()
    {
        _vga.WritePort(0x3C8, 0xFF, 1);
        foreach (uint value in (uint[])[1, 0xFF, 3, 4, 5, 6])
            _vga.WritePort(0x3C9, value, 1);
        uint writing = _vga.ReadPort(0x3C7, 1);
        _vga.WritePort(0x3C7, 0xFF, 1);
        var read = Enumerable.Range(0, 6).Select(_ => _vga.ReadPort(0x3C9, 1)).ToArray();

        Assert.Equal([1u, 63u, 3u, 4u, 5u, 6u], read);
        Assert.Equal((0u, 3u), (writing, _vga.ReadPort(0x3C7, 1)));
    }

    [Fact]
    public void CRTC_protect_spares_only_the_line_compare_bit_of_Overflow()
    {
        Assert.Equal(0x8E, _vga.ReadIndexed(0x3D4, 0x11));
        _vga.WriteIndexed(0x3D4, 0x00, 0x12);
        _vga.WriteIndexed(0x3D4, 0x07, 0x00);

        Assert.Equal(0x5F, _vga.ReadIndexed(0x3D4, 0x00));
        Assert.Equal(0x0F, _vga.ReadIndexed(0x3D4, 0x07));
    }

    [Fact]
    public void Status_1_shows_70_retraces_in_a_second_of_text_mode()
    {
        int starts = 0;
        int retraceSamples = 0;
        bool before = true;
        const int samples = 100_000;
        for (int i = 0; i < samples; i++)
        {
            _clock.AdvanceTo(i * 10_000L);
            bool retrace = (_vga.ReadPort(0x3DA, 1) & 8) != 0;
            starts += retrace && !before ? 1 : 0;
            retraceSamples += retrace ? 1 : 0;
            before = retrace;
        }

        Assert.InRange(starts, 69, 71);
        Assert.InRange(retraceSamples, samples * 2 / 449 * 8 / 10, samples * 2 / 449 * 12 / 10);
    }

    [Fact]
    public void Display_is_disabled_in_horizontal_blanking_and_during_all_of_retrace()
    {
        int disabled = 0;
        for (int i = 0; i < 31_778; i += 10)
        {
            _clock.AdvanceTo(14_268_000L * 5 + i);
            uint status = _vga.ReadPort(0x3DA, 1);
            Assert.Equal(0u, status & 8);
            disabled += (int)(status & 1);
        }

        Assert.InRange(disabled, 550, 700); // 20 of 100 character clocks of 3178 samples
    }

    [Fact]
    public void Unprogrammed_timing_still_shows_retraces()
    {
        _vga.Reset();
        var seen = new HashSet<uint>();
        for (long now = 0; now < 50_000_000; now += 10_000)
        {
            _clock.AdvanceTo(now);
            seen.Add(_vga.ReadPort(0x3BA, 1));
        }

        Assert.Equal([0u, 1u, 9u], seen.Order());
    }

    [Fact]
    public void The_vertical_interrupt_is_raised_by_retrace_and_reset_by_software()
    {
        _vga.WriteIndexed(0x3D4, 0x11, 0x1E);
        RunTo(100_000_000);
        int first = _interrupts;
        bool pending = (_vga.ReadPort(0x3C2, 1) & 0x80) != 0;
        _vga.WriteIndexed(0x3D4, 0x11, 0x0E);
        bool cleared = (_vga.ReadPort(0x3C2, 1) & 0x80) == 0;
        RunTo(200_000_000);

        Assert.Equal(1, first);
        Assert.True(pending && cleared);
        Assert.Equal(1, _interrupts);
    }

    [Fact]
    public void Registers_beyond_the_last_read_zero_and_keep_nothing()
    {
        _vga.WriteIndexed(0x3C4, 0x40, 0xAA);
        _vga.WriteIndexed(0x3CE, 0x40, 0xAA);
        _vga.WriteIndexed(0x3D4, 0xFF, 0xAA);

        Assert.Equal((0, 0, 0), (_vga.ReadIndexed(0x3C4, 0x40), _vga.ReadIndexed(0x3CE, 0x40), _vga.ReadIndexed(0x3D4, 0xFF)));
    }

    [Fact]
    public void Reset_clears_registers_and_keeps_video_memory()
    {
        _vga.Print(0, 0, "kept");
        _vga.Reset();
        VgaMode.Text80x25.Program(_vga);

        Assert.Equal("kept", new ScreenReader(_vga).ReadText()?.Row(0));
    }

    [Fact]
    public void Random_register_values_never_break_the_adapter_or_its_screen()
    {
        const int seed = 12345;
        var random = new Random(seed);
        var reader = new ScreenReader(_vga);
        ushort[] ports = [0x3B4, 0x3B5, 0x3BA, 0x3C0, 0x3C0, 0x3C2, 0x3C4, 0x3C5, 0x3C6, 0x3C8, 0x3C9, 0x3CE, 0x3CF, 0x3D4, 0x3D5, 0x3DA, 0x1CE, 0x1CF];
        for (int i = 0; i < 60_000; i++)
        {
            ushort port = ports[random.Next(ports.Length)];
            bool indexPort = port is 0x1CE or 0x3C4 or 0x3CE or 0x3D4 or 0x3B4;
            _vga.WritePort(port, indexPort ? (uint)random.Next(0x20) : (uint)random.Next(0x10000), random.Next(1, 3));
            _vga.WriteMmio(0xA0000 + (ulong)random.Next(0x3FFF) * 8, (ulong)random.NextInt64(), 1 << random.Next(4));
            _vga.ReadMmio(0xA0000 + (ulong)random.Next(0x3FFF) * 8, 1 << random.Next(4));
            _vga.ReadPort((ushort)(0x3B0 + random.Next(0x30)), 1);
            if (i % 600 == 0)
            {
                var screen = reader.Capture();
                Assert.InRange(screen.Width, 1, BochsDispi.MaximumWidth);
                Assert.InRange(screen.Height, 1, BochsDispi.MaximumHeight);
                reader.Stamp();
            }
        }
    }

    private void RunTo(long end)
    {
        for (long now = _clock.Now; now <= end; now += 1_000_000)
            _clock.AdvanceTo(now);
    }
}
