using Farm.Contracts;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;
using Farm.Silo.Verdicts;
using Npgsql;

namespace Farm.Silo.Storage;

/// <summary>The run that a result is of.</summary>
public sealed record FinishedRun(string GuestId, JobKind Kind, StackSpec Stack, long StackId, DateTimeOffset At);

/// <summary>The materialised matrix.</summary>
public sealed class CellStore(NpgsqlDataSource source)
{
    /// <summary>Cells that have results; each one's State is its verdict.</summary>
    public async Task<List<MatrixCell>> List(MatrixQuery query, CancellationToken cancel = default) =>
    [
        .. (await source.Query($"""
            SELECT c.guest_id, c.kind, c.verdict, c.outcome, c.furthest, c.trend, c.run_id, c.at, c.results, c.passes, c.history, c.summary,
              ARRAY(SELECT p ->> 'digest' FROM jsonb_array_elements(g.plans) p WHERE p ->> 'kind' = lower(c.kind)), {StackStore.Columns}
            FROM farm.cells c JOIN farm.stacks s ON s.id = c.stack_id JOIN farm.guests g ON g.id = c.guest_id
            WHERE NOT g.retired AND ($1::text IS NULL OR c.guest_id = $1) AND ($2::text IS NULL OR c.backend = $2)
              AND ($3::text IS NULL OR c.assist = $3) AND ($4::text IS NULL OR c.firmware = $4)
            """, reader => Read(reader, query.Build), cancel, query.GuestId, query.Backend, query.Assist, query.Firmware)).OfType<MatrixCell>(),
    ];

    /// <summary>The builds in the cells' histories, the one used last first.</summary>
    public Task<List<BuildInfo>> Builds(CancellationToken cancel = default) => source.Query("""
        SELECT h ->> 'build', min((h ->> 'at')::timestamptz), max((h ->> 'at')::timestamptz), count(DISTINCT (c.guest_id, c.kind, c.backend, c.assist, c.firmware))
        FROM farm.cells c, jsonb_array_elements(c.history) h WHERE h ->> 'build' <> '' GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT 200
        """, reader => new BuildInfo { Build = reader.GetString(0), First = reader.Time(1), Last = reader.Time(2), Cells = (int)reader.GetInt64(3) }, cancel);

    /// <summary>Lays a sound run's result into its cell, in the transaction that ends the run.</summary>
    internal static async Task<(FinishedRun Finished, CellJudgement Judgement)> Record(
        NpgsqlConnection connection, long runId, bool retried, RunReport report, DateTimeOffset now, CancellationToken cancel)
    {
        var (guestId, kind, digest, stackId, stack) = (await connection.Query($"""
            SELECT r.guest_id, r.kind, r.guest_digest, r.stack_id, {StackStore.Columns}
            FROM farm.runs r JOIN farm.stacks s ON s.id = r.stack_id WHERE r.id = $1
            """, reader => (reader.GetString(0), reader.Enum<JobKind>(1), reader.GetString(2), reader.GetInt64(3), StackStore.Read(reader, 4)), cancel, runId))[0];
        var outcome = report.Outcome ?? GuestOutcome.Fail;
        object?[] key = [guestId, kind, stack.Backend, stack.Assist, stack.Firmware];
        // a new cell has no row to lock: its key is
        await connection.Execute("SELECT pg_advisory_xact_lock(hashtextextended(concat_ws('/', $1::text, $2::text, $3::text, $4::text, $5::text), 0))", cancel, key);
        var before = (await connection.Query(
            "SELECT history FROM farm.cells WHERE guest_id = $1 AND kind = $2 AND backend = $3 AND assist = $4 AND firmware = $5",
            reader => reader.FromJson<List<CellResult>>(0), cancel, key)).FirstOrDefault() ?? [];
        var history = CellHistory.Append(before, new(runId, now, outcome, report.Furthest, retried, digest, stack.FirmwareBuild ?? ""));
        var judgement = CellHistory.Judge(history);
        await connection.Execute("""
            INSERT INTO farm.cells AS c (guest_id, kind, backend, assist, firmware, verdict, outcome, furthest, trend, stack_id, run_id, at,
              results, passes, history, summary, guest_digest)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1, $13, $14, $15, $16)
            ON CONFLICT (guest_id, kind, backend, assist, firmware) DO UPDATE SET verdict = excluded.verdict, outcome = excluded.outcome,
              furthest = excluded.furthest, trend = excluded.trend, stack_id = excluded.stack_id, run_id = excluded.run_id, at = excluded.at,
              results = c.results + 1, passes = c.passes + excluded.passes, history = excluded.history, summary = excluded.summary,
              guest_digest = excluded.guest_digest
            """, cancel,
            [.. key, judgement.Verdict, outcome, report.Furthest, judgement.Trend, stackId, runId, now,
                outcome is GuestOutcome.Pass ? 1 : 0, new Json(history), report.Summary, digest]);
        return (new(guestId, kind, stack, stackId, now), judgement);
    }

    /// <param name="build">Only results of builds whose names begin so; null when the cell has none.</param>
    private static MatrixCell? Read(NpgsqlDataReader reader, string? build)
    {
        var history = reader.FromJson<List<CellResult>>(10);
        var cell = new MatrixCell
        {
            GuestId = reader.GetString(0),
            Kind = reader.Enum<JobKind>(1),
            State = reader.Enum<CellState>(2),
            Verdict = reader.Enum<CellState>(2),
            Outcome = reader.Enum<GuestOutcome>(3),
            Furthest = reader.Enum<BootPhase>(4),
            Trend = reader.Enum<CellTrend>(5),
            RunId = reader.GetInt64(6),
            At = reader.Time(7),
            Results = reader.GetInt32(8),
            Passes = reader.GetInt32(9),
            FlakeRate = CellHistory.Judge(history).FlakeRate,
            Note = reader.GetString(11),
            Stale = !reader.GetFieldValue<string[]>(12).Contains(history[^1].GuestDigest),
            Stack = StackStore.Read(reader, 13),
        };
        if (build is null)
            return cell;
        List<CellResult> ofBuild = [.. history.Where(result => result.Build.StartsWith(build, StringComparison.Ordinal))];
        if (ofBuild.Count == 0)
            return null;
        var (newest, judgement) = (ofBuild[^1], CellHistory.Judge(ofBuild));
        return cell with
        {
            State = judgement.Verdict,
            Verdict = judgement.Verdict,
            Outcome = newest.Outcome,
            Furthest = newest.Furthest,
            Trend = judgement.Trend,
            RunId = newest.RunId,
            At = newest.At,
            Results = ofBuild.Count,
            Passes = ofBuild.Count(result => result.Pass),
            FlakeRate = judgement.FlakeRate,
            Note = newest.RunId == cell.RunId ? cell.Note : "",
            Stale = !reader.GetFieldValue<string[]>(12).Contains(newest.GuestDigest),
            Stack = cell.Stack! with { FirmwareBuild = newest.Build },
        };
    }
}
