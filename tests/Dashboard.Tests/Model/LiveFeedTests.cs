using Farm.Contracts.Guests;
using Farm.Contracts.Live;
using Farm.Contracts.Matrix;
using Farm.Dashboard.Model;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace Farm.Dashboard.Tests.Model;

public sealed class LiveFeedTests : IAsyncDisposable
{
    private readonly FakeFarm _farm = new();
    private readonly DelayedTime _time = new();
    private readonly LiveFeed _feed;

    public LiveFeedTests() => _feed = new LiveFeed(_farm, _time, NullLogger<LiveFeed>.Instance);

    public ValueTask DisposeAsync() => _feed.DisposeAsync();

    [Fact]
    public async Task Every_subscriber_gets_every_event_until_it_leaves()
    {
        var first = new List<long>();
        var second = new List<long>();
        using var one = _feed.Subscribe(change => first.Add(change.Sequence));
        using (_feed.Subscribe(change => second.Add(change.Sequence)))
            await _farm.Push(Changed(1));
        await _farm.Push(Changed(2));
        Assert.Equal([1, 2], first);
        Assert.Equal([1], second);
    }

    [Fact]
    public async Task A_broken_feed_goes_on_after_the_last_event_and_tells_pages_to_read_anew()
    {
        var seen = new List<FarmEventKind>();
        using var reader = _feed.Subscribe(change => seen.Add(change.Kind));
        await _farm.Push(Changed(41));
        _farm.BreakFeed();
        await _time.Waiting.WaitAsync(TestContext.Current.CancellationToken);
        Assert.False(_feed.Connected);
        _time.Advance(TimeSpan.FromSeconds(1));
        await _farm.Push(Changed(42));
        Assert.True(_feed.Connected);
        Assert.Equal([FarmEventKind.CellChanged, FarmEventKind.Reset, FarmEventKind.CellChanged], seen);
        Assert.Equal([0, 41], _farm.EventReads);
    }

    private static FarmEvent Changed(long sequence) => Sample.CellChanged(sequence, Sample.Cell("g", JobKind.Disk, CellState.Queued));

    /// <summary>A fake clock that says when somebody has begun to wait on it.</summary>
    private sealed class DelayedTime : FakeTimeProvider
    {
        private readonly TaskCompletionSource _waiting = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Waiting => _waiting.Task;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            var timer = base.CreateTimer(callback, state, dueTime, period);
            _waiting.TrySetResult();
            return timer;
        }
    }
}
