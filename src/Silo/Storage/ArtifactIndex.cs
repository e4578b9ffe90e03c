using Npgsql;

namespace Farm.Silo.Storage;

/// <summary>Content types of stored artifacts, and which of them may go.</summary>
public sealed class ArtifactIndex(NpgsqlDataSource source)
{
    public Task Add(string sha256, long size, string contentType, DateTimeOffset now, CancellationToken cancel = default) =>
        source.Execute("INSERT INTO farm.artifacts (sha256, size, content_type, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            cancel, sha256, size, contentType, now);

    public async Task<(string ContentType, long Size)?> Find(string sha256, CancellationToken cancel = default)
    {
        var found = await source.Query("SELECT content_type, size FROM farm.artifacts WHERE sha256 = $1",
            reader => (reader.GetString(0), reader.GetInt64(1)), cancel, sha256);
        return found.Count == 0 ? null : found[0];
    }

    /// <summary>Artifacts that no cell's newest run names, oldest first, made before <paramref name="limit"/>.</summary>
    public Task<List<(string Sha256, long Size)>> Disposable(DateTimeOffset limit, int most, CancellationToken cancel = default) =>
        source.Query("""
            SELECT a.sha256, a.size FROM farm.artifacts a
            WHERE a.created_at < $1 AND NOT EXISTS (
              SELECT 1 FROM farm.run_artifacts ra JOIN farm.cells c ON c.run_id = ra.run_id WHERE ra.sha256 = a.sha256)
            ORDER BY a.created_at LIMIT $2
            """, reader => (reader.GetString(0), reader.GetInt64(1)), cancel, limit, most);

    /// <summary>Forgets an artifact; runs that had it have it no more.</summary>
    public async Task Remove(string sha256, CancellationToken cancel = default)
    {
        await source.Execute("DELETE FROM farm.run_artifacts WHERE sha256 = $1", cancel, sha256);
        await source.Execute("DELETE FROM farm.artifacts WHERE sha256 = $1", cancel, sha256);
    }
}
