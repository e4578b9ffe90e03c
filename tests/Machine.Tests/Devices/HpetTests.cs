using Farm.Machine.Bus;
using Farm.Machine.Devices.Hpet;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Devices;

public class HpetTests
{
    private readonly VirtualClock _clock = new();
    private readonly List<string> _events = [];
    private readonly HpetTimerBlock _hpet;

    public HpetTests()
    {
        InterruptLine Line(string name) => new(level => _events.Add($"{name} {(level ? "up" : "down")} {_clock.Now}"));
        _hpet = new HpetTimerBlock(_clock, (input, level) => _events.Add($"{input} {(level ? "up" : "down")} {_clock.Now}"), Line("irq0"), Line("irq8"))
        {
            LegacyReplacementChanged = on => _events.Add($"legacy {on}"),
        };
    }

    [Fact]
    public void Counter_runs_at_the_period_that_the_capabilities_name()
    {
        Assert.Equal(10_000_000u, (uint)(_hpet.ReadMmio(HpetTimerBlock.DefaultBase, 8) >> 32));
        Assert.Equal(0ul, Read(0xF0));
        _clock.AdvanceTo(1000);
        Assert.Equal(0ul, Read(0xF0));
        Write(0x10, 1);
        _clock.AdvanceTo(2000);
        Assert.Equal(100ul, Read(0xF0));
        Write(0x10, 0);
        _clock.AdvanceTo(3000);
        Assert.Equal(100ul, Read(0xF0));
        Write(0xF0, 0x1_0000_0000);
        Assert.Equal(1ul, _hpet.ReadMmio(HpetTimerBlock.DefaultBase + 0xF4, 4));
    }

    [Fact]
    public void Periodic_comparator_in_legacy_replacement_drives_IRQ_0_as_Linux_programs_it()
    {
        Write(0x10, 3);
        Write32(0x100, 0x14C); // enable, periodic, set value, 32 bits
        Write32(0x108, 100_000);
        Write32(0x108, 100_000);
        _clock.AdvanceTo(3_500_000);
        Assert.Equal(["legacy True", "irq0 up 1000000", "irq0 down 2000000", "irq0 up 2000000", "irq0 down 3000000", "irq0 up 3000000"], _events);
        Assert.Equal(400_000ul, Read(0x108));
    }

    [Fact]
    public void One_shot_level_comparator_holds_its_input_until_acknowledged()
    {
        Write(0x10, 1);
        Write(0x120, 20ul << 9 | 0x06);
        Write(0x128, 500);
        _clock.AdvanceTo(100_000);
        Assert.Equal(["20 up 5000"], _events);
        Assert.Equal(2ul, Read(0x20));
        Write(0x20, 2);
        Assert.Equal("20 down 100000", _events[^1]);
        Assert.Equal(0ul, Read(0x20));
        _clock.AdvanceTo(10_000_000);
        Assert.Equal(2, _events.Count);
    }

    [Fact]
    public void Comparator_accepts_only_routes_that_it_can_take()
    {
        Write(0x120, 5ul << 9);
        Assert.Equal(0ul, Read(0x120) & 0x3E00);
        Write(0x120, 16ul << 9);
        Assert.Equal(16ul << 9, Read(0x120) & 0x3E00);
    }

    [Fact]
    public void Tiny_period_costs_a_bounded_number_of_events()
    {
        Write(0x10, 3);
        Write32(0x100, 0x14C);
        Write32(0x108, 1);
        Write32(0x108, 1);
        _clock.AdvanceTo(1_000_000);
        Assert.InRange(_events.Count, 500, 4000);
    }

    private ulong Read(int register) => _hpet.ReadMmio(HpetTimerBlock.DefaultBase + (ulong)register, 8);

    private void Write(int register, ulong value) => _hpet.WriteMmio(HpetTimerBlock.DefaultBase + (ulong)register, value, 8);

    private void Write32(int register, uint value) => _hpet.WriteMmio(HpetTimerBlock.DefaultBase + (ulong)register, value, 4);
}
