using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Farm.Contracts.Api;
using Farm.Contracts.Jobs;

namespace Farm.EndToEnd.WholeFarm;

/// <summary>
/// <c>farm up</c> as a user starts it: a process group of its own, a private PostgreSQL, everything below one temporary folder, on
/// loopback. Its catalogue is some guests of the real one and <see cref="Probes"/>.
/// </summary>
internal sealed partial class FarmProcess : IAsyncDisposable
{
    private readonly StringBuilder _output = new();
    private Process? _process;

    /// <param name="guests">Catalogue entries to take over.</param>
    /// <param name="media">Files of FARM_MEDIA that the farm has from the start.</param>
    public FarmProcess(string[] guests, string[] media)
    {
        Folder = Path.Combine(Path.GetTempPath(), $"farm-e2e-{Guid.NewGuid():N}"[..24]);
        Directory.CreateDirectory(Path.Combine(Folder, "guests"));
        Directory.CreateDirectory(Path.Combine(Folder, "media"));
        File.CreateSymbolicLink(Path.Combine(Folder, "infra"), Path.Combine(Media.Root, "infra"));
        foreach (string guest in guests)
            File.Copy(Path.Combine(Media.Root, "guests", guest + ".yaml"), Path.Combine(Folder, "guests", guest + ".yaml"));
        foreach (string file in media)
            File.Copy(Media.Need(file), Path.Combine(Folder, "media", file));
    }

    /// <summary>Holds all that the farm reads and writes.</summary>
    public string Folder { get; }

    public string Url { get; private set; } = "";

    public int Id => _process!.Id;

    /// <summary>Since the newest start.</summary>
    public Stopwatch Since { get; private set; } = new();

    public FarmHttpClient Api { get; private set; } = null!;

    public string Log
    {
        get
        {
            lock (_output)
                return _output.ToString();
        }
    }

    /// <summary>How much slower than an idle machine this one is at the moment, at least 1: limits of the host's time are stretched by it.</summary>
    public static double Load
    {
        get
        {
            double load = double.Parse(File.ReadAllText("/proc/loadavg").Split(' ')[0], CultureInfo.InvariantCulture);
            return Math.Clamp(load / Environment.ProcessorCount, 1, 4);
        }
    }

    /// <summary>Adds a guest of the test's own: its floppy and the catalogue entry for it.</summary>
    public void Add(Probe probe)
    {
        File.WriteAllBytes(Path.Combine(Folder, "media", probe.Id + ".img"), probe.Floppy);
        File.WriteAllText(Path.Combine(Folder, "guests", probe.Id + ".yaml"), probe.Yaml);
    }

    /// <summary>Starts it and waits for its URL.</summary>
    public async Task Start(params string[] options)
    {
        // of this start alone: a start before it may end, and be heard to end, after this one has begun
        var address = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        Since = Stopwatch.StartNew();
        // the shell may have given us an ignored SIGINT, which a child inherits: a user's terminal does not
        var process = Process.Start(Command("setsid", ["env", "--default-signal=INT", Dotnet, Cli, "up", "--port", "0", "--backend", "soft", .. options]))!;
        _process = process;
        process.OutputDataReceived += (_, line) => Heard(line.Data, address);
        process.ErrorDataReceived += (_, line) => Heard(line.Data, address);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        var ended = process.WaitForExitAsync();
        if (await Task.WhenAny(address.Task, ended).WaitAsync(TimeSpan.FromMinutes(10)) == ended)
            Assert.True(address.Task.IsCompleted, $"farm up ended with code {process.ExitCode} before it gave its URL:\n{Log}");
        Url = await address.Task;
        Api = new FarmHttpClient(new HttpClient { BaseAddress = new Uri(Url + "/"), Timeout = TimeSpan.FromMinutes(5) });
    }

