using Farm.Contracts;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;
using Farm.Contracts.Triage;

namespace Farm.Silo.Verdicts;

/// <summary>
/// Tells an assist gap from a guest bug: the cell that an opcode blocks beside the same guest, kind and firmware on other strengths and
/// backends. Pure.
/// </summary>
public static class StrengthComparison
{
    /// <param name="cells">Cells of single stacks whose State is their verdict; those of other guests and kinds are passed over.</param>
    public static TriageComparison Compare(BlockedCell blocked, IEnumerable<MatrixCell> cells)
    {
        var others = cells
            .Where(cell => cell.GuestId == blocked.GuestId && cell.Kind == blocked.Kind && !cell.Stale && cell.Stack is { } stack && stack.Firmware == blocked.Stack.Firmware
                && (stack.Backend, stack.Assist) != (blocked.Stack.Backend, blocked.Stack.Assist))
            .OrderBy(cell => cell.Stack!.Assist).ThenBy(cell => cell.Stack!.Backend).ToList();
        var passing = others.Where(cell => cell.Outcome is GuestOutcome.Pass).ToList();
        var refused = others.Where(cell => cell.Outcome is GuestOutcome.UnsupportedOpcode).ToList();
        string guest = $"{blocked.GuestId} {Kind(blocked.Kind)}";
        var (verdict, text) = (others.Count, passing.Count, refused.Count) switch
        {
            (0, _, _) => (TriageVerdict.NotCompared, $"Not compared yet: {guest} has run on {Name(blocked.Stack)} only. Run it under full and native to tell an assist gap from a guest bug."),
            (_, > 0, _) => (TriageVerdict.AssistGap, $"Assist gap: {guest} passes on {List(passing)}, so the guest is right and {Name(blocked.Stack)} lacks this instruction."),
            (_, _, > 0) => (TriageVerdict.ProcessorGap, $"Not the assist alone: {guest} ends at an unsupported opcode on {List(refused)} too."),
            _ => (TriageVerdict.GuestBug, $"Guest bug, or something other than this instruction: {guest} does not pass on {List(others, outcomes: true)} either."),
        };
        return new() { GuestId = blocked.GuestId, Kind = blocked.Kind, Stack = blocked.Stack, Verdict = verdict, Text = text, Runs = [.. others.Select(cell => cell.RunId).OfType<long>()] };
    }

    private static string List(List<MatrixCell> cells, bool outcomes = false) =>
        string.Join(" and ", cells.Select(cell => $"{Name(cell.Stack!)} ({(outcomes ? $"{Words(cell.Outcome)} after {Words(cell.Furthest)}, " : "")}run {cell.RunId})"));

    private static string Name(StackSpec stack) => $"{stack.Backend}/{stack.Assist}".ToLowerInvariant();

    private static string Kind(JobKind kind) => kind.ToString().ToLowerInvariant();

    private static string Words(Enum? value) =>
        string.Concat((value?.ToString() ?? "").Select((c, i) => i > 0 && char.IsUpper(c) ? " " + char.ToLowerInvariant(c) : char.ToLowerInvariant(c).ToString()));
}
