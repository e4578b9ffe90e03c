using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace Farm.Bench.Kvm;

/// <summary>
/// <c>farm bench kvm</c>, inside the nested machine: what an exit costs beside the least that a monitor must do (exits.c), and the time of
/// boots beside QEMU with KVM. Everything runs in turns in one machine, so only the ratios mean something elsewhere.
/// </summary>
internal static class KvmCost
{
    private static readonly TimeSpan ExitLimit = TimeSpan.FromSeconds(300);

    /// <summary>Seconds of a boot's limit beyond which it is run once.</summary>
    private const int LongBoot = 600;
    private const int BootRounds = 5;

    private static readonly JsonSerializerOptions Indented = new(JsonSerializerDefaults.Web) { WriteIndented = true };

    /// <param name="boots">Names of boots, separated by commas; empty: none.</param>
    /// <param name="exits">exits.c compiled, or null: no measurement of exits.</param>
    public static int Run(string root, string? exits, string boots, string json)
    {
        var exitRows = new List<ExitRow>();
        if (exits is not null)
            MeasureExits(root, exits, exitRows);
        var bootRows = new List<Row>();
        foreach (string name in boots.Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            if (GuestBoot.OnKvm(root).FirstOrDefault(boot => boot.Name == name) is not { } boot)
            {
                Console.WriteLine($"boot {name}: skipped, its medium is not at hand");
                continue;
            }
            // To memory: the nested machine reads the outer one's files over a network file system, and waits for it as long as that takes.
            bootRows.Add(Emulator.InFolder(folder => MeasureBoot(root, boot with { Medium = boot.Medium.CopyTo(folder) })));
        }
        File.WriteAllText(json, JsonSerializer.Serialize(new { Exits = exitRows, Boots = bootRows.Select(row => new { row.Name, row.Results }) }, Indented));
        return 0;
    }

    private static void MeasureExits(string root, string exits, List<ExitRow> rows)
    {
        var (least, farm) = Emulator.InFolder(folder =>
        {
            string floppy = Path.Combine(folder, "exits.img");
            File.WriteAllBytes(floppy, ExitLoops.Image());
            var least = new RoundTimes();
            var farm = new RoundTimes();
            // Before and after: what else the host does meanwhile changes from one minute to the next.
            RunLeast(exits, floppy, least);
            RunFarm(root, floppy, farm);
            RunLeast(exits, floppy, least);
            return (least, farm);
        });
        Console.WriteLine($"{"exits",-14}{"minimal C",14}{"farm",14}{"ratio",8}   microseconds; medians of {least.Count} and {farm.Count} rounds");
        foreach (var (letter, name) in ExitLoops.Kinds)
        {
            if (least.Median(letter) is not { } yardstick || farm.Median(letter) is not { } measured)
                continue;
            rows.Add(new(name, yardstick, measured));
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name,-14}{yardstick / 1000,14:F1}{measured / 1000,14:F1}{measured / yardstick,8:F2}"));
        }
    }

    private static void RunLeast(string exits, string floppy, RoundTimes times)
    {
        using var child = new Child(exits, [floppy], ExitLimit, output: true);
        using var reader = new StreamReader(child.Output);
        times.Begin();
        while (reader.ReadLine() is { } line)
            times.Add(line[0], long.Parse(line.AsSpan(2), CultureInfo.InvariantCulture));
        if (!times.Ended)
            Console.WriteLine($"    minimal C: it ended before the loops did: {child.Error}");
    }

    private static void RunFarm(string root, string floppy, RoundTimes times)
    {
        using var child = new Child(FarmEmulator.ProgramIn(root), ["boot", "--backend", "kvm", "--assist", "vm86", "--memory", "16",
            "--floppy", floppy, "--order", "a", "--serial", "-", "--expect", "never", "--timeout", "300"], ExitLimit, output: true);
        times.Begin();
        int value;
        while (!times.Ended && (value = child.Output.ReadByte()) >= 0)
            times.Add((char)value, (long)(Stopwatch.GetTimestamp() * (1e9 / Stopwatch.Frequency)));
        if (!times.Ended)
            Console.WriteLine($"    farm: it ended before the loops did: {child.Error}");
    }

    /// <summary>In rounds, every emulator once in each; the median counts.</summary>
    private static Row MeasureBoot(string root, GuestBoot boot)
    {
        var row = new Row($"boot {boot.Name}", boot.Run, null);
        Emulator[] emulators = [new FarmEmulator(root, "vm86", "kvm"), new FarmEmulator(root, "native", "kvm"), new QemuEmulator("kvm")];
        var runs = emulators.ToDictionary(emulator => emulator, _ => new List<Measurement>());
        int rounds = boot.Limit > LongBoot ? 1 : BootRounds;
        for (int round = rounds > 1 ? -1 : 0; round < rounds; round++)
        {
            foreach (var emulator in emulators)
            {
                var result = boot.Run(emulator);
                if (round >= 0)
                    runs[emulator].Add(result);
                Console.WriteLine(result.Wall is { } wall
                    ? string.Create(CultureInfo.InvariantCulture, $"    {(round < 0 ? "warm-up" : $"round {round + 1}"),-10}{emulator.Name,-18}{wall,8:F2} s ({result.Cpu:F2} s of processor)")
                    : $"    {emulator.Name}: {result.Problem}");
            }
        }
        foreach (var emulator in emulators)
            row.Results[emulator.Name] = runs[emulator].OrderBy(run => run.Wall ?? double.MaxValue).ElementAt(rounds / 2);
        var qemu = row.Results[emulators[^1].Name];
        foreach (var emulator in emulators.SkipLast(1))
        {
            var farm = row.Results[emulator.Name];
            Console.WriteLine(farm.Wall / qemu.Wall is { } ratio
                ? string.Create(CultureInfo.InvariantCulture, $"{row.Name,-20}{emulator.Name} / {emulators[^1].Name}: {farm.Wall:F2} / {qemu.Wall:F2} s = {ratio:F2}; processor {farm.Cpu:F2} / {qemu.Cpu:F2} s")
                : $"{row.Name,-20}{emulator.Name}: no median");
        }
        return row;
    }

    /// <param name="Least">Nanoseconds of the minimal program.</param>
    /// <param name="Farm">Nanoseconds of the kvm backend.</param>
    private sealed record ExitRow(string Name, double Least, double Farm);

    /// <summary>What one exit of each kind took, in nanoseconds, round by round; the first rounds of a run, while code is compiled, do not count.</summary>
    private sealed class RoundTimes
    {
        private const int WarmUp = ExitLoops.Rounds * 2 / 3;

        private readonly Dictionary<char, List<double>> _rounds = ExitLoops.Kinds.ToDictionary(kind => kind.Letter, _ => new List<double>());
        private char _last;
        private long _since;
        private int _round;

        public bool Ended => _last == ExitLoops.End;

        public int Count => _rounds.Values.Max(rounds => rounds.Count);

        public void Begin() => (_last, _round) = ('\0', 0);

        public void Add(char letter, long now)
        {
            if (_round >= WarmUp && _rounds.TryGetValue(_last, out var rounds))
                rounds.Add((double)(now - _since) / ExitLoops.Repetitions);
            if (letter == ExitLoops.EndOfRound)
                _round++;
            (_last, _since) = (letter, now);
        }

        public double? Median(char letter) => _rounds[letter] is { Count: > 0 } rounds ? rounds.Order().ElementAt(rounds.Count / 2) : null;
    }
}
