using Farm.Contracts.Live;

namespace Farm.Worker.Leases;

/// <summary>Turns whole screens into numbered updates that carry only the rows that changed.</summary>
public sealed class ScreenDiff
{
    private ScreenUpdate? _sent;
    private long _sequence;

    /// <summary>The update that takes a reader from the screen before to this one; null when nothing changed.</summary>
    public ScreenUpdate? Next(ScreenUpdate screen)
    {
        var before = _sent;
        var partial = before is not null && before.Mode == screen.Mode && before.Rows == screen.Rows && before.Columns == screen.Columns && screen.Png is null && before.Png is null;
        var lines = partial ? [.. screen.Lines.Where(line => !Has(before!, line))] : screen.Lines;
        if (partial && lines.Count == 0 && before!.CursorRow == screen.CursorRow && before.CursorColumn == screen.CursorColumn)
            return null;
        if (screen.Png is { } png && before?.Png is { } old && png.AsSpan().SequenceEqual(old))
            return null;
        _sent = screen;
        return screen with { Sequence = ++_sequence, Full = !partial, Lines = lines };
    }

    /// <summary>The reader has lost its place: the next update is full.</summary>
    public void Restart() => _sent = null;

    private static bool Has(ScreenUpdate screen, ScreenLine line)
    {
        var old = screen.Lines.FirstOrDefault(other => other.Row == line.Row);
        return old is not null && old.Text == line.Text && (old.Attributes ?? []).AsSpan().SequenceEqual(line.Attributes ?? []);
    }
}
