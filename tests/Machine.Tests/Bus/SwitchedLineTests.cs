using Farm.Machine.Bus;

namespace Farm.Machine.Tests.Bus;

public sealed class SwitchedLineTests
{
    private readonly InterruptLine _wire = new(static _ => { });

    [Fact]
    public void Wire_follows_the_pin_while_connected_and_stays_low_while_not()
    {
        var line = new SwitchedLine(_wire);
        line.Pin.Raise();
        Assert.True(_wire.Level);
        line.Connected = false;
        Assert.False(_wire.Level);
        line.Pin.Lower();
        line.Pin.Raise();
        Assert.False(_wire.Level);
    }

    [Fact]
    public void Pin_that_is_up_shows_when_the_switch_closes()
    {
        var line = new SwitchedLine(_wire) { Connected = false };
        line.Pin.Raise();
        line.Connected = true;
        Assert.True(_wire.Level);
    }
}
