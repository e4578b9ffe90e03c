using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Farm.Contracts;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Machine.Boot;

namespace Farm.EndToEnd.Guests;

/// <summary>
/// Real guests on real KVM beside soft: run by infra/kvm.sh, first here with FARM_TEST_BACKEND=soft, then in the nested machine with
/// FARM_TEST_BACKEND=kvm and the reports of the first run in FARM_SOFT_RESULTS. What the screens show at each step is compared there,
/// and the comparison kept in FARM_TEST_RESULTS as NAME.screens.
/// </summary>
public sealed partial class KvmGuestTests
{
    /// <summary>The nested machine is some ten times slower than a real one.</summary>
    private static readonly double Patience = double.Parse(Environment.GetEnvironmentVariable("FARM_TEST_PATIENCE") ?? "5", CultureInfo.InvariantCulture);

    /// <summary>Screens are compared when they have stood still for so long.</summary>
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan TellEvery = TimeSpan.FromSeconds(5);

    private static Backend Wanted => Enum.Parse<Backend>(Environment.GetEnvironmentVariable("FARM_TEST_BACKEND") ?? "kvm", ignoreCase: true);

    /// <summary>FARM_TEST_GUESTS: such as "freedos:disk:vm86 grub2:disk:native".</summary>
    public static IEnumerable<TheoryDataRow<string, JobKind, AssistMode>> Rows() =>
        from row in (Environment.GetEnvironmentVariable("FARM_TEST_GUESTS") ?? "freedos:disk:vm86").Split(' ', StringSplitOptions.RemoveEmptyEntries)
        let parts = row.Split(':')
        select new TheoryDataRow<string, JobKind, AssistMode>(parts[0], Enum.Parse<JobKind>(parts[1], ignoreCase: true), Enum.Parse<AssistMode>(parts[2], ignoreCase: true));

    [Theory(Explicit = true)]
    [MemberData(nameof(Rows))]
    public async Task Reaches_the_screens_that_soft_reaches(string guest, JobKind kind, AssistMode assist)
    {
        var backend = Wanted;
        string name = $"{guest}-{kind}-{assist}-{FirmwareSet.Bochs}".ToLowerInvariant();
        double patience = backend == Backend.Soft ? 1 : Patience;
        var told = Stopwatch.StartNew();
        var report = await GuestRun.Run(guest, kind, new StackSpec { Backend = backend, Assist = assist, Firmware = FirmwareSet.Bochs },
            request => request with { GuestTimeout = request.GuestTimeout * patience, Settle = backend == Backend.Soft ? Settling : 2 * Settling, Script = Stretched(request.Script, patience) },
            session =>
            {
                if (told.Elapsed < TellEvery)
                    return;
                told.Restart();
                Keep(name + ".progress", Progress(session));
            });
        if (backend != Backend.Soft && SoftReport(name) is { } soft)
            Keep(name + ".screens", Compare(soft, report));
        Assert.True(report.Outcome == BootOutcome.Pass, $"{report.Reason}\n{string.Join('\n', report.Screen)}");
        Assert.Empty(report.UnsupportedOpcodes);
        Assert.Equal("prompt", report.FurthestPhase);
    }

    /// <summary>The script's limits, in the time of a slow host.</summary>
    private static GuestScript Stretched(GuestScript script, double patience) => script with
    {
        GuestTime = script.GuestTime * patience,
        StepTime = script.StepTime * patience,
        Steps = [.. script.Steps.Select(step => step with { Timeout = step.Timeout * patience })],
    };

    /// <summary>How far a run is, for who waits for it or finds it at its limit.</summary>
    private static string Progress(BootSession session)
    {
        var text = new StringBuilder();
        text.AppendLine(CultureInfo.InvariantCulture, $"{session.Machine.Time.Now / 1e9:F1} s, {session.Phases.Furthest}, step {session.Script?.StepsDone + 1} of {session.StepsTotal}: {session.Script?.CurrentStep?.Describe()}");
        text.AppendLine(CultureInfo.InvariantCulture, $"at {session.Machine.Where}");
        text.AppendLine("exits: " + string.Join(", ", session.Machine.ExitCounts().Select(exit => $"{exit.Key} {exit.Value}")));
        text.AppendLine("interrupts: " + string.Join(", ", session.Machine.InterruptCounts().Select(taken => $"{taken.Key} {taken.Value}")));
        return text.Append(session.Machine.Screen.ReadText()?.ToText()).AppendLine().ToString();
    }

