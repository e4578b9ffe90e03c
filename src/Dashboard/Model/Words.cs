using System.Globalization;
using Farm.Contracts;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;

namespace Farm.Dashboard.Model;

/// <summary>What the pages call things.</summary>
public static class Words
{
    /// <summary>"UnsupportedOpcode" becomes "unsupported opcode".</summary>
    public static string Of(Enum? value) => value switch
    {
        BootPhase.Post => "POST",
        BootPhase.OptionRom => "option ROM",
        { } known => string.Concat(known.ToString().Select((c, i) => i > 0 && char.IsUpper(c) ? " " + char.ToLowerInvariant(c) : char.ToLowerInvariant(c).ToString())),
        null => "",
    };

    public static string Of(JobKind kind) => kind == JobKind.Install ? "Install" : "Disk";

    public static string Of(StackSpec? stack) => stack is null ? "" : $"{stack.Backend}/{stack.Assist}/{stack.Firmware}".ToLowerInvariant();

    /// <summary>The word in a matrix cell.</summary>
    public static string Of(MatrixCell cell) => cell switch
    {
        { Undefined: true } => "–",
        { State: CellState.NotTried } => "(-)",
        { State: CellState.NoMedia } => "(-) no media",
        { State: CellState.Queued } => "queued",
        { State: CellState.Running } => Of(cell.Furthest == BootPhase.None ? BootPhase.Loader : cell.Furthest),
        { State: CellState.Yes } => "Yes",
        { State: CellState.Flaky } => $"Flaky {cell.Passes}/{cell.Results}",
        _ => "No",
    };

    /// <summary>Lines that say more about a cell: how far it got, on what, when, how often it flakes; or why it waits.</summary>
    public static IEnumerable<string> Details(MatrixCell cell) => cell switch
    {
        { Undefined: true } => [],
        { State: CellState.Running } => [cell.Progress.ToString("P0", CultureInfo.InvariantCulture), .. Before(cell)],
        { State: CellState.Queued } => [cell.Note, .. Before(cell)],
        { State: CellState.No } => [$"{Of(cell.Outcome)} after {Of(cell.Furthest)}", Of(cell.Stack), Record(cell)],
        { State: CellState.Yes or CellState.Flaky } => [Of(cell.Furthest), Of(cell.Stack), Record(cell)],
        _ => [],
    };

    /// <summary>When the newest result came, and how the results before it went.</summary>
    private static string Record(MatrixCell cell) => string.Join(" · ", new[]
    {
        cell.At is { } at ? at.UtcDateTime.ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture) : "",
        cell.Results > 1 ? $"{cell.Passes} of {cell.Results} passed" : "",
        cell.FlakeRate > 0 ? $"flakes {cell.FlakeRate.ToString("P0", CultureInfo.InvariantCulture)}" : "",
        cell.Trend is CellTrend.Regressed or CellTrend.Fixed ? Of(cell.Trend) : "",
        cell.Stale ? "older definition" : "",
    }.Where(part => part.Length > 0));

    private static IEnumerable<string> Before(MatrixCell cell) => cell.Verdict is CellState.Yes or CellState.No or CellState.Flaky ? [$"was {Of((Enum)cell.Verdict)}"] : [];

    public static string Css(CellChange change) => change switch
    {
        CellChange.Worse => "no",
        CellChange.Better => "yes",
        CellChange.FailsOtherwise => "flaky",
        _ => "nomedia",
    };

    public static string Css(MatrixCell cell) => cell.Undefined ? "undefined" : cell.State.ToString().ToLowerInvariant();

    public static string When(DateTimeOffset? at) => at is { } time ? time.UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture) + " UTC" : "";

    public static string Seconds(double seconds) => seconds.ToString("F2", CultureInfo.InvariantCulture) + " s";

    public static string Count(long count) => count.ToString("N0", CultureInfo.InvariantCulture);

    public static string ResultCss(GuestOutcome? outcome, RunHealth? health) => health switch
    {
        null => "running",
        RunHealth.Ok => outcome == GuestOutcome.Pass ? "yes" : "no",
        _ => "nomedia",
    };

    public static string Result(GuestOutcome? outcome, RunHealth? health) => health switch
    {
        null => "running",
        RunHealth.Ok => Of(outcome),
        _ => Of(health),
    };
}
