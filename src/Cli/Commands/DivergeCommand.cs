using System.CommandLine;
using System.Globalization;
using System.Text.RegularExpressions;
using Farm.Catalogue;
using Farm.Contracts;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Machine.Divergence;
using Farm.Machine.Hypervisors;
using Farm.Vm;

namespace Farm.Cli.Commands;

/// <summary><c>farm diverge</c>: runs a guest on two stacks and names the first difference in what it does.</summary>
internal static partial class DivergeCommand
{
    private static readonly Argument<string> Guest = new("guest") { Description = "guest id of the catalogue" };
    private static readonly Option<string> Between = new("--between") { Description = "two stacks, as in soft,kvm or soft/vm86,soft/native:seabios: BACKEND[/ASSIST][:FIRMWARE][@MEMORY_MIB]", HelpName = "A,B", Required = true };
    private static readonly Option<string> Kind = new Option<string>("--kind") { Description = "which column's script to run (default: disk where there is one)" }.AcceptOnlyFromAmong("install", "disk");
    private static readonly Option<string[]> Refuse = new("--refuse") { Description = "an instruction (Iced code name) that the vm86 assist is to refuse", AllowMultipleArgumentsPerToken = false };
    private static readonly Option<string[]> Ignore = new("--ignore") { Description = "regular expression: lines of text screens to leave out", AllowMultipleArgumentsPerToken = false };
    private static readonly Option<string?> Keep = new("--keep") { Description = "folder for the traces, which are deleted otherwise" };
    private static readonly Option<double?> GuestSeconds = new("--guest-seconds") { Description = "limit of each run in guest seconds, where the host's time is the guest's and the host is slow (default: the catalogue's)" };
    private static readonly Option<double?> Timeout = new("--timeout") { Description = "limit of each run in host seconds (default 1800)" };

    public static Command Create()
    {
        var command = new Command("diverge", "Runs a guest on two stacks and names the first difference in port I/O, disk writes or text screens; exit 1 when there is one.")
        {
            Guest, Between, Kind, Refuse, Ignore, Keep, GuestSeconds, Timeout,
        };
        command.SetAction(Run);
        return command;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancel)
    {
        var plan = Plan(parsed.GetValue(Guest)!, parsed.GetValue(Kind));
        string[] stacks = parsed.GetValue(Between)!.Split(',', StringSplitOptions.TrimEntries);
        if (stacks.Length != 2)
            throw new BadInputException($"--between {parsed.GetValue(Between)}: give two stacks, as in soft/vm86,soft/native.");
        Regex[] ignored = [.. (parsed.GetValue(Ignore) ?? []).Select(Pattern)];
        var media = await Media(plan, cancel);
        string folder = parsed.GetValue(Keep) is { } kept ? Directory.CreateDirectory(kept).FullName : Directory.CreateTempSubdirectory("farm-diverge-").FullName;
        try
        {
            var (first, second) = (Prepare(parsed, plan, stacks[0], media, folder, "a"), Prepare(parsed, plan, stacks[1], media, folder, "b"));
            if (first.Stack == second.Stack)
                second = second with { Stack = second.Stack + " again" };
            var report = await Task.Run(() => DivergenceReport.Find(first, second, folder, ignored, cancel), CancellationToken.None);
            if (parsed.GetValue(FarmConnection.Json))
                Output.Json(new { Guest = plan.GuestId, Kind = Output.Words<JobKind>(plan.Kind), report.Alike, report.First, report.Second, report.Streams, report.Screen, Surplus = report.Surplus.Select(row => new { Device = row.Key, First = row.Value.First, Second = row.Value.Second }) });
            else
                Console.Out.Write($"{plan.GuestId}, {Output.Words<JobKind>(plan.Kind)}\n{report.Describe()}");
            return report.Alike ? ExitCodes.Ok : ExitCodes.GuestFailed;
        }
        finally
        {
            if (parsed.GetValue(Keep) is null)
                Directory.Delete(folder, recursive: true);
        }
    }

