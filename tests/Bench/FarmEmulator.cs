using System.Globalization;
using System.Text.RegularExpressions;

namespace Farm.Bench;

/// <summary><c>farm boot</c>, the process' start included.</summary>
internal sealed class FarmEmulator(string root, string assist, string backend = "soft")
    : Emulator(backend == "soft" ? assist == "vm86" ? "farm" : $"farm {assist}" : $"farm {backend} {assist}")
{
    /// <summary>
    /// The shell tells on its output what the program took, wall, user and system seconds: to look at the program from here until it has ended
    /// would cost it the processor, where there is but one, and tell no more than when the last look was.
    /// </summary>
    private const string Timed = "exec 3>&1 4>&2; TIMEFORMAT='%3R %3U %3S'; { time \"$0\" \"$@\" >/dev/null 2>&4; } 2>&3";

    private readonly string _program = ProgramIn(root);

    /// <summary>What <c>./farm boot</c> runs: compiled ahead.</summary>
    public static string ProgramIn(string root) => Path.Combine(root, "src", "Cli", "bin", "Release", "net10.0", "native", "farm");

    public override string Describe() => $"farm boot --backend {backend} --assist {assist}, compiled ahead by .NET {Environment.Version}";

    public override string? Missing() => File.Exists(_program) ? null : $"{_program} is not built";

    public override Measurement RunLoop(string floppy, TimeSpan limit)
    {
        using var child = new Child(_program, ["boot", "--backend", backend, "--assist", assist, "--floppy", floppy, "--serial", "-", "--expect", "never"], limit, output: true);
        return LoopWatch.Wait(child, LoopWatch.Pipe(child.Output));
    }

    public override Measurement Boot(Medium medium, string expect, TimeSpan limit)
    {
        List<string> arguments = ["boot", "--backend", backend, "--assist", assist, "--expect", expect, "--memory", medium.MemoryMiB.ToString(CultureInfo.InvariantCulture)];
        if (medium.Floppy is { } floppy)
            arguments.AddRange(["--floppy", floppy, "--order", "a"]);
        if (medium.Cdrom is { } cdrom)
            arguments.AddRange(["--cdrom", cdrom, "--order", "d"]);
        if (medium.Disk is { } disk)
            arguments.AddRange(["--disk", disk, "--order", "c"]);
        using var child = new Child("bash", ["-c", Timed, _program, .. arguments], limit, output: true);
        using var reader = new StreamReader(child.Output);
        string[] seconds = reader.ReadToEnd().Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        child.Wait();
        double Second(int index) => double.Parse(seconds[index], CultureInfo.InvariantCulture);
        return seconds.Length == 3 && child.Error.Contains(": Pass:", StringComparison.Ordinal)
            ? new(Second(0), Second(1) + Second(2), Instructions(child.Error))
            : Measurement.Failed(child.Error);
    }

    private static long? Instructions(string report) =>
        Regex.Match(report, "([0-9]+) instructions") is { Success: true } match ? long.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture) : null;
}
