using Farm.Silo.Hosting;
using Farm.Silo.Scheduling;

namespace Farm.Silo.Storage;

/// <summary>How long runs take, worked out again every half minute: a look over all runs is not for every claim.</summary>
public sealed class DurationCache(JobStore jobs, FarmClock clock)
{
    private static readonly TimeSpan s_fresh = TimeSpan.FromSeconds(30);

    private volatile Entry? _entry;

    public async ValueTask<DurationHistory> Get(CancellationToken cancel = default)
    {
        if (_entry is { } entry && clock.Time.GetElapsedTime(entry.ReadAt) < s_fresh)
            return entry.History;
        var history = await jobs.Durations(cancel);
        _entry = new(history, clock.Time.GetTimestamp());
        return history;
    }

    private sealed record Entry(DurationHistory History, long ReadAt);
}
