using System.CommandLine;
using Farm.Catalogue;
using Farm.Contracts.Guests;
using Farm.Machine.Hypervisors;
using Farm.Machine.Storage;
using Farm.Vm;
using Farm.Worker.Media;
using Spectre.Console;

namespace Farm.Cli.Commands;

/// <summary><c>farm media add|list|verify|make</c>: the media on this machine.</summary>
internal static class MediaCommand
{
    private static readonly Argument<string[]> Files = new("file") { Arity = ArgumentArity.OneOrMore };

    public static Command Create()
    {
        var add = new Command("add", "Copies media into the farm's folder.") { Files };
        add.SetAction(Add);
        var list = new Command("list", "Lists the catalogue's media and where they are.");
        list.SetAction((parsed, cancel) => List(parsed, verify: false, cancel));
        var verify = new Command("verify", "Checks the media at hand against the catalogue's checksums; exit 2 when one is wrong.");
        verify.SetAction((parsed, cancel) => List(parsed, verify: true, cancel));
        var make = new Command("make", "Makes the media that have a recipe.");
        make.SetAction(async (_, cancel) =>
        {
            await MediaRecipes.Make(Catalogue().Select(item => item.Medium), text => Console.Error.WriteLine($"farm: {text}"), cancel);
            return ExitCodes.Ok;
        });
        return new Command("media", "The guests' media on this machine.") { add, list, verify, make };
    }

    private static IReadOnlyList<(string Guest, MediaInfo Medium)> Catalogue() =>
        [.. GuestCatalogue.Load(FarmFolders.Guests).SelectMany(entry => entry.Guest.Media.Select(medium => (entry.Guest.Id, medium)))];

    private static async Task<int> Add(ParseResult parsed, CancellationToken cancel)
    {
        Directory.CreateDirectory(FarmFolders.Media);
        var catalogue = Catalogue();
        foreach (string file in parsed.GetValue(Files)!)
        {
            string sha256 = await MediaHasher.FileSha256Async(file, cancellation: cancel);
            string name = Path.GetFileName(file);
            var users = catalogue.Where(item => item.Medium.Sha256 == sha256 || (item.Medium.Sha256 is null && item.Medium.Files.Contains(name, StringComparer.OrdinalIgnoreCase))).ToList();
            var wrong = catalogue.FirstOrDefault(item => item.Medium.Sha256 is not null && item.Medium.Sha256 != sha256 && item.Medium.Files.Contains(name, StringComparer.OrdinalIgnoreCase));
            if (users.Count == 0 && wrong.Medium is not null)
                throw new BadInputException($"{file} has the wrong checksum for {wrong.Guest}'s medium {wrong.Medium.Name}: it is {sha256}, the catalogue says {wrong.Medium.Sha256}. Nothing was added.");
            // A medium that the catalogue knows by its digest is what it is; the others must at least be media.
            MediaKind kind = users.Count > 0 ? users[0].Medium.Kind : KindOf(file);
            if (!users.Exists(item => item.Medium.Sha256 is not null) && Problem(file, kind) is { } problem)
                throw new BadInputException($"{problem}{(problem.EndsWith('.') ? "" : ".")} Nothing was added.");
            File.Copy(file, Path.Combine(FarmFolders.Media, name), overwrite: true);
            Console.Out.WriteLine($"{sha256}  {name}  {(users.Count == 0 ? "(no guest of the catalogue uses it)" : string.Join(", ", users.Select(item => $"{item.Guest}/{item.Medium.Name}")))}");
        }
        return ExitCodes.Ok;
    }

    private static async Task<int> List(ParseResult parsed, bool verify, CancellationToken cancel)
    {
        var library = FarmFolders.Library();
        await library.Scan(cancel);
        var rows = new List<(string Guest, MediaInfo Medium, MediaLookup Found)>();
        foreach (var (guest, medium) in Catalogue())
            rows.Add((guest, medium, await library.Find(medium, cancel)));
        if (parsed.GetValue(FarmConnection.Json))
        {
            Output.Json(rows.Select(row => new { row.Guest, row.Medium.Name, row.Medium.Kind, row.Medium.Sha256, row.Found.Path, row.Found.Problem }).ToList());
        }
        else
        {
            var table = Output.Table("Guest", "Medium", "Kind", "State", "File");
            foreach (var (guest, medium, found) in rows)
                table.AddRow(guest, medium.Name, Output.Words<MediaKind>(medium.Kind), found.Path is null ? "[red]missing[/]" : medium.Sha256 is null ? "at hand" : "[green]verified[/]", Markup.Escape(found.Path ?? found.Problem ?? ""));
            Output.Write(table);
        }
        if (!verify)
            return ExitCodes.Ok;
        var wrong = rows.Where(row => row.Found.Problem?.Contains("wrong checksum", StringComparison.Ordinal) == true).Select(row => (row.Guest, Problem: row.Found.Problem!))
            .Concat(rows.Where(row => row.Found.Path is not null && row.Medium.Sha256 is null)
                .Select(row => (row.Guest, Problem: Problem(row.Found.Path!, row.Medium.Kind)!)).Where(row => row.Problem is not null)).ToList();
        foreach (var (guest, problem) in wrong)
            Console.Error.WriteLine($"farm: {guest}: {problem}");
        return wrong.Count == 0 ? ExitCodes.Ok : ExitCodes.BadInput;
    }

    private static MediaKind KindOf(string path) =>
        path.EndsWith(".iso", StringComparison.OrdinalIgnoreCase) ? MediaKind.Cdrom
        : FloppyFormat.Standard.Any(format => new FileInfo(path) is { Exists: true } file && file.Length == format.Bytes) ? MediaKind.Floppy : MediaKind.Disk;

    /// <summary>Why a file cannot be a whole medium of its kind, or null.</summary>
    private static string? Problem(string path, MediaKind kind)
    {
        try
        {
            using var image = kind switch
            {
                MediaKind.Floppy => ImageFile.OpenFloppy(path).Image,
                MediaKind.Cdrom => ImageFile.OpenCdRom(path),
                _ => ImageFile.OpenDisk(path),
            };
            return ImageFile.Warning(image);
        }
        catch (BadInputException e)
        {
            return e.Message;
        }
    }
}
