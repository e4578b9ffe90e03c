using Farm.Contracts.Guests;
using Npgsql;

namespace Farm.Silo.Storage;

/// <summary>The catalogue in the database.</summary>
public sealed class GuestStore(NpgsqlDataSource source)
{
    /// <summary>Makes the table agree with the catalogue: guests that are gone from it are retired, their results stay.</summary>
    public async Task Replace(IReadOnlyList<CatalogueEntry> entries, DateTimeOffset now, CancellationToken cancel = default)
    {
        await using var connection = await source.OpenConnectionAsync(cancel);
        await using var transaction = await connection.BeginTransactionAsync(cancel);
        for (var position = 0; position < entries.Count; position++)
        {
            var entry = entries[position];
            await connection.Execute("""
                INSERT INTO farm.guests AS g (id, position, digest, info, plans, updated_at) VALUES ($1, $2, $3, $4, $5, $6)
                ON CONFLICT (id) DO UPDATE SET position = excluded.position, digest = excluded.digest, info = excluded.info,
                  plans = excluded.plans, retired = false,
                  updated_at = CASE WHEN g.digest = excluded.digest THEN g.updated_at ELSE excluded.updated_at END
                """, cancel, entry.Guest.Id, position, entry.Guest.Digest, new Json(entry.Guest), new Json(entry.Plans), now);
        }
        await connection.Execute("UPDATE farm.guests SET retired = true, updated_at = $2 WHERE NOT retired AND NOT (id = ANY($1))",
            cancel, entries.Select(entry => entry.Guest.Id).ToArray(), now);
        await transaction.CommitAsync(cancel);
    }

    /// <summary>The catalogue in its order, without the media's states.</summary>
    public Task<List<CatalogueEntry>> List(CancellationToken cancel = default) =>
        source.Query("SELECT info, plans FROM farm.guests WHERE NOT retired ORDER BY position", Read, cancel);

    public async Task<CatalogueEntry?> Find(string guestId, CancellationToken cancel = default) =>
        (await source.Query("SELECT info, plans FROM farm.guests WHERE NOT retired AND id = $1", Read, cancel, guestId)).FirstOrDefault();

    private static CatalogueEntry Read(NpgsqlDataReader reader) =>
        new() { Guest = reader.FromJson<GuestInfo>(0), Plans = reader.FromJson<List<GuestPlan>>(1) };
}
