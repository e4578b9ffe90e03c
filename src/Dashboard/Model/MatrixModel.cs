using Farm.Contracts.Guests;
using Farm.Contracts.Live;
using Farm.Contracts.Matrix;

namespace Farm.Dashboard.Model;

/// <summary>The matrix as a page holds it: a snapshot with the feed's changes laid over it.</summary>
public sealed class MatrixModel
{
    private readonly List<MatrixRow> _rows = [];
    private long _sequence;

    public IReadOnlyList<MatrixRow> Rows => _rows;

    public bool Loaded { get; private set; }

    /// <summary>Rows whose guest, family or state contains every word of <paramref name="search"/>.</summary>
    public IEnumerable<MatrixRow> Filter(string? search)
    {
        var words = (search ?? "").Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return _rows.Where(row => words.All(word => Text(row).Contains(word, StringComparison.OrdinalIgnoreCase)));
    }

    public (int Yes, int No, int Flaky, int NotTried) Totals
    {
        get
        {
            var cells = _rows.SelectMany(row => new[] { row.Install, row.Disk }).Where(cell => !cell.Undefined).ToList();
            return (cells.Count(c => c.Verdict == CellState.Yes), cells.Count(c => c.Verdict == CellState.No),
                cells.Count(c => c.Verdict == CellState.Flaky), cells.Count(c => c.Verdict is not (CellState.Yes or CellState.No or CellState.Flaky)));
        }
    }

    public void Load(MatrixView view)
    {
        _rows.Clear();
        _rows.AddRange(view.Rows);
        _sequence = view.Sequence;
        Loaded = true;
    }

    /// <summary>Lays one event over the rows. Returns false when the page must read the matrix anew.</summary>
    public bool Apply(FarmEvent change)
    {
        if (change.Kind is FarmEventKind.Reset or FarmEventKind.GuestsChanged)
            return false;
        if (change.Kind != FarmEventKind.CellChanged || change.Cell is not { } cell || change.Sequence <= _sequence)
            return true;
        int index = _rows.FindIndex(row => row.Guest.Id == cell.GuestId);
        if (index < 0)
            return false;
        _rows[index] = cell.Kind == JobKind.Install ? _rows[index] with { Install = cell } : _rows[index] with { Disk = cell };
        return true;
    }

    private static string Text(MatrixRow row) => $"{row.Guest.Id} {row.Guest.Name} {row.Guest.Family} {row.Guest.Version} install:{row.Install.State} disk:{row.Disk.State}";
}
