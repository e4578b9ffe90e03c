using System.Globalization;
using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;
using Farm.Contracts;
using Farm.Contracts.Api;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Farm.Contracts.Matrix;
using Farm.Contracts.Triage;
using Farm.Contracts.Workers;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;

namespace Farm.Silo.Api;

/// <summary>The HTTP API, under <c>/api</c>. Errors are problem details whose <c>detail</c> is for the user to read.</summary>
public static class FarmApi
{
    public static void MapFarmApi(this IEndpointRouteBuilder routes)
    {
        MapGuests(routes);
        MapJobs(routes);
        MapRuns(routes);
        MapTriage(routes);
        MapWorkers(routes);
        MapArtifacts(routes);
        MapMedia(routes);
        routes.MapGet(FarmRoutes.Events, Events);
        routes.MapGet("api/{**path}", void (string? path) => throw NotFound($"The API has no /api/{path}."));
    }

    private static void MapGuests(IEndpointRouteBuilder routes)
    {
        routes.MapGet(FarmRoutes.Guests, (FarmService farm, CancellationToken cancel) => farm.GetGuests(cancel));
        routes.MapGet(FarmRoutes.Guests + "/{id}", async (string id, FarmService farm, CancellationToken cancel) =>
            await farm.GetGuest(id, cancel) ?? throw NotFound($"The catalogue has no guest '{id}'."));
        routes.MapGet(FarmRoutes.Matrix, (
            FarmService farm, string? backend, string? assist, string? firmware, string? guest, string? build, CancellationToken cancel) =>
            farm.GetMatrix(new()
            {
                Backend = EnumText.Parse<Backend>(backend, "backend"),
                Assist = EnumText.Parse<AssistMode>(assist, "assist"),
                Firmware = EnumText.Parse<FirmwareSet>(firmware, "firmware"),
                GuestId = guest,
                Build = string.IsNullOrEmpty(build) ? null : build,
            }, cancel));
        routes.MapGet(FarmRoutes.Compare, (FarmService farm, string? a, string? b, string? guest, CancellationToken cancel) =>
            farm.Compare(MatrixSide.Parse(a ?? "") with { GuestId = guest }, MatrixSide.Parse(b ?? "") with { GuestId = guest }, cancel));
        routes.MapGet(FarmRoutes.Builds, (FarmService farm, CancellationToken cancel) => farm.GetBuilds(cancel));
    }

    private static void MapJobs(IEndpointRouteBuilder routes)
    {
        routes.MapGet(FarmRoutes.Jobs, (
            FarmService farm, string? state, string? guest, string? kind, string? worker, long? before, int? limit, CancellationToken cancel) =>
            farm.GetJobs(new()
            {
                State = EnumText.Parse<JobState>(state, "state"),
                GuestId = guest,
                Kind = EnumText.Parse<JobKind>(kind, "kind"),
                Worker = worker,
                Before = before,
                Limit = limit ?? 100,
            }, cancel));
        routes.MapPost(FarmRoutes.Jobs, async (JobRequest request, FarmService farm, CancellationToken cancel) =>
            TypedResults.Json(await farm.CreateJobs(request, cancel), statusCode: StatusCodes.Status201Created));
        routes.MapGet(FarmRoutes.Jobs + "/{id:long}", async (long id, FarmService farm, CancellationToken cancel) =>
            await farm.GetJob(id, cancel) ?? throw NotFound($"There is no job {id}."));
        routes.MapPost(FarmRoutes.Jobs + "/{id:long}/cancel", async (long id, string? by, FarmService farm, CancellationToken cancel) =>
            new Done(await farm.CancelJob(id, by ?? "", cancel)));
        routes.MapPost(FarmRoutes.Jobs + "/{id:long}/rerun", async (long id, string? by, FarmService farm, CancellationToken cancel) =>
            TypedResults.Json(await farm.RerunJob(id, by ?? "", cancel), statusCode: StatusCodes.Status201Created));
    }

    private static void MapRuns(IEndpointRouteBuilder routes)
    {
        routes.MapGet(FarmRoutes.Runs, (FarmService farm, string? guest, string? kind, int? limit, CancellationToken cancel) =>
            farm.GetRuns(guest, EnumText.Parse<JobKind>(kind, "kind"), limit ?? 50, cancel));
        routes.MapGet(FarmRoutes.Runs + "/{id:long}", async (long id, FarmService farm, CancellationToken cancel) =>
            await farm.GetRun(id, cancel) ?? throw NotFound($"There is no run {id}."));
        routes.MapGet(FarmRoutes.Runs + "/{id:long}/events", async (long id, FarmService farm, HttpContext context, CancellationToken cancel) =>
        {
            if (await farm.GetRun(id, cancel) is null)
                throw NotFound($"There is no run {id}.");
            return Stream(context, stop => farm.RunEvents(id, stop), change => change.Sequence);
        });
    }

