using Farm.Worker.Media;

namespace Farm.Cli;

/// <summary>Where this checkout keeps what: guests (or FARM_GUESTS), recipes, media, the farm's state.</summary>
internal static class FarmFolders
{
    public static string Guests => Environment.GetEnvironmentVariable("FARM_GUESTS") is { Length: > 0 } folder ? folder : Path.Combine(FarmConnection.Root, "guests");

    public static string Recipes => Path.Combine(FarmConnection.Root, "infra", "media");

    public static string Media => Path.Combine(FarmConnection.StateFolder, "media");

    /// <summary>FARM_MEDIA, the folders given, the farm's own, and a folder shared/guests beside the checkout.</summary>
    public static IReadOnlyList<string> MediaFolders(IEnumerable<string>? given = null) =>
    [
        .. MediaLibrary.Folders(given ?? [], FarmConnection.StateFolder),
        Path.GetFullPath(Path.Combine(FarmConnection.Root, "..", "shared", "guests")),
    ];

    public static MediaLibrary Library(IEnumerable<string>? given = null)
    {
        Directory.CreateDirectory(FarmConnection.StateFolder);
        return new MediaLibrary(MediaFolders(given), Path.Combine(FarmConnection.StateFolder, "media-digests.json"));
    }
}
