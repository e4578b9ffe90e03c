namespace Farm.EndToEnd;

/// <summary>Real boot media: in FARM_MEDIA, or in shared/guests beside the checkout.</summary>
internal static class Media
{
    public static string Root { get; } = FindRoot();

    /// <summary>The file, or the test is skipped and says so.</summary>
    public static string Need(string name)
    {
        string[] folders = [.. (Environment.GetEnvironmentVariable("FARM_MEDIA") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries), Path.Combine(Root, "..", "shared", "guests")];
        string? found = folders.Select(folder => Path.Combine(folder, name)).FirstOrDefault(File.Exists);
        Assert.SkipWhen(found is null, $"The medium {name} is in none of {string.Join(", ", folders)}; set FARM_MEDIA to its folder.");
        return found!;
    }

    private static string FindRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "farm.sln")))
            folder = folder.Parent;
        return folder?.FullName ?? Environment.CurrentDirectory;
    }
}
