using Farm.Contracts.Guests;

namespace Farm.Catalogue;

/// <summary>The guests of a folder, one YAML file each.</summary>
public static class GuestCatalogue
{
    /// <summary>Every guest, by id.</summary>
    /// <exception cref="CatalogueException">All errors of all files.</exception>
    public static IReadOnlyList<CatalogueEntry> Load(string folder)
    {
        if (!Directory.Exists(folder))
            throw new CatalogueException([$"{folder}: there is no such folder of guests."]);
        var entries = new List<CatalogueEntry>();
        var errors = new List<string>();
        foreach (var path in Directory.EnumerateFiles(folder).Order(StringComparer.Ordinal))
        {
            if (Path.GetExtension(path) is ".yml")
                errors.Add($"{path}: a guest's file ends in .yaml.");
            if (Path.GetExtension(path) is not ".yaml")
                continue;
            var (entry, found) = Read(path);
            errors.AddRange(found);
            if (entry is not null)
                entries.Add(entry);
        }
        if (errors.Count > 0)
            throw new CatalogueException(errors);
        if (entries.Count == 0)
            throw new CatalogueException([$"{folder}: holds no guest (*.yaml)."]);
        return entries;
    }

    /// <summary>One guest from YAML text; <paramref name="path"/> is its name in errors and gives the id.</summary>
    /// <exception cref="CatalogueException">All errors of the text.</exception>
    public static CatalogueEntry Parse(string path, string text)
    {
        var (entry, errors) = GuestFile.Read(path, text);
        return entry ?? throw new CatalogueException(errors);
    }

    /// <summary>A plan's script with as many lines before it as in its file: a reader's line numbers are then the file's.</summary>
    public static string ScriptAtItsLine(GuestPlan plan) => new string('\n', Math.Clamp(plan.ScriptLine - 1, 0, 100_000)) + plan.Script;

    private static (CatalogueEntry? Entry, IReadOnlyList<string> Errors) Read(string path)
    {
        try
        {
            return GuestFile.Read(path, File.ReadAllText(path));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return (null, [$"{path}: cannot be read: {e.Message}"]);
        }
    }
}
