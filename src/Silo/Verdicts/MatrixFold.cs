using Farm.Contracts;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;

namespace Farm.Silo.Verdicts;

/// <summary>A job that is not finished, as the matrix shows it.</summary>
public sealed record ActiveJob(
    long Id, string GuestId, JobKind Kind, StackSpec Stack, JobState State, BootPhase Furthest, double Progress, long? RunId, string? WaitReason);

/// <summary>
/// Lays results and active jobs over each other. A folded cell shows the worst current verdict of its stacks, and says when they
/// disagree; results of an older definition count only where there is nothing newer.
/// </summary>
public static class MatrixFold
{
    public static MatrixRow Row(GuestInfo guest, IReadOnlyList<MatrixCell> results, IReadOnlyList<ActiveJob> active) => new()
    {
        Guest = guest,
        Install = Fold(guest, JobKind.Install, results, active),
        Disk = Fold(guest, JobKind.Disk, results, active),
        Variants = Variants(guest, results, active),
    };

    /// <param name="results">Cells of single stacks whose State is their verdict.</param>
    public static MatrixCell Fold(GuestInfo guest, JobKind kind, IReadOnlyList<MatrixCell> results, IReadOnlyList<ActiveJob> active)
    {
        var ours = results.Where(cell => cell.GuestId == guest.Id && cell.Kind == kind).ToList();
        var current = ours.Any(cell => !cell.Stale) ? [.. ours.Where(cell => !cell.Stale)] : ours;
        var worst = current.OrderByDescending(cell => Badness(cell.Verdict)).ThenByDescending(cell => cell.At).FirstOrDefault();
        var cell = worst is null
            ? Untried(guest, kind)
            : worst with { Disagreement = current.Select(other => other.Verdict).Distinct().Count() > 1 };
        return Overlay(cell, active.Where(job => job.GuestId == guest.Id && job.Kind == kind));
    }

    private static List<MatrixCell> Variants(GuestInfo guest, IReadOnlyList<MatrixCell> results, IReadOnlyList<ActiveJob> active)
    {
        var cells = results.Where(cell => cell.GuestId == guest.Id).ToDictionary(cell => (cell.Kind, Key(cell.Stack!)));
        var jobs = active.Where(job => job.GuestId == guest.Id && job.Stack.Backend is not Backend.Auto).ToLookup(job => (job.Kind, Key(job.Stack)));
        foreach (var group in jobs)
        {
            if (!cells.ContainsKey(group.Key))
                cells[group.Key] = Untried(guest, group.Key.Kind) with { Stack = group.First().Stack };
        }
        return
        [
            .. cells.OrderBy(pair => pair.Key).Select(pair => Overlay(pair.Value, jobs[pair.Key])),
        ];
    }

    private static MatrixCell Overlay(MatrixCell cell, IEnumerable<ActiveJob> active)
    {
        var job = active.OrderByDescending(job => job.State is JobState.Running).ThenByDescending(job => job.State is JobState.Leased)
            .ThenByDescending(job => job.Progress).ThenBy(job => job.Id).FirstOrDefault();
        if (job is null)
            return cell;
        return job.State is JobState.Running or JobState.Leased
            ? cell with
            {
                State = CellState.Running,
                Progress = job.Progress,
                Furthest = job.Furthest,
                JobId = job.Id,
                RunId = job.RunId,
                Stack = job.Stack,
                Note = "Running: " + job.Furthest,
            }
            : cell with { State = CellState.Queued, JobId = job.Id, Note = job.WaitReason ?? "Queued." };
    }

    private static MatrixCell Untried(GuestInfo guest, JobKind kind)
    {
        if (!guest.Kinds.Contains(kind))
            return new() { GuestId = guest.Id, Kind = kind, State = CellState.NotTried, Undefined = true, Note = "The catalogue does not define this column." };
        var missing = guest.Media.Where(medium => medium.State is MediaState.Missing && medium.UsedBy.Contains(kind)).ToList();
        if (missing.Count == 0)
            return new() { GuestId = guest.Id, Kind = kind, State = CellState.NotTried, Note = "Not tried yet." };
        var names = string.Join(", ", missing.Select(static medium => medium.Describe()));
        var licence = missing.Select(medium => medium.Licence).FirstOrDefault(text => !string.IsNullOrEmpty(text));
        return new()
        {
            GuestId = guest.Id,
            Kind = kind,
            State = CellState.NoMedia,
            Note = $"No worker holds {names}." + (licence is null ? "" : " " + licence),
        };
    }

    private static int Badness(CellState verdict) => verdict switch { CellState.No => 3, CellState.Flaky => 2, CellState.Yes => 1, _ => 0 };

    private static (Backend, AssistMode, FirmwareSet) Key(StackSpec stack) => (stack.Backend, stack.Assist, stack.Firmware);
}
