using Farm.Silo.Postgres;
using Farm.Silo.Storage;
using Farm.Silo.Tests.Postgres;
using Npgsql;

[assembly: AssemblyFixture(typeof(PostgresServer))]

namespace Farm.Silo.Tests.Postgres;

/// <summary>One real PostgreSQL cluster for the whole assembly; every test asks for a database of its own.</summary>
public sealed class PostgresServer : IAsyncLifetime
{
    private readonly string _folder = Path.Combine(Path.GetTempPath(), "farm-tests-" + Guid.NewGuid().ToString("N")[..12]);
    private PrivatePostgres? _postgres;
    private int _databases;

    public PrivatePostgres Postgres => _postgres ?? throw new InvalidOperationException("The cluster is not up.");

    public async ValueTask InitializeAsync() => _postgres = await PrivatePostgres.Start(_folder, durable: false);

    public async ValueTask DisposeAsync()
    {
        if (_postgres is null)
            return;
        await _postgres.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
    }

    /// <summary>An empty database.</summary>
    public Task<string> NewDatabase() => Postgres.CreateDatabase($"t{Interlocked.Increment(ref _databases)}");

    /// <summary>A database with the farm's schema.</summary>
    public async Task<NpgsqlDataSource> NewFarmDatabase()
    {
        var source = NpgsqlDataSource.Create(await NewDatabase());
        await Migrator.Migrate(source);
        return source;
    }
}
