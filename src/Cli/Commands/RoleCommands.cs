using System.CommandLine;
using System.Net;
using System.Runtime.InteropServices;
using Farm.Catalogue;
using Farm.Contracts;
using Farm.Contracts.Api;
using Farm.Dashboard;
using Farm.Machine.Hypervisors;
using Farm.Silo.Hosting;
using Farm.Vm;
using Farm.Worker;
using Farm.Worker.Hosting;

namespace Farm.Cli.Commands;

/// <summary>silo, worker, dashboard: one role each, for several machines; vm-run: a VM's child process.</summary>
internal static class RoleCommands
{
    public static Option<int> Port { get; } = new("--port") { Description = "port of the API and the dashboard", DefaultValueFactory = _ => FarmConnection.DefaultPort };

    public static Option<string?> Postgres { get; } = new("--postgres") { Description = "Npgsql connection string of the farm's database" };

    public static Option<int> Slots { get; } = new("--slots") { Description = "VMs at the same time", DefaultValueFactory = _ => Math.Max(1, Environment.ProcessorCount) };

    public static Option<string[]> Media { get; } = new("--media") { Description = "a folder with guest media", Arity = ArgumentArity.OneOrMore, AllowMultipleArgumentsPerToken = false };

    /// <summary>What the worker offers; nothing: every backend that works here.</summary>
    public static Option<string[]> Offer { get; } = new Option<string[]>("--backend") { Description = "offer only this backend (default: all that work here)", Arity = ArgumentArity.OneOrMore, AllowMultipleArgumentsPerToken = false }.AcceptOnlyFromAmong("kvm", "whp", "soft");

    private static readonly Option<int> MediaCache = new("--media-cache") { Description = "MiB of media fetched from the farm to keep", DefaultValueFactory = _ => Worker.WorkerOptions.DefaultMediaCacheMiB };
    private static readonly Option<string[]> Gateway = new("--gateway") { Description = "a silo's gateway, ADDRESS:PORT", Arity = ArgumentArity.OneOrMore, AllowMultipleArgumentsPerToken = false };
    private static readonly Option<string?> Id = new("--id") { Description = "the worker's name, unique in the farm (default: this host's)" };

    public static IEnumerable<Command> Create()
    {
        var silo = new Command("silo", "Runs a silo with the HTTP API and the dashboard.") { Postgres, Port, Media };
        foreach (var option in Listening.Options)
            silo.Add(option);
        silo.SetAction(RunSilo);
        yield return silo;
        var worker = new Command("worker", "Runs a worker node.") { Postgres, Gateway, Slots, Media, MediaCache, Offer, Id };
        worker.SetAction(RunWorker);
        yield return worker;
        var dashboard = new Command("dashboard", "Runs a dashboard for a farm elsewhere (--server).") { Port, Listening.Listen };
        dashboard.SetAction(RunDashboard);
        yield return dashboard;
        yield return VmRunCommand.Create();
    }

    /// <summary>A worker with the backends that work here.</summary>
    public static WorkerOptions WorkerOptions(ParseResult parsed)
    {
        int slots = parsed.GetValue(Slots);
        string[]? media = parsed.GetValue(Media);
        string[] offered = parsed.GetValue(Offer) ?? [];
        if (slots is < 1 or > 256)
            throw new BadInputException($"--slots {slots} is out of range: give 1 to 256.");
        int cache = parsed.GetResult(MediaCache) is null ? Worker.WorkerOptions.DefaultMediaCacheMiB : parsed.GetValue(MediaCache);
        if (cache < 0)
            throw new BadInputException($"--media-cache {cache} is out of range: give MiB, 0 for none.");
        CheckFolders(media);
        var usable = offered.Length > 0 ? [.. offered.Distinct().Select(Backends.Choose)] : Backends.All.Where(backend => backend.Unavailable is null);
        var here = usable.Select(backend => Enum.Parse<Backend>(backend.Name, ignoreCase: true)).ToList();
        var missing = Backends.All.Where(backend => backend.Unavailable is not null && backend.Name == (OperatingSystem.IsWindows() ? "whp" : "kvm")).Select(backend => $"{backend.Name}: {backend.Unavailable}").ToList();
        var firmware = new List<FirmwareSet>();
        foreach (var set in new[] { FirmwareSet.Bochs, FirmwareSet.Seabios })
        {
            if (Problem(set) is not { } problem)
                firmware.Add(set);
            else
                missing.Add($"{set.ToString().ToLowerInvariant()} firmware: {problem}");
        }
        if (firmware.Count == 0)
            throw new HostException("A worker needs firmware. " + string.Join(' ', missing.TakeLast(2)));
        var options = new WorkerOptions
        {
            Capabilities = WorkerHost.Describe(here, firmware, missing),
            Folder = Path.Combine(FarmConnection.StateFolder, "worker"),
            MediaFolders = FarmFolders.MediaFolders(media),
            MediaCacheMiB = cache,
            Slots = slots,
        };
        return parsed.GetResult(Id) is null || parsed.GetValue(Id) is not { } id ? options : options with { Id = id };
    }

