using System.Text.Json;
using Farm.Contracts;
using Farm.Contracts.Api;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;
using Spectre.Console;

namespace Farm.Cli;

/// <summary>Tables and words of the client verbs.</summary>
internal static class Output
{
    private static readonly JsonSerializerOptions Indented = new(FarmJson.Options) { WriteIndented = true };

    public static void Json(object value) => Console.Out.WriteLine(JsonSerializer.Serialize(value, value.GetType(), Indented));

    public static Table Table(params string[] columns)
    {
        var table = new Table().Border(TableBorder.None);
        foreach (string column in columns)
            table.AddColumn(new TableColumn($"[bold]{Markup.Escape(column)}[/]").NoWrap());
        return table;
    }

    /// <summary>Writes a table without cutting its lines where standard output is no terminal.</summary>
    public static void Write(Table table)
    {
        if (Console.IsOutputRedirected)
            AnsiConsole.Profile.Width = 400;
        AnsiConsole.Write(table);
    }

    public static string Cell(MatrixCell cell) => cell switch
    {
        { Undefined: true } => "[dim]-[/]",
        { State: CellState.NotTried } => "[dim](-)[/]",
        { State: CellState.NoMedia } => "[dim](-) no media[/]",
        { State: CellState.Queued } => "queued",
        { State: CellState.Running } => $"[yellow]{Words<BootPhase>(cell.Furthest)} {cell.Progress:P0}[/]",
        { State: CellState.Yes } => "[green]Yes[/]",
        { State: CellState.Flaky } => $"[yellow]Flaky {cell.Passes}/{cell.Results}[/]",
        _ => $"[red]No[/] ({Words(cell.Outcome)} after {Words<BootPhase>(cell.Furthest)})",
    };

    public static string Stack(StackSpec? stack) =>
        stack is null ? "" : $"{stack.Backend}/{stack.Assist}/{stack.Firmware}".ToLowerInvariant();

    public static string When(DateTimeOffset? at) => at is { } time ? time.ToLocalTime().ToString("yyyy-MM-dd HH:mm:ss", System.Globalization.CultureInfo.InvariantCulture) : "";

    /// <summary>"UnsupportedOpcode" becomes "unsupported opcode".</summary>
    public static string Words<T>(T? value) where T : struct, Enum =>
        value is { } known ? string.Concat(known.ToString().Select((c, i) => i > 0 && char.IsUpper(c) ? " " + char.ToLowerInvariant(c) : char.ToLowerInvariant(c).ToString())) : "";

    public static string Kind(JobKind kind) => kind == JobKind.Install ? "install" : "disk";

    public static string State(JobInfo job) => job.State switch
    {
        JobState.Finished when job.Health == RunHealth.Ok => job.Outcome == GuestOutcome.Pass ? "[green]pass[/]" : $"[red]{Words(job.Outcome)}[/]",
        JobState.Finished => Words(job.Health),
        JobState.Running => $"[yellow]running {Words<BootPhase>(job.Phase)} {job.Progress:P0}[/]",
        _ => Words<JobState>(job.State),
    };

    public static void Matrix(MatrixView view)
    {
        var table = Table("OS", "Guest", "Install", "Disk", "Stack", "When");
        foreach (var row in view.Rows)
        {
            var newest = new[] { row.Install, row.Disk }.OrderByDescending(cell => cell.At).First();
            table.AddRow(Markup.Escape(row.Guest.Name), Markup.Escape(row.Guest.Id), Cell(row.Install), Cell(row.Disk), Stack(newest.Stack), When(newest.At));
        }
        Write(table);
    }
}
