using Farm.Contracts.Workers;
using Npgsql;

namespace Farm.Silo.Storage;

/// <summary>Workers: sessions, beats, quarantine.</summary>
public sealed class WorkerStore(NpgsqlDataSource source)
{
    private const string Select = """
        SELECT w.id, w.state, w.capabilities, w.slots, w.media, w.registered_at, w.last_beat, w.infrastructure_streak, w.note,
          w.free_disk_mib, w.load, coalesce(array_agg(j.id ORDER BY j.id) FILTER (WHERE j.id IS NOT NULL), '{}')
        FROM farm.workers w LEFT JOIN farm.jobs j ON j.worker = w.id AND j.state IN ('Leased', 'Running')
        """;

    public Task<List<WorkerInfo>> List(CancellationToken cancel = default) =>
        source.Query(Select + " GROUP BY w.id ORDER BY w.id", Read, cancel);

    public async Task<WorkerInfo?> Find(string id, CancellationToken cancel = default) =>
        (await source.Query(Select + " WHERE w.id = $1 GROUP BY w.id", Read, cancel, id)).FirstOrDefault();

    /// <summary>Signs a worker on under a new session; a quarantine that still runs stays.</summary>
    public async Task<long> Register(string id, WorkerRegistration registration, DateTimeOffset now, CancellationToken cancel = default) =>
        (await source.Query("""
            INSERT INTO farm.workers AS w (id, session, state, capabilities, slots, media, registered_at, last_beat)
            VALUES ($1, nextval('farm.worker_sessions'), 'Online', $2, $3, $4, $5, $5)
            ON CONFLICT (id) DO UPDATE SET session = excluded.session, capabilities = excluded.capabilities, slots = excluded.slots,
              media = excluded.media, registered_at = excluded.registered_at, last_beat = excluded.last_beat,
              state = CASE WHEN w.quarantined_until > $5 THEN 'Quarantined' ELSE 'Online' END,
              note = CASE WHEN w.quarantined_until > $5 THEN w.note ELSE '' END
            RETURNING session
            """, reader => reader.GetInt64(0), cancel, id, new Json(registration.Capabilities), registration.Slots, new Json(registration.Media), now))[0];

    /// <summary>Notes a beat. Null when the session is not the worker's any more, or the worker was declared dead.</summary>
    public async Task<WorkerState?> Beat(string id, WorkerBeat beat, DateTimeOffset now, CancellationToken cancel = default)
    {
        var states = await source.Query("""
            UPDATE farm.workers SET last_beat = $3, free_disk_mib = $4, load = $5, media = coalesce($6::jsonb, media),
              state = CASE WHEN quarantined_until > $3 THEN 'Quarantined' WHEN $7 THEN 'Draining' ELSE 'Online' END,
              note = CASE WHEN quarantined_until > $3 THEN note WHEN $7 THEN 'Finishes what it has.' ELSE '' END
            WHERE id = $1 AND session = $2 AND state NOT IN ('Dead', 'Offline')
            RETURNING state
            """, reader => reader.Enum<WorkerState>(0), cancel, id, beat.Session, now, beat.FreeDiskMiB, beat.Load,
            beat.Media is { } media ? new Json(media) : null, beat.Draining);
        return states.Count == 0 ? null : states[0];
    }

    public async Task<bool> HasSession(string id, long session, CancellationToken cancel = default) =>
        (await source.Query("SELECT 1 FROM farm.workers WHERE id = $1 AND session = $2 AND state NOT IN ('Dead', 'Offline')",
            reader => reader.GetInt32(0), cancel, id, session)).Count > 0;

    public async Task<bool> SignOff(string id, long session, CancellationToken cancel = default) =>
        await source.Execute("UPDATE farm.workers SET state = 'Offline', note = 'Signed off.' WHERE id = $1 AND session = $2 AND state <> 'Dead'",
            cancel, id, session) > 0;

    /// <summary>Declares dead whoever has not beaten since <paramref name="limit"/>; returns their ids.</summary>
    public Task<List<string>> Bury(DateTimeOffset limit, CancellationToken cancel = default) =>
        source.Query("""
            UPDATE farm.workers SET state = 'Dead', note = 'Missed its beats: its jobs went back to the queue.'
            WHERE last_beat < $1 AND state IN ('Online', 'Draining', 'Quarantined') RETURNING id
            """, reader => reader.GetString(0), cancel, limit);

    /// <summary>
    /// Counts different jobs in a row that ended in infrastructure trouble; at <paramref name="limit"/> of them the worker goes into
    /// quarantine. Returns whether it has just gone there.
    /// </summary>
    public async Task<bool> Ran(string id, long jobId, bool trouble, int limit, DateTimeOffset now, TimeSpan quarantine, CancellationToken cancel = default)
    {
        if (!trouble)
        {
            await source.Execute("UPDATE farm.workers SET infrastructure_streak = 0, last_trouble_job = NULL WHERE id = $1 AND infrastructure_streak > 0", cancel, id);
            return false;
        }
        var streaks = await source.Query("""
            UPDATE farm.workers SET infrastructure_streak = infrastructure_streak + 1, last_trouble_job = $2
            WHERE id = $1 AND last_trouble_job IS DISTINCT FROM $2 RETURNING infrastructure_streak
            """, reader => reader.GetInt32(0), cancel, id, jobId);
        if (streaks.Count == 0 || streaks[0] < limit)
            return false;
        return await source.Execute("""
            UPDATE farm.workers SET quarantined_until = $2, state = 'Quarantined', infrastructure_streak = 0, note = $3
            WHERE id = $1 AND state IN ('Online', 'Draining')
            """, cancel, id, now + quarantine,
            $"{limit} jobs in a row ended in infrastructure trouble: takes nothing until {now + quarantine:HH:mm:ss} UTC, or until released.") > 0;
    }

    public async Task<bool> Release(string id, CancellationToken cancel = default) =>
        await source.Execute("""
            UPDATE farm.workers SET quarantined_until = NULL, infrastructure_streak = 0, note = '',
              state = CASE state WHEN 'Quarantined' THEN 'Online' ELSE state END
            WHERE id = $1 AND quarantined_until IS NOT NULL
            """, cancel, id) > 0;

    public Task Audit(string by, string action, string id, DateTimeOffset now, CancellationToken cancel = default) =>
        AuditStore.Add(source, by, action, id, "", now, cancel);

    private static WorkerInfo Read(NpgsqlDataReader reader)
    {
        var jobs = reader.GetFieldValue<long[]>(11);
        return new()
        {
            Id = reader.GetString(0),
            State = reader.Enum<WorkerState>(1),
            Capabilities = reader.FromJson<WorkerCapabilities>(2),
            Slots = reader.GetInt32(3),
            Media = reader.FromJson<List<HeldMedia>>(4),
            RegisteredAt = reader.Time(5),
            LastBeat = reader.Time(6),
            InfrastructureStreak = reader.GetInt32(7),
            Note = reader.GetString(8),
            FreeDiskMiB = reader.GetInt64(9),
            Load = reader.GetDouble(10),
            Jobs = jobs,
            Busy = jobs.Length,
        };
    }
}
