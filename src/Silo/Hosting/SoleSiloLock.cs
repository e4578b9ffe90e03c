using Farm.Silo.Storage;
using Npgsql;

namespace Farm.Silo.Hosting;

/// <summary>
/// Holds a database for one silo alone. While it is held no other silo can be alive, so what a killed one left in the membership table
/// can go at once: otherwise a start would wait for it to be voted dead.
/// </summary>
internal sealed class SoleSiloLock : IAsyncDisposable
{
    private const int LockClass = 0x4641524D; // "FARM"

    private readonly NpgsqlConnection _connection;

    private SoleSiloLock(NpgsqlConnection connection) => _connection = connection;

    public static async Task<SoleSiloLock> Take(string connectionString, string clusterId, CancellationToken cancel)
    {
        // not from the pool: the lock is the session's, and the session shall live as long as this object
        var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false, KeepAlive = 30 }.ConnectionString);
        try
        {
            await connection.OpenAsync(cancel);
            var held = (await connection.Query("SELECT pg_try_advisory_lock($1, hashtext($2))", reader => reader.GetBoolean(0), cancel, LockClass, clusterId))[0];
            if (!held)
                throw new DatabaseException("Another farm runs on this database. Stop it, or name another database with --postgres.");
            await connection.Execute("DELETE FROM orleans.OrleansMembershipTable WHERE DeploymentId = $1", cancel, clusterId);
            await connection.Execute("DELETE FROM orleans.OrleansMembershipVersionTable WHERE DeploymentId = $1", cancel, clusterId);
            return new(connection);
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
    }

    public ValueTask DisposeAsync() => _connection.DisposeAsync();
}
