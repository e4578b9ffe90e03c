using Farm.Contracts.Grains;
using Microsoft.Extensions.Logging;

namespace Farm.Silo.Hosting;

/// <summary>Wakes the queue when a silo starts, and keeps it awake: leases are looked at without anybody asking.</summary>
internal sealed partial class QueueStarter(IGrainFactory grains, ILogger<QueueStarter> log) : BackgroundService
{
    private static readonly TimeSpan s_period = TimeSpan.FromSeconds(15);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(s_period);
        do
        {
            try
            {
                await grains.GetGrain<IQueueGrain>(0).Sweep();
            }
            catch (Exception e) when (!stoppingToken.IsCancellationRequested)
            {
                LogFailed(e);
            }
            catch (Exception)
            {
                return;
            }
        }
        while (await Ticks(timer, stoppingToken));
    }

    private static async Task<bool> Ticks(PeriodicTimer timer, CancellationToken cancel)
    {
        try
        {
            return await timer.WaitForNextTickAsync(cancel);
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "The queue does not answer; trying again")]
    private partial void LogFailed(Exception error);
}
