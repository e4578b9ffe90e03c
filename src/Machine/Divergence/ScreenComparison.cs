using System.Text.RegularExpressions;

namespace Farm.Machine.Divergence;

/// <summary>Two text screens at the same moment that cannot be stages of the same output.</summary>
/// <param name="Moment">Phase, step, or the end.</param>
/// <param name="First">The line of A at which they part; null: A shows less.</param>
/// <param name="Second">The line of B.</param>
/// <param name="FirstScreen">All of A.</param>
/// <param name="SecondScreen">All of B.</param>
public sealed record ScreenDivergence(string Moment, string? First, string? Second, MomentScreen FirstScreen, MomentScreen SecondScreen);

/// <summary>
/// Compares text screens of two runs moment by moment. At the end they must be equal; before it, one run may have shown more than the
/// other already, so that lines may be missing at the end of one, or scrolled out at the top of the other.
/// </summary>
internal sealed class ScreenComparison(IReadOnlyList<Regex> ignored)
{
    public ScreenDivergence? Compare(IReadOnlyList<MomentScreen> first, IReadOnlyList<MomentScreen> second)
    {
        foreach (var a in first)
        {
            if (second.FirstOrDefault(screen => screen.Moment == a.Moment) is not { } b)
                continue;
            List<string> linesA = Lines(a), linesB = Lines(b);
            if (a.Settled ? !linesA.SequenceEqual(linesB) : !IsStage(linesA, linesB) && !IsStage(linesB, linesA))
            {
                int at = linesA.Zip(linesB).TakeWhile(static pair => pair.First == pair.Second).Count();
                return new(a.Moment, linesA.ElementAtOrDefault(at), linesB.ElementAtOrDefault(at), a, b);
            }
        }
        return null;
    }

    /// <summary>Every line of the earlier screen but its last, which may be unfinished, stands in the later one in the same order; what scrolled out at its top does not count.</summary>
    private static bool IsStage(List<string> earlier, List<string> later)
    {
        for (int scrolled = 0; scrolled <= earlier.Count; scrolled++)
        {
            var shown = earlier.Skip(scrolled).ToList();
            if (shown.Count == 0 || StartsWith(later, shown))
                return scrolled == 0 || later.Count >= earlier.Count;
        }
        return false;
    }

    private static bool StartsWith(List<string> later, List<string> shown)
    {
        if (shown.Count > later.Count)
            return false;
        for (int i = 0; i < shown.Count - 1; i++)
        {
            if (shown[i] != later[i])
                return false;
        }
        return later[shown.Count - 1].StartsWith(shown[^1], StringComparison.Ordinal);
    }

    private List<string> Lines(MomentScreen screen) =>
        [.. screen.Lines.Select(static line => line.TrimEnd()).Where(line => line.Length > 0 && !ignored.Any(pattern => pattern.IsMatch(line)))];
}
