using Farm.Contracts;
using Npgsql;

namespace Farm.Silo.Storage;

/// <summary>Stacks by value.</summary>
internal static class StackStore
{
    /// <summary>The columns that <see cref="Read"/> takes, of alias <c>s</c>.</summary>
    public const string Columns = "s.backend, s.assist, s.firmware, s.memory_mib, s.cpu_model, s.firmware_build";

    public static async Task<long> Id(NpgsqlConnection connection, StackSpec stack, CancellationToken cancel)
    {
        object?[] values =
        [
            stack.Backend, stack.Assist, stack.Firmware, stack.MemoryMiB ?? 0, stack.CpuModel ?? "", stack.FirmwareBuild ?? "",
        ];
        const string Find = """
            SELECT id FROM farm.stacks
            WHERE backend = $1 AND assist = $2 AND firmware = $3 AND memory_mib = $4 AND cpu_model = $5 AND firmware_build = $6
            """;
        var found = await connection.Query(Find, reader => reader.GetInt64(0), cancel, values);
        if (found.Count > 0)
            return found[0];
        // DO UPDATE so that the row comes back also when another transaction has just made it
        var made = await connection.Query("""
            INSERT INTO farm.stacks (backend, assist, firmware, memory_mib, cpu_model, firmware_build) VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (backend, assist, firmware, memory_mib, cpu_model, firmware_build) DO UPDATE SET backend = excluded.backend
            RETURNING id
            """, reader => reader.GetInt64(0), cancel, values);
        return made[0];
    }

    public static StackSpec Read(NpgsqlDataReader reader, int first) => new()
    {
        Backend = reader.Enum<Backend>(first),
        Assist = reader.Enum<AssistMode>(first + 1),
        Firmware = reader.Enum<FirmwareSet>(first + 2),
        MemoryMiB = reader.GetInt32(first + 3) is var memory and > 0 ? memory : null,
        CpuModel = reader.GetString(first + 4) is { Length: > 0 } model ? model : null,
        FirmwareBuild = reader.GetString(first + 5) is { Length: > 0 } build ? build : null,
    };
}
