using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Farm.Contracts.Matrix;
using Farm.Contracts.Triage;
using Farm.Contracts.Workers;

namespace Farm.Contracts.Api;

/// <summary>
/// All that a user can ask of a farm. Implemented in the silo over Postgres and grains, and by <see cref="FarmHttpClient"/>
/// over the HTTP API; both throw <see cref="FarmException"/> when the request is wrong.
/// </summary>
public interface IFarm
{
    Task<IReadOnlyList<GuestInfo>> GetGuests(CancellationToken cancel = default);

    /// <summary>The guest, or null.</summary>
    Task<GuestInfo?> GetGuest(string guestId, CancellationToken cancel = default);
    Task<MatrixView> GetMatrix(MatrixQuery? query = null, CancellationToken cancel = default);

    /// <summary>The columns that guests define, on two sides; those that differ for the worse first.</summary>
    Task<IReadOnlyList<CellComparison>> Compare(MatrixQuery first, MatrixQuery second, CancellationToken cancel = default);

    /// <summary>The builds that cells have results of, the one used last first.</summary>
    Task<IReadOnlyList<BuildInfo>> GetBuilds(CancellationToken cancel = default);

    /// <summary>Newest first.</summary>
    Task<IReadOnlyList<JobInfo>> GetJobs(JobQuery? query = null, CancellationToken cancel = default);
    Task<JobDetail?> GetJob(long jobId, CancellationToken cancel = default);

    /// <summary>Queues jobs, all or none: an unknown guest is an error and queues nothing.</summary>
    Task<JobsCreated> CreateJobs(JobRequest request, CancellationToken cancel = default);

    /// <summary>False when the job is finished already.</summary>
    Task<bool> CancelJob(long jobId, string by, CancellationToken cancel = default);

    /// <summary>Queues the same guest, kind and stack again, with the guest's definition of now.</summary>
    Task<JobInfo> RerunJob(long jobId, string by, CancellationToken cancel = default);

    /// <summary>Newest first; of one guest and kind when given.</summary>
    Task<IReadOnlyList<RunInfo>> GetRuns(string? guestId = null, JobKind? kind = null, int limit = 50, CancellationToken cancel = default);
    Task<RunDetail?> GetRun(long runId, CancellationToken cancel = default);

    /// <summary>Ranked by guests blocked.</summary>
    Task<IReadOnlyList<TriageGroup>> GetTriage(CancellationToken cancel = default);
    Task<TriageDetail?> GetTriageGroup(string fingerprint, CancellationToken cancel = default);
    Task<TriageGroup?> EditTriageGroup(string fingerprint, TriageEdit edit, CancellationToken cancel = default);
    Task<IReadOnlyList<WorkerInfo>> GetWorkers(CancellationToken cancel = default);

    /// <summary>Lifts a worker's quarantine; false when it has none.</summary>
    Task<bool> ReleaseWorker(string workerId, string by, CancellationToken cancel = default);

    /// <summary>The artifact's content and type, or null. The caller disposes the stream.</summary>
    Task<ArtifactContent?> GetArtifact(string sha256, CancellationToken cancel = default);

    /// <summary>Events after a sequence number (0: only new ones), as they come, until cancelled.</summary>
    IAsyncEnumerable<FarmEvent> Events(long after = 0, CancellationToken cancel = default);

    /// <summary>First a snapshot, then changes; ends when the run has finished.</summary>
    IAsyncEnumerable<RunEvent> RunEvents(long runId, CancellationToken cancel = default);
}

/// <summary>An artifact being read.</summary>
public sealed record ArtifactContent(Stream Content, string ContentType, long Size) : IAsyncDisposable
{
    public ValueTask DisposeAsync() => Content.DisposeAsync();
}

/// <summary>Why a request was refused.</summary>
public enum FarmErrorKind { NotFound, Invalid, Conflict, TooLarge, Unavailable }

/// <summary>A request was refused; the message says what was wrong and what to do, for the user to read.</summary>
public sealed class FarmException(FarmErrorKind kind, string message, Exception? inner = null) : Exception(message, inner)
{
    public FarmErrorKind Kind { get; } = kind;
}
