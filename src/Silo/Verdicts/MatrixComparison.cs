using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;

namespace Farm.Silo.Verdicts;

/// <summary>Lays two readings of the matrix side by side: two backends, strengths, firmware sets or builds. Pure.</summary>
public static class MatrixComparison
{
    /// <summary>The columns that guests define, guest by guest; those that differ for the worse first.</summary>
    public static IReadOnlyList<CellComparison> Compare(IReadOnlyList<MatrixRow> first, IReadOnlyList<MatrixRow> second)
    {
        var others = second.ToDictionary(row => row.Guest.Id);
        return
        [
            .. from row in first
               where others.ContainsKey(row.Guest.Id)
               let other = others[row.Guest.Id]
               from pair in new[] { (First: row.Install, Second: other.Install), (First: row.Disk, Second: other.Disk) }
               where !pair.First.Undefined
               let change = Change(pair.First, pair.Second)
               orderby change switch { CellChange.Worse => 0, CellChange.FailsOtherwise => 1, CellChange.Better => 2, CellChange.FirstOnly or CellChange.SecondOnly => 3, CellChange.Same => 4, _ => 5 }
               select new CellComparison { Guest = row.Guest, Kind = pair.First.Kind, First = pair.First, Second = pair.Second, Change = change },
        ];
    }

    /// <param name="first">As it is without what is queued or runs.</param>
    public static CellChange Change(MatrixCell first, MatrixCell second)
    {
        int before = Rank(first), after = Rank(second);
        if (before == 0 || after == 0)
            return before == after ? CellChange.NoResult : after == 0 ? CellChange.FirstOnly : CellChange.SecondOnly;
        if (before != after)
            return after > before ? CellChange.Better : CellChange.Worse;
        if (first.Verdict != CellState.No)
            return CellChange.Same;
        // Both fail: one may get further.
        if (first.Furthest != second.Furthest)
            return second.Furthest > first.Furthest ? CellChange.Better : CellChange.Worse;
        return first.Outcome == second.Outcome ? CellChange.Same : CellChange.FailsOtherwise;
    }

    private static int Rank(MatrixCell cell) => cell.Verdict switch { CellState.Yes => 3, CellState.Flaky => 2, CellState.No => 1, _ => 0 };
}
