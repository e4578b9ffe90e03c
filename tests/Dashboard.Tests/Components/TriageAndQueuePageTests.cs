using Bunit;
using Farm.Contracts;
using Farm.Contracts.Api;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Farm.Contracts.Triage;
using Farm.Dashboard.Components.Pages;

namespace Farm.Dashboard.Tests.Components;

public sealed class TriageAndQueuePageTests : PageTest
{
    [Fact]
    public void A_group_marks_the_failing_instruction_and_names_what_it_blocks()
    {
        Farm.Triage["0123456789ab"] = Sample.Triage("0123456789ab");
        var page = OpenGroup();
        var failing = Assert.Single(page.FindAll("pre.code .failing"));
        Assert.StartsWith("> 0000:7C05", failing.TextContent, StringComparison.Ordinal);
        Assert.Contains("rdpmc", failing.TextContent, StringComparison.Ordinal);
        Assert.Equal("/runs/7", page.Find("[data-list=blocked] a").GetAttribute("href"));
        Assert.Contains("1234ABCD", page.Find(".registers").TextContent, StringComparison.Ordinal);
        Assert.Contains("boot loader", page.Markup, StringComparison.Ordinal);
    }

    [Fact]
    public void A_group_says_whose_fault_it_is_and_queues_the_other_strengths()
    {
        Farm.Triage["0123456789ab"] = Sample.Triage("0123456789ab") with
        {
            Comparisons = [new() { GuestId = "probe", Kind = JobKind.Disk, Stack = Sample.Stack, Verdict = TriageVerdict.AssistGap, Text = "Assist gap: it passes on soft/full.", Runs = [8] }],
        };
        var page = OpenGroup();
        var comparison = page.Find("[data-list=comparisons] [data-verdict=AssistGap]");
        Assert.Contains("Assist gap: it passes on soft/full.", comparison.TextContent, StringComparison.Ordinal);
        Assert.NotNull(comparison.QuerySelector("a[href='/runs/8']"));
        page.Find("[data-list=comparisons] button").Click();
        Assert.Equal([AssistMode.Full, AssistMode.Native], Farm.Requests.Select(request => request.Stack.Assist));
        Assert.All(Farm.Requests, request => Assert.Equal(("probe", JobKind.Disk, Backend.Soft), (request.Guests[0], request.Kind, request.Stack.Backend)));
    }

    [Fact]
    public void A_groups_status_can_be_set()
    {
        Farm.Triage["0123456789ab"] = Sample.Triage("0123456789ab");
        OpenGroup().Find("select").Change("FixClaimed");
        Assert.Equal(TriageStatus.FixClaimed, Assert.Single(Farm.Edits).Status);
    }

    [Fact]
    public void The_queue_cancels_what_waits_and_repeats_what_is_done()
    {
        Farm.Jobs.AddRange([Sample.Job(2, "freedos", JobState.Queued) with { WaitReason = "no worker is online" }, Sample.Job(1, "grub2", JobState.Finished) with { Health = RunHealth.Ok, Outcome = GuestOutcome.Pass }]);
        var page = Render<QueuePage>();
        Assert.Contains("no worker is online", page.Find("[data-job='2']").TextContent, StringComparison.Ordinal);
        page.Find("[data-job='2'] button").Click();
        page.Find("[data-job='1'] button").Click();
        Assert.Equal([2L], Farm.Cancelled);
        Assert.Equal([1L], Farm.Reruns);
    }

    [Fact]
    public async Task A_changed_job_changes_its_row()
    {
        Farm.Jobs.Add(Sample.Job(2, "freedos", JobState.Queued));
        var page = Render<QueuePage>();
        Farm.Jobs[0] = Sample.Job(2, "freedos", JobState.Running) with { Phase = BootPhase.Kernel, Progress = 0.5, RunId = 8 };
        await Happens(new FarmEvent { Kind = FarmEventKind.JobChanged, Sequence = 11, Job = Farm.Jobs[0] });
        Assert.StartsWith("kernel 50", page.Find("[data-job='2'] a[href='/runs/8']").TextContent, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_happens_while_the_page_reads_is_not_lost()
    {
        Farm.Jobs.Add(Sample.Job(2, "freedos", JobState.Queued));
        var answer = new TaskCompletionSource();
        Farm.Answer = answer.Task;
        var page = Render<QueuePage>();
        Farm.Jobs[0] = Sample.Job(2, "freedos", JobState.Running) with { RunId = 8 };
        await Farm.Push(new FarmEvent { Kind = FarmEventKind.JobChanged, Sequence = 11, Job = Farm.Jobs[0] });
        await Draws();
        answer.SetResult();
        await page.InvokeAsync(() => { });
        await Draws();
        Assert.NotNull(page.Find("[data-job='2'] a[href='/runs/8']"));
    }

    [Fact]
    public void A_prerendered_page_takes_no_click_that_nobody_would_hear()
    {
        SetRendererInfo(new("Static", isInteractive: false));
        Farm.Jobs.Add(Sample.Job(2, "freedos", JobState.Queued));
        Assert.True(Render<QueuePage>().Find("[data-job='2'] button").HasAttribute("disabled"));
    }

    [Fact]
    public void A_refused_cancel_is_shown()
    {
        Farm.Jobs.Add(Sample.Job(2, "freedos", JobState.Queued));
        Farm.Refusal = new FarmException(FarmErrorKind.Unavailable, "The database does not answer.");
        var page = Render<QueuePage>();
        page.Find("[data-job='2'] button").Click();
        Assert.Equal("The database does not answer.", page.Find("[role=alert]").TextContent);
    }

    private IRenderedComponent<TriageGroupPage> OpenGroup() => Render<TriageGroupPage>(parameters => parameters.Add(page => page.Fingerprint, "0123456789ab"));
}
