using System.Runtime.InteropServices;
using System.Text;

namespace Farm.Machine.Devices.Vga;

/// <summary>What an alphanumeric mode shows: the cells as the CRTC walks them, and the cursor.</summary>
public sealed class TextScreen
{
    private readonly ushort[] _cells;

    /// <param name="cells">Row by row; character code in the low byte, attribute in the high byte.</param>
    /// <param name="cursor">Index of the cell under the cursor, or -1 where none is shown.</param>
    public TextScreen(int columns, int rows, ushort[] cells, int cursor = -1)
    {
        if (columns < 1 || rows < 0 || cells.Length != columns * rows)
            throw new ArgumentException($"{cells.Length} cells do not make {columns} columns by {rows} rows.", nameof(cells));
        Columns = columns;
        Rows = rows;
        _cells = cells;
        CursorVisible = cursor >= 0 && cursor < cells.Length;
        (CursorRow, CursorColumn) = CursorVisible ? (cursor / columns, cursor % columns) : (-1, -1);
        Hash = StableHash.Combine(StableHash.Combine(StableHash.Of(MemoryMarshal.AsBytes(cells.AsSpan()), (ulong)columns), rows), CursorVisible ? cursor : -1);
    }

    public int Columns { get; }

    public int Rows { get; }

    public ReadOnlySpan<ushort> Cells => _cells;

    public bool CursorVisible { get; }

    /// <summary>-1 where no cursor is shown.</summary>
    public int CursorRow { get; }

    /// <summary>-1 where no cursor is shown.</summary>
    public int CursorColumn { get; }

    /// <summary>Of cells, attributes, size and cursor; the same in every process.</summary>
    public ulong Hash { get; }

    public byte Character(int row, int column) => (byte)_cells[row * Columns + column];

    public byte Attribute(int row, int column) => (byte)(_cells[row * Columns + column] >> 8);

    /// <summary>A row as Unicode, trailing blanks trimmed.</summary>
    public string Row(int row)
    {
        var line = _cells.AsSpan(row * Columns, Columns);
        while (!line.IsEmpty && (byte)line[^1] is 0 or (byte)' ' or 0xFF)
            line = line[..^1];
        return string.Create(line.Length, (this, row), static (text, source) =>
        {
            for (int i = 0; i < text.Length; i++)
                text[i] = Cp437.ToUnicode(source.Item1.Character(source.row, i));
        });
    }

    /// <summary>All rows, each ended by a newline; empty rows at the bottom are left out.</summary>
    public string ToText()
    {
        var text = new StringBuilder();
        int kept = 0;
        for (int row = 0; row < Rows; row++)
        {
            string line = Row(row);
            text.Append(line).Append('\n');
            if (line.Length > 0)
                kept = text.Length;
        }
        text.Length = kept;
        return text.ToString();
    }

    public override string ToString() => ToText();
}
