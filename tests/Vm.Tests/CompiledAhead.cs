namespace Farm.Vm.Tests;

/// <summary>The program of a VM that the build compiled ahead, in the configuration of these tests.</summary>
internal static class CompiledAhead
{
    public static string Program { get; } = Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "../../../../../src/Vm/bin",
        Path.GetFileName(Path.GetDirectoryName(AppContext.BaseDirectory.TrimEnd('/'))!), "native/farm"));
}