    private static GuestPlan Plan(string guest, string? kind)
    {
        var catalogue = GuestCatalogue.Load(FarmFolders.Guests);
        var entry = catalogue.FirstOrDefault(entry => entry.Guest.Id == guest)
            ?? throw new BadInputException($"Unknown guest '{guest}'; the catalogue has {string.Join(", ", catalogue.Select(known => known.Guest.Id))}.");
        var wanted = kind is null ? (JobKind?)null : Enum.Parse<JobKind>(kind, ignoreCase: true);
        return entry.Plans.FirstOrDefault(plan => plan.Kind == (wanted ?? JobKind.Disk))
            ?? (wanted is null ? entry.Plans[0] : throw new BadInputException($"Guest '{guest}' defines no {kind}."));
    }

    private static async Task<Dictionary<string, string>> Media(GuestPlan plan, CancellationToken cancel)
    {
        var library = FarmFolders.Library();
        await library.Scan(cancel);
        var files = new Dictionary<string, string>();
        foreach (var medium in plan.Media)
        {
            var found = await library.Find(medium, cancel);
            files[medium.Name] = found.Path ?? throw new BadInputException($"{plan.GuestId}: {found.Problem}");
        }
        return files;
    }

    private static RunToCompare Prepare(ParseResult parsed, GuestPlan plan, string stack, Dictionary<string, string> media, string folder, string name)
    {
        // Blank disks of the two runs are two.
        string own = Directory.CreateDirectory(Path.Combine(folder, name)).FullName;
        var request = MachineRunner.Request(new VmJob { JobId = 0, RunId = 0, Plan = plan, Stack = Stack(stack), Media = media, Folder = own });
        double limit = Seconds(Timeout) ?? 1800;
        request = request with
        {
            Machine = request.Machine with { Refuse = parsed.GetValue(Refuse) ?? [] },
            HostTimeout = TimeSpan.FromSeconds(limit),
            GuestTimeout = Seconds(GuestSeconds) is { } guest ? TimeSpan.FromSeconds(guest) : request.GuestTimeout,
        };
        return new RunToCompare(stack, request, medium => media.GetValueOrDefault(medium));

        double? Seconds(Option<double?> option) =>
            parsed.GetValue(option) is not { } given ? null : given is > 0 and < 1e7 ? given : throw new BadInputException($"{option.Name} must be a positive number of seconds.");
    }

    /// <summary>BACKEND[/ASSIST][:FIRMWARE][@MEMORY_MIB]</summary>
    private static StackSpec Stack(string text)
    {
        var match = StackForm().Match(text);
        if (!match.Success)
            throw new BadInputException($"--between: '{text}' is not a stack; give BACKEND[/ASSIST][:FIRMWARE][@MEMORY_MIB], as in soft/native:seabios@64.");
        return new StackSpec
        {
            Backend = Enum.Parse<Backend>(match.Groups["backend"].Value, ignoreCase: true),
            Assist = Part<AssistMode>(match.Groups["assist"]),
            Firmware = Part<FirmwareSet>(match.Groups["firmware"]),
            MemoryMiB = match.Groups["memory"] is { Success: true } memory ? int.Parse(memory.Value, CultureInfo.InvariantCulture) : null,
        };

        static T Part<T>(Group group) where T : struct, Enum => group.Success ? Enum.Parse<T>(group.Value, ignoreCase: true) : default;
    }

    private static Regex Pattern(string text)
    {
        try
        {
            return new Regex(text, RegexOptions.CultureInvariant | RegexOptions.NonBacktracking);
        }
        catch (Exception e) when (e is ArgumentException or NotSupportedException)
        {
            throw new BadInputException($"--ignore {text}: {e.Message}");
        }
    }

    [GeneratedRegex("^(?<backend>auto|soft|kvm|whp)(/(?<assist>vm86|full|native))?(:(?<firmware>bochs|seabios))?(@(?<memory>[1-9][0-9]{0,4}))?$")]
    private static partial Regex StackForm();
}
