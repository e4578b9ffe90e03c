using Farm.Silo.Hosting;
using Farm.Silo.Storage;
using Microsoft.Extensions.Logging;

namespace Farm.Silo.Artifacts;

/// <summary>
/// Keeps the store below nine tenths of its quota: drops the oldest artifacts that no cell's newest run names, none younger than a day.
/// </summary>
internal sealed partial class ArtifactJanitor(
    IArtifactStore store, ArtifactIndex index, FarmSiloOptions options, FarmClock clock, ILogger<ArtifactJanitor> log) : BackgroundService
{
    private const int Batch = 200;
    private static readonly TimeSpan s_youngest = TimeSpan.FromDays(1);
    private static readonly TimeSpan s_period = TimeSpan.FromMinutes(10);

    /// <summary>Drops what is too much now; returns how many went.</summary>
    public async Task<int> Clean(CancellationToken cancel)
    {
        var dropped = 0;
        while (store is FolderArtifactStore folder && folder.Used > options.ArtifactQuota / 10 * 9)
        {
            var batch = await index.Disposable(clock.Now - s_youngest, Batch, cancel);
            if (batch.Count == 0)
                break;
            foreach (var (sha256, _) in batch)
            {
                await index.Remove(sha256, cancel);
                await store.Delete(sha256, cancel);
                dropped++;
                if (folder.Used <= options.ArtifactQuota / 10 * 9)
                    break;
            }
        }
        if (dropped > 0)
            LogDropped(dropped);
        return dropped;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(s_period);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                try
                {
                    await Clean(stoppingToken);
                }
                catch (Exception e) when (e is Npgsql.NpgsqlException or IOException)
                {
                    LogFailed(e);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // the host stops
        }
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "Dropped {Count} old artifacts to stay below the quota")]
    private partial void LogDropped(int count);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Old artifacts could not be dropped; trying again")]
    private partial void LogFailed(Exception error);
}
