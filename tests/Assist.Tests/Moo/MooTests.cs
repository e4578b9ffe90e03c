using System.Text;

namespace Farm.Assist.Tests.Moo;

/// <summary>
/// SingleStepTests' 80286 suite, captured from a Harris N80C286-12: one row per file. Undefined flags are masked by the suite's own
/// metadata.json; what later processors do otherwise is in <see cref="MooDifferences"/>.
/// </summary>
public sealed class MooTests(MooMachine machine) : IClassFixture<MooMachine>
{
    private const string Absent = "";
    private const int Shown = 5;

    public static TheoryData<string> Files()
    {
        TheoryData<string> files = [.. MooSuite.Names()];
        if (files.Count == 0)
            files.Add(Absent);
        return files;
    }

    [Theory]
    [MemberData(nameof(Files))]
    public void Instruction_does_what_the_80286_did(string file)
    {
        if (file == Absent)
            Assert.Skip("No captured tests: set FARM_CPU_TESTS or put them into ../shared/cpu-tests.");
        ushort definedFlags = MooSuite.DefinedFlags(file);
        StringBuilder report = new();
        int failed = 0, ran = 0;
        foreach (MooTest test in MooSuite.Load(file))
        {
            if (MooDifferences.IsTooLongFor286(test) || MooDifferences.UsesLaterSegment(MooDifferences.Decode(test)))
                continue;
            ran++;
            IReadOnlyList<string> differences = machine.Run(test, definedFlags);
            if (differences.Count == 0)
                continue;
            if (++failed <= Shown)
                report.AppendLine().Append(test.Index).Append(": ").Append(test.Name).Append("  ").Append(Convert.ToHexString(test.Bytes))
                    .AppendLine().AppendJoin(Environment.NewLine, differences.Select(difference => "    " + difference));
        }
        Assert.True(failed == 0, $"{failed} of {ran} failed:{report}");
        Assert.Null(machine.StrayWrite());
        Assert.True(ran > 0);
    }
}
