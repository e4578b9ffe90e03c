using Farm.Contracts.Grains;
using Farm.Contracts.Live;
using Farm.Silo.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Utilities;

namespace Farm.Silo.Grains;

/// <inheritdoc cref="IFeedGrain"/>
[KeepAlive]
internal sealed class FeedGrain(FarmClock clock, ILogger<FeedGrain> log) : Grain, IFeedGrain
{
    private const int Kept = 4096;

    private readonly Queue<FarmEvent> _events = new();
    private readonly ObserverManager<IFeedObserver> _observers = new(TimeSpan.FromMinutes(1), log);

    // microseconds of the clock: a feed that begins anew goes on above the numbers of the one before it
    private long _sequence = clock.Now.UtcTicks / 10;
    private long _oldest;

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        _oldest = _sequence;
        return Task.CompletedTask;
    }

    public async Task Publish(IReadOnlyList<FarmEvent> events)
    {
        var numbered = events.Select(change => change with { Sequence = ++_sequence }).ToList();
        foreach (var change in numbered)
        {
            if (_events.Count == Kept)
                _oldest = _events.Dequeue().Sequence;
            _events.Enqueue(change);
        }
        await _observers.Notify(observer => observer.OnEvents(numbered));
    }

    public Task<IReadOnlyList<FarmEvent>> After(long sequence)
    {
        if (sequence >= _oldest && sequence <= _sequence)
            return Task.FromResult<IReadOnlyList<FarmEvent>>([.. _events.Where(change => change.Sequence > sequence)]);
        return Task.FromResult<IReadOnlyList<FarmEvent>>([new() { Kind = FarmEventKind.Reset, Sequence = _sequence, At = clock.Now }]);
    }

    public Task<long> Sequence() => Task.FromResult(_sequence);

    public Task Watch(IFeedObserver observer)
    {
        _observers.Subscribe(observer, observer);
        return Task.CompletedTask;
    }

    public Task Unwatch(IFeedObserver observer)
    {
        _observers.Unsubscribe(observer);
        return Task.CompletedTask;
    }
}
