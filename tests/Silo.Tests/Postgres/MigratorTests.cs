using Farm.Silo.Storage;
using Npgsql;

namespace Farm.Silo.Tests.Postgres;

public sealed class MigratorTests(PostgresServer server)
{
    [Fact]
    public async Task An_empty_database_gets_every_step_once_even_when_several_silos_start_together()
    {
        await using var source = NpgsqlDataSource.Create(await server.NewDatabase());
        var counts = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Migrator.Migrate(source)));
        Assert.Equal(Migrator.Embedded.Count, counts.Sum());
        Assert.Equal(0, await Migrator.Migrate(source));
    }

    [Fact]
    public async Task A_database_of_a_newer_farm_is_refused()
    {
        await using var source = NpgsqlDataSource.Create(await server.NewDatabase());
        await Migrator.Migrate(source, [.. Migrator.Embedded, new(999, "later", "SELECT 1")]);
        var error = await Assert.ThrowsAsync<DatabaseException>(() => Migrator.Migrate(source));
        Assert.Contains("newer farm", error.Message, StringComparison.Ordinal);
        Assert.Contains("999", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_step_that_fails_leaves_nothing_behind()
    {
        await using var source = NpgsqlDataSource.Create(await server.NewDatabase());
        await Assert.ThrowsAsync<PostgresException>(() => Migrator.Migrate(source, [new(1, "broken", "CREATE TABLE half (a int); SELECT 1/0")]));
        await using var command = source.CreateCommand("SELECT to_regclass('half') IS NULL AND NOT EXISTS (SELECT 1 FROM farm.migrations)");
        Assert.Equal(true, await command.ExecuteScalarAsync());
    }

    [Fact]
    public async Task A_step_that_another_build_wrote_is_refused()
    {
        await using var source = NpgsqlDataSource.Create(await server.NewDatabase());
        await Migrator.Migrate(source, [new(1, "one", "SELECT 1")]);
        var error = await Assert.ThrowsAsync<DatabaseException>(() => Migrator.Migrate(source, [new(1, "one", "SELECT 2")]));
        Assert.Contains("another build", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_server_that_does_not_answer_is_named()
    {
        await using var source = NpgsqlDataSource.Create("Host=127.0.0.1;Port=1;Username=farm;Database=farm;Timeout=3");
        var error = await Assert.ThrowsAsync<DatabaseException>(() => Migrator.Migrate(source));
        Assert.Contains("127.0.0.1:1/farm cannot be reached", error.Message, StringComparison.Ordinal);
    }
}
