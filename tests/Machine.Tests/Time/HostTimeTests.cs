using Farm.Machine.Time;

namespace Farm.Machine.Tests.Time;

public sealed class HostTimeTests
{
    /// <summary>A run that an earlier kick ended must not leave the next one without its own.</summary>
    [Fact]
    public void Every_run_has_its_kick_even_to_the_same_deadline()
    {
        var kicks = new List<long>();
        var time = new HostTime(kicks.Add, NotTold, skipsIdle: false);
        long deadline = time.Now + 3_600_000_000_000;
        time.BudgetUntil(deadline);
        time.BudgetUntil(deadline);
        Assert.Equal(2, kicks.Count);
        Assert.True(kicks[1] <= kicks[0], $"{kicks[1]} after {kicks[0]}");
    }

    [Fact]
    public void A_deadline_that_has_passed_kicks_at_once()
    {
        var kicks = new List<long>();
        var time = new HostTime(kicks.Add, NotTold, skipsIdle: false);
        Assert.Equal(1ul, time.BudgetUntil(0));
        Assert.Equal([1L], kicks);
    }

    [Fact]
    public void Idle_time_is_skipped_and_told()
    {
        var time = new HostTime(static _ => { }, NotTold, skipsIdle: true);
        const long hour = 3_600_000_000_000;
        using var wake = new ManualResetEvent(false);
        long before = time.Now, skipped = time.IdleUntil(before + hour, wake), after = time.Now;
        Assert.InRange(skipped, 1, hour);
        Assert.InRange(after - before, hour, 2 * hour);
        Assert.Equal(0, time.IdleUntil(after, wake));
        Assert.Equal("host-skip", time.Mode);
    }

    [Fact]
    public void Where_it_cannot_be_skipped_something_from_outside_ends_the_wait()
    {
        var time = new HostTime(static _ => { }, NotTold, skipsIdle: false);
        using var wake = new ManualResetEvent(true);
        Assert.Equal(0, time.IdleUntil(time.Now + 3_600_000_000_000, wake));
        Assert.Equal("host", time.Mode);
    }

    [Fact]
    public void Work_is_what_the_backend_tells_or_the_hosts_time_without_what_was_skipped()
    {
        const long hour = 3_600_000_000_000;
        Assert.Equal(42, new HostTime(static _ => { }, static () => 42, skipsIdle: true).Worked);

        var time = new HostTime(static _ => { }, NotTold, skipsIdle: true);
        using var wake = new ManualResetEvent(false);
        time.IdleUntil(time.Now + hour, wake);
        Assert.InRange(time.Worked, 0, hour - 1);
    }

    private static long? NotTold() => null;
}
