using Farm.Contracts;
using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Npgsql;

namespace Farm.Silo.Storage;

/// <summary>What became of a lease.</summary>
public enum LeaseEnd
{
    /// <summary>The epoch is not the job's: nothing was written.</summary>
    Void,
    /// <summary>It had ended with this epoch before: nothing was written.</summary>
    Already,
    Requeued,
    Finished,
}

/// <summary>
/// Writes of a lease's holder. Every one names the epoch in its WHERE clause: what a worker writes after its lease is gone
/// changes nothing.
/// </summary>
public sealed class LeaseStore(NpgsqlDataSource source)
{
    /// <summary>How often infrastructure trouble sends a job back to the queue before it gives up.</summary>
    public const int MostRetries = 3;

    private const int LongestSerialTail = 64 * 1024;

    /// <summary>The VM runs. Null when the lease is void, else whether the job shall be cancelled.</summary>
    public async Task<bool?> Start(long jobId, long epoch, StackSpec stack, DateTimeOffset now, CancellationToken cancel = default)
    {
        await using var connection = await source.OpenConnectionAsync(cancel);
        await using var transaction = await connection.BeginTransactionAsync(cancel);
        var started = await connection.Query("""
            UPDATE farm.jobs SET state = 'Running', started_at = coalesce(started_at, $3)
            WHERE id = $1 AND epoch = $2 AND state IN ('Leased', 'Running') RETURNING run_id, cancel_requested
            """, reader => (Run: reader.GetInt64(0), Cancel: reader.GetBoolean(1)), cancel, jobId, epoch, now);
        if (started.Count == 0)
            return null;
        await connection.Execute("UPDATE farm.runs SET started_at = coalesce(started_at, $2), stack_id = $3 WHERE id = $1",
            cancel, started[0].Run, now, await StackStore.Id(connection, stack, cancel));
        await transaction.CommitAsync(cancel);
        return started[0].Cancel;
    }

    /// <summary>Writes phases and progress. Null when the lease is void, else whether the job shall be cancelled.</summary>
    public async Task<bool?> Progress(long jobId, long epoch, IReadOnlyList<PhaseEvent> phases, double progress, CancellationToken cancel = default)
    {
        await using var connection = await source.OpenConnectionAsync(cancel);
        await using var transaction = await connection.BeginTransactionAsync(cancel);
        BootPhase? furthest = phases.Count == 0 ? null : phases.Max(phase => phase.Phase);
        var updated = await connection.Query("""
            UPDATE farm.jobs SET progress = $3, furthest = coalesce($4::text, furthest)
            WHERE id = $1 AND epoch = $2 AND state IN ('Leased', 'Running') RETURNING run_id, cancel_requested
            """, reader => (Run: reader.GetInt64(0), Cancel: reader.GetBoolean(1)), cancel, jobId, epoch, progress, furthest);
        if (updated.Count == 0)
            return null;
        var run = updated[0].Run;
        await connection.Execute("UPDATE farm.runs SET progress = $2, furthest = coalesce($3::text, furthest) WHERE id = $1", cancel, run, progress, furthest);
        await AddPhases(connection, run, phases, cancel);
        await transaction.CommitAsync(cancel);
        return updated[0].Cancel;
    }

