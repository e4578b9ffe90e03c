using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Farm.Assist.Monitor;
using Farm.Firmware;
using Farm.Machine;
using Farm.Machine.Boot;
using Farm.Machine.Hypervisors;
using Farm.Machine.Network;

namespace Farm.Vm;

/// <summary><c>farm boot</c>: one VM with no farm.</summary>
public static class BootCommand
{
    private const string IdeSuffix = ",if=ide";
    private const string VirtioSuffix = ",if=virtio";

    private static readonly Option<string[]> Floppy = Files("--floppy", "floppy image for drive A:, a second one for B:");
    private static readonly Option<string[]> Disk = Files("--disk", $"raw hard disk image on IDE, up to four; with {VirtioSuffix} behind the name on virtio (SeaBIOS boots from it)");
    private static readonly Option<string[]> Cdrom = Files("--cdrom", "ISO image");
    private static readonly Option<string> Order = new("--order") { Description = "boot order: a floppy, c disk, d CD-ROM, n network", DefaultValueFactory = _ => "" };
    private static readonly Option<bool> BootMenu = new("--boot-menu") { Description = "SeaBIOS offers its boot menu (ESC); the Bochs BIOS does so always (F12)" };
    private static readonly Option<int> Memory = new("--memory") { Description = "guest memory in MiB", DefaultValueFactory = _ => 64 };
    private static readonly Option<string> Backend = new Option<string>("--backend") { Description = "what executes the guest", DefaultValueFactory = _ => "auto" }.AcceptOnlyFromAmong("auto", "kvm", "whp", "soft");
    private static readonly Option<string> Assist = new Option<string>("--assist") { Description = "who executes real-mode code", DefaultValueFactory = _ => "vm86" }.AcceptOnlyFromAmong("vm86", "full", "native");
    private static readonly Option<string> Firmware = new Option<string>("--firmware") { Description = "firmware set", DefaultValueFactory = _ => "bochs" }.AcceptOnlyFromAmong("bochs", "seabios");
    private static readonly Option<string> Cpu = new("--cpu") { Description = "CPU model: 486, pentium, p3, x86-64", DefaultValueFactory = _ => "p3" };
    private static readonly Option<int> Cpus = new("--cpus") { Description = "number of processors", DefaultValueFactory = _ => 1 };
    private static readonly Option<string?> Bios = new("--bios") { Description = "raw rombios image of 64, 128 or 256 KiB" };
    private static readonly Option<string> Vgabios = new("--vgabios") { Description = "std, cirrus or a file", DefaultValueFactory = _ => "std" };
    private static readonly Option<string?> Serial = new("--serial") { Description = "where COM1 goes: a file, or - for standard output" };
    private static readonly Option<string?> Debugcon = new("--debugcon") { Description = "where ports E9h and 402h go: a file or -" };
    private static readonly Option<string[]> Expect = Texts("--expect", "regular expression to wait for on the text screen or serial; several are met in order");
    private static readonly Option<string[]> Type = Texts("--type", "text to type once the expectations before it are met; \\n or <enter> is Enter");
    private static readonly Option<string?> Script = new("--script") { Description = "guest script (YAML)" };
    private static readonly Option<double?> Timeout = new("--timeout") { Description = "limit in host seconds (default 600)" };
    private static readonly Option<double?> GuestTimeout = new("--guest-timeout") { Description = "limit in guest seconds (default 1800)" };
    private static readonly Option<string?> ScreenText = new("--screen-text") { Description = "write the final text screen to a file or -" };
    private static readonly Option<string?> Screenshot = new("--screenshot") { Description = "write the final screen as PNG" };
    private static readonly Option<string?> Report = new("--report") { Description = "write the report as JSON" };
    private static readonly Option<bool> Write = new("--write") { Description = "guest writes go to the images instead of a throw-away overlay" };
    private static readonly Option<string[]> Nic = Texts("--nic", $"network card: {NicOptions.Forms}; a second one for a second card");
    private static readonly Option<string[]> Refuse = Texts("--refuse", "an instruction (Iced code name) that the vm86 assist is to refuse");

