using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Npgsql;

namespace Farm.Silo.Postgres;

/// <summary>
/// A PostgreSQL cluster of our own in a folder: made on first use, listening on a free loopback port and on a socket in the folder,
/// with a random password in a file that only its owner reads. PostgreSQL refuses to run as root, so as root it runs as the user
/// <c>postgres</c>. Disposing stops the server if this object started it, or took it over from a farm that died.
/// </summary>
public sealed class PrivatePostgres : IAsyncDisposable
{
    /// <summary>The role that owns the cluster.</summary>
    public const string Role = "farm";
    private const string ServiceUser = "postgres";
    private const int LongestSocketPath = 100; // sockaddr_un.sun_path is 108 bytes with the file's name and its zero

    private readonly PostgresBinaries _binaries;
    private readonly bool _asServiceUser;
    private readonly bool _durable;
    private readonly string _password;
    private bool _owned;

    private PrivatePostgres(PostgresBinaries binaries, string folder, bool asServiceUser, bool durable, string password)
    {
        _binaries = binaries;
        Folder = folder;
        _asServiceUser = asServiceUser;
        _durable = durable;
        _password = password;
    }

    /// <summary>Where the cluster really lies: not the folder asked for when the service user cannot reach that one.</summary>
    public string Folder { get; }
    public int Port { get; private set; }

    /// <summary>False when the server was running already, started by a farm that is still alive.</summary>
    public bool StartedHere => _owned;
    private string Data => Path.Combine(Folder, "data");
    private string Log => Path.Combine(Folder, "postgres.log");
    private string OwnerFile => Path.Combine(Folder, "owner.pid");

    /// <summary>A connection string for a database of this cluster.</summary>
    public string ConnectionString(string database = "postgres") => new NpgsqlConnectionStringBuilder
    {
        Host = "127.0.0.1",
        Port = Port,
        Username = Role,
        Password = _password,
        Database = database,
        ApplicationName = "farm",
        Timeout = 10,
    }.ConnectionString;

    /// <summary>Makes the cluster if it is not there, and starts it if it does not run.</summary>
    /// <param name="folder">Made if missing.</param>
    /// <param name="durable">False gives up crash safety for speed: for tests only.</param>
    /// <exception cref="PrivatePostgresException">With the reason, and the end of the server's log.</exception>
    public static async Task<PrivatePostgres> Start(string folder, bool durable = true, CancellationToken cancel = default)
    {
        var binaries = PostgresBinaries.Find();
        var asServiceUser = Environment.UserName == "root" && !OperatingSystem.IsWindows();
        folder = Path.GetFullPath(folder);
        if (asServiceUser)
            folder = await ReachableFolder(folder, cancel);
        Directory.CreateDirectory(folder);
        if (asServiceUser)
            await Run("chown", [ServiceUser, folder], cancel);
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);

