using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;
using Farm.Silo.Verdicts;

namespace Farm.Silo.Tests.Verdicts;

public sealed class CellHistoryTests
{
    /// <summary>P pass, F fail, R a pass that took a retry; a slash begins a new build.</summary>
    [Theory]
    [InlineData("", CellState.NotTried, CellTrend.None)]
    [InlineData("P", CellState.Yes, CellTrend.None)]
    [InlineData("F", CellState.No, CellTrend.NeverPassed)]
    [InlineData("FF", CellState.No, CellTrend.NeverPassed)]
    [InlineData("PP", CellState.Yes, CellTrend.Same)]
    [InlineData("R", CellState.Flaky, CellTrend.Flaky)]
    [InlineData("RP", CellState.Yes, CellTrend.Same)]
    [InlineData("FP", CellState.Flaky, CellTrend.Flaky)]
    [InlineData("PF", CellState.Flaky, CellTrend.Flaky)]
    [InlineData("F/P", CellState.Yes, CellTrend.Fixed)]
    [InlineData("P/F", CellState.No, CellTrend.Regressed)]
    [InlineData("P/F/F", CellState.No, CellTrend.Same)]
    [InlineData("FPPPPPPPPP", CellState.Flaky, CellTrend.Flaky)]
    [InlineData("FPPPPPPPPPP", CellState.Yes, CellTrend.Same)]
    public void A_cell_is_judged_by_its_newest_results_on_one_build(string results, CellState verdict, CellTrend trend)
    {
        var judgement = CellHistory.Judge(History(results));
        Assert.Equal((verdict, trend), (judgement.Verdict, judgement.Trend));
    }

    [Theory]
    [InlineData("", 0)]
    [InlineData("PPPP", 0)]
    [InlineData("PFPF", 1)]
    [InlineData("PPFF", 1.0 / 3)]
    [InlineData("F/P", 0)]
    [InlineData("R", 1)]
    public void The_flake_rate_counts_changes_on_one_build(string results, double rate) =>
        Assert.Equal(rate, CellHistory.Judge(History(results)).FlakeRate, 6);

    [Fact]
    public void A_change_of_the_definition_begins_a_new_page_too()
    {
        var history = History("F").Append(Result('P', 2) with { GuestDigest = "other" }).ToList();
        Assert.Equal(CellState.Yes, CellHistory.Judge(history).Verdict);
    }

    [Fact]
    public void Only_the_newest_results_are_kept()
    {
        IReadOnlyList<CellResult> history = [];
        for (var i = 0; i < 30; i++)
            history = CellHistory.Append(history, Result('P', i));
        Assert.Equal((CellHistory.Kept, 29), (history.Count, history[^1].RunId));
    }

    private static List<CellResult> History(string results)
    {
        var history = new List<CellResult>();
        var build = 0;
        foreach (var letter in results)
        {
            if (letter == '/')
                build++;
            else
                history.Add(Result(letter, history.Count) with { Build = "b" + build });
        }
        return history;
    }

    private static CellResult Result(char letter, int id) => new(
        id, DateTimeOffset.UnixEpoch.AddMinutes(id), letter == 'F' ? GuestOutcome.Hang : GuestOutcome.Pass, BootPhase.Prompt, letter == 'R', "d", "b");
}
