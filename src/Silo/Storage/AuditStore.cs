using Npgsql;

namespace Farm.Silo.Storage;

/// <summary>Who changed what, when.</summary>
internal static class AuditStore
{
    public static Task Add(
        NpgsqlConnection connection, string actor, string action, string subject, string detail, DateTimeOffset now, CancellationToken cancel) =>
        connection.Execute("INSERT INTO farm.audit (at, actor, action, subject, detail) VALUES ($1, $2, $3, $4, $5)",
            cancel, now, actor, action, subject, detail);

    public static async Task Add(
        NpgsqlDataSource source, string actor, string action, string subject, string detail, DateTimeOffset now, CancellationToken cancel)
    {
        await using var connection = await source.OpenConnectionAsync(cancel);
        await Add(connection, actor, action, subject, detail, now, cancel);
    }
}
