namespace Farm.Contracts.Api;

/// <summary>Paths of the HTTP API, relative to the server's root.</summary>
public static class FarmRoutes
{
    public const string Guests = "api/guests";
    public const string Matrix = "api/matrix";
    public const string Compare = "api/compare";
    public const string Builds = "api/builds";
    public const string Jobs = "api/jobs";
    public const string Runs = "api/runs";
    public const string Triage = "api/triage";
    public const string Workers = "api/workers";
    public const string Artifacts = "api/artifacts";
    public const string Media = "api/media";
    public const string Events = "api/events";
}
