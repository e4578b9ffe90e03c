using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Farm.Contracts.Matrix;
using Farm.Contracts.Triage;
using Farm.Contracts.Workers;

namespace Farm.Contracts.Api;

/// <summary>The farm over its HTTP API. <paramref name="http"/> has the server's root as its base address.</summary>
public sealed class FarmHttpClient(HttpClient http) : IFarm
{
    public async Task<IReadOnlyList<GuestInfo>> GetGuests(CancellationToken cancel = default) =>
        await Get<List<GuestInfo>>(FarmRoutes.Guests, cancel).ConfigureAwait(false);

    public Task<GuestInfo?> GetGuest(string guestId, CancellationToken cancel = default) =>
        Find<GuestInfo>($"{FarmRoutes.Guests}/{Uri.EscapeDataString(guestId)}", cancel);

    public Task<MatrixView> GetMatrix(MatrixQuery? query = null, CancellationToken cancel = default) =>
        Get<MatrixView>(FarmRoutes.Matrix + Query(
            ("backend", query?.Backend), ("assist", query?.Assist), ("firmware", query?.Firmware), ("guest", query?.GuestId), ("build", query?.Build)), cancel);

    public async Task<IReadOnlyList<CellComparison>> Compare(MatrixQuery first, MatrixQuery second, CancellationToken cancel = default) =>
        await Get<List<CellComparison>>(FarmRoutes.Compare + Query(("a", MatrixSide.Text(first)), ("b", MatrixSide.Text(second)), ("guest", first.GuestId)), cancel).ConfigureAwait(false);

    public async Task<IReadOnlyList<BuildInfo>> GetBuilds(CancellationToken cancel = default) =>
        await Get<List<BuildInfo>>(FarmRoutes.Builds, cancel).ConfigureAwait(false);

    public async Task<IReadOnlyList<JobInfo>> GetJobs(JobQuery? query = null, CancellationToken cancel = default) =>
        await Get<List<JobInfo>>(FarmRoutes.Jobs + Query(
            ("state", query?.State), ("guest", query?.GuestId), ("kind", query?.Kind), ("worker", query?.Worker),
            ("before", query?.Before), ("limit", query?.Limit)), cancel).ConfigureAwait(false);

    public Task<JobDetail?> GetJob(long jobId, CancellationToken cancel = default) =>
        Find<JobDetail>(Path(FarmRoutes.Jobs, jobId), cancel);

    public Task<JobsCreated> CreateJobs(JobRequest request, CancellationToken cancel = default) =>
        Send<JobsCreated>(HttpMethod.Post, FarmRoutes.Jobs, request, cancel);

    public async Task<bool> CancelJob(long jobId, string by, CancellationToken cancel = default) =>
        (await Send<Done>(HttpMethod.Post, Path(FarmRoutes.Jobs, jobId) + "/cancel" + Query(("by", by)), null, cancel).ConfigureAwait(false)).Ok;

    public Task<JobInfo> RerunJob(long jobId, string by, CancellationToken cancel = default) =>
        Send<JobInfo>(HttpMethod.Post, Path(FarmRoutes.Jobs, jobId) + "/rerun" + Query(("by", by)), null, cancel);

    public async Task<IReadOnlyList<RunInfo>> GetRuns(string? guestId = null, JobKind? kind = null, int limit = 50, CancellationToken cancel = default) =>
        await Get<List<RunInfo>>(FarmRoutes.Runs + Query(("guest", guestId), ("kind", kind), ("limit", limit)), cancel).ConfigureAwait(false);

    public Task<RunDetail?> GetRun(long runId, CancellationToken cancel = default) =>
        Find<RunDetail>(Path(FarmRoutes.Runs, runId), cancel);

    public async Task<IReadOnlyList<TriageGroup>> GetTriage(CancellationToken cancel = default) =>
        await Get<List<TriageGroup>>(FarmRoutes.Triage, cancel).ConfigureAwait(false);

    public Task<TriageDetail?> GetTriageGroup(string fingerprint, CancellationToken cancel = default) =>
        Find<TriageDetail>($"{FarmRoutes.Triage}/{Uri.EscapeDataString(fingerprint)}", cancel);

    public async Task<TriageGroup?> EditTriageGroup(string fingerprint, TriageEdit edit, CancellationToken cancel = default)
    {
        using var response = await SendRaw(HttpMethod.Patch, $"{FarmRoutes.Triage}/{Uri.EscapeDataString(fingerprint)}", edit, cancel).ConfigureAwait(false);
        return response.StatusCode == HttpStatusCode.NotFound ? null : await Read<TriageGroup>(response, cancel).ConfigureAwait(false);
    }

    public async Task<IReadOnlyList<WorkerInfo>> GetWorkers(CancellationToken cancel = default) =>
        await Get<List<WorkerInfo>>(FarmRoutes.Workers, cancel).ConfigureAwait(false);

    public async Task<bool> ReleaseWorker(string workerId, string by, CancellationToken cancel = default) =>
        (await Send<Done>(HttpMethod.Post, $"{FarmRoutes.Workers}/{Uri.EscapeDataString(workerId)}/release{Query(("by", by))}", null, cancel).ConfigureAwait(false)).Ok;

    public async Task<ArtifactContent?> GetArtifact(string sha256, CancellationToken cancel = default)
    {
        var response = await http.GetAsync(Relative($"{FarmRoutes.Artifacts}/{Uri.EscapeDataString(sha256)}"), HttpCompletionOption.ResponseHeadersRead, cancel).ConfigureAwait(false);
        if (response.StatusCode == HttpStatusCode.NotFound)
        {
            response.Dispose();
            return null;
        }
        await Check(response, cancel).ConfigureAwait(false);
        var content = await response.Content.ReadAsStreamAsync(cancel).ConfigureAwait(false);
        return new(content, response.Content.Headers.ContentType?.ToString() ?? "application/octet-stream", response.Content.Headers.ContentLength ?? -1);
    }