    /// <summary>Ctrl-C: SIGINT to the whole process group, as a terminal does. Returns the exit code.</summary>
    public async Task<int> Interrupt()
    {
        await Signal("INT", "-" + Id.ToString(CultureInfo.InvariantCulture));
        await _process!.WaitForExitAsync().WaitAsync(TimeSpan.FromMinutes(5));
        int code = _process.ExitCode;
        _process.Dispose();
        _process = null;
        return code;
    }

    /// <summary>Runs a client verb against this farm.</summary>
    public async Task<(int Code, string Out, string Error)> Run(params string[] arguments)
    {
        using var process = Process.Start(Command(Dotnet, [Cli, .. arguments]))!;
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return (process.ExitCode, await output, await error);
    }

    /// <summary>Processes that work in or for the farm's folder: servers by their arguments, VMs by their working folder.</summary>
    public IReadOnlyList<(int Id, string Command)> Processes()
    {
        var found = new List<(int, string)>();
        foreach (string folder in Directory.EnumerateDirectories("/proc").Where(folder => char.IsAsciiDigit(folder[6])))
        {
            try
            {
                string command = File.ReadAllText(Path.Combine(folder, "cmdline")).Replace('\0', ' ');
                string? works = new FileInfo(Path.Combine(folder, "cwd")).LinkTarget;
                if (command.Contains(Folder, StringComparison.Ordinal) || works?.StartsWith(Folder, StringComparison.Ordinal) == true)
                    found.Add((int.Parse(folder[6..], CultureInfo.InvariantCulture), command));
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // it is gone, or not ours
            }
        }
        return found;
    }

    public IReadOnlyList<int> Vms() => [.. Processes().Where(process => process.Command.Contains("vm-run", StringComparison.Ordinal)).Select(process => process.Id)];

    public static async Task Signal(string name, string target)
    {
        using var kill = Process.Start("kill", ["-" + name, "--", target]);
        await kill.WaitForExitAsync();
    }

    /// <summary>Looks until it is so; the limit is for an idle machine.</summary>
    public async Task Until(Func<Task<bool>> condition, string what, double seconds = 60)
    {
        var waited = Stopwatch.StartNew();
        while (!await condition())
        {
            Assert.True(waited.Elapsed.TotalSeconds < seconds * Load, $"Not so after {waited.Elapsed.TotalSeconds:F0} s: {what}.\n{Log}");
            await Task.Delay(50, TestContext.Current.CancellationToken);
        }
    }

    public async Task<JobInfo> Finished(long job)
    {
        await Until(async () => (await Api.GetJob(job))!.Job.State == JobState.Finished, $"job {job} is finished");
        return (await Api.GetJob(job))!.Job;
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is not null)
            await Interrupt();
        Directory.Delete(Folder, recursive: true);
    }

    private static string Dotnet => Environment.ProcessPath is { } path && Path.GetFileName(path) == "dotnet" ? path : "dotnet";

    /// <summary>The command as it was built, in the configuration of these tests.</summary>
    public static string Cli
    {
        get
        {
            string framework = AppContext.BaseDirectory.TrimEnd('/');
            return Path.Combine(Media.Root, "src", "Cli", "bin", Path.GetFileName(Path.GetDirectoryName(framework)!), Path.GetFileName(framework), "farm.dll");
        }
    }

    private ProcessStartInfo Command(string program, IEnumerable<string> arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = "/" };
        start.Environment["FARM_ROOT"] = Folder;
        start.Environment["FARM_STATE"] = Path.Combine(Folder, "state");
        start.Environment["FARM_MEDIA"] = Path.Combine(Folder, "media");
        start.Environment.Remove("FARM_URL");
        start.Environment.Remove("FARM_GUESTS");
        return start;
    }

    private void Heard(string? line, TaskCompletionSource<string> address)
    {
        if (line is null)
            return;
        lock (_output)
            _output.AppendLine(line);
        if (Address().Match(line) is { Success: true } match)
            address.TrySetResult(match.Groups[1].Value);
    }

    [GeneratedRegex(@"^farm: (http://127\.0\.0\.1:\d+)$")]
    private static partial Regex Address();
}
