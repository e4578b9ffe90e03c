using System.CommandLine;
using Farm.Contracts;
using Farm.Contracts.Api;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Farm.Vm;
using Spectre.Console;

namespace Farm.Cli.Commands;

/// <summary><c>farm run</c>: queues jobs, and with --wait follows them to their ends.</summary>
internal static class RunCommand
{
    private static readonly Argument<string[]> Guests = new("guest") { Description = "guest ids of the catalogue", Arity = ArgumentArity.OneOrMore };
    private static readonly Option<string> Kind = new Option<string>("--kind") { Description = "which columns to run", DefaultValueFactory = _ => "all" }.AcceptOnlyFromAmong("install", "disk", "all");
    private static readonly Option<string> Backend = new Option<string>("--backend") { DefaultValueFactory = _ => "auto" }.AcceptOnlyFromAmong("auto", "kvm", "whp", "soft");
    private static readonly Option<string> Assist = new Option<string>("--assist") { DefaultValueFactory = _ => "vm86" }.AcceptOnlyFromAmong("vm86", "full", "native");
    private static readonly Option<string> Firmware = new Option<string>("--firmware") { DefaultValueFactory = _ => "bochs" }.AcceptOnlyFromAmong("bochs", "seabios");
    private static readonly Option<int> Priority = new("--priority") { Description = "-100 to 100, higher goes first" };
    private static readonly Option<bool> Wait = new("--wait") { Description = "wait for the results; exit 1 when a guest did not pass, 3 when a run could not be carried out" };

    public static Command Create()
    {
        var command = new Command("run", "Queues install and disk-boot jobs.") { Guests, Kind, Backend, Assist, Firmware, Priority, Wait };
        command.SetAction(Run);
        return command;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancel)
    {
        var farm = FarmConnection.Open(parsed);
        bool json = parsed.GetValue(FarmConnection.Json);
        var created = await farm.CreateJobs(
            new JobRequest
            {
                Guests = parsed.GetValue(Guests)!,
                Kind = parsed.GetValue(Kind) switch { "install" => JobKind.Install, "disk" => JobKind.Disk, _ => null },
                Stack = new StackSpec
                {
                    Backend = Enum.Parse<Backend>(parsed.GetValue(Backend)!, ignoreCase: true),
                    Assist = Enum.Parse<AssistMode>(parsed.GetValue(Assist)!, ignoreCase: true),
                    Firmware = Enum.Parse<FirmwareSet>(parsed.GetValue(Firmware)!, ignoreCase: true),
                },
                Priority = parsed.GetValue(Priority),
                RequestedBy = "cli",
                OnlyWithMedia = true,
            },
            cancel);
        foreach (string skipped in created.Skipped)
            Console.Error.WriteLine($"farm: {skipped}");
        if (created.Jobs.Count == 0)
            return ExitCodes.BadInput;
        if (!parsed.GetValue(Wait))
        {
            if (json)
                Output.Json(created);
            else
                JobCommands.Print(created.Jobs);
            return ExitCodes.Ok;
        }
        var done = await Follow(farm, [.. created.Jobs.Select(job => job.Id)], quiet: json, cancel);
        if (json)
            Output.Json(done);
        else
            JobCommands.Print(done);
        return done.Any(job => job.Health != RunHealth.Ok) ? ExitCodes.HostFailed
            : done.Any(job => job.Outcome != GuestOutcome.Pass) ? ExitCodes.GuestFailed
            : ExitCodes.Ok;
    }

    /// <summary>Waits for jobs by the event feed (with a slow poll behind it) and says each change on standard error.</summary>
    public static async Task<IReadOnlyList<JobInfo>> Follow(IFarm farm, IReadOnlyList<long> ids, bool quiet, CancellationToken cancel)
    {
        var jobs = new Dictionary<long, JobInfo>();
        while (jobs.Count < ids.Count || jobs.Values.Any(job => job.State != JobState.Finished))
        {
            foreach (long id in ids)
            {
                if (jobs.TryGetValue(id, out var known) && known.State == JobState.Finished)
                    continue;
                if (await farm.GetJob(id, cancel) is not { } detail)
                    throw new FarmException(FarmErrorKind.NotFound, $"Job {id} is gone.");
                var job = detail.Job;
                if (!quiet && (known is null || known.State != job.State || known.Phase != job.Phase))
                    Console.Error.WriteLine($"farm: job {id} {job.GuestId} {Output.Kind(job.Kind)}: {Markup.Remove(Output.State(job))} {job.WaitReason ?? job.Summary}".TrimEnd());
                jobs[id] = job;
            }
            if (jobs.Values.Any(job => job.State != JobState.Finished))
                await NextChange(farm, cancel);
        }
        return [.. ids.Select(id => jobs[id])];
    }

    private static async Task NextChange(IFarm farm, CancellationToken cancel)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        patience.CancelAfter(TimeSpan.FromSeconds(2));
        try
        {
            await foreach (var change in farm.Events(0, patience.Token))
            {
                if (change.Kind is FarmEventKind.JobChanged or FarmEventKind.CellChanged)
                    return;
            }
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            // no event for a while: read again
        }
    }
}
