using System.Diagnostics;
using System.Globalization;

namespace Farm.Bench;

/// <summary>What to boot: the same for every emulator.</summary>
internal sealed record Medium(string? Floppy = null, string? Cdrom = null, string? Disk = null, int MemoryMiB = 64)
{
    /// <summary>The same with its files copied to <paramref name="folder"/>.</summary>
    public Medium CopyTo(string folder)
    {
        return this with { Floppy = Copy(Floppy), Cdrom = Copy(Cdrom), Disk = Copy(Disk) };

        string? Copy(string? file)
        {
            if (file is null)
                return null;
            string copy = Path.Combine(folder, Path.GetFileName(file));
            File.Copy(file, copy);
            return copy;
        }
    }
}

/// <summary>An emulator as a process of its own.</summary>
internal abstract class Emulator(string name)
{
    public string Name { get; } = name;

    /// <summary>Version and how it is set up.</summary>
    public abstract string Describe();

    /// <summary>Null when it can run here, else what is missing.</summary>
    public abstract string? Missing();

    /// <summary>Runs a loop up to its E.</summary>
    public abstract Measurement RunLoop(string floppy, TimeSpan limit);

    /// <summary>Boots until a text is on the screen.</summary>
    public abstract Measurement Boot(Medium medium, string expect, TimeSpan limit);

    protected static string Output(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return output.Split('\n')[0].Trim();
    }

    protected static bool OnPath(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Any(folder => File.Exists(Path.Combine(folder, program)));

    /// <summary>A folder for one run, deleted after it.</summary>
    public static T InFolder<T>(Func<string, T> run)
    {
        var folder = Directory.CreateTempSubdirectory("farm-bench-");
        try
        {
            return run(folder.FullName);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }
}

/// <param name="Wall">Seconds; null: it did not get there.</param>
/// <param name="Cpu">Processor seconds that the emulator took meanwhile: what a busy host does not distort.</param>
/// <param name="Instructions">What the emulator says that the guest executed; null: it cannot tell.</param>
/// <param name="Problem">Why there is no time.</param>
internal sealed record Measurement(double? Wall, double? Cpu, long? Instructions = null, string? Problem = null)
{
    public static Measurement Failed(string problem) => new(null, null, Problem: problem);
}

/// <summary>A child process with its clocks.</summary>
internal sealed class Child : IDisposable
{
    private readonly Process _process;
    private readonly Stopwatch _wall = Stopwatch.StartNew();
    private readonly Timer _limit;

    /// <summary>As last seen: the time of threads that have ended is not to be had any more, least of all that of a process which is just ending.</summary>
    private double _cpu;

    /// <param name="limit">It is killed after so long.</param>
    /// <param name="output">The caller reads <see cref="Output"/>; else it is thrown away.</param>
    public Child(string program, IReadOnlyList<string> arguments, TimeSpan limit, bool output = false)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        _process = Process.Start(start)!;
        _limit = new Timer(_ => Kill(), null, limit, Timeout.InfiniteTimeSpan);
        _process.ErrorDataReceived += (_, e) => Error = e.Data is { Length: > 0 } line ? line : Error;
        _process.BeginErrorReadLine();
        if (!output)
        {
            _process.OutputDataReceived += (_, _) => { };
            _process.BeginOutputReadLine();
        }
    }

    public Stream Output => _process.StandardOutput.BaseStream;

    /// <summary>The last line on its standard error.</summary>
    public string Error { get; private set; } = "";

    public bool Ended => _process.HasExited;

    /// <summary>Seconds since its start.</summary>
    public double Wall => _wall.Elapsed.TotalSeconds;

    /// <summary>Wall and processor seconds since its start, its children's included.</summary>
    public (double Wall, double Cpu) Now => (Wall, _cpu = Math.Max(_cpu, Cpu(_process.Id)));

    /// <summary>Until it has ended and its last line is read.</summary>
    public void Wait() => _process.WaitForExit();

    /// <summary>As Ctrl+C would.</summary>
    public void Interrupt()
    {
        using var kill = Process.Start("bash", ["-c", $"kill -INT {_process.Id}"]);
        kill.WaitForExit();
    }

    public void Dispose()
    {
        _limit.Dispose();
        Kill();
        _process.WaitForExit();
        _process.Dispose();
    }

    private void Kill()
    {
        if (!_process.HasExited)
            _process.Kill(entireProcessTree: true);
    }

    /// <summary>Time on a processor of all threads of a process and of what it has started (schedstat, in nanoseconds).</summary>
    private static double Cpu(int root)
    {
        double nanoseconds = 0;
        foreach (int id in Tree(root))
        {
            try
            {
                foreach (string thread in Directory.EnumerateDirectories($"/proc/{id}/task"))
                    nanoseconds += double.Parse(File.ReadAllText(Path.Combine(thread, "schedstat")).Split(' ')[0], CultureInfo.InvariantCulture);
            }
            catch (IOException)
            {
                // It has just ended.
            }
        }
        return nanoseconds / 1e9;
    }

    private static IEnumerable<int> Tree(int id)
    {
        yield return id;
        string path = $"/proc/{id}/task/{id}/children";
        string children = "";
        try
        {
            children = File.ReadAllText(path);
        }
        catch (IOException)
        {
            // It has just ended.
        }
        foreach (string child in children.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            foreach (int below in Tree(int.Parse(child, CultureInfo.InvariantCulture)))
                yield return below;
        }
    }
}
