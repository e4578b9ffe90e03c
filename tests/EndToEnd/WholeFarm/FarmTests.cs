using System.Text.Json;
using Farm.Contracts.Api;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;
using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace Farm.EndToEnd.WholeFarm;

/// <summary>The whole farm as <c>farm up</c> starts it, seen through its command line and in a real browser.</summary>
public sealed class FarmTests(RunningFarm running) : IClassFixture<RunningFarm>, IAsyncLifetime
{
    private readonly FarmProcess _farm = running.Farm;
    private readonly List<IPage> _pages = [];

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        foreach (var page in _pages)
        {
            if (TestContext.Current.TestState?.Result == TestResult.Failed)
                TestContext.Current.AddAttachment($"page {_pages.IndexOf(page)}", await page.ScreenshotAsync(), "image/png");
            await page.CloseAsync();
        }
        if (TestContext.Current.TestState?.Result == TestResult.Failed)
            TestContext.Current.TestOutputHelper?.WriteLine(_farm.Log);
    }

    [Fact]
    public async Task The_matrix_turns_green_before_ones_eyes()
    {
        var page = await Open("/");
        await page.EvaluateAsync("window.sameDocument = true");
        foreach (string seed in new[] { "rhel3-u5", "fedora-core-3", "freebsd-5.3", "msdos-5.0" })
        {
            await Expect(Cell(page, seed, JobKind.Install)).ToContainTextAsync("(-) no media");
            await Expect(Cell(page, seed, JobKind.Disk)).ToContainTextAsync("(-) no media");
        }
        var green = page.Locator("td[data-kind=Disk][data-state=Yes]");
        await _farm.Until(async () => await green.CountAsync() >= 3, "three guests have a green Disk cell", 120 - Math.Min(60, _farm.Since.Elapsed.TotalSeconds));
        await Expect(Cell(page, "grub2", JobKind.Disk)).ToHaveAttributeAsync("data-state", "Yes");
        await Expect(Cell(page, "grub2", JobKind.Disk)).ToContainTextAsync("soft/vm86/bochs");
        await Expect(Cell(page, "grub2", JobKind.Install)).ToHaveTextAsync("–");

        // and changes as things happen, without a reload
        await _farm.Until(async () => await page.Locator("td[data-state=Queued], td[data-state=Running]").CountAsync() == 0, "nothing waits or runs any more");
        await page.EvaluateAsync("""
            window.states = [];
            new MutationObserver(changes => window.states.push(...changes.filter(change => change.target.dataset.guest === 'grub2').map(change => change.target.dataset.state)))
                .observe(document.body, { subtree: true, attributeFilter: ['data-state'] });
            """);
        await page.Locator("tr", new() { Has = Cell(page, "grub2", JobKind.Disk) }).GetByRole(AriaRole.Button).ClickAsync();
        await Expect(Cell(page, "grub2", JobKind.Disk)).ToContainTextAsync("2 of 2 passed");
        await Expect(Cell(page, "grub2", JobKind.Disk)).ToHaveAttributeAsync("data-state", "Yes");
        Assert.Contains("Running", await page.EvaluateAsync<string[]>("window.states"));
        Assert.True(await page.EvaluateAsync<bool>("window.sameDocument === true"));
    }

    [Fact]
    public async Task FreeDOS_installs_and_boots_when_its_second_floppy_has_been_added()
    {
        var page = await Open("/");
        await Expect(Cell(page, "freedos", JobKind.Install)).ToContainTextAsync("(-) no media");
        var added = await _farm.Run("media", "add", Media.Need("freedos-fdstd-1440.img"));
        Assert.True(added.Code == 0 && added.Out.Contains("freedos/setup", StringComparison.Ordinal), added.Out + added.Error);
        await _farm.Until(async () => (await _farm.Api.GetGuest("freedos"))!.Media.All(medium => medium.State == MediaState.Present), "the worker holds the floppy");

        var run = await _farm.Run("run", "freedos", "--kind", "all", "--wait", "--json");
        Assert.True(run.Code == 0, run.Out + run.Error);
        var jobs = JsonSerializer.Deserialize<List<JobInfo>>(run.Out, FarmJson.Options)!;
        Assert.Equal([JobKind.Install, JobKind.Disk], jobs.Select(job => job.Kind).Order());
        await Expect(Cell(page, "freedos", JobKind.Install)).ToHaveAttributeAsync("data-state", "Yes");
        await Expect(Cell(page, "freedos", JobKind.Disk)).ToHaveAttributeAsync("data-state", "Yes");

        // the run page of the disk boot
        await Cell(page, "freedos", JobKind.Disk).Locator("a").ClickAsync();
        await Expect(page.Locator("[data-result]")).ToHaveTextAsync("pass");
        foreach (string phase in new[] { "loader", "POST", "option ROM", "boot sector", "prompt" })
            await Expect(page.Locator("[data-table=phases]")).ToContainTextAsync(phase);
        await Expect(page.Locator("pre.screen")).ToContainTextAsync("FreeCom version");
        await Expect(page.Locator("[data-table=report]")).ToContainTextAsync("5 of 5 steps");
        await Expect(page.Locator("[data-table='assist traps']")).ToContainTextAsync("hlt");
        await Expect(page.Locator("img.shot")).ToBeVisibleAsync();
        await _farm.Until(async () => await page.Locator("img.shot").EvaluateAsync<int>("image => image.naturalWidth") >= 640, "the screenshot has been loaded");
    }

    [Fact]
    public async Task A_refused_opcode_ends_its_job_at_once_and_the_triage_page_says_whose_fault_it_is()
    {
        var refused = await _farm.Run("run", Probes.RefusedOpcode.Id, Probes.GuestBug.Id, "--wait", "--json");
        Assert.Equal(1, refused.Code);
        foreach (var job in JsonSerializer.Deserialize<List<JobInfo>>(refused.Out, FarmJson.Options)!)
        {
            Assert.Equal((RunHealth.Ok, GuestOutcome.UnsupportedOpcode), (job.Health, job.Outcome));
            var report = (await _farm.Api.GetRun(job.RunId!.Value))!.Report!;
            Assert.True(report.GuestSeconds < 30, $"{job.GuestId} ended after {report.GuestSeconds} s of its limit of 60");
        }
        foreach (string assist in new[] { "full", "native" })
        {
            Assert.Equal(0, (await _farm.Run("run", Probes.RefusedOpcode.Id, "--assist", assist, "--wait")).Code);
            Assert.Equal(1, (await _farm.Run("run", Probes.GuestBug.Id, "--assist", assist, "--wait")).Code);
        }

        var page = await Open("/triage");
        var row = page.Locator("[data-table=triage] tbody tr").Filter(new() { HasText = "RDPMC" });
        await Expect(row).ToContainTextAsync("guest-bug, refused-opcode");
        await row.Locator("a").ClickAsync();
        var sample = page.Locator("section.sample").First;
        await Expect(sample.Locator("pre.code .failing")).ToContainTextAsync("rdpmc");
        await Expect(sample.Locator("pre.code .failing")).ToContainTextAsync("> 0000:7C");
        await Expect(sample.Locator(".registers")).ToContainTextAsync("EAX");
        await Expect(sample.Locator("table").Filter(new() { HasText = "Selector" })).ToContainTextAsync("CS");
        await Expect(sample).ToContainTextAsync("owned by boot sector");
        await Expect(page.Locator("[data-list=blocked] a[href^='/runs/']")).ToHaveCountAsync(2);
        await Expect(page.Locator("[data-verdict=AssistGap]")).ToContainTextAsync("Assist gap: refused-opcode disk passes on soft/full");
        await Expect(page.Locator("[data-verdict=GuestBug]")).ToContainTextAsync("Guest bug, or something other than this instruction: guest-bug disk does not pass on soft/full (hang after");

        // the command line says the same
        string fingerprint = new Uri(page.Url).Segments[^1];
        var triage = await _farm.Run("triage", fingerprint);
        Assert.Equal(0, triage.Code);
        Assert.Contains("Assist gap: refused-opcode disk passes on soft/full", triage.Out, StringComparison.Ordinal);
        Assert.Matches(@"(?m)^  > 0000:7C[0-9A-F]{2} +0F33 +rdpmc", triage.Out);

        // and so does the comparison of the two strengths
        var comparison = await Open("/compare?a=soft%2Fvm86&b=soft%2Fnative");
        var compared = comparison.Locator("tr", new() { Has = Cell(comparison, Probes.RefusedOpcode.Id, JobKind.Disk).First });
        await Expect(compared.Locator("[data-change]")).ToHaveTextAsync("better");
        await comparison.Locator("[data-side=Second]").GetByLabel("strength").SelectOptionAsync("Vm86");
        await Expect(comparison.GetByText("No cell differs.")).ToBeVisibleAsync();
        Assert.EndsWith("?a=soft%2Fvm86&b=soft%2Fvm86", comparison.Url, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_killed_vm_is_retried_and_is_never_the_guests_failure()
    {
        // the farm tries every guest when it starts; that run is not the one to be killed, and shows in the same cell
        await _farm.Until(
            async () => await _farm.Api.GetJobs(new JobQuery { GuestId = Probes.Slow.Id }) is { Count: > 0 } first && first.All(job => job.State == JobState.Finished),
            "the slow guest's first job is done");
        var job = Assert.Single((await _farm.Api.CreateJobs(new JobRequest { Guests = [Probes.Slow.Id] })).Jobs);
        await _farm.Until(async () => (await _farm.Api.GetJob(job.Id))!.Job is { State: JobState.Running, Phase: >= BootPhase.BootSector }, "the slow guest is in mid-boot");
        var page = await Open($"/runs/{(await _farm.Api.GetJob(job.Id))!.Job.RunId}");
        await Expect(page.Locator("[data-log=serial]")).ToContainTextAsync("at work");
        await FarmProcess.Signal("KILL", VmOf(job.Id));
        await Expect(page.Locator("[data-result]")).ToHaveTextAsync("infrastructure");
        await Expect(page.Locator("main")).ToContainTextAsync("was killed by SIGKILL");

        var done = await _farm.Finished(job.Id);
        Assert.Equal((RunHealth.Ok, GuestOutcome.Pass, 1), (done.Health, done.Outcome, done.InfrastructureRetries));
        var runs = (await _farm.Api.GetJob(job.Id))!.Runs.OrderBy(run => run.Epoch).ToList();
        Assert.Equal([RunHealth.Infrastructure, RunHealth.Ok], runs.Select(run => run.Health));
        // a pass that took a retry is not silently green, and trouble is never red
        var cell = (await _farm.Api.GetMatrix(new MatrixQuery { GuestId = Probes.Slow.Id })).Rows[0].Disk;
        Assert.Equal((CellState.Flaky, cell.Results), (cell.State, cell.Passes));
        await Expect(Cell(await Open("/"), Probes.Slow.Id, JobKind.Disk)).ToHaveAttributeAsync("data-state", "Flaky");
    }

    [Fact]
    public async Task The_queue_says_why_a_job_waits_and_a_job_can_be_cancelled_and_run_again()
    {
        var created = await _farm.Run("run", Probes.Slow.Id, "--backend", "kvm", "--json");
        Assert.Equal(0, created.Code);
        long id = JsonSerializer.Deserialize<JobsCreated>(created.Out, FarmJson.Options)!.Jobs[0].Id;
        var page = await Open("/queue");
        var row = page.Locator($"tr[data-job='{id}']");
        await Expect(row).ToContainTextAsync("kvm");
        Assert.Contains("kvm", (await _farm.Api.GetJob(id))!.Job.WaitReason, StringComparison.Ordinal);
        await row.GetByRole(AriaRole.Button).ClickAsync();
        await Expect(row).ToContainTextAsync("cancelled");
        Assert.Equal(2, (await _farm.Run("cancel", $"{id}")).Code);
        var again = await _farm.Run("rerun", $"{id}", "--json");
        Assert.Equal(0, again.Code);
        long rerun = JsonSerializer.Deserialize<JobInfo>(again.Out, FarmJson.Options)!.Id;
        Assert.Equal(0, (await _farm.Run("cancel", $"{rerun}")).Code);
        Assert.Equal(RunHealth.Cancelled, (await _farm.Finished(rerun)).Health);
    }

    private async Task<IPage> Open(string path)
    {
        var page = await running.Browser.Open(_farm.Url + path);
        _pages.Add(page);
        SetDefaultExpectTimeout((float)(60_000 * Math.Max(2, FarmProcess.Load)));
        return page;
    }

    private static ILocator Cell(IPage page, string guest, JobKind kind) => page.Locator($"td[data-guest='{guest}'][data-kind={kind}]");

    /// <summary>The process of a job's VM: the one that works in its run's folder.</summary>
    private string VmOf(long job)
    {
        var run = _farm.Api.GetJob(job).Result!.Job;
        foreach (int vm in _farm.Vms())
        {
            string? folder = new FileInfo($"/proc/{vm}/cwd").LinkTarget;
            if (folder is not null && Path.GetFileName(folder) == $"{run.RunId}-{run.Epoch}")
                return $"{vm}";
        }
        throw new InvalidOperationException($"Job {job} has no VM.");
    }
}
