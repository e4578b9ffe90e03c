using System.CommandLine;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Farm.Catalogue;
using Farm.Contracts.Api;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;
using Farm.Dashboard;
using Farm.Machine.Hypervisors;
using Farm.Silo.Hosting;
using Farm.Silo.Postgres;
using Farm.Vm;
using Farm.Worker;
using Farm.Worker.Hosting;
using Spectre.Console;

namespace Farm.Cli.Commands;

/// <summary><c>farm up</c>: the whole farm on this machine.</summary>
internal static class UpCommand
{
    /// <summary>Guests that may run longer than this (in guest time) get their media made beside the running farm.</summary>
    private const int QuickGuestSeconds = 300;

    private static readonly TimeSpan MediaPatience = TimeSpan.FromSeconds(30);

    public static Command Create()
    {
        var command = new Command("up", "Runs the whole farm on this machine: PostgreSQL, silo, worker, dashboard.") { RoleCommands.Port, RoleCommands.Postgres, RoleCommands.Slots, RoleCommands.Media, RoleCommands.Offer };
        foreach (var option in Listening.Options)
            command.Add(option);
        command.SetAction(Run);
        return command;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancel)
    {
        var stopping = RoleCommands.Stopping();
        int port = parsed.GetValue(RoleCommands.Port);
        if (port is < 0 or > 65535)
            throw new BadInputException($"--port {port} is no port: give 0 (any free one) to 65535.");
        var listening = Listening.From(parsed, freePorts: true);
        CheckFree(listening.Address, port);
        var catalogue = GuestCatalogue.Load(FarmFolders.Guests);
        var worker = RoleCommands.WorkerOptions(parsed);
        try
        {
            var quick = catalogue.ToLookup(entry => entry.Plans.All(plan => plan.GuestLimitSeconds <= QuickGuestSeconds));
            await MakeMedia(quick[true], stopping);
            await using var postgres = parsed.GetValue(RoleCommands.Postgres) is null ? await PrivatePostgres.Start(Path.Combine(FarmConnection.StateFolder, "postgres"), cancel: stopping) : null;
            string database = parsed.GetValue(RoleCommands.Postgres) ?? await postgres!.CreateDatabase("farm", stopping);
            await using var silo = await FarmSilo.Start(
                listening.Apply(new FarmSiloOptions
                {
                    ConnectionString = database,
                    Catalogue = catalogue,
                    ArtifactFolder = Path.Combine(FarmConnection.StateFolder, "artifacts"),
                    HttpPort = port,
                    Sole = true,
                }),
                builder =>
                {
                    // the terminal shows the jobs; what they do in detail is on the page
                    builder.Logging.SetMinimumLevel(LogLevel.Warning).AddFilter("Orleans", LogLevel.Error).AddFilter("Microsoft", LogLevel.Error);
                    RoleCommands.HostDashboard(builder);
                    // what other machines reach the farm by need not be an address of this one
                    builder.Services.AddSingleton(provider => new ApiEndpoint(() => provider.GetRequiredService<ApiAddress>().Url is { } url ? new Uri(url) : null));
                    builder.Services.AddFarmWorker(worker);
                },
                app => app.MapFarmDashboard(), stopping);
            File.WriteAllText(FarmConnection.UrlFile, silo.Url + "\n");
            try
            {
                Console.Out.WriteLine($"farm: {silo.Url}");
                foreach (string note in listening.Notes(silo.Gateway))
                    Say(note);
                var slow = MakeMedia(quick[false], stopping);
                await Serve(silo.Farm, catalogue, stopping);
                if (await slow > 0)
                    await Serve(silo.Farm, catalogue, stopping);
                Console.Out.WriteLine($"farm: {silo.Url}  (Ctrl-C stops the farm; results are kept)");
                await RoleCommands.Wait(stopping);
                Say("stopping");
            }
            finally
            {
                File.Delete(FarmConnection.UrlFile);
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            Say("stopped");
        }
        return ExitCodes.Ok;
    }

    /// <summary>Queues what has no result yet and whose media are at hand, shows it run, prints the matrix.</summary>
    private static async Task Serve(IFarm farm, IReadOnlyList<CatalogueEntry> catalogue, CancellationToken cancel)
    {
        await WaitForMedia(farm, catalogue, cancel);
        var matrix = await farm.GetMatrix(null, cancel);
        var untried = matrix.Rows.SelectMany(row => new[] { row.Disk, row.Install }).Where(cell => !cell.Undefined && cell.State is CellState.NotTried);

        // what ends soon goes first, so that the matrix fills quickly
        var limits = catalogue.SelectMany(entry => entry.Plans).ToDictionary(plan => (plan.GuestId, plan.Kind), plan => plan.GuestLimitSeconds);
        var jobs = new List<JobInfo>();
        int priority = 0;
        foreach (var group in untried.GroupBy(cell => (Limit: limits.GetValueOrDefault((cell.GuestId, cell.Kind)), cell.Kind)).OrderBy(group => group.Key.Limit))
        {
            var request = new JobRequest { Guests = [.. group.Select(cell => cell.GuestId)], Kind = group.Key.Kind, OnlyWithMedia = true, Priority = Math.Max(priority--, -100), RequestedBy = "farm up" };
            jobs.AddRange((await farm.CreateJobs(request, cancel)).Jobs);
        }
        if (jobs.Count > 0)
        {
            if (Console.IsOutputRedirected)
                await RunCommand.Follow(farm, [.. jobs.Select(job => job.Id)], quiet: false, cancel);
            else
                await ShowBars(farm, jobs, cancel);
        }
        Output.Matrix(await farm.GetMatrix(null, cancel));
    }

    private static Task<int> MakeMedia(IEnumerable<CatalogueEntry> guests, CancellationToken cancel) =>
        MediaRecipes.Make(guests.SelectMany(entry => entry.Guest.Media), Say, cancel);

    /// <summary>Until the worker has found what lies in the media folder.</summary>
    private static async Task WaitForMedia(IFarm farm, IReadOnlyList<CatalogueEntry> catalogue, CancellationToken cancel)
    {
        var present = catalogue.SelectMany(entry => entry.Guest.Media).SelectMany(medium => medium.Files).Where(file => File.Exists(Path.Combine(FarmFolders.Media, file))).ToHashSet();
        for (var waited = TimeSpan.Zero; waited < MediaPatience; waited += TimeSpan.FromMilliseconds(200))
        {
            var held = (await farm.GetWorkers(cancel)).Where(worker => worker.State == Contracts.Workers.WorkerState.Online).SelectMany(worker => worker.Media).Select(medium => medium.File).ToHashSet();
            if (held.Count > 0 && present.IsSubsetOf(held))
                return;
            await Task.Delay(TimeSpan.FromMilliseconds(200), cancel);
        }
    }

    private static async Task ShowBars(IFarm farm, IReadOnlyList<JobInfo> jobs, CancellationToken cancel) =>
        await AnsiConsole.Progress().AutoClear(false).HideCompleted(false)
            .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn())
            .StartAsync(async context =>
            {
                var bars = jobs.ToDictionary(job => job.Id, job => context.AddTask(Describe(job), maxValue: 1));
                while (bars.Values.Any(bar => !bar.IsFinished))
                {
                    foreach (var job in await farm.GetJobs(new JobQuery { Limit = 500 }, cancel))
                    {
                        if (!bars.TryGetValue(job.Id, out var bar) || bar.IsFinished)
                            continue;
                        bar.Description = Describe(job);
                        bar.Value = job.State == JobState.Finished ? 1 : Math.Min(job.Progress, 0.99);
                        if (job.State == JobState.Finished)
                            bar.StopTask();
                    }
                    await Task.Delay(TimeSpan.FromMilliseconds(300), cancel);
                }
            });

    private static string Describe(JobInfo job) => string.Create(CultureInfo.InvariantCulture, $"{Markup.Escape(job.GuestId),-18} {Output.Kind(job.Kind),-8}{Output.State(job)}");

    private static void CheckFree(IPAddress address, int port)
    {
        try
        {
            using var probe = new TcpListener(address, port);
            probe.Start();
        }
        catch (SocketException e)
        {
            throw new HostException($"Port {port} of this machine is taken ({e.Message}); stop what listens there (perhaps another farm), or give --port.", e);
        }
    }

    private static void Say(string text) => Console.Error.WriteLine($"farm: {text}");
}
