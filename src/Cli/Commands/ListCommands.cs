using System.CommandLine;
using System.Globalization;
using Farm.Contracts.Api;
using Farm.Contracts.Guests;
using Farm.Contracts.Triage;
using Farm.Vm;
using Spectre.Console;

namespace Farm.Cli.Commands;

/// <summary>matrix, triage, workers, guests.</summary>
internal static class ListCommands
{
    private static readonly Argument<string?> Fingerprint = new("id") { Description = "a group's fingerprint", Arity = ArgumentArity.ZeroOrOne };

    public static IEnumerable<Command> Create()
    {
        yield return Verb("matrix", "Prints the matrix.", (farm, cancel) => farm.GetMatrix(null, cancel), Output.Matrix);

        yield return Verb("workers", "Lists the workers.", (farm, cancel) => farm.GetWorkers(cancel), workers =>
        {
            var table = Output.Table("Worker", "State", "Busy", "Backends", "Firmware", "Memory", "Media", "Last beat", "");
            foreach (var worker in workers)
            {
                table.AddRow(
                    Markup.Escape(worker.Id), Output.Words<Contracts.Workers.WorkerState>(worker.State), $"{worker.Busy}/{worker.Slots}", string.Join(' ', worker.Capabilities.Backends).ToLowerInvariant(),
                    string.Join(' ', worker.Capabilities.Firmware).ToLowerInvariant(), $"{worker.Capabilities.MemoryMiB} MiB", worker.Media.Count.ToString(CultureInfo.InvariantCulture), Output.When(worker.LastBeat), Markup.Escape(worker.Note));
            }
            Output.Write(table);
            foreach (var worker in workers.Where(worker => worker.State is not (Contracts.Workers.WorkerState.Dead or Contracts.Workers.WorkerState.Offline)))
            {
                foreach (string missing in worker.Capabilities.Missing)
                    Console.Out.WriteLine($"{worker.Id} does not offer {missing}");
            }
        });

        yield return Verb("guests", "Lists the catalogue.", (farm, cancel) => farm.GetGuests(cancel), guests =>
        {
            var table = Output.Table("Guest", "Name", "Kinds", "Memory", "Media");
            foreach (var guest in guests)
            {
                table.AddRow(
                    Markup.Escape(guest.Id), Markup.Escape(guest.Name), string.Join(' ', guest.Kinds.Select(Output.Kind)), $"{guest.MemoryMiB} MiB",
                    Markup.Escape(string.Join(", ", guest.Media.Select(media => media.State == MediaState.Present ? media.Name : $"{media.Name} (missing)"))));
            }
            Output.Write(table);
        });

        var triage = new Command("triage", "Lists unsupported opcodes by the guests they block, or shows one group.") { Fingerprint };
        triage.SetAction(async (parsed, cancel) =>
        {
            var farm = FarmConnection.Open(parsed);
            bool json = parsed.GetValue(FarmConnection.Json);
            if (parsed.GetValue(Fingerprint) is not { } fingerprint)
            {
                var groups = await farm.GetTriage(cancel);
                if (json)
                    Output.Json(groups);
                else
                    Print(groups);
                return ExitCodes.Ok;
            }
            var detail = await farm.GetTriageGroup(fingerprint, cancel)
                ?? throw new FarmException(FarmErrorKind.NotFound, $"There is no triage group {fingerprint}; `farm triage` lists them.");
            if (json)
                Output.Json(detail);
            else
                Print(detail);
            return ExitCodes.Ok;
        });
        yield return triage;
    }

    private static Command Verb<T>(string name, string description, Func<IFarm, CancellationToken, Task<T>> read, Action<T> print) where T : notnull
    {
        var command = new Command(name, description);
        command.SetAction(async (parsed, cancel) =>
        {
            var answer = await read(FarmConnection.Open(parsed), cancel);
            if (parsed.GetValue(FarmConnection.Json))
                Output.Json(answer);
            else
                print(answer);
            return ExitCodes.Ok;
        });
        return command;
    }

    private static void Print(IReadOnlyList<TriageGroup> groups)
    {
        var table = Output.Table("Group", "Instruction", "Mode", "Guests blocked", "Seen", "Last", "Status");
        foreach (var group in groups)
        {
            table.AddRow(
                group.Fingerprint, Markup.Escape(group.Title), Output.Words<CpuMode>(group.Mode), Markup.Escape(string.Join(' ', group.GuestsBlocked)),
                group.Occurrences.ToString(CultureInfo.InvariantCulture), Output.When(group.LastSeen), Output.Words<TriageStatus>(group.Status));
        }
        Output.Write(table);
    }

    private static void Print(TriageDetail detail)
    {
        var group = detail.Group;
        Console.Out.WriteLine($"{group.Fingerprint}  {group.Title}  ({Output.Words<TriageStatus>(group.Status)}, seen {group.Occurrences} times)");
        foreach (var cell in group.CellsBlocked)
            Console.Out.WriteLine($"  blocks {cell.GuestId} {Output.Kind(cell.Kind)} on {Output.Stack(cell.Stack)} (run {cell.RunId})");
        foreach (var comparison in detail.Comparisons)
            Console.Out.WriteLine($"  {comparison.Text}");
        foreach (var sample in detail.Samples)
        {
            var report = sample.Report;
            Console.Out.WriteLine();
            Console.Out.WriteLine($"run {sample.RunId}: {sample.GuestId} {Output.Kind(sample.Kind)} on {Output.Stack(sample.Stack)}, {Output.When(sample.At)}");
            Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  {report.Text} [{report.Bytes}] at {report.CodeSegment:X4}:{report.InstructionPointer:X4} (linear {report.LinearAddress:X8}), {report.Owner}, {Output.Words<CpuMode>(report.Mode)}, {report.ExitReason}"));
            foreach (var line in report.Disassembly)
                Console.Out.WriteLine($"  {(line.Failing ? ">" : " ")} {line.Address}  {line.Bytes,-24} {line.Text}");
            Console.Out.WriteLine("  " + string.Join("  ", report.Registers.Select(register => $"{register.Name}={register.Value:X8}")));
            foreach (var segment in report.Segments)
                Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  {segment.Name,-4} {segment.Selector:X4} base {segment.Base:X8} limit {segment.Limit:X8} attributes {segment.Attributes:X5}"));
        }
    }
}
