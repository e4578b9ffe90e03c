using System.Globalization;
using Farm.Contracts.Grains;
using Farm.Contracts.Workers;

namespace Farm.Silo.Scheduling;

/// <summary>Says of every waiting job, in one sentence, why it waits, and when it is likely to start. Pure.</summary>
public static class QueueForecaster
{
    /// <summary>Start times are worked out for this many jobs from the head of the queue; those behind have none.</summary>
    private const int Horizon = 1000;

    public static IReadOnlyList<QueueForecast> Forecast(QueueState state, DateTimeOffset now)
    {
        var slots = state.Workers.ToDictionary(worker => worker.Id, worker => new SlotTimes(worker, state, now));
        var rooms = state.Workers.Select(worker =>
        {
            var occupied = state.Occupying.Where(job => job.Worker == worker.Id).ToList();
            return new WorkerRoom(worker, occupied.Count, occupied.Sum(job => job.MemoryMiB));
        }).ToList();

        var forecasts = new List<QueueForecast>(state.Waiting.Count);
        var ahead = 0;
        foreach (var job in QueuePolicy.Order(state.Waiting, now))
        {
            var matches = rooms.Select(room => (Room: room, Match: Matching.Match(job, room, state.Shelf))).ToList();
            var able = matches.Where(pair => pair.Match.Obstacle >= Obstacle.Memory).ToList();
            if (able.Count == 0)
                able = [.. matches.Where(pair => pair.Match.Obstacle is Obstacle.Avoided)];
            var start = ahead < Horizon ? Reserve(able.Select(pair => slots[pair.Room.Worker.Id]), state.Durations.Estimate(job.GuestId, job.Kind), now) : null;
            forecasts.Add(new() { JobId = job.Id, Reason = Reason(job, matches, ahead), Start = start });
            if (able.Count > 0)
                ahead++;
        }
        return forecasts;
    }

    private static string Reason(WaitingJob job, List<(WorkerRoom Room, Match Match)> matches, int ahead)
    {
        if (matches.Count == 0)
            return "No worker has signed on: start one with farm worker.";
        var nearest = matches.Max(pair => pair.Match.Obstacle);
        var at = matches.Where(pair => pair.Match.Obstacle == nearest).ToList();
        var first = at[0].Match.Detail;
        return nearest switch
        {
            Obstacle.None => ahead == 0 ? "Next in line: a worker is about to take it." : $"{Ordinal(ahead + 1)} in line for a free slot.",
            Obstacle.Busy => $"{Ordinal(ahead + 1)} in line: all {at.Sum(pair => pair.Room.Worker.Slots)} slots of {Workers(at)} are taken.",
            Obstacle.Memory => $"Waits for {job.MemoryMiB} MiB of guest memory: {first}.",
            Obstacle.Avoided => $"Waits for {Workers(at)} to take it again after infrastructure trouble there: no other worker can.",
            Obstacle.Disk => $"Waits for disk space: {first}.",
            Obstacle.TooSmall => $"Needs {job.MemoryMiB} MiB of guest memory, more than any worker has: {first}.",
            Obstacle.Media => $"No worker that could run it holds the medium {first}.",
            Obstacle.CpuModel => $"No worker offers the CPU model {job.CpuModel}.",
            Obstacle.Assist or Obstacle.Firmware or Obstacle.Backend => $"No worker can run it on {Stack(job)}: {first}.",
            _ => at.Count == 1 ? $"No worker is online: {first}." : $"None of the {at.Count} workers is online.",
        };
    }

    private static DateTimeOffset? Reserve(IEnumerable<SlotTimes> able, TimeSpan? duration, DateTimeOffset now)
    {
        SlotTimes? best = null;
        foreach (var candidate in able)
        {
            if (candidate.Next is { } next && (best?.Next is not { } soonest || next < soonest))
                best = candidate;
        }
        if (best?.Next is not { } start)
            return null;
        best.Take(duration is { } length ? (start > now ? start : now) + length : null);
        return start > now ? start : now;
    }

    private static string Stack(WaitingJob job) =>
        $"{Matching.Name(job.Stack.Backend)}/{Matching.Name(job.Stack.Assist)}/{Matching.Name(job.Stack.Firmware)}";

    private static string Workers(List<(WorkerRoom Room, Match Match)> at) =>
        at.Count <= 3 ? string.Join(", ", at.Select(pair => pair.Room.Worker.Id)) : $"{at.Count} workers";

    private static string Ordinal(int n)
    {
        var ending = (n % 100) is >= 11 and <= 13 ? "th" : (n % 10) switch { 1 => "st", 2 => "nd", 3 => "rd", _ => "th" };
        return n.ToString(CultureInfo.InvariantCulture) + ending;
    }

    /// <summary>When each slot of a worker falls free; null when that cannot be known.</summary>
    private sealed class SlotTimes
    {
        private readonly List<DateTimeOffset?> _free = [];

        public SlotTimes(WorkerInfo worker, QueueState state, DateTimeOffset now)
        {
            foreach (var job in state.Occupying.Where(job => job.Worker == worker.Id).Take(worker.Slots))
            {
                var end = state.Durations.Estimate(job.GuestId, job.Kind) is { } length ? job.Since + length : (DateTimeOffset?)null;
                _free.Add(end < now ? now : end);
            }
            while (_free.Count < worker.Slots)
                _free.Add(now);
        }

        public DateTimeOffset? Next => _free.Min();

        public void Take(DateTimeOffset? until) => _free[_free.IndexOf(Next)] = until;
    }
}