        using var guard = await LockFolder(folder, cancel);
        var postgres = new PrivatePostgres(binaries, folder, asServiceUser, durable, ReadOrMakePassword(folder));
        await postgres.StartLocked(cancel);
        return postgres;
    }

    private async Task StartLocked(CancellationToken cancel)
    {
        if (!File.Exists(Path.Combine(Data, "PG_VERSION")))
            await Initialise(cancel);
        CheckVersion();

        if (RunningPort() is { } running)
        {
            Port = running;
            if (await Answers(cancel))
            {
                _owned = !OwnerLives();
                if (_owned)
                    WriteOwner();
                return;
            }
        }

        for (var attempt = 1; ; attempt++)
        {
            Port = FreePort();
            var (exit, output) = await Server(["start", "-D", Data, "-w", "-t", "60", "-l", Log, "-o", Options()], cancel);
            if (exit == 0)
                break;
            // another process may have taken the port between our look and the server's bind
            if (attempt == 3)
                throw new PrivatePostgresException($"PostgreSQL did not start in {Folder}: {output.Trim()}\n{LogTail()}");
        }
        _owned = true;
        WriteOwner();
        if (!await Answers(cancel))
            throw new PrivatePostgresException($"PostgreSQL started in {Folder} but refuses role {Role} on port {Port}.\n{LogTail()}");
    }

    /// <summary>Makes a database if it is not there, and returns its connection string.</summary>
    public async Task<string> CreateDatabase(string name, CancellationToken cancel = default)
    {
        if (name.Length is 0 or > 63 || name.Any(c => !char.IsAsciiLetterLower(c) && !char.IsAsciiDigit(c) && c != '_'))
            throw new ArgumentException($"'{name}' is no database name of ours: lower-case letters, digits, underscores.", nameof(name));
        await using var source = NpgsqlDataSource.Create(ConnectionString());
        await using var find = source.CreateCommand("SELECT 1 FROM pg_database WHERE datname = $1");
        find.Parameters.Add(new() { Value = name });
        if (await find.ExecuteScalarAsync(cancel) is null)
        {
#pragma warning disable CA2100 // the name has been checked above; DDL takes no parameters
            await using var create = source.CreateCommand($"CREATE DATABASE {name}");
#pragma warning restore CA2100
            await create.ExecuteNonQueryAsync(cancel);
        }
        return ConnectionString(name);
    }

    /// <summary>Stops the server if it was started here: clients are disconnected, data are safe.</summary>
    public async ValueTask DisposeAsync()
    {
        if (!_owned)
            return;
        _owned = false;
        NpgsqlConnection.ClearAllPools();
        await Server(["stop", "-D", Data, "-m", "fast", "-w", "-t", "30"], CancellationToken.None);
        File.Delete(OwnerFile);
    }

    private async Task Initialise(CancellationToken cancel)
    {
        var passwordFile = Path.Combine(Folder, "password");
        List<string> arguments =
        [
            "-D", Data, "-U", Role, "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--pwfile=" + passwordFile,
        ];
        if (!_durable)
            arguments.Add("--no-sync");
        if (_asServiceUser)
            await Run("chown", [ServiceUser, passwordFile], cancel);
        var (exit, output) = await AsServer(_binaries.InitDb, arguments, cancel);
        if (exit != 0)
            throw new PrivatePostgresException($"initdb failed in {Folder}: {output.Trim()}");
    }

    private void CheckVersion()
    {
        var text = File.ReadAllText(Path.Combine(Data, "PG_VERSION")).Trim();
        if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var major) && major != _binaries.Major && _binaries.Folder.Contains("/postgresql/", StringComparison.Ordinal))
        {
            throw new PrivatePostgresException(
                $"The cluster in {Folder} was made by PostgreSQL {major}; this machine has {_binaries.Major}. " +
                $"Install postgresql-{major}, or move the folder away to begin a new one.");
        }
    }

    private string Options()
    {
        var socketFolder = Encoding.UTF8.GetByteCount(Folder) > LongestSocketPath - ".s.PGSQL.65535".Length ? "" : Folder;
        var options = new StringBuilder();
        options.Append(CultureInfo.InvariantCulture, $"-p {Port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='{socketFolder.Replace("'", "''", StringComparison.Ordinal)}'");
        options.Append(" -c timezone=UTC -c max_connections=200 -c shared_buffers=64MB");
        if (!_durable)
            options.Append(" -c fsync=off -c synchronous_commit=off -c full_page_writes=off");
        return options.ToString();
    }

    private async Task<bool> Answers(CancellationToken cancel)
    {
        try
        {
            await using var connection = new NpgsqlConnection(ConnectionString());
            await connection.OpenAsync(cancel);
            await using var command = new NpgsqlCommand("SELECT pg_catalog.current_setting('data_directory')", connection);
            return (string?)await command.ExecuteScalarAsync(cancel) == Data;
        }
        catch (NpgsqlException)
        {
            return false;
        }
    }

    /// <summary>The port that postmaster.pid names (its 4th line), if that process lives.</summary>
    private int? RunningPort()
    {
        var file = Path.Combine(Data, "postmaster.pid");
        if (!File.Exists(file))
            return null;
        var lines = File.ReadAllLines(file);
        return lines.Length > 3
            && int.TryParse(lines[0], NumberStyles.None, CultureInfo.InvariantCulture, out var pid) && ProcessLives(pid)
            && int.TryParse(lines[3], NumberStyles.None, CultureInfo.InvariantCulture, out var port)
            ? port
            : null;
    }

    private bool OwnerLives() =>
        File.Exists(OwnerFile)
        && int.TryParse(File.ReadAllText(OwnerFile).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var pid)
        && ProcessLives(pid);

    private void WriteOwner() => File.WriteAllText(OwnerFile, Environment.ProcessId.ToString(CultureInfo.InvariantCulture));

    private static bool ProcessLives(int pid)
    {
        try
        {
            using var process = Process.GetProcessById(pid);
            return !process.HasExited;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }

    private string LogTail() =>
        File.Exists(Log) ? string.Join('\n', File.ReadLines(Log).TakeLast(10)) : "";

    private Task<(int Exit, string Output)> Server(List<string> arguments, CancellationToken cancel) => AsServer(_binaries.PgCtl, arguments, cancel);

    private Task<(int Exit, string Output)> AsServer(string program, List<string> arguments, CancellationToken cancel) =>
        _asServiceUser
            ? Run("setpriv", ["--reuid=" + ServiceUser, "--regid=" + ServiceUser, "--init-groups", "--", program, .. arguments], cancel, Folder)
            : Run(program, arguments, cancel, Folder);

    private static async Task<(int Exit, string Output)> Run(string program, List<string> arguments, CancellationToken cancel, string? folder = null)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = folder ?? "/" };
        start.Environment["LC_ALL"] = "C";
        Process process;
        try
        {
            process = Process.Start(start)!;
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new PrivatePostgresException($"{program} cannot be run: {e.Message}", e);
        }
        using (process)
        {
            // the server that pg_ctl leaves behind must not keep our pipe: read up to pg_ctl's exit only
            var output = new StringBuilder();
            process.OutputDataReceived += (_, line) => Append(output, line.Data);
            process.ErrorDataReceived += (_, line) => Append(output, line.Data);
            process.BeginOutputReadLine();
            process.BeginErrorReadLine();
            while (!process.HasExited)
                await Task.Delay(10, cancel);
            lock (output)
                return (process.ExitCode, output.ToString());
        }

        static void Append(StringBuilder output, string? line)
        {
            if (line is null)
                return;
            lock (output)
                output.AppendLine(line);
        }
    }

    /// <summary>The folder, or one under /var/lib when the service user cannot enter one of its parents (such as /root).</summary>
    private static async Task<string> ReachableFolder(string folder, CancellationToken cancel)
    {
        var parent = Path.GetDirectoryName(folder)!;
        Directory.CreateDirectory(parent);
        var (exit, _) = await Run("setpriv", ["--reuid=" + ServiceUser, "--regid=" + ServiceUser, "--init-groups", "--", "test", "-x", parent], cancel);
        if (exit == 0)
            return folder;
        var digest = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(folder)))[..12];
        Directory.CreateDirectory("/var/lib/farm-postgres");
        return "/var/lib/farm-postgres/" + digest;
    }

    private static string ReadOrMakePassword(string folder)
    {
        var file = Path.Combine(folder, "password");
        if (File.Exists(file))
            return File.ReadAllText(file).Trim();
        var password = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16));
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        using var writer = new StreamWriter(file, options);
        writer.Write(password);
        return password;
    }

    /// <summary>Two farms that start at once in one folder take turns.</summary>
    private static async Task<FileStream> LockFolder(string folder, CancellationToken cancel)
    {
        var path = Path.Combine(folder, "start.lock");
        var deadline = Stopwatch.StartNew();
        while (true)
        {
            try
            {
                return new(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException) when (deadline.Elapsed < TimeSpan.FromSeconds(90))
            {
                await Task.Delay(100, cancel);
            }
            catch (IOException e)
            {
                throw new PrivatePostgresException($"Another farm has been starting PostgreSQL in {folder} for 90 s ({path} is locked).", e);
            }
        }
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
