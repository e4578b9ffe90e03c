using System.Globalization;
using System.Text.RegularExpressions;
using Farm.Catalogue;
using Farm.Contracts.Guests;
using Farm.Machine.Boot;
using Farm.Machine.Hypervisors;
using Farm.Machine.Tests.Hostile;

namespace Farm.Worker.Tests;

/// <summary>Mutations of every guest of the catalogue: a definition is read, or refused with file, line and reason; nothing else ever comes out.</summary>
public sealed partial class CatalogueFuzzTests
{
    private const int LongestError = 2000;

    private static readonly string[] s_pieces =
    [
        "&a ", "*a", "!!binary ", "!!int ", "!<tag:x> ", "? ", ": ", "- ", "{", "}", "[", "]", ", ", "'", "\"", "\\", "|", ">-", "---\n", "...\n", "%YAML 9.9\n", "#", "\t", "\0", "\uFEFF",
        "\uD800", "\u2028", "\u0085", "\r", "\n", "\n\n", "  ", "<<: ", "~", "null", "true", "-1", "0x10", "1e308", "NaN", "99999999999999999999", "\\x", "\\u12", "<f13>", "(a+)+$", "((((", "[a-", "\\1", "(?=x)",
        "steps:", "expect:", "script:", "media:", "drives:", "insert: { drive: floppy0, media: x }", "blank: 0", "kind: tape", "sha256: 00", "floppy9: x", "boot: aa",
    ];

    [Fact]
    public void A_mutated_definition_is_read_or_refused_with_its_line()
    {
        var files = Directory.GetFiles(Path.Combine(ProjectRoot(), "guests"), "*.yaml").Order(StringComparer.Ordinal).Select(path => (Path: path, Text: File.ReadAllText(path))).ToList();
        FuzzBudget.Run(3, random =>
        {
            foreach (var (path, text) in files)
                Check(Path.GetFileName(path), Mutate(random, text));
        });
    }

    [Fact]
    public void A_mutated_script_is_read_or_refused_with_its_place()
    {
        var scripts = GuestCatalogue.Load(Path.Combine(ProjectRoot(), "guests")).SelectMany(entry => entry.Plans).Select(plan => plan.Script).ToList();
        FuzzBudget.Run(2, random =>
        {
            foreach (string script in scripts)
            {
                string text = Mutate(random, script);
                try
                {
                    GuestScript.Parse(text, "script.yaml");
                }
                catch (BadInputException e)
                {
                    Assert.True(Place().IsMatch(e.Message), $"{e.Message}\n{text}");
                    Assert.InRange(e.Message.Length, 10, LongestError);
                }
                catch (Exception e)
                {
                    Assert.Fail($"{e}\n{text}");
                }
            }
        });
    }

    [Theory]
    [InlineData("disk:\n  boot: {0}", "acdacdacdX")] // a check for repeated letters must not backtrack
    [InlineData("id: {0}", "a")]
    [InlineData("name: {0}", "(a+)+$")]
    [InlineData("disk: {0}", "[")]
    [InlineData("disk: {0}", "{a: ")]
    [InlineData("{0}", "? ")]
    [InlineData("{0}", "- ")]
    [InlineData("disk:\n  script:\n    steps:\n{0}", "      - expect: x\n")]
    [InlineData("disk:\n  drives:\n{0}", "    floppy0: x\n")]
    [InlineData("{0}", "key: 1\n")]
    public void Long_and_deep_texts_are_refused_in_no_time(string form, string piece)
    {
        foreach (int count in (int[])[1000, 60_000])
            Check("x.yaml", string.Format(CultureInfo.InvariantCulture, form, string.Concat(Enumerable.Repeat(piece, count))));
    }

    private static void Check(string name, string text)
    {
        long start = Environment.TickCount64;
        try
        {
            CheckEntry(name, text);
        }
        catch (Exception e) when (e is not Xunit.Sdk.XunitException)
        {
            Assert.Fail($"{name}: {e}\n{(text.Length > 20_000 ? text[..20_000] : text)}");
        }
        Assert.InRange(Environment.TickCount64 - start, 0, 60_000);
    }

    private static void CheckEntry(string name, string text)
    {
        CatalogueEntry entry;
        try
        {
            entry = GuestCatalogue.Parse(name, text);
        }
        catch (CatalogueException e)
        {
            Assert.NotEmpty(e.Errors);
            Assert.All(e.Errors, error =>
            {
                Assert.Matches(Place(), error);
                Assert.InRange(error.Length, 10, LongestError);
            });
            return;
        }
        foreach (var plan in entry.Plans)
        {
            try
            {
                GuestScript.Parse(GuestCatalogue.ScriptAtItsLine(plan), plan.ScriptFile);
            }
            catch (BadInputException e)
            {
                Assert.StartsWith(name, e.Message, StringComparison.Ordinal);
                Assert.InRange(e.Message.Length, 10, LongestError);
            }
        }
    }

    private static string Mutate(Random random, string text)
    {
        for (int times = random.Next(1, 5); times > 0; times--)
        {
            int at = random.Next(text.Length + 1);
            int length = Math.Min(random.Next(40), text.Length - at);
            string[] lines = text.Split('\n');
            int line = random.Next(lines.Length);
            text = random.Next(9) switch
            {
                0 => text.Remove(at, length),
                1 => text.Insert(at, text.Substring(at, length)),
                2 => text.Insert(at, ((char)random.Next(0x10000)).ToString()),
                3 => text[..at],
                4 => string.Join('\n', lines.Where((_, index) => index != line)),
                5 => string.Join('\n', lines.Select((item, index) => index == line ? $"{item}\n{item}" : item)),
                6 => string.Join('\n', lines.Select((item, index) => index == line ? new string(' ', random.Next(12)) + item.TrimStart() : item)),
                _ => text.Insert(at, s_pieces[random.Next(s_pieces.Length)]),
            };
        }
        return text;
    }

    private static string ProjectRoot()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "farm.sln")))
            folder = Path.GetDirectoryName(folder) ?? throw new InvalidOperationException("The project's root is not above the test.");
        return folder;
    }

    [GeneratedRegex(@"^[a-z0-9.-]+\.yaml(:\d+){0,2}: .+", RegexOptions.Singleline)]
    private static partial Regex Place();
}
