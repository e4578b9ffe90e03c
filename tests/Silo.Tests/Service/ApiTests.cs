using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Farm.Contracts;
using Farm.Contracts.Api;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;
using Npgsql;

namespace Farm.Silo.Tests.Service;

[Collection(FarmCollection.Name)]
public sealed class ApiTests(TestFarm farm)
{
    [Fact]
    public async Task Cells_can_be_read_as_a_build_left_them()
    {
        var guest = farm.NewGuest();
        var worker = await farm.SignOn(guest);
        string mark = guest.Replace("guest-", "build", StringComparison.Ordinal);
        long[] runs = new long[2];
        foreach (var (index, build) in new[] { $"{mark}-old", $"{mark}-new" }.Index())
        {
            farm.Time.Advance(TimeSpan.FromSeconds(1));
            await farm.QueueJob(guest);
            var lease = await worker.ClaimOne();
            await worker.Start(lease, build);
            await (index == 0 ? worker.Pass(lease) : worker.Fail(lease));
            runs[index] = lease.RunId;
        }
        await farm.QueueJob(guest);

        Assert.Equal((CellState.Yes, runs[0], 1, "", $"{mark}-old"), await Cell($"{mark}-old"));
        Assert.Equal((CellState.No, runs[1], 1, "It hung.", $"{mark}-new"), await Cell($"{mark}-n"));
        Assert.Equal(CellState.NotTried, (await Cell("nobody's")).State);
        Assert.Equal(CellState.Queued, (await farm.Cell(guest)).State);
        var builds = (await farm.Api.GetBuilds()).Where(build => build.Build.StartsWith(mark + "-", StringComparison.Ordinal)).ToList();
        Assert.Equal([$"{mark}-new", $"{mark}-old"], builds.Select(build => build.Build));
        Assert.All(builds, build => Assert.Equal(1, build.Cells));
        var compared = Assert.Single(await farm.Api.Compare(new() { Build = $"{mark}-old", GuestId = guest }, new() { Build = $"{mark}-new", Assist = AssistMode.Vm86 }));
        Assert.Equal((CellChange.Worse, runs[0], runs[1]), (compared.Change, compared.First.RunId, compared.Second.RunId));
        var refused = await Assert.ThrowsAsync<FarmException>(() => farm.Api.Compare(new(), new() { Build = "a b" }));
        Assert.Contains(MatrixSide.Form, refused.Message, StringComparison.Ordinal);

        // what runs counts with the result before
        var running = await worker.ClaimOne();
        await worker.Start(running);
        await worker.Report(running, new PhaseEvent { Phase = BootPhase.Kernel });
        Assert.Equal(CellState.Running, (await farm.Cell(guest)).State);
        var settled = Assert.Single(await farm.Api.Compare(new() { Build = $"{mark}-old", GuestId = guest }, new() { GuestId = guest }));
        Assert.Equal((JobKind.Disk, CellChange.Worse, CellState.Yes), (settled.Kind, settled.Change, settled.First.State));
        Assert.Equal((CellState.No, BootPhase.BootSector, runs[1]), (settled.Second.State, settled.Second.Furthest, settled.Second.RunId));
        await worker.Pass(running);

        async Task<(CellState State, long? Run, int Results, string Note, string? Build)> Cell(string build)
        {
            var cell = (await farm.Api.GetMatrix(new() { GuestId = guest, Build = build })).Rows[0].Disk;
            return (cell.State, cell.RunId, cell.Results, cell.Note, cell.Stack?.FirmwareBuild);
        }
    }

    [Fact]
    public async Task A_job_is_queued_read_cancelled_and_run_again_over_http()
    {
        var guest = farm.NewGuest();
        await farm.SignOn(guest);
        var created = await farm.Api.CreateJobs(new() { Guests = [guest], Kind = JobKind.Disk, RequestedBy = "test", Priority = 7 });
        var job = Assert.Single(created.Jobs);
        Assert.Equal((JobState.Queued, 7, "test"), (job.State, job.Priority, job.RequestedBy));
        Assert.Equal("Next in line: a worker is about to take it.", (await farm.Api.GetJob(job.Id))!.Job.WaitReason);
        Assert.Contains(job.Id, (await farm.Api.GetJobs(new() { GuestId = guest, State = JobState.Queued })).Select(other => other.Id));

        Assert.True(await farm.Api.CancelJob(job.Id, "test"));
        Assert.False(await farm.Api.CancelJob(job.Id, "test"));
        var again = await farm.Api.RerunJob(job.Id, "test");
        Assert.Equal((job.Id, guest), (again.RerunOf, again.GuestId));
        await farm.Api.CancelJob(again.Id, "test");
    }

