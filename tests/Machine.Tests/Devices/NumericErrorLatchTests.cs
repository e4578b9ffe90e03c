using Farm.Machine.Bus;
using Farm.Machine.Devices.Chipset;

namespace Farm.Machine.Tests.Devices;

public sealed class NumericErrorLatchTests
{
    [Fact]
    public void Ferr_raises_the_interrupt_and_port_F0_ignores_the_error_until_ferr_goes()
    {
        bool level = false;
        var latch = new NumericErrorLatch(new InterruptLine(value => level = value));
        latch.SetFerr(true);
        Assert.True(level);
        Assert.False(latch.IgnoreNumericError);

        latch.WritePort(0xF0, 0, 1);
        Assert.False(level);
        Assert.True(latch.IgnoreNumericError);

        latch.SetFerr(false);
        Assert.False(latch.IgnoreNumericError);
        latch.SetFerr(true);
        Assert.True(level);
    }

    [Fact]
    public void Port_F0_without_an_error_ignores_nothing()
    {
        var latch = new NumericErrorLatch(InterruptLine.Unconnected);
        latch.WritePort(0xF0, 0, 1);
        Assert.False(latch.IgnoreNumericError);
    }
}
