using Farm.Contracts;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Workers;
using Farm.Silo.Scheduling;
using Farm.Silo.Verdicts;
using Npgsql;

namespace Farm.Silo.Storage;

/// <summary>Jobs up to their lease, and lists of them.</summary>
public sealed class JobStore(NpgsqlDataSource source)
{
    private const string Columns = """
        j.id, j.guest_id, j.kind, j.state, j.priority, j.created_at, j.started_at, j.finished_at, j.epoch, j.worker,
          j.infrastructure_retries, j.run_id, j.outcome, j.health, j.furthest, j.progress, j.requested_by, j.rerun_of,
          j.cancel_requested, j.summary,
        """ + " " + StackStore.Columns;

    private const int StackColumn = 20;

    /// <summary>Queues jobs, all or none.</summary>
    public async Task<IReadOnlyList<long>> Create(
        IReadOnlyList<JobSpec> specs, string by, long? rerunOf, DateTimeOffset now, CancellationToken cancel = default)
    {
        await using var connection = await source.OpenConnectionAsync(cancel);
        await using var transaction = await connection.BeginTransactionAsync(cancel);
        var ids = new List<long>(specs.Count);
        foreach (var spec in specs)
        {
            var stack = await StackStore.Id(connection, spec.Stack with { FirmwareBuild = null }, cancel);
            ids.AddRange(await connection.Query("""
                INSERT INTO farm.jobs (guest_id, kind, stack_id, plan, priority, state, created_at, queued_at, requested_by, rerun_of)
                VALUES ($1, $2, $3, $4, $5, 'Queued', $6, $6, $7, $8::bigint) RETURNING id
                """, reader => reader.GetInt64(0), cancel, spec.GuestId, spec.Kind, stack, new Json(spec.Plan), spec.Priority, now, by, rerunOf));
        }
        await AuditStore.Add(connection, by, rerunOf is null ? "queue" : "rerun", string.Join(' ', ids), "", now, cancel);
        await transaction.CommitAsync(cancel);
        return ids;
    }

    public async Task<JobInfo?> Find(long id, CancellationToken cancel = default) =>
        (await source.Query($"SELECT {Columns} FROM farm.jobs j JOIN farm.stacks s ON s.id = j.stack_id WHERE j.id = $1", Read, cancel, id)).FirstOrDefault();

    public async Task<JobSpec?> Spec(long id, CancellationToken cancel = default) =>
        (await source.Query($"SELECT j.guest_id, j.kind, j.plan, j.priority, {StackStore.Columns} FROM farm.jobs j JOIN farm.stacks s ON s.id = j.stack_id WHERE j.id = $1",
            ReadSpec, cancel, id)).FirstOrDefault();

    public Task<List<JobInfo>> List(JobQuery query, CancellationToken cancel = default) =>
        source.Query($"""
            SELECT {Columns} FROM farm.jobs j JOIN farm.stacks s ON s.id = j.stack_id
            WHERE ($1::text IS NULL OR j.state = $1) AND ($2::text IS NULL OR j.guest_id = $2) AND ($3::text IS NULL OR j.kind = $3)
              AND ($4::text IS NULL OR j.worker = $4) AND ($5::bigint IS NULL OR j.id < $5)
            ORDER BY j.id DESC LIMIT $6
            """, Read, cancel, query.State, query.GuestId, query.Kind, query.Worker, query.Before, Math.Clamp(query.Limit, 1, 500));

    /// <summary>Everything that waits, for the policy.</summary>
    public Task<List<WaitingJob>> Waiting(CancellationToken cancel = default) =>
        source.Query($"""
            SELECT j.id, j.guest_id, j.kind, j.plan -> 'media', (j.plan ->> 'memoryMiB')::integer, j.plan ->> 'cpuModel', j.priority,
              j.created_at, j.avoid, {StackStore.Columns}
            FROM farm.jobs j JOIN farm.stacks s ON s.id = j.stack_id WHERE j.state = 'Queued'
            """, reader =>
        {
            var stack = StackStore.Read(reader, 9);
            return new WaitingJob
            {
                Id = reader.GetInt64(0),
                GuestId = reader.GetString(1),
                Kind = reader.Enum<JobKind>(2),
                Media = reader.FromJson<List<MediaInfo>>(3),
                MemoryMiB = stack.MemoryMiB ?? reader.GetInt32(4),
                CpuModel = stack.CpuModel ?? reader.Text(5),
                Priority = reader.GetInt32(6),
                CreatedAt = reader.Time(7),
                Avoid = reader.GetFieldValue<string[]>(8),
                Stack = stack,
            };
        }, cancel);

