using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Farm.Contracts;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.EndToEnd.WholeFarm;
using Farm.Machine.Boot;
using Farm.Vm;

namespace Farm.EndToEnd.Guests;

/// <summary>
/// Real guests on real KVM beside soft: <c>./farm test kvm-guests</c>. A guest runs here on soft and, as a worker's VM process, in the nested
/// machine; what the screens show at each step is compared, told, and kept in FARM_TEST_RESULTS as NAME.screens.
/// </summary>
public sealed partial class KvmGuestTests
{
    /// <summary>The nested machine is some ten times slower than a real one.</summary>
    private const double Patience = 5;

    /// <summary>Seconds. Screens are compared when they have stood still for so long; on KVM twice that.</summary>
    private const double Settling = 1;

    /// <summary>Of processor time here, which a busy machine does not lengthen.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(40);

    private static readonly string[] Standard =
    [
        .. from guest in new[] { "freedos:disk", "freedos:install", "grub2:disk", "memtest86plus:disk", "openbsd-floppy:disk", "debian-installer-i386:disk" }
           from assist in new[] { "vm86", "native" }
           select $"{guest}:{assist}",
    ];

    /// <summary>FARM_KVM_GUESTS, such as "freedos:disk:vm86 grub2:disk:native"; else the standard ones.</summary>
    public static IEnumerable<TheoryDataRow<string, JobKind, AssistMode>> Rows() =>
        from row in Environment.GetEnvironmentVariable("FARM_KVM_GUESTS")?.Split(' ', StringSplitOptions.RemoveEmptyEntries) ?? Standard
        let parts = row.Split(':')
        select new TheoryDataRow<string, JobKind, AssistMode>(parts[0], Enum.Parse<JobKind>(parts[1], ignoreCase: true), Enum.Parse<AssistMode>(parts[2], ignoreCase: true));

    [Theory(Explicit = true)]
    [MemberData(nameof(Rows))]
    public async Task Reaches_the_screens_that_soft_reaches(string guest, JobKind kind, AssistMode assist)
    {
        var stack = new StackSpec { Backend = Backend.Soft, Assist = assist, Firmware = FirmwareSet.Bochs };
        var soft = await GuestRun.Run(guest, kind, stack, job => job with { SettleSeconds = Settling });
        Check(soft);

        string name = $"{guest}-{kind}-{assist}".ToLowerInvariant();
        string results = Environment.GetEnvironmentVariable("FARM_TEST_RESULTS") is { Length: > 0 } kept ? kept : Path.Combine(Path.GetTempPath(), "farm-kvm-guests");
        string folder = Directory.CreateDirectory(Path.Combine(results, name)).FullName;
        // its disks are the nested machine's own
        var job = await GuestRun.Job(guest, kind, stack with { Backend = Backend.Kvm }, "/tmp/run") with { SettleSeconds = 2 * Settling, Patience = Patience };
        var kvm = await InNestedMachine(job, folder);
        string screens = Compare(soft, kvm);

        await File.WriteAllTextAsync(Path.Combine(results, name + ".screens"), screens, TestContext.Current.CancellationToken);
        Check(kvm);
    }

    private static void Check(BootReport report)
    {
        Assert.True(report.Outcome == BootOutcome.Pass, $"{report.Backend}: {report.Reason}\n{string.Join('\n', report.Screen)}");
        Assert.Empty(report.UnsupportedOpcodes);
        Assert.Equal("prompt", report.FurthestPhase);
    }

    /// <summary>Runs the job there; <paramref name="folder"/> holds what the run says meanwhile, then its report and last screen.</summary>
    private static async Task<BootReport> InNestedMachine(VmJob job, string folder)
    {
        await File.WriteAllTextAsync(Path.Combine(folder, "job.json"), JsonSerializer.Serialize(job, VmJson.Farm.VmJob) + "\n", TestContext.Current.CancellationToken);
        // The job's pipe stays open, as a worker keeps it.
        string command = $"export FARM_ROOT='{Media.Root}'; mkdir /tmp/run && mkfifo /tmp/job && exec 3<>/tmp/job && cat /tmp/out/job.json >&3 && "
            + $"'{CompiledAhead}' {VmRunCommand.Verb} <&3 >/tmp/out/messages 2>/tmp/out/errors; code=$?; cp /tmp/run/report.json /tmp/run/screen.png /tmp/out; exit $code";
        // Not by the clock of instructions: there QEMU keeps a translation for each count of instructions that it may execute, and looks through
        // all of a page's at each store to it. A DOS that waits for a key stores beside its code, and all but stands still.
        // QEMU 7.2 sets the accessed bit in a nested guest's PAE page-directory pointers, where it is reserved: KVM then refuses the guest's
        // next write of CR0 or CR3 (Memtest86+ under nested paging). A real processor does not.
        await using var nested = new NestedMachine(command, 4 * Limit,
            ["--processor", $"{Limit.TotalSeconds}", "--kernel", "kvm-amd.npt=0", "--out", folder]);
        int code = await nested.Ended(TestContext.Current.CancellationToken);
        Assert.SkipWhen(nested.IsNotToBeHad, nested.Console);
        Assert.True(code == 0, $"Code {code}; what it said meanwhile is in {folder}.\n{nested.Console}");
        return BootReport.FromJson(await File.ReadAllTextAsync(Path.Combine(folder, "report.json"), TestContext.Current.CancellationToken))!;
    }

    private static string CompiledAhead
    {
        get
        {
            string program = Path.Combine(Path.GetDirectoryName(FarmProcess.Cli)!, "native", "farm");
            Assert.SkipUnless(File.Exists(program), $"{program} is not there: it is built in Release where gcc is.");
            return program;
        }
    }

    /// <summary>A verdict per step, and the lines that differ.</summary>
    private static string Compare(BootReport soft, BootReport other)
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
}