    /// <summary>A verdict per step, and the lines that differ.</summary>
    public static string Compare(BootReport soft, BootReport other)
    {
        var text = new StringBuilder();
        int steps = Math.Max(soft.Steps.Count, other.Steps.Count);
        for (int i = 0; i < steps; i++)
        {
            if (i >= soft.Steps.Count || i >= other.Steps.Count)
            {
                string who = i >= soft.Steps.Count ? "soft" : other.Backend;
                text.AppendLine(CultureInfo.InvariantCulture, $"step {i + 1}, {(i >= soft.Steps.Count ? other : soft).Steps[i].Step}: {who} did not get here");
                continue;
            }
            string[] left = Lines(soft.Steps[i]), right = Lines(other.Steps[i]);
            var differing = Enumerable.Range(0, Math.Max(left.Length, right.Length)).Where(row => At(left, row) != At(right, row)).ToList();
            bool continues = Continues(left, right);
            bool measures = !continues && differing.All(row => Unmeasured(At(left, row)) == Unmeasured(At(right, row)));
            string verdict = differing.Count == 0 ? "the same"
                : continues ? "the same, one of them further on"
                : measures ? $"the same but for what the guest measures and counts, in {differing.Count} lines"
                : $"{differing.Count} lines differ";
            text.AppendLine(CultureInfo.InvariantCulture, $"step {i + 1}, {soft.Steps[i].Step}: {verdict} ({left.Length} lines; soft {soft.Steps[i].GuestSeconds:F1} s, {other.Backend} {other.Steps[i].GuestSeconds:F1} s)");
            foreach (int row in continues ? [] : differing)
                text.AppendLine(CultureInfo.InvariantCulture, $"   {row,2} soft |{At(left, row)}|\n      {other.Backend,4} |{At(right, row)}|");
        }
        return text.ToString();

        static string[] Lines(StepMet step) => [.. step.Screen.Select(line => line.TrimEnd()).Reverse().SkipWhile(line => line.Length == 0).Reverse()];

        static string At(string[] lines, int row) => row < lines.Length ? lines[row] : "";
    }

    /// <summary>A line without what depends on how fast the processor is: numbers and their units, progress bars, spinners.</summary>
    private static string Unmeasured(string line) => string.Join(' ', Measured().Replace(line, "~").Split(' ', StringSplitOptions.RemoveEmptyEntries)).TrimEnd(' ', '~');

    [GeneratedRegex(@"(?<![A-Za-z])(0x[0-9A-Fa-f]+|[0-9][0-9.:,]*)( ?[kKMG]?(B/s|Hz)| ?%)?|#+|[-|/\\]$")]
    private static partial Regex Measured();

    /// <summary>One of the two only shows more of the same, as when the look came a moment later: the shorter is the beginning of the longer, or scrolled off it.</summary>
    private static bool Continues(string[] left, string[] right)
    {
        var (few, many) = left.Length <= right.Length ? (left, right) : (right, left);
        if (few.Length == 0)
            return true;
        // Of the last line a part may be there.
        bool Begins(string[] head, string[] all, int skip) =>
            head.Length > skip && head.Length - skip <= all.Length
            && head.Skip(skip).SkipLast(1).SequenceEqual(all.Take(head.Length - skip - 1))
            && all[head.Length - skip - 1].StartsWith(head[^1], StringComparison.Ordinal);
        return Enumerable.Range(0, 25).Any(skip => Begins(few, many, skip) || Begins(many, few, skip));
    }

    private static BootReport? SoftReport(string name)
    {
        string? folder = Environment.GetEnvironmentVariable("FARM_SOFT_RESULTS");
        string file = Path.Combine(folder ?? "", name + ".json");
        return File.Exists(file) ? BootReport.FromJson(File.ReadAllText(file)) : null;
    }

    private static void Keep(string file, string text)
    {
        if (Environment.GetEnvironmentVariable("FARM_TEST_RESULTS") is { Length: > 0 } results)
            File.WriteAllText(Path.Combine(Directory.CreateDirectory(results).FullName, file), text);
    }
}
