using Farm.Machine.Bus;
using Farm.Machine.Devices.Pic;

namespace Farm.Machine.Tests.Devices;

public class Pic8259Tests
{
    private readonly InterruptLine _intr = new(static _ => { });
    private readonly Pic8259Pair _pic;

    public Pic8259Tests()
    {
        _pic = new Pic8259Pair(_intr);
        Initialize(0x08, 0x70);
    }

    [Fact]
    public void Edge_on_unmasked_input_raises_INTR_and_gives_ICW2_vector()
    {
        _pic.SetInput(1, true);
        Assert.True(_intr.Level);
        Assert.Equal(0x09, _pic.Acknowledge());
        Assert.False(_intr.Level);
        Assert.Equal(0x02, _pic.InService);
    }

    [Fact]
    public void Masked_input_waits_in_IRR_until_unmasked()
    {
        _pic.Out(0x21, 0x02);
        _pic.SetInput(1, true);
        Assert.False(_intr.Level);
        Assert.Equal(0x02, _pic.In(0x20));
        _pic.Out(0x21, 0x00);
        Assert.True(_intr.Level);
    }

    [Fact]
    public void Lower_priority_waits_for_EOI_and_higher_one_nests()
    {
        _pic.SetInput(3, true);
        Assert.Equal(0x0B, _pic.Acknowledge());
        _pic.SetInput(5, true);
        Assert.False(_intr.Level);
        _pic.SetInput(1, true);
        Assert.True(_intr.Level);
        Assert.Equal(0x09, _pic.Acknowledge());
        _pic.Out(0x20, 0x0B);
        Assert.Equal(0x0A, _pic.In(0x20));
        _pic.Out(0x20, 0x20);
        Assert.False(_intr.Level);
        _pic.Out(0x20, 0x20);
        Assert.Equal(0x0D, _pic.Acknowledge());
    }

    [Fact]
    public void Slave_interrupt_comes_through_cascade_and_needs_two_EOIs()
    {
        _pic.SetInput(14, true);
        Assert.Equal(0x76, _pic.Acknowledge());
        Assert.Equal(1 << 14 | 1 << 2, _pic.InService);
        _pic.SetInput(15, true);
        Assert.False(_intr.Level);
        _pic.Out(0xA0, 0x20);
        _pic.Out(0x20, 0x20);
        Assert.Equal(0x77, _pic.Acknowledge());
    }

    [Fact]
    public void Two_slave_requests_at_once_are_both_served_whatever_the_order_of_EOIs()
    {
        _pic.SetInput(8, true);
        _pic.SetInput(12, true);
        Assert.Equal(0x70, _pic.Acknowledge());
        _pic.Out(0x20, 0x20);
        Assert.False(_intr.Level);
        _pic.Out(0xA0, 0x20);
        Assert.Equal(0x74, _pic.Acknowledge());
    }

    [Fact]
    public void Request_withdrawn_before_INTA_gives_spurious_7_without_ISR()
    {
        _pic.SetInput(4, true);
        _pic.SetInput(4, false);
        Assert.False(_intr.Level);
        Assert.Equal(0x0F, _pic.Acknowledge());
        Assert.Equal(0, _pic.InService);
    }

    [Fact]
    public void Slave_request_taken_by_poll_withdraws_the_cascade()
    {
        _pic.SetInput(10, true);
        _pic.Out(0xA0, 0x0C);
        Assert.Equal(0x82, _pic.In(0xA0));
        Assert.False(_intr.Level);
        Assert.Equal(1 << 10, _pic.InService);
    }

    [Fact]
    public void Edge_input_that_stays_high_interrupts_once_and_level_input_again()
    {
        _pic.SetInput(5, true);
        _pic.Acknowledge();
        _pic.Out(0x20, 0x20);
        Assert.False(_intr.Level);

        _pic.Out(0x4D0, 0x20);
        Assert.True(_intr.Level);
        _pic.Acknowledge();
        _pic.Out(0x20, 0x20);
        Assert.True(_intr.Level);
        _pic.SetInput(5, false);
        Assert.False(_intr.Level);
    }

    [Fact]
    public void ELCR_keeps_timer_keyboard_cascade_and_RTC_edge_triggered()
    {
        _pic.Out(0x4D0, 0xFF);
        _pic.Out(0x4D1, 0xFF);
        Assert.Equal(0xF8, _pic.In(0x4D0));
        Assert.Equal(0xDE, _pic.In(0x4D1));
    }

