using System.Text;

namespace Farm.Bench;

/// <summary>As much of a VT100 as curses uses with it: text, cursor moves, erasing, scrolling.</summary>
internal sealed class TerminalScreen
{
    /// <summary>More than a text mode has; curses draws nothing beyond them.</summary>
    public const int Rows = 60, Columns = 100;

    private readonly char[][] _cells = [.. Enumerable.Range(0, Rows).Select(_ => Blank())];
    private readonly StringBuilder _sequence = new();
    private int _row, _column, _top, _bottom = Rows - 1;
    private bool _escape;

    public string Text => string.Join('\n', _cells.Select(row => new string(row).TrimEnd()));

    public void Write(ReadOnlySpan<byte> bytes)
    {
        foreach (byte value in bytes)
        {
            if (_escape)
                Escape((char)value);
            else
                Plain((char)value);
        }
    }

    private void Plain(char character)
    {
        switch (character)
        {
            case '\e':
                _escape = true;
                _sequence.Clear();
                break;
            case '\r':
                _column = 0;
                break;
            case '\n':
                LineFeed();
                break;
            case '\b':
                _column = Math.Max(0, _column - 1);
                break;
            case '\t':
                _column = Math.Min(Columns - 1, (_column | 7) + 1);
                break;
            case >= ' ':
                if (_column == Columns)
                {
                    _column = 0;
                    LineFeed();
                }
                _cells[_row][_column++] = character;
                break;
        }
    }

    private void Escape(char character)
    {
        _sequence.Append(character);
        bool control = _sequence[0] == '[', charset = _sequence[0] is '(' or ')' or '#';
        if (control ? _sequence.Length == 1 || character is not (>= '@' and <= '~') : charset && _sequence.Length == 1)
            return;
        _escape = false;
        if (control)
            Control(character, _sequence.ToString(1, _sequence.Length - 2));
        else if (character == 'M')
            ReverseLineFeed();
        else if (character == 'D')
            LineFeed();
    }

    private void Control(char command, string parameters)
    {
        int[] values = [.. parameters.TrimStart('?').Split(';').Select(value => int.TryParse(value, out int number) ? number : 0)];
        int count = Math.Max(1, values[0]);
        switch (command)
        {
            case 'H' or 'f':
                _row = Math.Clamp(values[0] - 1, 0, Rows - 1);
                _column = Math.Clamp((values.Length > 1 ? values[1] : 1) - 1, 0, Columns - 1);
                break;
            case 'd':
                _row = Math.Clamp(count - 1, 0, Rows - 1);
                break;
            case 'G':
                _column = Math.Clamp(count - 1, 0, Columns - 1);
                break;
            case 'A':
                _row = Math.Max(0, _row - count);
                break;
            case 'B':
                _row = Math.Min(Rows - 1, _row + count);
                break;
            case 'C':
                _column = Math.Min(Columns - 1, _column + count);
                break;
            case 'D':
                _column = Math.Max(0, _column - count);
                break;
            case 'K':
                int from = values[0] == 0 ? Math.Min(_column, Columns) : 0, to = values[0] == 1 ? Math.Min(_column + 1, Columns) : Columns;
                Array.Fill(_cells[_row], ' ', from, to - from);
                break;
            case 'J':
                if (values[0] == 0)
                    Control('K', "0");
                for (int row = values[0] == 0 ? _row + 1 : 0; row < (values[0] == 1 ? _row : Rows); row++)
                    _cells[row] = Blank();
                break;
            case 'r':
                _top = Math.Clamp(values[0] - 1, 0, Rows - 1);
                _bottom = values.Length > 1 && values[1] > _top ? Math.Min(values[1], Rows) - 1 : Rows - 1;
                (_row, _column) = (0, 0);
                break;
        }
    }

    private void LineFeed()
    {
        if (_row != _bottom)
        {
            _row = Math.Min(_row + 1, Rows - 1);
            return;
        }
        Array.Copy(_cells, _top + 1, _cells, _top, _bottom - _top);
        _cells[_bottom] = Blank();
    }

    private void ReverseLineFeed()
    {
        if (_row != _top)
        {
            _row = Math.Max(0, _row - 1);
            return;
        }
        Array.Copy(_cells, _top, _cells, _top + 1, _bottom - _top);
        _cells[_top] = Blank();
    }

    private static char[] Blank()
    {
        char[] row = new char[Columns];
        Array.Fill(row, ' ');
        return row;
    }
}