    private static void MapTriage(IEndpointRouteBuilder routes)
    {
        routes.MapGet(FarmRoutes.Triage, (FarmService farm, CancellationToken cancel) => farm.GetTriage(cancel));
        routes.MapGet(FarmRoutes.Triage + "/{fingerprint}", async (string fingerprint, FarmService farm, CancellationToken cancel) =>
            await farm.GetTriageGroup(fingerprint, cancel) ?? throw NotFound($"There is no triage group '{fingerprint}'."));
        routes.MapPatch(FarmRoutes.Triage + "/{fingerprint}", async (string fingerprint, TriageEdit edit, FarmService farm, CancellationToken cancel) =>
            await farm.EditTriageGroup(fingerprint, edit, cancel) ?? throw NotFound($"There is no triage group '{fingerprint}'."));
    }

    private static void MapWorkers(IEndpointRouteBuilder routes)
    {
        routes.MapGet(FarmRoutes.Workers, (FarmService farm, CancellationToken cancel) => farm.GetWorkers(cancel));
        routes.MapGet(FarmRoutes.Workers + "/{id}", async (string id, FarmService farm, CancellationToken cancel) =>
            (await farm.GetWorkers(cancel)).FirstOrDefault(worker => worker.Id == id) ?? throw NotFound($"There is no worker '{id}'."));
        routes.MapPost(FarmRoutes.Workers + "/{id}/release", async (string id, string? by, FarmService farm, CancellationToken cancel) =>
            new Done(await farm.ReleaseWorker(id, by ?? "", cancel)));
    }

    private static void MapArtifacts(IEndpointRouteBuilder routes)
    {
        routes.MapPost(FarmRoutes.Artifacts, async (string? name, HttpContext context, FarmService farm, CancellationToken cancel) =>
        {
            // the store has its own bound, and says so better
            if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
                limit.MaxRequestBodySize = null;
            var stored = await farm.PutArtifact(name ?? "artifact", context.Request.Body, context.Request.ContentType ?? "application/octet-stream", cancel);
            return TypedResults.Json(stored, statusCode: StatusCodes.Status201Created);
        }).DisableAntiforgery();
        routes.MapGet(FarmRoutes.Artifacts + "/{sha256}", async (string sha256, string? name, HttpContext context, FarmService farm, CancellationToken cancel) =>
        {
            var artifact = await farm.GetArtifact(sha256, cancel) ?? throw NotFound($"There is no artifact '{sha256}'.");
            // guests write these: a browser must neither guess their type nor run what is in them
            context.Response.Headers.XContentTypeOptions = "nosniff";
            context.Response.Headers.ContentSecurityPolicy = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:";
            context.Response.Headers.CacheControl = "private, max-age=31536000, immutable";
            var inline = artifact.ContentType.StartsWith("text/plain", StringComparison.Ordinal) || artifact.ContentType is "image/png" or "application/json";
            return TypedResults.Stream(artifact.Content, artifact.ContentType, inline ? null : name ?? sha256, entityTag: new($"\"{sha256}\""));
        });
    }

    /// <summary>For workers that lack a medium.</summary>
    private static void MapMedia(IEndpointRouteBuilder routes)
    {
        routes.MapGet(FarmRoutes.Media, (IMediaShelf shelf) => shelf.Held);
        routes.MapGet(FarmRoutes.Media + "/{sha256}", async (string sha256, IMediaShelf shelf, CancellationToken cancel) =>
            await shelf.Locate(sha256, cancel) is { } path
                ? TypedResults.PhysicalFile(path, "application/octet-stream", enableRangeProcessing: true)
                : throw NotFound($"This farm's silo holds no medium with the digest '{sha256}'."));
    }

    private static ServerSentEventsResult<FarmEvent> Events(FarmService farm, HttpContext context, long? after)
    {
        // a browser that comes back names the last event that it has seen
        var last = context.Request.Headers["Last-Event-ID"].ToString();
        if (long.TryParse(last, NumberStyles.None, CultureInfo.InvariantCulture, out var seen))
            after = seen;
        return Stream(context, stop => farm.Events(after ?? 0, stop), change => change.Sequence);
    }

    private static ServerSentEventsResult<T> Stream<T>(HttpContext context, Func<CancellationToken, IAsyncEnumerable<T>> events, Func<T, long> sequence)
    {
        context.Response.Headers.CacheControl = "no-store";
        // a server that stops does not wait for streams that never end by themselves
        var stopping = context.RequestServices.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping;
        var stop = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, stopping);
        context.Response.RegisterForDispose(stop);
        return TypedResults.ServerSentEvents(Items(events, sequence, stop.Token));
    }

    private static async IAsyncEnumerable<SseItem<T>> Items<T>(
        Func<CancellationToken, IAsyncEnumerable<T>> events, Func<T, long> sequence, [EnumeratorCancellation] CancellationToken cancel)
    {
        await using var changes = events(cancel).GetAsyncEnumerator(cancel);
        while (await Next(changes, cancel))
            yield return new(changes.Current) { EventId = sequence(changes.Current).ToString(CultureInfo.InvariantCulture) };
    }

    private static async ValueTask<bool> Next<T>(IAsyncEnumerator<T> changes, CancellationToken cancel)
    {
        try
        {
            return await changes.MoveNextAsync();
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            return false;
        }
    }

    private static FarmException NotFound(string message) => new(FarmErrorKind.NotFound, message);
}
