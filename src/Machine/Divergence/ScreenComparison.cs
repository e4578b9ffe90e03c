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
/// other already, so that lines may be missing at the end of one, or scrolled out at the top of the other. On a host's time the look may
/// come in the middle of scrolling, which leaves a line torn and one twice.
/// </summary>
internal sealed class ScreenComparison(IReadOnlyList<Regex> ignored)
{
    /// <summary>Lines that one look may spoil.</summary>
    private const int TornLines = 2;

    /// <param name="firstTears">The first run is on the host's time.</param>
    /// <param name="secondTears">The second run is.</param>
    public ScreenDivergence? Compare(IReadOnlyList<MomentScreen> first, IReadOnlyList<MomentScreen> second, bool firstTears = false, bool secondTears = false)
    {
        for (int i = 0; i < first.Count; i++)
        {
            int j = second.TakeWhile(screen => screen.Moment != first[i].Moment).Count();
            if (j == second.Count)
                continue;
            List<string> linesA = Lines(first[i]), linesB = Lines(second[j]);
            bool alike = first[i].Settled ? linesA.SequenceEqual(linesB)
                : AreStages(linesA, linesB)
                || (firstTears && IsTorn(linesA, linesB, TornLines)) || (secondTears && IsTorn(linesB, linesA, TornLines))
                // the one's look came so much later that the screen was cleared for what follows
                || (j + 1 < second.Count && IsStage(linesA, Lines(second[j + 1]))) || (i + 1 < first.Count && IsStage(linesB, Lines(first[i + 1])));
            if (!alike)
            {
                int at = linesA.Zip(linesB).TakeWhile(static pair => pair.First == pair.Second).Count();
                return new(first[i].Moment, linesA.ElementAtOrDefault(at), linesB.ElementAtOrDefault(at), first[i], second[j]);
            }
        }
        return null;
    }

    private static bool AreStages(List<string> first, List<string> second) => IsStage(first, second) || IsStage(second, first);

    /// <summary>Without so many of its lines it is a stage of the other's output.</summary>
    private static bool IsTorn(List<string> torn, List<string> whole, int lines, int from = 0)
    {
        for (int i = from; i < torn.Count && lines > 0; i++)
        {
            List<string> rest = [.. torn[..i], .. torn[(i + 1)..]];
            if (rest.Count <= TornLines)
                return false;
            if (AreStages(rest, whole) || IsTorn(rest, whole, lines - 1, i))
                return true;
        }
        return false;
    }

    /// <summary>Every line of the earlier screen but its last, which may be unfinished, stands in the later one in the same order; what scrolled out at its top does not count.</summary>
    private static bool IsStage(List<string> earlier, List<string> later)
    {
        if (earlier.Count == 0)
            return true;
        for (int scrolled = 0; scrolled < earlier.Count; scrolled++)
        {
            if (StartsWith(later, earlier[scrolled..]))
                return scrolled == 0 || later.Count + TornLines >= earlier.Count;
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
