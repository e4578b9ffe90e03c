using System.CommandLine;
using Farm.Contracts.Api;
using Farm.Machine.Hypervisors;

namespace Farm.Cli;

/// <summary>How the client verbs find the farm: <c>--server</c>, FARM_URL, the running <c>farm up</c> of this folder, else the default port.</summary>
internal static class FarmConnection
{
    public const int DefaultPort = 8600;

    public static Option<string?> Server { get; } = new("--server") { Description = "the farm's URL (default: FARM_URL, else the farm that `farm up` runs here)", Recursive = true };

    public static Option<bool> Json { get; } = new("--json") { Description = "answer as JSON", Recursive = true };

    /// <summary>The folder that holds the project: FARM_ROOT, else the current one.</summary>
    public static string Root => Environment.GetEnvironmentVariable("FARM_ROOT") is { Length: > 0 } root ? root : Environment.CurrentDirectory;

    /// <summary>State of the farm on this machine: database cluster, artifacts, media, logs.</summary>
    public static string StateFolder => Environment.GetEnvironmentVariable("FARM_STATE") is { Length: > 0 } state ? state : Path.Combine(Root, ".farm");

    public static string UrlFile => Path.Combine(StateFolder, "url");

    public static FarmHttpClient Open(ParseResult parsed) => new(new HttpClient { BaseAddress = Address(parsed), Timeout = TimeSpan.FromSeconds(100) });

    public static Uri Address(ParseResult parsed)
    {
        string url = parsed.GetValue(Server) ?? Environment.GetEnvironmentVariable("FARM_URL") ?? Recorded() ?? $"http://127.0.0.1:{DefaultPort}";
        if (!Uri.TryCreate(url.TrimEnd('/') + "/", UriKind.Absolute, out var address) || address.Scheme is not ("http" or "https"))
            throw new BadInputException($"--server {url} is not an http or https URL.");
        return address;
    }

    private static string? Recorded() => File.Exists(UrlFile) ? File.ReadAllText(UrlFile).Trim() : null;
}
