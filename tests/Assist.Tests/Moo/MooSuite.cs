using System.Text.Json;

namespace Farm.Assist.Tests.Moo;

/// <summary>The folder of captured tests: FARM_CPU_TESTS, or ../shared/cpu-tests beside the project; its 80286 subfolder if it has one.</summary>
public static class MooSuite
{
    private static readonly Lazy<string?> _folder = new(Find);
    private static readonly Lazy<JsonElement> _opcodes = new(() =>
        JsonDocument.Parse(File.ReadAllBytes(Path.Combine(_folder.Value!, "metadata.json"))).RootElement.GetProperty("opcodes"));

    public static string? Folder => _folder.Value;

    /// <summary>Names of the files without extension: opcode, and the ModRM extension behind a dot.</summary>
    public static IEnumerable<string> Names() => Folder == null
        ? []
        : Directory.EnumerateFiles(Folder, "*.MOO.gz").Select(file => Path.GetFileName(file)[..^".MOO.gz".Length]).Order(StringComparer.Ordinal);

    public static IReadOnlyList<MooTest> Load(string name) => MooFile.Load(Path.Combine(Folder!, name + ".MOO.gz"));

    /// <summary>Flags that the suite's metadata.json calls defined after the opcode.</summary>
    public static ushort DefinedFlags(string name)
    {
        string[] parts = name.Split('.');
        JsonElement opcode = _opcodes.Value.GetProperty(parts[0]);
        if (parts.Length > 1)
            opcode = opcode.GetProperty("reg").GetProperty(parts[1]);
        return opcode.TryGetProperty("flags-mask", out JsonElement mask) ? mask.GetUInt16() : ushort.MaxValue;
    }

    private static string? Find()
    {
        string? folder = Environment.GetEnvironmentVariable("FARM_CPU_TESTS");
        if (string.IsNullOrEmpty(folder))
        {
            DirectoryInfo? root = new(AppContext.BaseDirectory);
            while (root != null && !File.Exists(Path.Combine(root.FullName, "farm.sln")))
                root = root.Parent;
            if (root == null)
                return null;
            folder = Path.Combine(root.FullName, "..", "shared", "cpu-tests");
        }
        if (Directory.Exists(Path.Combine(folder, "80286")))
            folder = Path.Combine(folder, "80286");
        return File.Exists(Path.Combine(folder, "metadata.json")) ? folder : null;
    }
}