    /// <summary>Uploads an artifact; the server answers with its digest.</summary>
    public async Task<ArtifactInfo> PutArtifact(string name, Stream content, string contentType, CancellationToken cancel = default)
    {
        using var body = new StreamContent(content);
        body.Headers.TryAddWithoutValidation("Content-Type", contentType);
        using var response = await http.PostAsync(Relative(FarmRoutes.Artifacts + Query(("name", name))), body, cancel).ConfigureAwait(false);
        return await Read<ArtifactInfo>(response, cancel).ConfigureAwait(false);
    }

    public IAsyncEnumerable<FarmEvent> Events(long after = 0, CancellationToken cancel = default) =>
        Stream<FarmEvent>(FarmRoutes.Events + Query(("after", after)), cancel);

    public IAsyncEnumerable<RunEvent> RunEvents(long runId, CancellationToken cancel = default) =>
        Stream<RunEvent>(Path(FarmRoutes.Runs, runId) + "/events", cancel);

    private async IAsyncEnumerable<T> Stream<T>(string path, [EnumeratorCancellation] CancellationToken cancel)
    {
        using var response = await http.GetAsync(Relative(path), HttpCompletionOption.ResponseHeadersRead, cancel).ConfigureAwait(false);
        await Check(response, cancel).ConfigureAwait(false);
        var body = await response.Content.ReadAsStreamAsync(cancel).ConfigureAwait(false);
        await using (body.ConfigureAwait(false))
        {
            var parser = SseParser.Create(body, (_, data) => data.Length == 0 ? default : JsonSerializer.Deserialize<T>(data, FarmJson.Options));
            await foreach (var item in parser.EnumerateAsync(cancel).ConfigureAwait(false))
            {
                if (item.Data is not null)
                    yield return item.Data;
            }
        }
    }

    private async Task<T> Get<T>(string path, CancellationToken cancel)
    {
        using var response = await SendRaw(HttpMethod.Get, path, null, cancel).ConfigureAwait(false);
        return await Read<T>(response, cancel).ConfigureAwait(false);
    }

    private async Task<T?> Find<T>(string path, CancellationToken cancel) where T : class
    {
        using var response = await SendRaw(HttpMethod.Get, path, null, cancel).ConfigureAwait(false);
        return response.StatusCode == HttpStatusCode.NotFound ? null : await Read<T>(response, cancel).ConfigureAwait(false);
    }

    private async Task<T> Send<T>(HttpMethod method, string path, object? body, CancellationToken cancel)
    {
        using var response = await SendRaw(method, path, body, cancel).ConfigureAwait(false);
        return await Read<T>(response, cancel).ConfigureAwait(false);
    }

    private async Task<HttpResponseMessage> SendRaw(HttpMethod method, string path, object? body, CancellationToken cancel)
    {
        using var request = new HttpRequestMessage(method, Relative(path));
        if (body is not null)
            request.Content = JsonContent.Create(body, body.GetType(), options: FarmJson.Options);
        try
        {
            return await http.SendAsync(request, cancel).ConfigureAwait(false);
        }
        catch (HttpRequestException e)
        {
            throw new FarmException(FarmErrorKind.Unavailable, $"No farm answers at {http.BaseAddress}: {e.Message} Is it up (farm up)?", e);
        }
    }

    private static async Task<T> Read<T>(HttpResponseMessage response, CancellationToken cancel)
    {
        await Check(response, cancel).ConfigureAwait(false);
        return await response.Content.ReadFromJsonAsync<T>(FarmJson.Options, cancel).ConfigureAwait(false)
            ?? throw new FarmException(FarmErrorKind.Unavailable, $"{response.RequestMessage?.RequestUri} answered with nothing.");
    }

    private static async Task Check(HttpResponseMessage response, CancellationToken cancel)
    {
        if (response.IsSuccessStatusCode)
            return;
        var text = await response.Content.ReadAsStringAsync(cancel).ConfigureAwait(false);
        string? detail = null;
        try
        {
            using var problem = JsonDocument.Parse(text);
            if (problem.RootElement.ValueKind == JsonValueKind.Object && problem.RootElement.TryGetProperty("detail", out var value))
                detail = value.GetString();
        }
        catch (JsonException)
        {
            // not problem details: the status line has to do
        }
        var kind = response.StatusCode switch
        {
            HttpStatusCode.NotFound => FarmErrorKind.NotFound,
            HttpStatusCode.Conflict => FarmErrorKind.Conflict,
            HttpStatusCode.RequestEntityTooLarge => FarmErrorKind.TooLarge,
            >= HttpStatusCode.InternalServerError => FarmErrorKind.Unavailable,
            _ => FarmErrorKind.Invalid,
        };
        throw new FarmException(kind, detail ?? $"{response.RequestMessage?.RequestUri} answered {(int)response.StatusCode} {response.ReasonPhrase}.");
    }

    private static Uri Relative(string path) => new(path, UriKind.Relative);

    private static string Path(string route, long id) => route + "/" + id.ToString(CultureInfo.InvariantCulture);

    private static string Query(params (string Name, object? Value)[] parts)
    {
        var set = parts.Where(part => part.Value is not null)
            .Select(part => part.Name + "=" + Uri.EscapeDataString(Convert.ToString(part.Value, CultureInfo.InvariantCulture)!));
        var query = string.Join('&', set);
        return query.Length == 0 ? "" : "?" + query;
    }
}

/// <summary>Answer of a command that either did something or found nothing to do.</summary>
public sealed record Done(bool Ok);
