using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Farm.Contracts.Grains;
using Farm.Contracts.Live;
using Microsoft.Extensions.Logging;

namespace Farm.Silo.Api;

/// <summary>One subscription to the feed grain for all readers of this host. A reader that is too slow starts again with a reset.</summary>
public sealed partial class FeedHub(IGrainFactory grains, ILogger<FeedHub> log) : BackgroundService, IFeedObserver
{
    private const int ReaderBuffer = 1024;

    /// <summary>Renews the subscription, and picks up what a lost push has left out.</summary>
    private static readonly TimeSpan s_renewal = TimeSpan.FromSeconds(10);

    private readonly ConcurrentDictionary<Channel<FarmEvent>, bool> _readers = new();
    private readonly Lock _gate = new();
    private long _seen;
    private volatile bool _stopped;

    public Task OnEvents(IReadOnlyList<FarmEvent> events)
    {
        lock (_gate)
        {
            foreach (var change in events.Where(change => change.Sequence > _seen || change.Kind is FarmEventKind.Reset))
            {
                _seen = change.Sequence;
                foreach (var reader in _readers.Keys)
                {
                    if (!reader.Writer.TryWrite(change))
                        reader.Writer.TryComplete(); // full: the reader sees the end and is given a reset
                }
            }
        }
        return Task.CompletedTask;
    }

    /// <summary>Events after a sequence number, 0 for new ones only.</summary>
    public async IAsyncEnumerable<FarmEvent> Read(long after, [EnumeratorCancellation] CancellationToken cancel)
    {
        var feed = grains.GetGrain<IFeedGrain>(0);
        if (after <= 0)
            after = await feed.Sequence();
        while (!_stopped)
        {
            var channel = Channel.CreateBounded<FarmEvent>(ReaderBuffer);
            _readers[channel] = true;
            try
            {
                foreach (var change in await feed.After(after))
                {
                    after = change.Sequence;
                    yield return change;
                }
                await foreach (var change in channel.Reader.ReadAllAsync(cancel))
                {
                    if (change.Sequence <= after)
                        continue;
                    after = change.Sequence;
                    yield return change;
                }
            }
            finally
            {
                _readers.TryRemove(channel, out _);
            }
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var reference = grains.CreateObjectReference<IFeedObserver>(this);
        using var timer = new PeriodicTimer(s_renewal);
        do
        {
            try
            {
                var feed = grains.GetGrain<IFeedGrain>(0);
                await feed.Watch(reference);
                if (_seen == 0)
                    _seen = await feed.Sequence();
                else
                    await OnEvents(await feed.After(_seen));
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                LogRenewalFailed(e);
            }
        }
        while (await Next(timer, stoppingToken));
        _stopped = true;
        grains.DeleteObjectReference<IFeedObserver>(reference);
        foreach (var reader in _readers.Keys)
            reader.Writer.TryComplete();
    }

    private static async Task<bool> Next(PeriodicTimer timer, CancellationToken cancel)
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

    [LoggerMessage(Level = LogLevel.Warning, Message = "The event feed does not answer; trying again")]
    private partial void LogRenewalFailed(Exception error);
}
