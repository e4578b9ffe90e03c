using Farm.Machine.Time;

namespace Farm.Machine.Tests;

public sealed class KeyPollingTests
{
    private const long Often = 20_000;

    private readonly KeyPolling _polling;
    private ulong _screen;
    private long _now, _worked;

    public KeyPollingTests() => _polling = new KeyPolling(() => _screen);

    [Fact]
    public void A_guest_that_asks_over_and_over_is_idle_for_longer_and_longer_up_to_ten_milliseconds()
    {
        for (int i = 0; i <= 1024; i++)
            Assert.Equal(0, Ask(Often));
        Assert.Equal(100_000, Ask(Often));
        Assert.Equal(200_000, Ask(Often));
        for (int i = 0; i < 200; i++)
            Ask(Often);
        Assert.Equal(10_000_000, Ask(Often));
    }

    [Fact]
    public void Time_without_work_does_not_end_the_row()
    {
        Wait();
        _now += 5_000_000;

        Assert.True(Ask(Often) > 0);
    }

    [Fact]
    public void Work_between_two_questions_ends_the_row()
    {
        Wait();

        Assert.Equal(0, Ask(1_000_000));
        Assert.Equal(0, Ask(Often));
    }

    [Fact]
    public void Who_waited_a_moment_ago_is_soon_taken_to_wait_again()
    {
        Wait();
        _screen++;
        for (int i = 0; i <= 32; i++)
            Assert.Equal(0, Ask(Often));
        Assert.Equal(100_000, Ask(Often));

        Ask(2_000_000_000);
        for (int i = 0; i < 1024; i++)
            Assert.Equal(0, Ask(Often));
    }

    [Fact]
    public void A_guest_that_draws_between_questions_is_not_idle()
    {
        for (int i = 0; i < 1000; i++)
        {
            _screen++;
            Assert.Equal(0, Ask(Often));
        }
    }

    private void Wait()
    {
        for (int i = 0; i < 1100; i++)
            Ask(Often);
        Assert.Equal(10_000_000, Ask(Often));
    }

    private long Ask(long after)
    {
        _now += after;
        _worked += after;
        return _polling.Poll(_now, _worked);
    }
}