    [Fact]
    public async Task Guests_matrix_workers_runs_and_triage_read_the_same_over_http_and_inside()
    {
        var guest = farm.NewGuest();
        var worker = await farm.SignOn(guest);
        await farm.QueueJob(guest);
        var lease = await worker.ClaimOne();
        await worker.Fail(lease);
        Assert.Equivalent(await farm.Farm.GetGuests(), await farm.Api.GetGuests());
        Assert.Equivalent(await farm.Farm.GetGuest(guest), await farm.Api.GetGuest(guest));
        Assert.Equivalent((await farm.Farm.GetMatrix(new() { Backend = Backend.Soft })).Rows, (await farm.Api.GetMatrix(new() { Backend = Backend.Soft })).Rows);
        Assert.Equivalent(await farm.Farm.GetWorkers(), await farm.Api.GetWorkers());
        Assert.Equivalent(await farm.Farm.GetRuns(guest), await farm.Api.GetRuns(guest));
        Assert.Equivalent(await farm.Farm.GetRun(lease.RunId), await farm.Api.GetRun(lease.RunId));
        Assert.Equivalent(await farm.Farm.GetTriage(), await farm.Api.GetTriage());
    }

    [Fact]
    public async Task An_unknown_guest_is_named_with_what_is_near_and_nothing_is_queued()
    {
        var guest = farm.NewGuest();
        await farm.SignOn(guest);
        var error = await Assert.ThrowsAsync<FarmException>(() => farm.Api.CreateJobs(new() { Guests = [guest, "guest-3x"] }));
        Assert.Equal(FarmErrorKind.NotFound, error.Kind);
        Assert.Equal("The catalogue has no guest 'guest-3x'. Did you mean guest-3? Nothing was queued.", error.Message);
        Assert.Empty(await farm.Api.GetJobs(new() { GuestId = guest }));
    }

    [Fact]
    public async Task Missing_media_are_named_and_nothing_is_queued_unless_asked_to_leave_them_out()
    {
        var (held, missing) = (farm.NewGuest(), farm.NewGuest());
        await farm.SignOn(held);
        var error = await Assert.ThrowsAsync<FarmException>(() => farm.Api.CreateJobs(new() { Guests = [held, missing] }));
        Assert.Equal((FarmErrorKind.Invalid, $"{missing} (disk): no worker holds boot ({missing}.img). Nothing was queued."), (error.Kind, error.Message));
        Assert.Empty(await farm.Api.GetJobs(new() { GuestId = held }));
        Assert.Equal(CellState.NoMedia, (await farm.Cell(missing)).State);

        var created = await farm.Api.CreateJobs(new() { Guests = [held, missing], OnlyWithMedia = true });
        Assert.Equal(held, Assert.Single(created.Jobs).GuestId);
        Assert.StartsWith(missing, Assert.Single(created.Skipped), StringComparison.Ordinal);
        await farm.Api.CancelJob(created.Jobs[0].Id, "test");
    }

