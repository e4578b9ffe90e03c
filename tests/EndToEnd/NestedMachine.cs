using System.Diagnostics;
using System.Globalization;
using System.Text;
using Farm.EndToEnd.WholeFarm;

namespace Farm.EndToEnd;

/// <summary>
/// The machine of infra/nested-kvm, with a real <c>/dev/kvm</c>, running one command. It sees this machine's files read-only and reaches
/// this machine's loopback as 10.0.2.100, at the ports that are forwarded and no others.
/// </summary>
internal sealed class NestedMachine : IAsyncDisposable
{
    public const string OuterAddress = "10.0.2.100";

    private readonly StringBuilder _console = new();
    private readonly Process _process;

    /// <param name="options">Of run.sh.</param>
    public NestedMachine(string command, TimeSpan limit, params IEnumerable<string> options)
    {
        // a session of its own, so that its processes can be told from others
        string[] arguments = [Path.Combine(Media.Root, "infra", "nested-kvm", "run.sh"), "--command", command, "--timeout", limit.TotalSeconds.ToString(CultureInfo.InvariantCulture), .. options];
        _process = Process.Start(new ProcessStartInfo("setsid", arguments) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true })!;
        _process.OutputDataReceived += (_, line) => Heard(line.Data);
        _process.ErrorDataReceived += (_, line) => Heard(line.Data);
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    public string Console
    {
        get
        {
            lock (_console)
                return _console.ToString();
        }
    }

    public bool Runs => !_process.HasExited;

    /// <summary>It has ended because QEMU, busybox or Debian's kernel is not to be had here.</summary>
    public bool IsNotToBeHad => !Runs && _process.ExitCode == 77;

    /// <summary>The exit code of its command.</summary>
    public async Task<int> Ended(CancellationToken cancel)
    {
        await _process.WaitForExitAsync(cancel);
        return _process.ExitCode;
    }

    /// <summary>Pulls the plug.</summary>
    public async Task Kill()
    {
        if (Emulator() is { } emulator)
            await FarmProcess.Signal("KILL", emulator.ToString(CultureInfo.InvariantCulture));
        await _process.WaitForExitAsync().WaitAsync(TimeSpan.FromMinutes(2));
    }

    public async ValueTask DisposeAsync()
    {
        if (Runs)
            await Kill();
        _process.Dispose();
    }

    private int? Emulator()
    {
        foreach (string folder in Directory.EnumerateDirectories("/proc").Where(folder => char.IsAsciiDigit(folder[6])))
        {
            try
            {
                // pid (name) state parent group session
                string stat = File.ReadAllText(Path.Combine(folder, "stat"));
                string name = stat[(stat.IndexOf('(', StringComparison.Ordinal) + 1)..stat.LastIndexOf(')')];
                string[] rest = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
                if (name.StartsWith("qemu-system", StringComparison.Ordinal) && int.Parse(rest[3], CultureInfo.InvariantCulture) == _process.Id)
                    return int.Parse(folder[6..], CultureInfo.InvariantCulture);
            }
            catch (IOException)
            {
                // it is gone
            }
        }
        return null;
    }

    private void Heard(string? line)
    {
        if (line is null)
            return;
        lock (_console)
            _console.AppendLine(line);
    }
}
