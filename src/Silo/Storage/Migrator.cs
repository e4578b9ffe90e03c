using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using Npgsql;

namespace Farm.Silo.Storage;

/// <summary>One step of the schema, embedded as <c>NNN-name.sql</c>.</summary>
public sealed record Migration(int Version, string Name, string Sql)
{
    public string Digest { get; } = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Sql)));
}

/// <summary>The database cannot be used; the message says why and what to do.</summary>
public sealed class DatabaseException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>Brings the database to this program's schema, step by step, one farm at a time.</summary>
public static partial class Migrator
{
    private const long AdvisoryLock = 0x4641524D; // "FARM"

    public static IReadOnlyList<Migration> Embedded { get; } = ReadEmbedded();

    /// <summary>Applies what is missing.</summary>
    /// <exception cref="DatabaseException">The server cannot be reached, or the schema is newer than this program or not its own.</exception>
    public static async Task<int> Migrate(NpgsqlDataSource source, IReadOnlyList<Migration>? migrations = null, CancellationToken cancel = default)
    {
        migrations ??= Embedded;
        await using var connection = await Open(source, cancel);
        await Execute(connection, $"SELECT pg_advisory_lock({AdvisoryLock})", cancel);
        try
        {
            await Execute(connection, """
                CREATE SCHEMA IF NOT EXISTS farm;
                CREATE TABLE IF NOT EXISTS farm.migrations (
                  version integer PRIMARY KEY, name text NOT NULL, digest text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())
                """, cancel);
            var applied = await ReadApplied(connection, cancel);
            Check(connection, applied, migrations);
            var missing = migrations.Where(migration => !applied.ContainsKey(migration.Version)).ToList();
            foreach (var migration in missing)
                await Apply(connection, migration, cancel);
            return missing.Count;
        }
        finally
        {
            await Execute(connection, $"SELECT pg_advisory_unlock({AdvisoryLock})", CancellationToken.None);
        }
    }

    private static async Task<NpgsqlConnection> Open(NpgsqlDataSource source, CancellationToken cancel)
    {
        var where = Describe(source.ConnectionString);
        try
        {
            return await source.OpenConnectionAsync(cancel);
        }
        catch (PostgresException e)
        {
            throw new DatabaseException($"PostgreSQL at {where} refuses the farm: {e.MessageText} ({e.SqlState}). Check the user, password and database of --postgres.", e);
        }
        catch (Exception e) when (e is NpgsqlException or TimeoutException or System.Net.Sockets.SocketException)
        {
            throw new DatabaseException($"PostgreSQL at {where} cannot be reached: {e.InnerException?.Message ?? e.Message} Is it running, and does --postgres name it?", e);
        }
    }

    private static void Check(NpgsqlConnection connection, Dictionary<int, (string Name, string Digest)> applied, IReadOnlyList<Migration> migrations)
    {
        var newest = migrations[^1].Version;
        if (applied.Keys.DefaultIfEmpty().Max() is var found && found > newest)
        {
            throw new DatabaseException(
                $"The database {Describe(connection.ConnectionString)} has schema {found}, this program knows up to {newest}: " +
                "it was used by a newer farm. Run that one, or name another database.");
        }
        foreach (var migration in migrations)
        {
            if (applied.TryGetValue(migration.Version, out var was) && was.Digest != migration.Digest)
            {
                throw new DatabaseException(
                    $"Schema step {migration.Version} ({was.Name}) of the database {Describe(connection.ConnectionString)} is not this program's: " +
                    "it was made by another build. Run that one, or name another database.");
            }
        }
    }

    private static async Task Apply(NpgsqlConnection connection, Migration migration, CancellationToken cancel)
    {
        await using var transaction = await connection.BeginTransactionAsync(cancel);
        await Execute(connection, migration.Sql, cancel);
        await using var record = new NpgsqlCommand("INSERT INTO farm.migrations (version, name, digest) VALUES ($1, $2, $3)", connection)
        {
            Parameters = { new() { Value = migration.Version }, new() { Value = migration.Name }, new() { Value = migration.Digest } },
        };
        await record.ExecuteNonQueryAsync(cancel);
        await transaction.CommitAsync(cancel);
    }

    private static async Task<Dictionary<int, (string Name, string Digest)>> ReadApplied(NpgsqlConnection connection, CancellationToken cancel)
    {
        var applied = new Dictionary<int, (string, string)>();
        await using var command = new NpgsqlCommand("SELECT version, name, digest FROM farm.migrations", connection);
        await using var reader = await command.ExecuteReaderAsync(cancel);
        while (await reader.ReadAsync(cancel))
            applied[reader.GetInt32(0)] = (reader.GetString(1), reader.GetString(2));
        return applied;
    }

    private static async Task Execute(NpgsqlConnection connection, string sql, CancellationToken cancel)
    {
#pragma warning disable CA2100 // the SQL is embedded in this assembly, or a test's own
        await using var command = new NpgsqlCommand(sql, connection);
#pragma warning restore CA2100
        await command.ExecuteNonQueryAsync(cancel);
    }

    private static string Describe(string connectionString)
    {
        var parts = new NpgsqlConnectionStringBuilder(connectionString);
        return $"{parts.Host}:{parts.Port}/{parts.Database}";
    }

    private static List<Migration> ReadEmbedded()
    {
        var assembly = Assembly.GetExecutingAssembly();
        var migrations = new List<Migration>();
        foreach (var resource in assembly.GetManifestResourceNames())
        {
            if (FileName().Match(resource) is not { Success: true } match)
                continue;
            using var reader = new StreamReader(assembly.GetManifestResourceStream(resource)!);
            migrations.Add(new(int.Parse(match.Groups[1].ValueSpan, System.Globalization.CultureInfo.InvariantCulture), match.Groups[2].Value, reader.ReadToEnd()));
        }
        migrations.Sort((a, b) => a.Version.CompareTo(b.Version));
        return migrations;
    }

    [GeneratedRegex(@"(\d{3})-([a-z-]+)\.sql$")]
    private static partial Regex FileName();
}
