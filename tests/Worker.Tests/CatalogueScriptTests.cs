using Farm.Catalogue;
using Farm.Machine.Boot;

namespace Farm.Worker.Tests;

public sealed class CatalogueScriptTests
{
    /// <summary>The loader carries scripts as they stand; the machine has to understand every one of the project's own.</summary>
    [Fact]
    public void Every_script_of_the_catalogue_is_one_that_the_machine_runs()
    {
        foreach (var plan in GuestCatalogue.Load(Path.Combine(ProjectRoot(), "guests")).SelectMany(entry => entry.Plans))
        {
            var script = GuestScript.Parse(GuestCatalogue.ScriptAtItsLine(plan), plan.ScriptFile);
            Assert.NotEmpty(script.Steps);
            Assert.True(script.Steps[0].Line >= plan.ScriptLine);
        }
    }

    [Fact]
    public void A_mistake_in_a_script_is_told_with_the_line_of_its_file()
    {
        var entry = GuestCatalogue.Parse("x.yaml", "id: x\nname: X\nfamily: x\ndisk:\n  script:\n    steps:\n      - expct: 'a'\n");
        var error = Assert.ThrowsAny<Exception>(() => GuestScript.Parse(GuestCatalogue.ScriptAtItsLine(entry.Plans[0]), "x.yaml"));
        Assert.StartsWith("x.yaml:7:", error.Message, StringComparison.Ordinal);
    }

    private static string ProjectRoot()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "farm.sln")))
            folder = Path.GetDirectoryName(folder) ?? throw new InvalidOperationException("The project's root is not above the test.");
        return folder;
    }
}
