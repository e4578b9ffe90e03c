using System.Text;
using System.Text.RegularExpressions;
using Farm.Machine.Devices.Vga;

namespace Farm.Machine.Boot;

/// <summary>
/// The text screen as lines, knowing which cells are new since a mark. Text that scrolls up stays old; a screen that was replaced
/// is new as a whole.
/// </summary>
internal sealed class FreshScreen
{
    private char[][] _rows = [];
    private bool[][] _fresh = [];
    private int[] _starts = [];

    /// <summary>The rows, trailing blanks trimmed, joined by line feeds.</summary>
    public string Text { get; private set; } = "";

    public IEnumerable<string> Lines => Text.Split('\n');

    /// <summary>From now on everything on the screen is old.</summary>
    public void Mark()
    {
        foreach (var row in _fresh)
            Array.Clear(row);
    }

    /// <summary>Takes over what the screen shows now; null in a graphics mode.</summary>
    public void Observe(TextScreen? screen)
    {
        var rows = screen is null ? [] : Enumerable.Range(0, screen.Rows).Select(row => ReadRow(screen, row)).ToArray();
        int shift = FindShift(rows);
        var fresh = new bool[rows.Length][];
        for (int row = 0; row < rows.Length; row++)
        {
            fresh[row] = new bool[rows[row].Length];
            int from = row + shift;
            if (shift < 0 || from >= _rows.Length)
            {
                Array.Fill(fresh[row], true);
                continue;
            }
            for (int column = 0; column < rows[row].Length; column++)
                fresh[row][column] = _fresh[from][column] || rows[row][column] != _rows[from][column];
        }
        (_rows, _fresh) = (rows, fresh);
        Join();
    }

    /// <summary>Whether the pattern matches; without <paramref name="anywhere"/> a match needs at least one new cell.</summary>
    public bool Matches(Regex pattern, bool anywhere)
    {
        foreach (var match in pattern.EnumerateMatches(Text))
        {
            if (anywhere || IsFresh(match.Index, match.Length))
                return true;
        }
        return false;
    }

    private static char[] ReadRow(TextScreen screen, int row)
    {
        var characters = new char[screen.Columns];
        for (int column = 0; column < characters.Length; column++)
            characters[column] = Cp437.ToUnicode(screen.Character(row, column));
        return characters;
    }

    private static bool IsBlank(char[] row) => row.AsSpan().TrimEnd(' ').IsEmpty;

    /// <summary>How many rows the screen has scrolled up since the last look: 0 too for changes in place, -1 for another screen.</summary>
    private int FindShift(char[][] rows)
    {
        if (rows.Length == 0 || rows.Length != _rows.Length || rows[0].Length != _rows[0].Length)
            return -1;
        int written = 0;
        int kept = 0;
        for (int row = 0; row < rows.Length; row++)
        {
            if (IsBlank(_rows[row]))
                continue;
            written++;
            if (StartsLike(rows[row], _rows[row]))
                kept++;
        }
        if (kept * 2 >= written)
            return 0;
        int last = Array.FindLastIndex(_rows, row => !IsBlank(row));
        for (int shift = 1; shift <= last; shift++)
        {
            if (ScrolledBy(shift, last, rows))
                return shift;
        }
        return -1;
    }

    /// <summary>The last row written may have grown while it scrolled (the echo of what was typed).</summary>
    private bool ScrolledBy(int shift, int last, char[][] rows)
    {
        bool any = false;
        for (int row = shift; row <= last; row++)
        {
            var now = rows[row - shift];
            if (row < last ? !now.AsSpan().SequenceEqual(_rows[row]) : !StartsLike(now, _rows[row]))
                return false;
            any |= !IsBlank(_rows[row]);
        }
        return any;
    }

    private static bool StartsLike(char[] row, char[] before)
    {
        var start = before.AsSpan().TrimEnd(' ');
        return row.AsSpan().StartsWith(start);
    }

    private bool IsFresh(int index, int length)
    {
        if (_starts.Length == 0)
            return false;
        int row = Array.BinarySearch(_starts, index);
        if (row < 0)
            row = ~row - 1;
        for (int i = index; i < index + Math.Max(length, 1); i++)
        {
            while (row + 1 < _starts.Length && _starts[row + 1] <= i)
                row++;
            int column = i - _starts[row];
            if (column < _fresh[row].Length && _fresh[row][column])
                return true;
        }
        return false;
    }

    private void Join()
    {
        var text = new StringBuilder();
        _starts = new int[_rows.Length];
        for (int row = 0; row < _rows.Length; row++)
        {
            if (row > 0)
                text.Append('\n');
            _starts[row] = text.Length;
            text.Append(_rows[row].AsSpan().TrimEnd(' '));
        }
        Text = text.ToString();
    }
}
