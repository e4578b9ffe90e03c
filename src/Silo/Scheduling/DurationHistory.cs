using Farm.Contracts.Guests;

namespace Farm.Silo.Scheduling;

/// <summary>How long runs took, for estimates.</summary>
/// <param name="Medians">Median seconds of the newest runs, by guest and kind.</param>
public sealed record DurationHistory(IReadOnlyDictionary<(string GuestId, JobKind Kind), double> Medians)
{
    public static DurationHistory Empty { get; } = new(new Dictionary<(string, JobKind), double>());

    /// <summary>The cell's own median, else that of all cells, else null.</summary>
    public TimeSpan? Estimate(string guestId, JobKind kind)
    {
        if (Medians.TryGetValue((guestId, kind), out var own))
            return TimeSpan.FromSeconds(own);
        if (Medians.Count == 0)
            return null;
        var all = Medians.Values.Order().ToList();
        return TimeSpan.FromSeconds(all[all.Count / 2]);
    }
}