    [Fact]
    public void Automatic_EOI_leaves_nothing_in_service()
    {
        Initialize(0x08, 0x70, icw4: 0x03);
        _pic.SetInput(0, true);
        _pic.Acknowledge();
        Assert.Equal(0, _pic.InService);
    }

    [Fact]
    public void Automatic_EOI_serves_two_slave_requests_in_turn()
    {
        Initialize(0x20, 0x28, icw4: 0x03);
        _pic.SetInput(9, true);
        _pic.SetInput(11, true);
        Assert.Equal(0x29, _pic.Acknowledge());
        Assert.True(_intr.Level);
        Assert.Equal(0x2B, _pic.Acknowledge());
        Assert.False(_intr.Level);
    }

    [Fact]
    public void Rotation_on_specific_EOI_makes_the_served_level_lowest()
    {
        _pic.SetInput(3, true);
        _pic.Acknowledge();
        _pic.Out(0x20, 0xE0 | 3);
        _pic.SetInput(3, false);
        _pic.SetInput(3, true);
        _pic.SetInput(4, true);
        Assert.Equal(0x0C, _pic.Acknowledge());
    }

    [Fact]
    public void Set_priority_command_moves_the_bottom()
    {
        _pic.Out(0x20, 0xC0 | 5);
        _pic.SetInput(0, true);
        _pic.SetInput(6, true);
        Assert.Equal(0x0E, _pic.Acknowledge());
    }

    [Fact]
    public void Special_mask_mode_lets_lower_levels_through_a_masked_service()
    {
        _pic.SetInput(2 + 1, true);
        _pic.Acknowledge();
        _pic.SetInput(6, true);
        Assert.False(_intr.Level);
        _pic.Out(0x21, 0x08);
        _pic.Out(0x20, 0x68);
        Assert.True(_intr.Level);
        Assert.Equal(0x0E, _pic.Acknowledge());
        _pic.Out(0x20, 0x48);
        Assert.Equal(0x48, _pic.InService);
    }

    [Fact]
    public void Special_fully_nested_mode_admits_a_higher_slave_request_during_slave_service()
    {
        Initialize(0x08, 0x70, masterIcw4: 0x11);
        _pic.SetInput(15, true);
        _pic.Acknowledge();
        _pic.SetInput(8, true);
        Assert.True(_intr.Level);
        Assert.Equal(0x70, _pic.Acknowledge());
    }

    [Fact]
    public void Poll_command_acknowledges_and_reports_the_level()
    {
        _pic.SetInput(6, true);
        _pic.Out(0x20, 0x0C);
        Assert.Equal(0x86, _pic.In(0x20));
        Assert.Equal(0x40, _pic.InService);
        _pic.Out(0x20, 0x0C);
        Assert.Equal(0x00, _pic.In(0x20));
    }

    [Fact]
    public void ICW1_clears_mask_service_and_requests()
    {
        _pic.Out(0x21, 0xFF);
        _pic.SetInput(1, true);
        _pic.Out(0x20, 0x11);
        Assert.Equal(0, _pic.Requests);
        Assert.Equal(0, _pic.In(0x21));
    }

    [Fact]
    public void Wires_with_several_sources_stay_up_until_all_have_released()
    {
        var hub = new IrqHub(_pic.SetInput);
        var first = hub.Connect(11);
        var second = hub.Connect(11);
        _pic.Out(0x4D1, 0x08);
        first.Raise();
        second.Raise();
        first.Lower();
        Assert.True(_intr.Level);
        second.Lower();
        Assert.False(_intr.Level);
    }

    private void Initialize(byte master, byte slave, byte icw4 = 0x01, byte? masterIcw4 = null)
    {
        _pic.Out(0x20, 0x11);
        _pic.Out(0xA0, 0x11);
        _pic.Out(0x21, master);
        _pic.Out(0xA1, slave);
        _pic.Out(0x21, 0x04);
        _pic.Out(0xA1, 0x02);
        _pic.Out(0x21, masterIcw4 ?? icw4);
        _pic.Out(0xA1, icw4);
        _pic.Out(0x21, 0x00);
        _pic.Out(0xA1, 0x00);
    }
}