    /// <summary>Everything that holds a slot, for the policy.</summary>
    public Task<List<OccupyingJob>> Occupying(CancellationToken cancel = default) =>
        source.Query("""
            SELECT j.id, j.guest_id, j.kind, s.backend, j.worker, (j.plan ->> 'memoryMiB')::integer, s.memory_mib, r.leased_at
            FROM farm.jobs j JOIN farm.runs r ON r.id = j.run_id JOIN farm.stacks s ON s.id = r.stack_id
            WHERE j.state IN ('Leased', 'Running')
            """, reader => new OccupyingJob(
            reader.GetInt64(0), reader.GetString(1), reader.Enum<JobKind>(2), reader.Enum<Backend>(3), reader.GetString(4),
            reader.GetInt32(6) is var memory and > 0 ? memory : reader.GetInt32(5), reader.Time(7)), cancel);

    /// <summary>Unfinished jobs for the matrix: with the resolved stack once leased.</summary>
    public Task<List<ActiveJob>> Active(string? guestId, CancellationToken cancel = default) =>
        source.Query($"""
            SELECT j.id, j.guest_id, j.kind, j.state, j.furthest, j.progress, j.run_id, {StackStore.Columns}
            FROM farm.jobs j LEFT JOIN farm.runs r ON r.id = j.run_id AND j.state <> 'Queued'
              JOIN farm.stacks s ON s.id = coalesce(r.stack_id, j.stack_id)
            WHERE j.state <> 'Finished' AND ($1::text IS NULL OR j.guest_id = $1)
            """, reader => new ActiveJob(
            reader.GetInt64(0), reader.GetString(1), reader.Enum<JobKind>(2), StackStore.Read(reader, 7), reader.Enum<JobState>(3),
            reader.Enum<BootPhase>(4), reader.GetDouble(5), reader.Long(6), null), cancel, guestId);

    /// <summary>Median seconds of the newest 20 sound runs of each cell.</summary>
    public async Task<DurationHistory> Durations(CancellationToken cancel = default)
    {
        var rows = await source.Query("""
            SELECT guest_id, kind, percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - leased_at))
            FROM (
              SELECT *, row_number() OVER (PARTITION BY guest_id, kind ORDER BY id DESC) AS age FROM farm.runs WHERE health = 'Ok') recent
            WHERE age <= 20 GROUP BY guest_id, kind
            """, reader => (reader.GetString(0), reader.Enum<JobKind>(1), reader.GetDouble(2)), cancel);
        return new(rows.ToDictionary(row => (row.Item1, row.Item2), row => row.Item3));
    }

    /// <summary>
    /// Leases a queued job: raises its epoch and opens a run. Null when it is no longer queued, or the worker's session is void or
    /// takes nothing.
    /// </summary>
    public async Task<Lease?> Lease(
        long id, string worker, long session, Backend backend, DateTimeOffset now, TimeSpan duration, CancellationToken cancel = default)
    {
        await using var connection = await source.OpenConnectionAsync(cancel);
        await using var transaction = await connection.BeginTransactionAsync(cancel);
        var leased = await connection.Query($"""
            WITH leased AS (
              UPDATE farm.jobs SET state = 'Leased', epoch = epoch + 1, worker = $2, lease_expires_at = $4, furthest = 'None', progress = 0,
                started_at = NULL
              WHERE id = $1 AND state = 'Queued'
                AND EXISTS (SELECT 1 FROM farm.workers WHERE id = $2 AND session = $3 AND state = 'Online')
              RETURNING *)
            SELECT j.guest_id, j.kind, j.plan, j.priority, {StackStore.Columns}, j.epoch
            FROM leased j JOIN farm.stacks s ON s.id = j.stack_id
            """, reader => (Spec: ReadSpec(reader), Epoch: reader.GetInt64(10)), cancel, id, worker, session, now + duration);
        if (leased.Count == 0)
            return null;
        var (spec, epoch) = leased[0];
        var stack = spec.Stack with { Backend = backend };
        var run = (await connection.Query("""
            INSERT INTO farm.runs (job_id, epoch, guest_id, kind, guest_digest, stack_id, worker, leased_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id
            """, reader => reader.GetInt64(0), cancel, id, epoch, spec.GuestId, spec.Kind, spec.Plan.Digest,
            await StackStore.Id(connection, stack, cancel), worker, now))[0];
        await connection.Execute("UPDATE farm.jobs SET run_id = $2 WHERE id = $1", cancel, id, run);
        await transaction.CommitAsync(cancel);
        return new() { JobId = id, Epoch = epoch, RunId = run, Worker = worker, Spec = spec, Stack = stack, ExpiresAt = now + duration };
    }

