using System.CommandLine;
using System.Globalization;
using Farm.Contracts.Api;
using Farm.Contracts.Jobs;
using Farm.Vm;
using Spectre.Console;

namespace Farm.Cli.Commands;

/// <summary>jobs, job, rerun, cancel, logs.</summary>
internal static class JobCommands
{
    private static readonly Argument<long> Id = new("id") { Description = "job id" };
    private static readonly Option<string?> Guest = new("--guest") { Description = "only this guest's" };
    private static readonly Option<JobState?> State = new("--state") { Description = "only jobs in this state" };
    private static readonly Option<int> Limit = new("--limit") { DefaultValueFactory = _ => 50 };

    public static IEnumerable<Command> Create()
    {
        var jobs = new Command("jobs", "Lists jobs, newest first.") { Guest, State, Limit };
        jobs.SetAction(async (parsed, cancel) =>
        {
            var list = await FarmConnection.Open(parsed).GetJobs(new JobQuery { GuestId = parsed.GetValue(Guest), State = parsed.GetValue(State), Limit = parsed.GetValue(Limit) }, cancel);
            if (parsed.GetValue(FarmConnection.Json))
                Output.Json(list);
            else
                Print(list);
            return ExitCodes.Ok;
        });
        yield return jobs;

        var job = new Command("job", "Shows one job with its runs.") { Id };
        job.SetAction(async (parsed, cancel) =>
        {
            var detail = await Find(FarmConnection.Open(parsed), parsed.GetValue(Id), cancel);
            if (parsed.GetValue(FarmConnection.Json))
                Output.Json(detail);
            else
                Print(detail);
            return ExitCodes.Ok;
        });
        yield return job;

        var rerun = new Command("rerun", "Queues a job's guest, kind and stack again.") { Id };
        rerun.SetAction(async (parsed, cancel) =>
        {
            var again = await FarmConnection.Open(parsed).RerunJob(parsed.GetValue(Id), "cli", cancel);
            if (parsed.GetValue(FarmConnection.Json))
                Output.Json(again);
            else
                Print([again]);
            return ExitCodes.Ok;
        });
        yield return rerun;

        var stop = new Command("cancel", "Cancels a queued or running job.") { Id };
        stop.SetAction(async (parsed, cancel) =>
        {
            long id = parsed.GetValue(Id);
            if (!await FarmConnection.Open(parsed).CancelJob(id, "cli", cancel))
                throw new FarmException(FarmErrorKind.Conflict, $"Job {id} is finished already.");
            return ExitCodes.Ok;
        });
        yield return stop;

        var logs = new Command("logs", "Prints the serial log and the last screen of a job's newest run.") { Id };
        logs.SetAction(async (parsed, cancel) =>
        {
            var farm = FarmConnection.Open(parsed);
            var detail = await Find(farm, parsed.GetValue(Id), cancel);
            if (detail.Job.RunId is not { } runId || await farm.GetRun(runId, cancel) is not { } run)
                throw new FarmException(FarmErrorKind.NotFound, $"Job {detail.Job.Id} has not run yet.");
            if (parsed.GetValue(FarmConnection.Json))
            {
                Output.Json(run);
                return ExitCodes.Ok;
            }
            if (run.Artifacts.FirstOrDefault(artifact => artifact.Name.StartsWith("serial", StringComparison.Ordinal)) is { } serial
                && await farm.GetArtifact(serial.Sha256, cancel) is { } content)
            {
                await using (content)
                    await content.Content.CopyToAsync(Console.OpenStandardOutput(), cancel);
            }
            else
            {
                Console.Out.Write(run.SerialTail);
            }
            Console.Out.WriteLine("--- screen");
            foreach (string line in run.Report?.FinalScreen ?? [.. run.Screen?.Lines.Select(line => line.Text) ?? []])
                Console.Out.WriteLine(line.TrimEnd());
            return ExitCodes.Ok;
        });
        yield return logs;
    }

    public static void Print(IReadOnlyList<JobInfo> jobs)
    {
        var table = Output.Table("Job", "Guest", "Kind", "Stack", "State", "Worker", "Finished", "");
        foreach (var job in jobs)
        {
            table.AddRow(
                job.Id.ToString(CultureInfo.InvariantCulture), Markup.Escape(job.GuestId), Output.Kind(job.Kind), Output.Stack(job.Stack), Output.State(job),
                Markup.Escape(job.Worker ?? ""), Output.When(job.FinishedAt), Markup.Escape(job.WaitReason ?? job.Summary ?? ""));
        }
        Output.Write(table);
    }

    private static void Print(JobDetail detail)
    {
        Print([detail.Job]);
        var table = Output.Table("Run", "Worker", "Epoch", "Leased", "Finished", "Health", "Outcome", "Furthest", "");
        foreach (var run in detail.Runs)
        {
            table.AddRow(
                run.Id.ToString(CultureInfo.InvariantCulture), Markup.Escape(run.Worker), run.Epoch.ToString(CultureInfo.InvariantCulture), Output.When(run.LeasedAt),
                Output.When(run.FinishedAt), Output.Words(run.Health), Output.Words(run.Outcome), Output.Words<BootPhase>(run.Furthest), Markup.Escape(run.Summary));
        }
        Output.Write(table);
    }

    private static async Task<JobDetail> Find(FarmHttpClient farm, long id, CancellationToken cancel) =>
        await farm.GetJob(id, cancel) ?? throw new FarmException(FarmErrorKind.NotFound, $"There is no job {id}; `farm jobs` lists them.");
}
