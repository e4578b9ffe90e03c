using System.Globalization;

namespace Farm.Silo.Postgres;

/// <summary>Where this machine's PostgreSQL server programs are.</summary>
/// <param name="Folder">Holds <c>initdb</c>, <c>pg_ctl</c> and <c>postgres</c>.</param>
/// <param name="Major">Major version of the server.</param>
public sealed record PostgresBinaries(string Folder, int Major)
{
    private const int OldestMajor = 14;

    public string InitDb => Path.Combine(Folder, "initdb");
    public string PgCtl => Path.Combine(Folder, "pg_ctl");

    /// <summary>The newest installed server that the farm works with.</summary>
    /// <exception cref="PrivatePostgresException">None is installed; the message names the package.</exception>
    public static PostgresBinaries Find(string root = "/usr/lib/postgresql", string? path = null)
    {
        var found = Directory.Exists(root) ? Directory.GetDirectories(root) : [];
        var newest = found
            .Select(folder => (Bin: Path.Combine(folder, "bin"), Major: ParseMajor(Path.GetFileName(folder))))
            .Where(candidate => candidate.Major >= OldestMajor && File.Exists(Path.Combine(candidate.Bin, "pg_ctl")) && File.Exists(Path.Combine(candidate.Bin, "initdb")))
            .OrderByDescending(candidate => candidate.Major)
            .FirstOrDefault();
        if (newest.Bin is not null)
            return new(newest.Bin, newest.Major);

        foreach (var folder in (path ?? Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries))
        {
            if (File.Exists(Path.Combine(folder, "pg_ctl")) && File.Exists(Path.Combine(folder, "initdb")))
                return new(folder, OldestMajor);
        }
        throw new PrivatePostgresException(
            $"No PostgreSQL server of version {OldestMajor} or newer is installed ({root}/*/bin and PATH were searched). " +
            "Install the package postgresql, or name a running server with --postgres.");
    }

    private static int ParseMajor(string? name) =>
        int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out var major) ? major : 0;
}

/// <summary>The private PostgreSQL cluster could not be made, started or stopped; the message says why and what to do.</summary>
public sealed class PrivatePostgresException(string message, Exception? inner = null) : Exception(message, inner);
