using System.Globalization;
using System.Text.RegularExpressions;

namespace Farm.Bench;

/// <summary><c>farm boot</c>, the process' start included.</summary>
internal sealed class FarmEmulator(string root, string assist, string backend = "soft")
    : Emulator(backend == "soft" ? assist == "vm86" ? "farm" : $"farm {assist}" : $"farm {backend} {assist}")
{
    /// <summary>Between two looks at the child: the clocks of a busy nested machine are not cheap.</summary>
    private readonly int _lookEvery = backend == "soft" ? 5 : 100;

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
        using var child = new Child(_program, arguments, limit);
        var now = child.Now;
        while (!child.Ended)
        {
            now = child.Now;
            Thread.Sleep(_lookEvery);
        }
        child.Wait();
        return child.Error.Contains(": Pass:", StringComparison.Ordinal) ? new(now.Wall, now.Cpu, Instructions(child.Error)) : Measurement.Failed(child.Error);
    }

    private static long? Instructions(string report) =>
        Regex.Match(report, "([0-9]+) instructions") is { Success: true } match ? long.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture) : null;
}
