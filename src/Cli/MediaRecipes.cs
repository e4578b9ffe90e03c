using System.Diagnostics;
using Farm.Contracts.Guests;

namespace Farm.Cli;

/// <summary>Makes the media that the catalogue describes by a recipe under infra/media.</summary>
internal static class MediaRecipes
{
    /// <summary>Runs every recipe whose result is not there yet. A recipe that fails is named and left out: its guest shows "no media".</summary>
    /// <returns>How many recipes made their media now.</returns>
    public static async Task<int> Make(IEnumerable<MediaInfo> media, Action<string> say, CancellationToken cancel)
    {
        int made = 0;
        Directory.CreateDirectory(FarmFolders.Media);
        foreach (var recipe in media.Where(medium => medium.Recipe is not null).GroupBy(medium => medium.Recipe!))
        {
            if (recipe.All(medium => medium.Files.Any(file => File.Exists(Path.Combine(FarmFolders.Media, file)))))
                continue;
            string script = Path.Combine(FarmFolders.Recipes, recipe.Key);
            if (!File.Exists(script))
            {
                say($"no recipe {script}; its media are missing");
                continue;
            }
            say($"making {recipe.Key}");
            var (code, error) = await Run(script, cancel);
            if (code == 0)
                made++;
            else
                say($"recipe {recipe.Key} failed ({code}): {error}");
        }
        return made;
    }

    private static async Task<(int Code, string Error)> Run(string script, CancellationToken cancel)
    {
        using var process = Process.Start(new ProcessStartInfo("bash", [script, FarmFolders.Media]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var output = process.StandardOutput.ReadToEndAsync(cancel);
        var error = process.StandardError.ReadToEndAsync(cancel);
        try
        {
            await process.WaitForExitAsync(cancel);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw;
        }
        await output;
        return (process.ExitCode, (await error).Trim().Split('\n')[^1]);
    }
}
