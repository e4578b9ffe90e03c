using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;

namespace Farm.Silo.Verdicts;

/// <summary>One result of a cell.</summary>
/// <param name="Retried">The job had been back in the queue after infrastructure trouble.</param>
/// <param name="GuestDigest">The guest's definition that ran.</param>
/// <param name="Build">The build of firmware, assist and machine that ran; empty when not known.</param>
public sealed record CellResult(
    long RunId, DateTimeOffset At, GuestOutcome Outcome, BootPhase Furthest, bool Retried, string GuestDigest, string Build)
{
    public bool Pass => Outcome is GuestOutcome.Pass;
}

/// <summary>What a cell's newest results say together.</summary>
public readonly record struct CellJudgement(CellState Verdict, CellTrend Trend, double FlakeRate);

/// <summary>
/// Judges a cell by its history. A cell is flaky when the same definition on the same build both passed and failed among its newest
/// results, or when its newest pass took a retry: a retry never turns it silently green. A change of the definition or the build
/// begins a new page, so that a fix shows as fixed.
/// </summary>
public static class CellHistory
{
    public const int Kept = 20;

    /// <summary>How many of the newest results of one page are held against each other.</summary>
    private const int FlakeWindow = 10;

    /// <summary>The history with a result added at its end.</summary>
    public static IReadOnlyList<CellResult> Append(IReadOnlyList<CellResult> history, CellResult result) =>
        [.. history.Append(result).TakeLast(Kept)];

    /// <param name="history">Oldest first.</param>
    public static CellJudgement Judge(IReadOnlyList<CellResult> history)
    {
        if (history.Count == 0)
            return new(CellState.NotTried, CellTrend.None, 0);
        var newest = history[^1];
        var page = history.Reverse().TakeWhile(result => SamePage(result, newest)).Take(FlakeWindow).ToList();
        var mixed = page.Any(result => result.Pass) && page.Any(result => !result.Pass);
        var flaky = mixed || (newest.Pass && newest.Retried);
        var verdict = flaky ? CellState.Flaky : newest.Pass ? CellState.Yes : CellState.No;
        return new(verdict, Trend(history, newest, flaky), FlakeRate(history));
    }

    private static bool SamePage(CellResult a, CellResult b) => a.GuestDigest == b.GuestDigest && a.Build == b.Build;

    private static CellTrend Trend(IReadOnlyList<CellResult> history, CellResult newest, bool flaky)
    {
        if (flaky)
            return CellTrend.Flaky;
        if (history.Count == 1)
            return newest.Pass ? CellTrend.None : CellTrend.NeverPassed;
        if (history[^2].Pass == newest.Pass)
            return newest.Pass || history.Any(result => result.Pass) ? CellTrend.Same : CellTrend.NeverPassed;
        return newest.Pass ? CellTrend.Fixed : CellTrend.Regressed;
    }

    private static double FlakeRate(IReadOnlyList<CellResult> history)
    {
        if (history.Count < 2)
            return history.Count == 1 && history[0] is { Pass: true, Retried: true } ? 1 : 0;
        var changes = 0;
        for (var i = 1; i < history.Count; i++)
        {
            var (before, after) = (history[i - 1], history[i]);
            if (SamePage(before, after) && (before.Pass != after.Pass || after is { Pass: true, Retried: true }))
                changes++;
        }
        return (double)changes / (history.Count - 1);
    }
}
