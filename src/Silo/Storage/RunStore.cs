using Farm.Contracts;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Npgsql;

namespace Farm.Silo.Storage;

/// <summary>Runs as they are read.</summary>
public sealed class RunStore(NpgsqlDataSource source)
{
    private const string Columns = """
        r.id, r.job_id, r.epoch, r.guest_id, r.kind, r.worker, r.leased_at, r.started_at, r.finished_at, r.health, r.outcome, r.furthest,
          r.summary, r.progress,
        """ + " " + StackStore.Columns;

    public async Task<RunInfo?> Find(long id, CancellationToken cancel = default) =>
        (await source.Query($"SELECT {Columns} FROM farm.runs r JOIN farm.stacks s ON s.id = r.stack_id WHERE r.id = $1", Read, cancel, id)).FirstOrDefault();

    public Task<List<RunInfo>> OfJob(long jobId, CancellationToken cancel = default) =>
        source.Query($"SELECT {Columns} FROM farm.runs r JOIN farm.stacks s ON s.id = r.stack_id WHERE r.job_id = $1 ORDER BY r.epoch DESC", Read, cancel, jobId);

    public Task<List<RunInfo>> List(string? guestId, JobKind? kind, int limit, CancellationToken cancel = default) =>
        source.Query($"""
            SELECT {Columns} FROM farm.runs r JOIN farm.stacks s ON s.id = r.stack_id
            WHERE ($1::text IS NULL OR r.guest_id = $1) AND ($2::text IS NULL OR r.kind = $2) ORDER BY r.id DESC LIMIT $3
            """, Read, cancel, guestId, kind, Math.Clamp(limit, 1, 500));

    public async Task<RunDetail?> Detail(long id, CancellationToken cancel = default)
    {
        var found = await source.Query($"""
            SELECT {Columns}, r.report, r.serial_tail, r.screen FROM farm.runs r JOIN farm.stacks s ON s.id = r.stack_id WHERE r.id = $1
            """, reader => (Run: Read(reader),
            Report: reader.IsDBNull(20) ? null : reader.FromJson<RunReport>(20),
            Serial: reader.GetString(21),
            Screen: reader.IsDBNull(22) ? null : reader.FromJson<ScreenUpdate>(22)), cancel, id);
        if (found.Count == 0)
            return null;
        return new()
        {
            Run = found[0].Run,
            Report = found[0].Report,
            SerialTail = found[0].Serial,
            Screen = found[0].Screen,
            Phases = await Phases(id, cancel),
            Artifacts = await source.Query("SELECT name, sha256, size, content_type, guest_seconds FROM farm.run_artifacts WHERE run_id = $1 ORDER BY name",
                reader => new ArtifactInfo
                {
                    Name = reader.GetString(0),
                    Sha256 = reader.GetString(1),
                    Size = reader.GetInt64(2),
                    ContentType = reader.GetString(3),
                    GuestSeconds = reader.GetDouble(4),
                }, cancel, id),
            Fingerprints = await source.Query("SELECT fingerprint FROM farm.opcode_failures WHERE run_id = $1 ORDER BY id", reader => reader.GetString(0), cancel, id),
        };
    }

    public Task<List<PhaseEvent>> Phases(long id, CancellationToken cancel = default) =>
        source.Query("SELECT phase, guest_seconds, host_seconds, instructions, detail FROM farm.phases WHERE run_id = $1 ORDER BY position",
            reader => new PhaseEvent
            {
                Phase = reader.Enum<BootPhase>(0),
                GuestSeconds = reader.GetDouble(1),
                HostSeconds = reader.GetDouble(2),
                Instructions = reader.GetInt64(3),
                Detail = reader.Text(4),
            }, cancel, id);

    private static RunInfo Read(NpgsqlDataReader reader) => new()
    {
        Id = reader.GetInt64(0),
        JobId = reader.GetInt64(1),
        Epoch = reader.GetInt64(2),
        GuestId = reader.GetString(3),
        Kind = reader.Enum<JobKind>(4),
        Worker = reader.GetString(5),
        LeasedAt = reader.Time(6),
        StartedAt = reader.TimeOrNull(7),
        FinishedAt = reader.TimeOrNull(8),
        Health = reader.EnumOrNull<RunHealth>(9),
        Outcome = reader.EnumOrNull<GuestOutcome>(10),
        Furthest = reader.Enum<BootPhase>(11),
        Summary = reader.GetString(12),
        Progress = reader.GetDouble(13),
        Stack = StackStore.Read(reader, 14),
    };
}
