using System.CommandLine;
using Farm.Contracts.Matrix;
using Farm.Vm;
using Spectre.Console;

namespace Farm.Cli.Commands;

/// <summary><c>farm compare</c>: two sides of the matrix cell by cell.</summary>
internal static class CompareCommand
{
    private static readonly Argument<string> First = new("first") { Description = $"{MatrixSide.Form}, each part any when left out: kvm, soft/vm86, /native:seabios, #5a61ae48" };
    private static readonly Argument<string> Second = new("second") { Description = "the same of the other side" };
    private static readonly Option<bool> All = new("--all") { Description = "the cells too that are alike or have no result on either side" };

    public static Command Create()
    {
        var command = new Command("compare", "Compares the newest results of two stacks or builds, cell by cell.") { First, Second, All };
        command.SetAction(Run);
        return command;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancel)
    {
        var (first, second) = (MatrixSide.Parse(parsed.GetValue(First)!), MatrixSide.Parse(parsed.GetValue(Second)!));
        var farm = FarmConnection.Open(parsed);
        var cells = await farm.Compare(first, second, cancel);
        var shown = parsed.GetValue(All) ? cells : [.. cells.Where(cell => cell.Change is not (CellChange.Same or CellChange.NoResult))];
        if (parsed.GetValue(FarmConnection.Json))
        {
            Output.Json(shown.Select(cell => new { GuestId = cell.Guest.Id, cell.Kind, cell.Change, cell.First, cell.Second }));
            return ExitCodes.Ok;
        }
        var table = Output.Table("Guest", "Kind", Markup.Escape(parsed.GetValue(First)!), Markup.Escape(parsed.GetValue(Second)!), "Difference", "Runs");
        foreach (var cell in shown)
        {
            table.AddRow(
                Markup.Escape(cell.Guest.Id), Output.Kind(cell.Kind), Output.Cell(cell.First), Output.Cell(cell.Second), Output.Words<CellChange>(cell.Change),
                string.Join(" and ", new[] { cell.First.RunId, cell.Second.RunId }.OfType<long>()));
        }
        Output.Write(table);
        Console.Out.WriteLine(string.Join(", ", cells.GroupBy(cell => cell.Change).OrderBy(group => group.Key).Select(group => $"{group.Count()} {Output.Words<CellChange>(group.Key)}")));
        return ExitCodes.Ok;
    }
}
