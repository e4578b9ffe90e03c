using System.Collections.Concurrent;
using Farm.Contracts.Api;
using Farm.Contracts.Live;
using Microsoft.Extensions.Logging;

namespace Farm.Dashboard.Model;

/// <summary>
/// One reader of the farm's event feed for all pages of this process. It resumes by sequence number when the feed breaks off; a
/// page that subscribes gets every event from then on.
/// </summary>
public sealed partial class LiveFeed(IFarm farm, TimeProvider time, ILogger<LiveFeed> log) : IAsyncDisposable
{
    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(1);
    private readonly ConcurrentDictionary<object, Action<FarmEvent>> _readers = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _gate = new();
    private Task? _pump;

    /// <summary>False while the feed is broken off: pages say that they may be out of date.</summary>
    public bool Connected { get; private set; } = true;

    /// <summary>Calls <paramref name="onEvent"/> for each event, on any thread, until the result is disposed.</summary>
    public IDisposable Subscribe(Action<FarmEvent> onEvent)
    {
        object key = new();
        _readers[key] = onEvent;
        lock (_gate)
            _pump ??= Task.Run(Pump);
        return new Subscription(this, key);
    }

    private async Task Pump()
    {
        long after = 0;
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                await foreach (var change in farm.Events(after, _stop.Token))
                {
                    after = Math.Max(after, change.Sequence);
                    if (!Connected)
                    {
                        Connected = true;
                        Deliver(new FarmEvent { Kind = FarmEventKind.Reset, Sequence = after });
                    }
                    Deliver(change);
                }
            }
            catch (OperationCanceledException) when (_stop.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e) when (e is FarmException or HttpRequestException or IOException or OperationCanceledException or TimeoutException)
            {
                FeedBroke(log, e.Message);
            }
            Connected = false;
            try
            {
                await Task.Delay(RetryAfter, time, _stop.Token);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    private void Deliver(FarmEvent change)
    {
        foreach (var reader in _readers.Values)
            reader(change);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        if (_pump is { } pump)
            await pump;
        _stop.Dispose();
    }

    [LoggerMessage(LogLevel.Warning, "The event feed broke off: {reason}; trying again.")]
    private static partial void FeedBroke(ILogger logger, string reason);

    private sealed class Subscription(LiveFeed feed, object key) : IDisposable
    {
        public void Dispose() => feed._readers.TryRemove(key, out _);
    }
}
