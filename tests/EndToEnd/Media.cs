using System.Diagnostics;
using Farm.Contracts.Guests;
using Farm.Worker.Media;

namespace Farm.EndToEnd;

/// <summary>Real boot media: in FARM_MEDIA, in the checkout's .farm/media, or in shared/guests beside the checkout.</summary>
internal static class Media
{
    private static readonly SemaphoreSlim Recipes = new(1, 1);

    public static string Root { get; } = FindRoot();

    private static string Made { get; } = Path.Combine(Root, ".farm", "media");

    /// <summary>The file, or the test is skipped and says so.</summary>
    public static string Need(string name)
    {
        string? found = Find(name);
        Assert.SkipWhen(found is null, $"The medium {name} is in none of {string.Join(", ", Folders())}; set FARM_MEDIA to its folder.");
        return found!;
    }

    /// <summary>The file of a guest's medium, made by its recipe if need be, or the test is skipped and says so.</summary>
    public static async Task<string> Need(MediaInfo medium, CancellationToken cancel)
    {
        return medium.Recipe is { } recipe ? await Need(medium.Files[0], recipe, cancel) : Need(medium.Files[0]);
    }

    /// <summary>The file, made by a recipe under infra/media if need be, or the test is skipped and says so.</summary>
    public static async Task<string> Need(string name, string recipe, CancellationToken cancel)
    {
        await Recipes.WaitAsync(cancel);
        try
        {
            if (Find(name) is null)
                await Make(recipe, cancel);
        }
        finally
        {
            Recipes.Release();
        }
        return Need(name);
    }

    private static string? Find(string name) => Folders().Select(folder => Path.Combine(folder, name)).FirstOrDefault(File.Exists);

    private static IEnumerable<string> Folders() => [.. MediaLibrary.Folders([], Path.Combine(Root, ".farm")), Path.Combine(Root, "..", "shared", "guests")];

    private static async Task Make(string recipe, CancellationToken cancel)
    {
        using var process = Process.Start(new ProcessStartInfo("bash", [Path.Combine(Root, "infra", "media", recipe), Made]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var output = process.StandardOutput.ReadToEndAsync(cancel);
        string error = await process.StandardError.ReadToEndAsync(cancel);
        await process.WaitForExitAsync(cancel);
        await output;
        Assert.SkipWhen(process.ExitCode != 0, $"The recipe {recipe} failed ({process.ExitCode}): {error.Trim()}");
    }

    /// <summary>A file of an installed Debian package, or the test is skipped and says so.</summary>
    public static string NeedInstalled(string path, string package)
    {
        Assert.SkipUnless(File.Exists(path), $"{path} is not there (package {package}).");
        return path;
    }

    private static string FindRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "farm.sln")))
            folder = folder.Parent;
        return folder?.FullName ?? Environment.CurrentDirectory;
    }
}