    public static Command Create()
    {
        var command = new Command("boot", "Boots one VM with no farm around it.")
        {
            Floppy, Disk, Cdrom, Order, BootMenu, Memory, Backend, Assist, Firmware, Cpu, Cpus, Bios, Vgabios, Serial, Debugcon, Expect, Type, Script, Timeout,
            GuestTimeout, ScreenText, Screenshot, Report, Write, Nic, Refuse,
        };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parsed)
    {
        var request = new BootRequest
        {
            Machine = new MachineOptions
            {
                MemoryMiB = Bounded(parsed.GetValue(Memory), 1, 64512, "--memory"),
                CpuModel = parsed.GetValue(Cpu)!,
                Vcpus = Bounded(parsed.GetValue(Cpus), 1, MonitorLayout.MaxProcessors, "--cpus"),
                Assist = Enum.Parse<AssistStrength>(parsed.GetValue(Assist)!, ignoreCase: true),
                Firmware = parsed.GetValue(Firmware)!,
                BiosFile = Given(parsed.GetValue(Bios), file => Payload.LoadRawBios(file)),
                Vgabios = parsed.GetValue(Vgabios) is "std" or "cirrus" ? parsed.GetValue(Vgabios)! : Given(parsed.GetValue(Vgabios), file => Payload.LoadRawVgaBios(file))!,
                Floppies = AtMost(parsed.GetValue(Floppy), 2, "--floppy"),
                Disks = AtMost(Disks(parsed, virtio: false), 4, "--disk"),
                VirtioDisks = AtMost(Disks(parsed, virtio: true), 4, $"--disk with {VirtioSuffix}"),
                Cdroms = AtMost(parsed.GetValue(Cdrom), 2, "--cdrom"),
                Order = BootOrder(parsed),
                BootMenu = parsed.GetValue(BootMenu),
                WriteThrough = parsed.GetValue(Write),
                Nics = [.. AtMost(parsed.GetValue(Nic), 4, "--nic").Select(NicOptions.Parse).OfType<NicOptions>()],
                Refuse = parsed.GetValue(Refuse) ?? [],
            },
            Backend = parsed.GetValue(Backend)!,
            Script = BuildScript(parsed),
            HostTimeout = Seconds(parsed.GetValue(Timeout) ?? 600, "--timeout"),
            GuestTimeout = Seconds(parsed.GetValue(GuestTimeout) ?? 1800, "--guest-timeout"),
        };
        using var serial = OpenSink(parsed.GetValue(Serial), "--serial");
        using var debugcon = OpenSink(parsed.GetValue(Debugcon), "--debugcon");
        foreach (var (option, path) in new[] { ("--report", parsed.GetValue(Report)), ("--screenshot", parsed.GetValue(Screenshot)), ("--screen-text", parsed.GetValue(ScreenText)) })
            CheckWritable(path, option);

        using var session = new BootSession(request) { SerialSink = serial, DebugSink = debugcon };
        foreach (var warning in session.Machine.Events.Events.Where(item => item.Source == "media"))
            Console.Error.WriteLine($"farm boot: warning: {warning.Message}");
        using var interrupt = new CancellationTokenSource();
        Console.CancelKeyPress += (_, e) =>
        {
            e.Cancel = true;
            interrupt.Cancel();
        };
        var report = session.Run(interrupt.Token);

        if (parsed.GetValue(Report) is { } reportPath)
            File.WriteAllText(reportPath, report.ToJson() + "\n");
        if (parsed.GetValue(Screenshot) is { } png)
            File.WriteAllBytes(png, session.Screenshot());
        if (parsed.GetValue(ScreenText) is { } text)
            WriteText(text, string.Join('\n', report.Screen) + "\n");
        Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"farm boot: {report.Outcome}: {report.Reason} (guest {report.GuestSeconds:F2} s, host {report.HostSeconds:F2} s, {report.Instructions} instructions, furthest phase {report.FurthestPhase})"));
        return report.Outcome == BootOutcome.Pass ? ExitCodes.Ok : ExitCodes.GuestFailed;
    }

    /// <summary>--script, else the --expect and --type options in the order in which they were given.</summary>
    private static GuestScript BuildScript(ParseResult parsed)
    {
        var steps = new List<ScriptStep>();
        if (parsed.GetValue(Script) is { } file)
        {
            var script = GuestScript.Load(file);
            if (parsed.GetValue(Expect) is { Length: > 0 } || parsed.GetValue(Type) is { Length: > 0 })
                throw new BadInputException("--script cannot be combined with --expect or --type; put the steps into the script.");
            return script;
        }
        string? option = null;
        foreach (var token in parsed.Tokens)
        {
            if (token.Type == TokenType.Option)
            {
                option = token.Value;
                continue;
            }
            if (option == Expect.Name)
                steps.Add(ScriptStep.Expect(token.Value));
            else if (option == Type.Name)
                steps.Add(ScriptStep.Type(token.Value));
            option = null;
        }
        return new GuestScript { Steps = steps };
    }

    /// <summary>As given, else the kinds of media that are there, floppy first.</summary>
    private static string BootOrder(ParseResult parsed)
    {
        string order = parsed.GetValue(Order)!;
        if (order.Length == 0)
            return "acd";
        if (order.Length > 4 || order.Any(c => !"acdn".Contains(c, StringComparison.Ordinal)) || order.Distinct().Count() != order.Length)
            throw new BadInputException($"--order {order}: give each of a (floppy), c (disk), d (CD-ROM), n (network) at most once, as in --order acd.");
        return order;
    }

    /// <summary>The images of one interface; a name without one means IDE.</summary>
    private static string[] Disks(ParseResult parsed, bool virtio) =>
        [.. (parsed.GetValue(Disk) ?? []).Where(name => name.EndsWith(VirtioSuffix, StringComparison.Ordinal) == virtio).Select(name =>
            name.EndsWith(IdeSuffix, StringComparison.Ordinal) ? name[..^IdeSuffix.Length] : virtio ? name[..^VirtioSuffix.Length] : name)];

    /// <summary>A firmware image of the user's own: what is wrong with it is bad input, not the host's trouble.</summary>
    private static string? Given(string? file, Action<string> check)
    {
        try
        {
            if (file is not null)
                check(file);
            return file;
        }
        catch (FirmwareException e)
        {
            throw new BadInputException(e.Message, e);
        }
    }

    private static Option<string[]> Files(string name, string description) => new(name) { Description = description, HelpName = "FILE", Arity = ArgumentArity.OneOrMore, AllowMultipleArgumentsPerToken = false };

    private static Option<string[]> Texts(string name, string description) => new(name) { Description = description, Arity = ArgumentArity.OneOrMore, AllowMultipleArgumentsPerToken = false };

    private static string[] AtMost(string[]? files, int most, string option) =>
        (files?.Length ?? 0) <= most ? files ?? [] : throw new BadInputException($"{option} was given {files!.Length} times; the machine has room for {most}.");

    private static int Bounded(int value, int least, int most, string option) =>
        value >= least && value <= most ? value : throw new BadInputException($"{option} {value} is out of range: give {least} to {most}.");

    private static TimeSpan Seconds(double value, string option) =>
        value is > 0 and < 1e7 ? TimeSpan.FromSeconds(value) : throw new BadInputException($"{option} must be a positive number of seconds.");

    private static Stream? OpenSink(string? path, string option)
    {
        if (path is null)
            return null;
        if (path == "-")
            return Console.OpenStandardOutput();
        try
        {
            return new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new BadInputException($"{option} {path} cannot be written: {e.Message}", e);
        }
    }

    private static void CheckWritable(string? path, string option)
    {
        if (path is null or "-")
            return;
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        if (!Directory.Exists(folder) || Directory.Exists(path))
            throw new BadInputException($"{option} {path} cannot be written: {(Directory.Exists(path) ? "it is a folder" : $"there is no folder {folder}")}.");
    }

    private static void WriteText(string path, string text)
    {
        if (path == "-")
            Console.Out.Write(text);
        else
            File.WriteAllText(path, text);
    }
}