    /// <summary>Why a firmware set cannot be used here, or null.</summary>
    private static string? Problem(FirmwareSet set)
    {
        try
        {
            _ = Firmware.FirmwareSet.Load(new(set.ToString().ToLowerInvariant()));
            return null;
        }
        catch (Firmware.FirmwareException e)
        {
            return e.Message;
        }
    }

    private static void CheckFolders(string[]? media)
    {
        foreach (string folder in media ?? [])
        {
            if (!Directory.Exists(folder))
                throw new BadInputException($"--media {folder}: there is no such folder.");
        }
    }

    /// <summary>Cancelled by Ctrl-C and SIGTERM.</summary>
    public static CancellationToken Stopping()
    {
        var source = new CancellationTokenSource();
        void Stop(PosixSignalContext context)
        {
            context.Cancel = true;
            source.Cancel();
        }
        s_signals.Add(PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop));
        s_signals.Add(PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop));
        return source.Token;
    }

    private static readonly List<PosixSignalRegistration> s_signals = [];

    private static async Task<int> RunSilo(ParseResult parsed, CancellationToken cancel)
    {
        var stopping = Stopping();
        string database = parsed.GetValue(Postgres) ?? throw new BadInputException("--postgres CONN is needed: the connection string of the farm's database.");
        string[]? media = parsed.GetValue(Media);
        CheckFolders(media);
        var listening = Listening.From(parsed);
        await using var silo = await FarmSilo.Start(
            listening.Apply(new FarmSiloOptions
            {
                ConnectionString = database,
                Catalogue = GuestCatalogue.Load(FarmFolders.Guests),
                ArtifactFolder = Path.Combine(FarmConnection.StateFolder, "artifacts"),
                HttpPort = parsed.GetValue(Port),
            }),
            builder =>
            {
                HostDashboard(builder);
                builder.Services.AddScannedMediaShelf(FarmFolders.MediaFolders(media), Path.Combine(FarmConnection.StateFolder, "media-digests.json"));
            },
            app => app.MapFarmDashboard(), cancel);
        Console.Out.WriteLine(silo.Url);
        foreach (string note in listening.Notes(silo.Gateway))
            Console.Error.WriteLine($"farm: {note}");
        await Wait(stopping);
        return ExitCodes.Ok;
    }

    /// <summary>The dashboard's services and its static files, also where it runs from a build folder.</summary>
    public static void HostDashboard(WebApplicationBuilder builder)
    {
        builder.WebHost.UseStaticWebAssets();
        builder.Services.AddFarmDashboard();
    }

    private static async Task<int> RunWorker(ParseResult parsed, CancellationToken cancel)
    {
        var stopping = Stopping();
        var gateways = new List<IPEndPoint>();
        foreach (string text in parsed.GetValue(Gateway) ?? [])
            gateways.Add(IPEndPoint.TryParse(text, out var end) && end.Port != 0 ? end : throw new BadInputException($"--gateway {text}: give ADDRESS:PORT."));
        var options = WorkerOptions(parsed);
        if (parsed.GetValue(FarmConnection.Server) is not null)
            options = options with { ApiUrl = FarmConnection.Address(parsed) };
        Console.Error.WriteLine($"farm: worker {options.Id} offers {string.Join(", ", options.Capabilities.Backends).ToLowerInvariant()}");
        foreach (string missing in options.Capabilities.Missing)
            Console.Error.WriteLine($"farm: not offered: {missing}");
        using var host = WorkerHost.CreateHost(
            options,
            new WorkerConnection { Gateways = gateways, ConnectionString = parsed.GetValue(Postgres) });
        await host.StartAsync(cancel);
        await Wait(stopping);
        await host.StopAsync(CancellationToken.None);
        return ExitCodes.Ok;
    }

    private static async Task<int> RunDashboard(ParseResult parsed, CancellationToken cancel)
    {
        var stopping = Stopping();
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.AddFilter("Microsoft", LogLevel.Warning);
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(Listening.Parse("--listen", parsed.GetValue(Listening.Listen)!), parsed.GetValue(Port)));
        HostDashboard(builder);
        builder.Services.AddSingleton<IFarm>(FarmConnection.Open(parsed));
        await using var app = builder.Build();
        app.MapFarmDashboard();
        await app.StartAsync(cancel);
        Console.Out.WriteLine(app.Urls.First());
        await Wait(stopping);
        return ExitCodes.Ok;
    }

    public static async Task Wait(CancellationToken stopping)
    {
        try
        {
            await Task.Delay(Timeout.Infinite, stopping);
        }
        catch (OperationCanceledException)
        {
            // asked to stop
        }
    }
}
