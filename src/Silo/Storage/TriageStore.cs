using Farm.Contracts;
using Farm.Contracts.Guests;
using Farm.Contracts.Matrix;
using Farm.Contracts.Triage;
using Farm.Silo.Verdicts;
using Npgsql;

namespace Farm.Silo.Storage;

/// <summary>Unsupported opcodes, grouped by fingerprint.</summary>
public sealed class TriageStore(NpgsqlDataSource source, CellStore cells)
{
    private const int MostCompared = 50;
    private const string Select = """
        SELECT g.fingerprint, g.title, g.mnemonic, g.opcode, g.prefixes, g.mode, g.exit_reason, g.occurrences, g.first_seen, g.last_seen,
          g.status, g.note
        FROM farm.opcode_groups g
        """;

    /// <summary>Groups, those that block the most guests first.</summary>
    public async Task<List<TriageGroup>> List(CancellationToken cancel = default)
    {
        var groups = await source.Query(Select, Read, cancel);
        var blocked = await Blocked(null, cancel);
        return
        [
            .. groups.Select(group => WithCells(group, blocked[group.Fingerprint]))
                .OrderBy(group => group.Status).ThenByDescending(group => group.GuestsBlocked.Count)
                .ThenByDescending(group => group.CellsBlocked.Count).ThenByDescending(group => group.LastSeen),
        ];
    }

    public async Task<TriageGroup?> Find(string fingerprint, CancellationToken cancel = default)
    {
        var groups = await source.Query(Select + " WHERE g.fingerprint = $1", Read, cancel, fingerprint);
        return groups.Count == 0 ? null : WithCells(groups[0], (await Blocked(fingerprint, cancel))[fingerprint]);
    }

    public async Task<TriageDetail?> Detail(string fingerprint, CancellationToken cancel = default)
    {
        if (await Find(fingerprint, cancel) is not { } group)
            return null;
        var samples = await source.Query($"""
            SELECT f.run_id, r.guest_id, r.kind, f.at, f.report, {StackStore.Columns}
            FROM farm.opcode_failures f JOIN farm.runs r ON r.id = f.run_id JOIN farm.stacks s ON s.id = r.stack_id
            WHERE f.fingerprint = $1 ORDER BY f.id DESC LIMIT 20
            """, reader => new TriageSample
        {
            RunId = reader.GetInt64(0),
            GuestId = reader.GetString(1),
            Kind = reader.Enum<JobKind>(2),
            At = reader.Time(3),
            Report = reader.FromJson<UnsupportedOpcodeReport>(4),
            Stack = StackStore.Read(reader, 5),
        }, cancel, fingerprint);
        var beside = new List<MatrixCell>();
        foreach (string guest in group.GuestsBlocked.Take(MostCompared))
            beside.AddRange(await cells.List(new() { GuestId = guest }, cancel));
        var comparisons = group.CellsBlocked.Where(cell => group.GuestsBlocked.Take(MostCompared).Contains(cell.GuestId)).Select(cell => StrengthComparison.Compare(cell, beside));
        return new() { Group = group, Samples = samples, Comparisons = [.. comparisons] };
    }

    public async Task<bool> Edit(string fingerprint, TriageEdit edit, DateTimeOffset now, CancellationToken cancel = default)
    {
        await using var connection = await source.OpenConnectionAsync(cancel);
        await using var transaction = await connection.BeginTransactionAsync(cancel);
        if (await connection.Execute("UPDATE farm.opcode_groups SET status = coalesce($2::text, status), note = coalesce($3::text, note) WHERE fingerprint = $1",
            cancel, fingerprint, edit.Status, edit.Note) == 0)
            return false;
        await AuditStore.Add(connection, edit.By ?? "api", "triage", fingerprint, $"{edit.Status} {edit.Note}".Trim(), now, cancel);
        await transaction.CommitAsync(cancel);
        return true;
    }

    /// <summary>Files a run's reports, in the transaction that ends it. A closed group that comes back is open again.</summary>
    internal static async Task Record(
        NpgsqlConnection connection, long runId, IReadOnlyList<UnsupportedOpcodeReport> reports, FinishedRun run, CancellationToken cancel)
    {
        // in the order of their keys, so that two runs that end at once cannot wait for each other
        foreach (var group in reports.GroupBy(Fingerprint.Of).OrderBy(group => group.Key, StringComparer.Ordinal))
        {
            var first = group.First();
            await connection.Execute("""
                INSERT INTO farm.opcode_groups AS g (fingerprint, title, mnemonic, opcode, prefixes, mode, exit_reason, first_seen, last_seen, occurrences)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)
                ON CONFLICT (fingerprint) DO UPDATE SET last_seen = excluded.last_seen, occurrences = g.occurrences + excluded.occurrences,
                  status = 'Open'
                """, cancel, group.Key, Fingerprint.Title(first), first.Mnemonic, first.Opcode.Length > 0 ? first.Opcode : first.Bytes,
                first.Prefixes, first.Mode, first.ExitReason, run.At, group.LongCount());
            await connection.Execute("INSERT INTO farm.opcode_failures (fingerprint, run_id, at, report) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                cancel, group.Key, runId, run.At, new Json(first));
        }
    }

    /// <summary>Cells whose newest result ended at the fingerprint.</summary>
    private async Task<ILookup<string, BlockedCell>> Blocked(string? fingerprint, CancellationToken cancel)
    {
        var rows = await source.Query($"""
            SELECT f.fingerprint, c.guest_id, c.kind, c.run_id, c.at, {StackStore.Columns}
            FROM farm.cells c JOIN farm.opcode_failures f ON f.run_id = c.run_id JOIN farm.stacks s ON s.id = c.stack_id
            WHERE c.outcome = 'UnsupportedOpcode' AND ($1::text IS NULL OR f.fingerprint = $1) ORDER BY c.at DESC
            """, reader => (Fingerprint: reader.GetString(0), Cell: new BlockedCell
        {
            GuestId = reader.GetString(1),
            Kind = reader.Enum<JobKind>(2),
            RunId = reader.GetInt64(3),
            At = reader.Time(4),
            Stack = StackStore.Read(reader, 5),
        }), cancel, fingerprint);
        return rows.ToLookup(row => row.Fingerprint, row => row.Cell);
    }

    private static TriageGroup WithCells(TriageGroup group, IEnumerable<BlockedCell> cells)
    {
        var list = cells.ToList();
        return group with { CellsBlocked = list, GuestsBlocked = [.. list.Select(cell => cell.GuestId).Distinct().Order(StringComparer.Ordinal)] };
    }

    private static TriageGroup Read(NpgsqlDataReader reader) => new()
    {
        Fingerprint = reader.GetString(0),
        Title = reader.GetString(1),
        Mnemonic = reader.GetString(2),
        Opcode = reader.GetString(3),
        Prefixes = reader.GetString(4),
        Mode = reader.Enum<CpuMode>(5),
        ExitReason = reader.GetString(6),
        Occurrences = reader.GetInt64(7),
        FirstSeen = reader.Time(8),
        LastSeen = reader.Time(9),
        Status = reader.Enum<TriageStatus>(10),
        Note = reader.Text(11),
    };
}
