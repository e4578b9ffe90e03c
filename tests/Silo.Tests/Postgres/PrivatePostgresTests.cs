using System.Net;
using Farm.Silo.Postgres;
using Npgsql;

namespace Farm.Silo.Tests.Postgres;

public sealed class PrivatePostgresTests(PostgresServer server)
{
    [Fact]
    public async Task The_server_listens_on_loopback_only_and_refuses_a_wrong_password()
    {
        await using var source = NpgsqlDataSource.Create(server.Postgres.ConnectionString());
        await using var command = source.CreateCommand("SELECT current_setting('listen_addresses')");
        Assert.Equal(IPAddress.Loopback.ToString(), await command.ExecuteScalarAsync());

        var wrong = new NpgsqlConnectionStringBuilder(server.Postgres.ConnectionString()) { Password = "guess" }.ConnectionString;
        await using var refused = NpgsqlDataSource.Create(wrong);
        var error = await Assert.ThrowsAsync<PostgresException>(async () => await refused.OpenConnectionAsync());
        Assert.Equal(PostgresErrorCodes.InvalidPassword, error.SqlState);
    }

    [Fact]
    public async Task A_second_start_in_the_folder_finds_the_running_server_and_leaves_it_running()
    {
        await using (var second = await PrivatePostgres.Start(server.Postgres.Folder, durable: false))
        {
            Assert.Equal(server.Postgres.Port, second.Port);
            Assert.False(second.StartedHere);
        }
        await using var source = NpgsqlDataSource.Create(server.Postgres.ConnectionString());
        await using var command = source.CreateCommand("SELECT 1");
        Assert.Equal(1, await command.ExecuteScalarAsync());
    }

    [Fact]
    public async Task A_database_is_made_once_and_its_data_outlive_a_restart()
    {
        var folder = Path.Combine(Path.GetTempPath(), "farm-tests-" + Guid.NewGuid().ToString("N")[..12]);
        try
        {
            await using (var first = await PrivatePostgres.Start(folder, durable: false))
            {
                await using var source = NpgsqlDataSource.Create(await first.CreateDatabase("farm"));
                await using var command = source.CreateCommand("CREATE TABLE kept AS SELECT 42 AS answer");
                await command.ExecuteNonQueryAsync();
            }
            await using (var second = await PrivatePostgres.Start(folder, durable: false))
            {
                Assert.True(second.StartedHere);
                await using var source = NpgsqlDataSource.Create(await second.CreateDatabase("farm"));
                await using var command = source.CreateCommand("SELECT answer FROM kept");
                Assert.Equal(42, await command.ExecuteScalarAsync());
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task A_database_name_with_anything_but_lower_case_letters_digits_and_underscores_is_refused() =>
        await Assert.ThrowsAsync<ArgumentException>(() => server.Postgres.CreateDatabase("x; DROP DATABASE postgres"));

    [Fact]
    public void A_machine_without_a_server_is_told_the_package()
    {
        var error = Assert.Throws<PrivatePostgresException>(() => PostgresBinaries.Find("/nowhere", "/nowhere"));
        Assert.Contains("package postgresql", error.Message, StringComparison.Ordinal);
    }
}
