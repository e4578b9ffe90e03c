using Farm.Machine.Time;

namespace Farm.Machine.Tests.Time;

public sealed class HostTimeTests
{
    /// <summary>A run that an earlier kick ended must not leave the next one without its own.</summary>
    [Fact]
    public void Every_run_has_its_kick_even_to_the_same_deadline()
    {
        var kicks = new List<long>();
        var time = new HostTime(kicks.Add);
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
        var time = new HostTime(kicks.Add);
        Assert.Equal(1ul, time.BudgetUntil(0));
        Assert.Equal([1L], kicks);
    }
}