    /// <summary>
    /// Ends a run. Infrastructure trouble and an unasked-for cancel send the job back to the queue, the former at most
    /// <see cref="MostRetries"/> times; a sound run colours its cell.
    /// </summary>
    public async Task<LeaseEnd> Complete(
        long jobId, long epoch, RunReport report, string serialTail, ScreenUpdate? screen, DateTimeOffset now, CancellationToken cancel = default)
    {
        await using var connection = await source.OpenConnectionAsync(cancel);
        await using var transaction = await connection.BeginTransactionAsync(cancel);
        if (await LockJob(connection, jobId, cancel) is not { } job || job.Epoch != epoch)
            return LeaseEnd.Void;
        if (job.State is not (JobState.Leased or JobState.Running))
            return job.RunFinished ? LeaseEnd.Already : LeaseEnd.Void;

        await FinishRun(connection, job.RunId, report, serialTail, screen, now, cancel);
        LeaseEnd end;
        switch (report.Health)
        {
            case RunHealth.Ok:
                await FinishJob(connection, jobId, report.Outcome, RunHealth.Ok, report.Furthest, report.Summary, now, cancel);
                var result = await CellStore.Record(connection, job.RunId, job.Retries > 0, report, now, cancel);
                await TriageStore.Record(connection, job.RunId, report.UnsupportedOpcodes, result.Finished, cancel);
                end = LeaseEnd.Finished;
                break;
            case RunHealth.NoMedia:
                await FinishJob(connection, jobId, null, RunHealth.NoMedia, report.Furthest, report.Summary, now, cancel);
                end = LeaseEnd.Finished;
                break;
            case RunHealth.Cancelled:
                end = await EndOrRequeue(connection, job, report.Furthest, report.Summary, trouble: false, now, cancel);
                break;
            default:
                end = await EndOrRequeue(connection, job, report.Furthest, report.Summary, trouble: true, now, cancel);
                break;
        }
        await transaction.CommitAsync(cancel);
        return end;
    }

    /// <summary>Takes a lease back. <paramref name="trouble"/> counts as a retry.</summary>
    public async Task<LeaseEnd> Expire(
        long jobId, long epoch, string reason, bool trouble, string serialTail, ScreenUpdate? screen, DateTimeOffset now, CancellationToken cancel = default)
    {
        await using var connection = await source.OpenConnectionAsync(cancel);
        await using var transaction = await connection.BeginTransactionAsync(cancel);
        if (await LockJob(connection, jobId, cancel) is not { } job || job.Epoch != epoch || job.State is not (JobState.Leased or JobState.Running))
            return LeaseEnd.Void;
        var report = new RunReport { Health = trouble ? RunHealth.Infrastructure : RunHealth.Cancelled, Furthest = job.Furthest, Summary = reason };
        await FinishRun(connection, job.RunId, report, serialTail, screen, now, cancel);
        var end = await EndOrRequeue(connection, job, job.Furthest, reason, trouble, now, cancel);
        await transaction.CommitAsync(cancel);
        return end;
    }

    /// <summary>
    /// Asks for a cancel: a waiting job ends at once (true and no lease), a leased one when its worker obeys. False: it is finished.
    /// </summary>
    public async Task<(bool Accepted, string? Worker, long Epoch)> Cancel(long jobId, string by, DateTimeOffset now, CancellationToken cancel = default)
    {
        await using var connection = await source.OpenConnectionAsync(cancel);
        await using var transaction = await connection.BeginTransactionAsync(cancel);
        if (await LockJob(connection, jobId, cancel) is not { } job || job.State is JobState.Finished)
            return (false, null, 0);
        await AuditStore.Add(connection, by, "cancel", jobId.ToString(System.Globalization.CultureInfo.InvariantCulture), "", now, cancel);
        if (job.State is JobState.Queued)
            await FinishJob(connection, jobId, null, RunHealth.Cancelled, BootPhase.None, $"Cancelled by {by} while it waited.", now, cancel);
        else
            await connection.Execute("UPDATE farm.jobs SET cancel_requested = true WHERE id = $1", cancel, jobId);
        await transaction.CommitAsync(cancel);
        return (true, job.State is JobState.Queued ? null : job.Worker, job.Epoch);
    }

    private static async Task<LeaseEnd> EndOrRequeue(
        NpgsqlConnection connection, LockedJob job, BootPhase furthest, string reason, bool trouble, DateTimeOffset now, CancellationToken cancel)
    {
        if (job.CancelRequested)
        {
            await FinishJob(connection, job.Id, null, RunHealth.Cancelled, furthest, "Cancelled.", now, cancel);
            return LeaseEnd.Finished;
        }
        if (trouble && job.Retries >= MostRetries)
        {
            await FinishJob(connection, job.Id, null, RunHealth.Infrastructure, furthest,
                $"Given up after {MostRetries + 1} runs that ended in infrastructure trouble; the last: {reason}", now, cancel);
            return LeaseEnd.Finished;
        }
        await connection.Execute("""
            UPDATE farm.jobs SET state = 'Queued', worker = NULL, lease_expires_at = NULL, queued_at = $2, started_at = NULL, progress = 0,
              furthest = 'None', summary = $3, infrastructure_retries = infrastructure_retries + $4,
              avoid = CASE WHEN $4 > 0 AND NOT ($5 = ANY(avoid)) THEN array_append(avoid, $5) ELSE avoid END
            WHERE id = $1
            """, cancel, job.Id, now, reason, trouble ? 1 : 0, job.Worker!);
        return LeaseEnd.Requeued;
    }

