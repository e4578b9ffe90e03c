using System.Text.Json;
using Farm.Contracts.Api;
using Npgsql;
using NpgsqlTypes;

namespace Farm.Silo.Storage;

/// <summary>A value that goes to Postgres as jsonb.</summary>
internal readonly record struct Json(object Value);

/// <summary>Hand-written SQL with positional parameters ($1, $2, ...), on a connection or on the pool.</summary>
internal static class Db
{
    public static async Task<List<T>> Query<T>(
        this NpgsqlDataSource source, string sql, Func<NpgsqlDataReader, T> read, CancellationToken cancel, params object?[] values)
    {
        await using var connection = await source.OpenConnectionAsync(cancel);
        return await connection.Query(sql, read, cancel, values);
    }

    public static async Task<List<T>> Query<T>(
        this NpgsqlConnection connection, string sql, Func<NpgsqlDataReader, T> read, CancellationToken cancel, params object?[] values)
    {
        await using var command = Command(connection, sql, values);
        await using var reader = await command.ExecuteReaderAsync(cancel);
        var rows = new List<T>();
        while (await reader.ReadAsync(cancel))
            rows.Add(read(reader));
        return rows;
    }

    public static async Task<int> Execute(this NpgsqlDataSource source, string sql, CancellationToken cancel, params object?[] values)
    {
        await using var connection = await source.OpenConnectionAsync(cancel);
        return await connection.Execute(sql, cancel, values);
    }

    public static async Task<int> Execute(this NpgsqlConnection connection, string sql, CancellationToken cancel, params object?[] values)
    {
        await using var command = Command(connection, sql, values);
        return await command.ExecuteNonQueryAsync(cancel);
    }

    public static T FromJson<T>(this NpgsqlDataReader reader, int column) =>
        JsonSerializer.Deserialize<T>(reader.GetString(column), FarmJson.Options)
            ?? throw new InvalidDataException($"Column {reader.GetName(column)} holds a JSON null.");

    public static T Enum<T>(this NpgsqlDataReader reader, int column) where T : struct, Enum => System.Enum.Parse<T>(reader.GetString(column));

    public static T? EnumOrNull<T>(this NpgsqlDataReader reader, int column) where T : struct, Enum =>
        reader.IsDBNull(column) ? null : reader.Enum<T>(column);

    public static string? Text(this NpgsqlDataReader reader, int column) => reader.IsDBNull(column) ? null : reader.GetString(column);

    public static long? Long(this NpgsqlDataReader reader, int column) => reader.IsDBNull(column) ? null : reader.GetInt64(column);

    public static DateTimeOffset Time(this NpgsqlDataReader reader, int column) => reader.GetFieldValue<DateTimeOffset>(column);

    public static DateTimeOffset? TimeOrNull(this NpgsqlDataReader reader, int column) => reader.IsDBNull(column) ? null : reader.Time(column);

    private static NpgsqlCommand Command(NpgsqlConnection connection, string sql, object?[] values)
    {
#pragma warning disable CA2100 // every text is a constant of this folder; values are parameters
        var command = new NpgsqlCommand(sql, connection);
#pragma warning restore CA2100
        foreach (var value in values)
            command.Parameters.Add(Parameter(value));
        return command;
    }

    private static NpgsqlParameter Parameter(object? value) => value switch
    {
        null => new() { Value = DBNull.Value },
        Json json => new() { Value = JsonSerializer.Serialize(json.Value, json.Value.GetType(), FarmJson.Options).Replace("\\u0000", "\\uFFFD", StringComparison.Ordinal), NpgsqlDbType = NpgsqlDbType.Jsonb },
        Enum name => new() { Value = name.ToString() },
        DateTimeOffset time => new() { Value = time.ToUniversalTime() },
        string text => new() { Value = text.Replace('\0', '\uFFFD') },
        _ => new() { Value = value },
    };
}
