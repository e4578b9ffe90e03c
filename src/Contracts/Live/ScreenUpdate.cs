using Orleans;

namespace Farm.Contracts.Live;

/// <summary>One row of the text screen: characters and, in step with them, VGA attribute bytes.</summary>
[GenerateSerializer, Immutable, Alias("Farm.ScreenLine")]
public sealed record ScreenLine
{
    [Id(0)] public required int Row { get; init; }
    [Id(1)] public required string Text { get; init; }

    /// <summary>One VGA attribute per character (bits 0-3 foreground, 4-6 background, 7 blink), or null for all 07h.</summary>
    [Id(2)] public byte[]? Attributes { get; init; }
}

/// <summary>
/// The screen, or the rows that changed since the update before it. Sequence numbers count from 1 in a run; a reader that
/// misses one asks for a full update.
/// </summary>
[GenerateSerializer, Immutable, Alias("Farm.ScreenUpdate")]
public sealed record ScreenUpdate
{
    [Id(0)] public required long Sequence { get; init; }

    /// <summary>Every row is in <see cref="Lines"/>.</summary>
    [Id(1)] public bool Full { get; init; }
    [Id(2)] public int Columns { get; init; } = 80;
    [Id(3)] public int Rows { get; init; } = 25;
    [Id(4)] public IReadOnlyList<ScreenLine> Lines { get; init; } = [];

    /// <summary>-1 when the cursor is off or outside.</summary>
    [Id(5)] public int CursorRow { get; init; } = -1;
    [Id(6)] public int CursorColumn { get; init; } = -1;
    [Id(7)] public double GuestSeconds { get; init; }

    /// <summary>Graphics mode: the picture as PNG, at most 512 KiB; null in text mode.</summary>
    [Id(8)] public byte[]? Png { get; init; }

    /// <summary>E.g. <c>text 80x25</c> or <c>640x480x4</c>.</summary>
    [Id(9)] public string Mode { get; init; } = "text 80x25";

    /// <summary>This screen with <paramref name="next"/> laid over it: a full update, or null when rows are missing in between.</summary>
    public static ScreenUpdate? Merge(ScreenUpdate? screen, ScreenUpdate next)
    {
        if (next.Full)
            return next;
        if (screen is null || next.Sequence != screen.Sequence + 1 || next.Rows != screen.Rows || next.Columns != screen.Columns)
            return null;
        var lines = screen.Lines.ToDictionary(line => line.Row);
        foreach (var line in next.Lines)
            lines[line.Row] = line;
        return next with { Full = true, Lines = [.. lines.Values.OrderBy(line => line.Row)] };
    }
}
