using Bunit;
using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Farm.Dashboard.Components.Pages;

namespace Farm.Dashboard.Tests.Components;

public sealed class RunPageTests : PageTest
{
    [Fact]
    public void A_finished_run_shows_phases_screen_serial_and_report()
    {
        Farm.Runs[5] = new RunDetail
        {
            Run = Sample.Run(5) with { FinishedAt = DateTimeOffset.UnixEpoch, Health = RunHealth.Ok, Outcome = GuestOutcome.Pass, Summary = "the script is done" },
            Phases = [new() { Phase = BootPhase.Post, Instructions = 1234567, GuestSeconds = 0.5 }],
            Screen = Sample.Screen("A:\\>ver", "FreeCom version <0.84>"),
            SerialTail = "serial says hi",
            Report = new RunReport { Health = RunHealth.Ok, Outcome = GuestOutcome.Pass, AssistTraps = [new("Cli", 1500)], StepsDone = 5, StepsTotal = 5 },
        };
        var page = Open();
        Assert.Equal("pass", page.Find("[data-result]").TextContent);
        Assert.Contains("1,234,567", page.Find("[data-table=phases]").TextContent, StringComparison.Ordinal);
        Assert.Contains("FreeCom version <0.84>", page.Find("pre.screen").TextContent, StringComparison.Ordinal);
        Assert.Equal("serial says hi", page.Find("[data-log=serial]").TextContent);
        Assert.Contains("5 of 5 steps", page.Find("[data-table=report]").TextContent, StringComparison.Ordinal);
        Assert.Contains("1,500", page.Find("[data-table='assist traps']").TextContent, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_running_run_shows_what_happens_as_it_happens()
    {
        Farm.Runs[5] = new RunDetail { Run = Sample.Run(5) };
        var page = Open();
        await Farm.Push(new RunEvent
        {
            RunId = 5,
            Sequence = 1,
            Phases = [new() { Phase = BootPhase.Loader }],
            Screen = Sample.Screen("Plex86/Bochs VGABios"),
            Serial = "boot: ",
            Step = "expect A:\\> (1 of 5)",
            Progress = 0.2,
        });
        await Farm.Push(new RunEvent { RunId = 5, Sequence = 2, Serial = "linux", Progress = 0.3 });
        await Draws();
        Assert.Contains("Plex86/Bochs VGABios", page.Find("pre.screen").TextContent, StringComparison.Ordinal);
        Assert.Equal("boot: linux", page.Find("[data-log=serial]").TextContent);
        Assert.Contains("loader", page.Find("[data-table=phases]").TextContent, StringComparison.Ordinal);
        Assert.Equal("now: expect A:\\> (1 of 5)", page.Find("p.legend").TextContent);
        Assert.Equal("0.3", page.Find("progress").GetAttribute("value"));
    }

    [Fact]
    public void Cancel_and_run_again_act_on_the_runs_job()
    {
        Farm.Runs[5] = new RunDetail { Run = Sample.Run(5) };
        Open().Find("button").Click();
        Assert.Equal([105L], Farm.Cancelled);
        Farm.Runs[5] = new RunDetail { Run = Sample.Run(5) with { FinishedAt = DateTimeOffset.UnixEpoch, Health = RunHealth.Infrastructure } };
        var page = Open();
        page.Find("button").Click();
        Assert.Equal([105L], Farm.Reruns);
        Assert.Equal("Queued as job 99.", page.Find("[role=status]").TextContent);
    }

    [Fact]
    public void An_unsupported_opcode_leads_to_its_group()
    {
        Farm.Runs[5] = new RunDetail { Run = Sample.Run(5) with { FinishedAt = DateTimeOffset.UnixEpoch, Health = RunHealth.Ok, Outcome = GuestOutcome.UnsupportedOpcode }, Fingerprints = ["0123456789ab"] };
        Assert.NotNull(Open().Find("a[href='/triage/0123456789ab']"));
    }

    [Fact]
    public void A_run_that_does_not_exist_is_said_plainly() => Assert.Contains("There is no such run.", Open().Markup, StringComparison.Ordinal);

    private IRenderedComponent<RunPage> Open() => Render<RunPage>(parameters => parameters.Add(page => page.RunId, 5));
}