    /// <summary>Renews a worker's leases; those not returned are void.</summary>
    public async Task<IReadOnlyList<(LeaseKey Lease, bool Cancel)>> Renew(
        string worker, IReadOnlyList<LeaseKey> leases, DateTimeOffset until, CancellationToken cancel = default)
    {
        if (leases.Count == 0)
            return [];
        return await source.Query("""
            UPDATE farm.jobs j SET lease_expires_at = $4
            FROM unnest($2::bigint[], $3::bigint[]) AS held (id, epoch)
            WHERE j.id = held.id AND j.epoch = held.epoch AND j.worker = $1 AND j.state IN ('Leased', 'Running')
            RETURNING j.id, j.epoch, j.cancel_requested
            """, reader => (new LeaseKey(reader.GetInt64(0), reader.GetInt64(1)), reader.GetBoolean(2)), cancel,
            worker, leases.Select(lease => lease.JobId).ToArray(), leases.Select(lease => lease.Epoch).ToArray(), until);
    }

    /// <summary>Leases that ran out before <paramref name="now"/>, or are held by workers that are dead or signed off.</summary>
    public Task<List<(LeaseKey Lease, string Worker)>> Expired(DateTimeOffset now, CancellationToken cancel = default) =>
        source.Query("""
            SELECT j.id, j.epoch, j.worker FROM farm.jobs j LEFT JOIN farm.workers w ON w.id = j.worker
            WHERE j.state IN ('Leased', 'Running') AND (j.lease_expires_at < $1 OR w.state IS NULL OR w.state IN ('Dead', 'Offline'))
            ORDER BY j.id
            """, reader => (new LeaseKey(reader.GetInt64(0), reader.GetInt64(1)), reader.GetString(2)), cancel, now);

    /// <summary>The leases that a worker holds.</summary>
    public Task<List<LeaseKey>> HeldBy(string worker, CancellationToken cancel = default) =>
        source.Query("SELECT id, epoch FROM farm.jobs WHERE worker = $1 AND state IN ('Leased', 'Running') ORDER BY id",
            reader => new LeaseKey(reader.GetInt64(0), reader.GetInt64(1)), cancel, worker);

    private static JobInfo Read(NpgsqlDataReader reader) => new()
    {
        Id = reader.GetInt64(0),
        GuestId = reader.GetString(1),
        Kind = reader.Enum<JobKind>(2),
        State = reader.Enum<JobState>(3),
        Priority = reader.GetInt32(4),
        CreatedAt = reader.Time(5),
        StartedAt = reader.TimeOrNull(6),
        FinishedAt = reader.TimeOrNull(7),
        Epoch = reader.GetInt64(8),
        Worker = reader.Text(9),
        InfrastructureRetries = reader.GetInt32(10),
        RunId = reader.Long(11),
        Outcome = reader.EnumOrNull<GuestOutcome>(12),
        Health = reader.EnumOrNull<RunHealth>(13),
        Phase = reader.Enum<BootPhase>(14),
        Progress = reader.GetDouble(15),
        RequestedBy = reader.GetString(16),
        RerunOf = reader.Long(17),
        CancelRequested = reader.GetBoolean(18),
        Summary = reader.Text(19),
        Stack = StackStore.Read(reader, StackColumn),
    };

    private static JobSpec ReadSpec(NpgsqlDataReader reader) => new()
    {
        GuestId = reader.GetString(0),
        Kind = reader.Enum<JobKind>(1),
        Plan = reader.FromJson<GuestPlan>(2),
        Priority = reader.GetInt32(3),
        Stack = StackStore.Read(reader, 4),
    };
}