    private static Task<int> FinishJob(
        NpgsqlConnection connection, long id, GuestOutcome? outcome, RunHealth health, BootPhase furthest, string summary, DateTimeOffset now, CancellationToken cancel) =>
        connection.Execute("""
            UPDATE farm.jobs SET state = 'Finished', finished_at = $2, lease_expires_at = NULL, outcome = $3::text, health = $4, furthest = $5,
              summary = $6, progress = 1
            WHERE id = $1
            """, cancel, id, now, outcome, health, furthest, summary);

    private static async Task FinishRun(
        NpgsqlConnection connection, long runId, RunReport report, string serialTail, ScreenUpdate? screen, DateTimeOffset now, CancellationToken cancel)
    {
        if (serialTail.Length > LongestSerialTail)
            serialTail = serialTail[^LongestSerialTail..];
        await connection.Execute("""
            UPDATE farm.runs SET finished_at = $2, health = $3, outcome = $4::text, furthest = $5, summary = $6, report = $7, serial_tail = $8,
              screen = $9::jsonb, progress = 1
            WHERE id = $1
            """, cancel, runId, now, report.Health, report.Outcome, report.Furthest, report.Summary, new Json(report), serialTail,
            screen is null ? null : new Json(screen));
        if (report.Stack is { } stack)
            await connection.Execute("UPDATE farm.runs SET stack_id = $2 WHERE id = $1", cancel, runId, await StackStore.Id(connection, stack, cancel));
        foreach (var artifact in report.Artifacts)
        {
            await connection.Execute("""
                INSERT INTO farm.run_artifacts (run_id, name, sha256, size, content_type, guest_seconds) VALUES ($1, $2, $3, $4, $5, $6)
                ON CONFLICT (run_id, name) DO UPDATE SET sha256 = excluded.sha256, size = excluded.size, content_type = excluded.content_type
                """, cancel, runId, artifact.Name, artifact.Sha256, artifact.Size, artifact.ContentType, artifact.GuestSeconds);
        }
    }

    private static async Task AddPhases(NpgsqlConnection connection, long runId, IReadOnlyList<PhaseEvent> phases, CancellationToken cancel)
    {
        foreach (var phase in phases)
        {
            await connection.Execute("""
                INSERT INTO farm.phases (run_id, position, phase, guest_seconds, host_seconds, instructions, detail)
                SELECT $1, coalesce(max(position) + 1, 0), $2, $3, $4, $5, $6::text FROM farm.phases WHERE run_id = $1
                """, cancel, runId, phase.Phase, phase.GuestSeconds, phase.HostSeconds, phase.Instructions, phase.Detail);
        }
    }

    private static async Task<LockedJob?> LockJob(NpgsqlConnection connection, long id, CancellationToken cancel) =>
        (await connection.Query("""
            SELECT j.id, j.state, j.epoch, j.worker, j.run_id, j.infrastructure_retries, j.cancel_requested, j.furthest, r.finished_at IS NOT NULL
            FROM farm.jobs j LEFT JOIN farm.runs r ON r.id = j.run_id WHERE j.id = $1 FOR UPDATE OF j
            """, reader => new LockedJob(
            reader.GetInt64(0), reader.Enum<JobState>(1), reader.GetInt64(2), reader.Text(3), reader.Long(4) ?? 0, reader.GetInt32(5),
            reader.GetBoolean(6), reader.Enum<BootPhase>(7), reader.GetBoolean(8)), cancel, id)).FirstOrDefault();

    private sealed record LockedJob(
        long Id, JobState State, long Epoch, string? Worker, long RunId, int Retries, bool CancelRequested, BootPhase Furthest, bool RunFinished);
}
