using System.IO.Pipelines;
using System.Text;
using System.Text.Json;
using Farm.Contracts;
using Farm.Contracts.Api;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Vm;

namespace Farm.Vm.Tests;

public sealed class VmHostMainTests
{
    private static readonly VmJob Job = new()
    {
        JobId = 1,
        RunId = 2,
        Stack = new() { Backend = Backend.Soft },
        Media = new Dictionary<string, string> { ["boot"] = "/media/a.img" },
        Folder = "/tmp",
        Plan = new() { GuestId = "g", Kind = JobKind.Disk, Digest = "d", Script = "steps:\n  - expect: 'line\u2028break'\n" },
    };

    [Fact]
    public async Task A_child_reads_its_job_and_ends_with_the_report()
    {
        VmJob? seen = null;
        var (exit, messages, _) = await Run(new Runner((job, events, _) =>
        {
            seen = job;
            events.Started(job.Stack with { FirmwareBuild = "b" });
            events.Progress(new() { Serial = "a\nb", Progress = 0.5 });
            events.Artifact(new() { Name = "x", File = "x" });
            return Task.FromResult(new RunReport { Health = RunHealth.Ok, Outcome = GuestOutcome.Pass });
        }));
        Assert.Equal(0, exit);
        Assert.Equivalent(Job, seen, strict: true);
        Assert.Equal(4, messages.Count);
        Assert.Equal("b", messages[0].Started!.FirmwareBuild);
        Assert.Equal("a\nb", messages[1].Progress!.Serial);
        Assert.Equal("x", messages[2].Artifact!.Name);
        Assert.Equal(GuestOutcome.Pass, messages[3].Report!.Outcome);
    }

    [Fact]
    public async Task A_run_that_breaks_ends_the_child_without_a_report()
    {
        var (exit, messages, _) = await Run(new Runner((_, _, _) => throw new InvalidOperationException("no such backend")));
        Assert.Equal(3, exit);
        Assert.Empty(messages);
    }

    [Theory]
    [InlineData("")]
    [InlineData("nonsense\n")]
    [InlineData("{}\n")]
    public async Task A_child_without_a_readable_job_runs_nothing(string input)
    {
        var runner = new Runner((_, _, _) => throw new InvalidOperationException("must not be reached"));
        Assert.Equal(2, await VmHostMain.Run(runner, new MemoryStream(Encoding.UTF8.GetBytes(input)), new MemoryStream()));
    }

    [Fact]
    public async Task A_child_whose_worker_is_gone_is_told_to_stop()
    {
        var pipe = new Pipe();
        await pipe.Writer.WriteAsync(Encoding.UTF8.GetBytes(JsonSerializer.Serialize(Job, FarmJson.Options) + "\n"));
        var running = new TaskCompletionSource();
        var run = VmHostMain.Run(new Runner(async (_, _, cancel) =>
        {
            running.SetResult();
            await Task.Delay(Timeout.Infinite, cancel);
            return new RunReport { Health = RunHealth.Ok };
        }), pipe.Reader.AsStream(), new MemoryStream());
        await running.Task;
        await pipe.Writer.CompleteAsync();
        Assert.Equal(3, await run.WaitAsync(TimeSpan.FromMinutes(2)));
    }

    private static async Task<(int Exit, List<VmMessage> Messages, string Text)> Run(IVmRunner runner)
    {
        var output = new MemoryStream();
        var exit = await VmHostMain.Run(runner, new MemoryStream(Encoding.UTF8.GetBytes(JsonSerializer.Serialize(Job, FarmJson.Options) + "\n")), output);
        var text = Encoding.UTF8.GetString(output.ToArray());
        return (exit, [.. text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonSerializer.Deserialize<VmMessage>(line, FarmJson.Options)!)], text);
    }

    private sealed class Runner(Func<VmJob, IVmEvents, CancellationToken, Task<RunReport>> run) : IVmRunner
    {
        public Task<RunReport> Run(VmJob job, IVmEvents events, CancellationToken cancel) => run(job, events, cancel);
    }
}
