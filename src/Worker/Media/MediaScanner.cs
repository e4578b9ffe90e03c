using Microsoft.Extensions.Hosting;

namespace Farm.Worker.Media;

/// <summary>Keeps a library up to date where no worker does.</summary>
public sealed class MediaScanner(MediaLibrary library, TimeProvider time) : BackgroundService
{
    private static readonly TimeSpan s_every = TimeSpan.FromSeconds(10);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(s_every, time);
        try
        {
            do
                await library.Scan(stoppingToken);
            while (await timer.WaitForNextTickAsync(stoppingToken));
        }
        catch (OperationCanceledException)
        {
            // the host stops
        }
    }
}
