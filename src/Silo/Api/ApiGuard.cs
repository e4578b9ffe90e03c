using System.Net;
using Farm.Contracts.Api;
using Farm.Silo.Hosting;
using Farm.Silo.Storage;
using Microsoft.AspNetCore.Mvc;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Farm.Silo.Api;

/// <summary>
/// Stands before the API: turns what goes wrong into problem details, and keeps web pages of other sites from driving a farm that
/// listens on this machine (a foreign Origin on a request that changes something; a foreign Host name on a loopback listener).
/// </summary>
public sealed partial class ApiGuard(RequestDelegate next, FarmSiloOptions options, ILogger<ApiGuard> log)
{
    public async Task InvokeAsync(HttpContext context)
    {
        if (!context.Request.Path.StartsWithSegments("/api"))
        {
            await next(context);
            return;
        }
        if (Refusal(context) is { } refusal)
        {
            await Write(context, StatusCodes.Status403Forbidden, refusal);
            return;
        }
        try
        {
            await next(context);
            if (context.Response is { StatusCode: StatusCodes.Status405MethodNotAllowed, HasStarted: false })
                await Write(context, StatusCodes.Status405MethodNotAllowed, $"{context.Request.Path} takes no {context.Request.Method}.");
        }
        catch (Exception) when (context.RequestAborted.IsCancellationRequested)
        {
            // the client is gone: nobody to tell
        }
        catch (Exception e) when (!context.Response.HasStarted)
        {
            var (status, detail) = Explain(e);
            if (status >= StatusCodes.Status500InternalServerError)
                LogFailed(context.Request.Method, context.Request.Path, e);
            await Write(context, status, detail);
        }
    }

    private static (int Status, string Detail) Explain(Exception error) => error switch
    {
        FarmException farm => (farm.Kind switch
        {
            FarmErrorKind.NotFound => StatusCodes.Status404NotFound,
            FarmErrorKind.Conflict => StatusCodes.Status409Conflict,
            FarmErrorKind.TooLarge => StatusCodes.Status413PayloadTooLarge,
            FarmErrorKind.Unavailable => StatusCodes.Status503ServiceUnavailable,
            _ => StatusCodes.Status400BadRequest,
        }, farm.Message),
        BadHttpRequestException bad => (bad.StatusCode, bad.InnerException is System.Text.Json.JsonException json ? "The body is no valid request: " + json.Message : bad.Message),
        DatabaseException or NpgsqlException => (StatusCodes.Status503ServiceUnavailable, "The farm's database does not answer: " + error.Message),
        TimeoutException => (StatusCodes.Status503ServiceUnavailable, "The farm is too busy to answer in time."),
        _ => (StatusCodes.Status500InternalServerError, "The farm made a mistake; its log says more."),
    };

    private string? Refusal(HttpContext context)
    {
        var request = context.Request;
        if (context.Connection.LocalIpAddress is { } local && IPAddress.IsLoopback(local) && !IsLoopbackName(request.Host.Host) && !IsAdvertised(request.Host.Host))
            return $"This farm listens on the loopback address and does not answer as '{request.Host.Host}'.";
        var origin = request.Headers.Origin.ToString();
        if (origin.Length == 0 || HttpMethods.IsGet(request.Method) || HttpMethods.IsHead(request.Method))
            return null;
        return Uri.TryCreate(origin, UriKind.Absolute, out var from) && string.Equals(from.Authority, request.Host.Value, StringComparison.OrdinalIgnoreCase)
            ? null
            : $"Requests from pages of {origin} are refused.";
    }

    private bool IsAdvertised(string host) => options.AdvertisedAddress is { } advertised && IPAddress.TryParse(host.Trim('[', ']'), out var address) && address.Equals(advertised);

    private static bool IsLoopbackName(string host) =>
        host.Length == 0 || string.Equals(host, "localhost", StringComparison.OrdinalIgnoreCase)
        || (IPAddress.TryParse(host.Trim('[', ']'), out var address) && IPAddress.IsLoopback(address));

    private static Task Write(HttpContext context, int status, string detail)
    {
        context.Response.Clear();
        context.Response.StatusCode = status;
        var problem = new ProblemDetails { Status = status, Title = Microsoft.AspNetCore.WebUtilities.ReasonPhrases.GetReasonPhrase(status), Detail = detail };
        return context.Response.WriteAsJsonAsync(problem, FarmJson.Options, "application/problem+json", context.RequestAborted);
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "{Method} {Path} failed")]
    private partial void LogFailed(string method, PathString path, Exception error);
}
