using Farm.Machine.Divergence;

namespace Farm.Machine.Tests.Divergence;

public sealed class ScreenComparisonTests
{
    private static readonly string[] s_screen = ["one", "two", "three: detected", "four", "five"];

    [Fact]
    public void A_look_in_the_middle_of_scrolling_is_no_difference_on_a_hosts_time()
    {
        // "four" is being copied over "three: detected", which has been copied already
        string[] torn = ["two", "three: detected", "four: detected", "four", "five"];
        Assert.NotNull(Compare(s_screen, torn, settled: false, host: false));
        Assert.Null(Compare(s_screen, torn, settled: false, host: true));
        Assert.NotNull(Compare(s_screen, torn, settled: true, host: true));
    }

    [Fact]
    public void More_than_a_look_can_spoil_is_a_difference()
    {
        Assert.Equal("two", Compare(s_screen, ["one", "2", "3", "4", "five"], settled: false, host: true)!.First);
        Assert.NotNull(Compare(["one"], ["other"], settled: false, host: true));
    }

    private static ScreenDivergence? Compare(string[] first, string[] second, bool settled, bool host) =>
        new ScreenComparison([]).Compare([Screen(first, settled)], [Screen(second, settled)], secondTears: host);

    private static MomentScreen Screen(string[] lines, bool settled) => new("step 1", lines, settled, 0, 0);
}
