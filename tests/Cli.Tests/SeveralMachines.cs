using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Farm.Silo.Postgres;

namespace Farm.Cli.Tests;

/// <summary>A farm of roles in processes of their own, as on several machines: PostgreSQL, a silo, a worker, a dashboard.</summary>
public sealed partial class SeveralMachines : IAsyncLifetime
{
    private readonly string _database = Path.Combine(Path.GetTempPath(), $"farm-cli-db-{Guid.NewGuid():N}"[..24]);
    private readonly List<Role> _roles = [];
    private PrivatePostgres? _postgres;

    internal FarmCommand Farm { get; } = new();

    public string Url { get; private set; } = "";

    public string DashboardUrl { get; private set; } = "";

    public async ValueTask InitializeAsync()
    {
        // a medium that is there with another content than the catalogue says, and one that is not there
        Farm.Write("media/changed.img", new byte[512]);
        Farm.Write("guests/changed.yaml", FarmCommand.Guest("changed", $"sha256: {new string('0', 64)}\n    files: [changed.img]"));
        Farm.Write("guests/absent.yaml", FarmCommand.Guest("absent", "files: [absent.img]"));
        _postgres = await PrivatePostgres.Start(_database, durable: false);
        string connection = await _postgres.CreateDatabase("farm");
        Url = await Begin("silo", "--postgres", connection, "--port", "0", "--silo-port", "0", "--gateway-port", "0").Heard(Address());
        _ = Begin("worker", "--postgres", connection, "--slots", "1", "--id", "node-1", "--backend", "soft");
        DashboardUrl = await Begin("dashboard", "--server", Url, "--port", "0").Heard(Address());
        var waited = Stopwatch.StartNew();
        while (!(await Run("workers", "--json")).Out.Contains("hello.img", StringComparison.Ordinal))
            Assert.True(waited.Elapsed < TimeSpan.FromMinutes(4), "The worker does not sign on.\n" + string.Join('\n', _roles.Select(role => role.Text)));
    }

    internal Task<CommandResult> Run(params string[] arguments) => Farm.Run([.. arguments, "--server", Url]);

    public async ValueTask DisposeAsync()
    {
        foreach (var role in _roles.AsEnumerable().Reverse())
            await role.Stop();
        if (_postgres is not null)
            await _postgres.DisposeAsync();
        if (Directory.Exists(_database))
            Directory.Delete(_database, recursive: true);
        Farm.Dispose();
    }

    private Role Begin(params string[] arguments)
    {
        var role = new Role(Farm.Start(arguments));
        _roles.Add(role);
        return role;
    }

    [GeneratedRegex(@"^http://127\.0\.0\.1:\d+")]
    private static partial Regex Address();

    /// <summary>A role at work.</summary>
    private sealed class Role
    {
        private readonly Process _process;
        private readonly StringBuilder _text = new();
        private readonly TaskCompletionSource<string> _heard = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private Regex? _wanted;

        public Role(Process process)
        {
            _process = process;
            process.OutputDataReceived += (_, line) => Hear(line.Data);
            process.ErrorDataReceived += (_, line) => Hear(line.Data);
            process.BeginOutputReadLine();
            process.BeginErrorReadLine();
        }

        public string Text
        {
            get
            {
                lock (_text)
                    return _text.ToString();
            }
        }

        public async Task<string> Heard(Regex wanted)
        {
            lock (_text)
            {
                _wanted = wanted;
                foreach (string line in _text.ToString().Split('\n'))
                    Match(line);
            }
            try
            {
                return await _heard.Task.WaitAsync(TimeSpan.FromMinutes(4));
            }
            catch (TimeoutException)
            {
                throw new InvalidOperationException("The role does not come up:\n" + Text);
            }
        }

        public async Task Stop()
        {
            using var kill = Process.Start("kill", ["-TERM", _process.Id.ToString(CultureInfo.InvariantCulture)]);
            await kill.WaitForExitAsync();
            await _process.WaitForExitAsync().WaitAsync(TimeSpan.FromMinutes(2));
            Assert.True(_process.ExitCode == 0, $"A role ended with code {_process.ExitCode}:\n{Text}");
            _process.Dispose();
        }

        private void Hear(string? line)
        {
            if (line is null)
                return;
            lock (_text)
            {
                _text.Append(line).Append('\n');
                Match(line);
            }
        }

        private void Match(string line)
        {
            if (_wanted?.Match(line) is { Success: true } match)
                _heard.TrySetResult(match.Value);
        }
    }
}