    [Theory]
    [InlineData("{}", 400, "guests")]
    [InlineData("""{"guests":[]}""", 400, "Name at least one guest.")]
    [InlineData("""{"guests":["guest-1"],"priority":101}""", 400, "Priority 101 is out of range")]
    [InlineData("""{"guests":["guest-1"],"kind":"boot"}""", 400, "$.kind")]
    [InlineData("""{"guests":["guest-1"],"kind":1}""", 400, "$.kind")]
    [InlineData("""{"guests":["guest-1"],"kind":"install"}""", 400, "defines no install for guest-1")]
    [InlineData("""{"guests":["guest-1"],"stack":{"memoryMiB":0}}""", 400, "Memory of 0 MiB is out of range")]
    [InlineData("""{"guests":["guest-1"],"stack":{"cpuModel":"; rm -rf /"}}""", 400, "is no CPU model")]
    [InlineData("""{"guests":["guest-1"],"stack":null}""", 400, "stack")]
    [InlineData("""{"guests":"guest-1"}""", 400, "$.guests")]
    [InlineData("not json", 400, "The body is no valid request")]
    [InlineData("", 400, "")]
    public async Task A_bad_request_is_told_in_problem_details(string body, int status, string detail)
    {
        using var content = new StringContent(body, Encoding.UTF8, "application/json");
        using var response = await farm.Http.PostAsync(new Uri("api/jobs", UriKind.Relative), content);
        Assert.Equal(status, (int)response.StatusCode);
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
        using var problem = JsonDocument.Parse(await response.Content.ReadAsStringAsync());
        Assert.Contains(detail, problem.RootElement.GetProperty("detail").GetString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("GET", "api/jobs/999999", 404, "There is no job 999999.")]
    [InlineData("GET", "api/jobs/abc", 404, "The API has no /api/jobs/abc.")]
    [InlineData("GET", "api/nothing", 404, "The API has no /api/nothing.")]
    [InlineData("GET", "api/runs/999999", 404, "There is no run 999999.")]
    [InlineData("GET", "api/runs/999999/events", 404, "There is no run 999999.")]
    [InlineData("GET", "api/guests/zzz", 404, "The catalogue has no guest 'zzz'.")]
    [InlineData("GET", "api/media/zzz", 404, "holds no medium with the digest 'zzz'.")]
    [InlineData("GET", "api/triage/zzz", 404, "There is no triage group 'zzz'.")]
    [InlineData("GET", "api/workers/zzz", 404, "There is no worker 'zzz'.")]
    [InlineData("GET", "api/matrix?backend=xen", 400, "'xen' is no backend: auto, soft, kvm, whp.")]
    [InlineData("GET", "api/jobs?limit=x", 400, "limit")]
    [InlineData("POST", "api/jobs/999999/cancel", 404, "There is no job 999999.")]
    [InlineData("POST", "api/jobs/999999/rerun", 404, "There is no job 999999.")]
    [InlineData("POST", "api/workers/zzz/release", 404, "There is no worker zzz.")]
    [InlineData("DELETE", "api/jobs", 405, "takes no DELETE")]
    public async Task What_is_not_there_is_said(string method, string path, int status, string detail)
    {
        using var request = new HttpRequestMessage(new(method), path);
        using var response = await farm.Http.SendAsync(request);
        Assert.Equal(status, (int)response.StatusCode);
        using var problem = JsonDocument.Parse(await response.Content.ReadAsStringAsync());
        Assert.Contains(detail, problem.RootElement.GetProperty("detail").GetString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Origin", "http://evil.example")]
    [InlineData("Origin", "null")]
    [InlineData("Host", "evil.example")]
    public async Task A_page_of_another_site_cannot_drive_the_farm(string header, string value)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "api/jobs/1/cancel");
        request.Headers.TryAddWithoutValidation(header, value);
        using var response = await farm.Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.Forbidden, response.StatusCode);
    }

    [Fact]
    public async Task The_server_listens_on_loopback() => Assert.StartsWith("http://127.0.0.1:", farm.Silo.Url, StringComparison.Ordinal);

    [Fact]
    public async Task What_is_changed_is_audited()
    {
        var guest = farm.NewGuest();
        await farm.SignOn(guest);
        var job = (await farm.Api.CreateJobs(new() { Guests = [guest], RequestedBy = "alice" })).Jobs[0];
        await farm.Api.CancelJob(job.Id, "bob");
        await using var source = NpgsqlDataSource.Create(farm.ConnectionString);
        await using var command = source.CreateCommand($"SELECT string_agg(actor || ' ' || action, ', ' ORDER BY id) FROM farm.audit WHERE subject = '{job.Id}'");
        Assert.Equal("alice queue, bob cancel", await command.ExecuteScalarAsync());
    }

    [Fact]
    public async Task Json_uses_names_for_enums_and_leaves_nulls_out()
    {
        using var matrix = await farm.Http.GetFromJsonAsync<JsonDocument>(new Uri("api/matrix", UriKind.Relative));
        var cell = matrix!.RootElement.GetProperty("rows")[39].GetProperty("install");
        Assert.Equal("notTried", cell.GetProperty("state").GetString());
        Assert.False(cell.TryGetProperty("runId", out _));
    }
}
