using Farm.Contracts;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;
using Farm.Silo.Verdicts;

namespace Farm.Silo.Tests.Verdicts;

public sealed class MatrixFoldTests
{
    private static readonly GuestInfo s_guest = new()
    {
        Id = "g",
        Name = "G",
        Family = "test",
        Digest = "d",
        Kinds = [JobKind.Disk],
        Media = [new() { Name = "cd", Kind = MediaKind.Cdrom, Files = ["g.iso"], UsedBy = [JobKind.Disk], State = MediaState.Present }],
    };

    [Fact]
    public void The_worst_stack_shows_and_a_disagreement_is_said()
    {
        var cell = Fold([Cell(CellState.Yes, Backend.Soft), Cell(CellState.No, Backend.Kvm)]);
        Assert.Equal((CellState.No, Backend.Kvm, true), (cell.State, cell.Stack!.Backend, cell.Disagreement));
        Assert.False(Fold([Cell(CellState.Yes, Backend.Soft), Cell(CellState.Yes, Backend.Kvm)]).Disagreement);
    }

    [Fact]
    public void A_result_of_an_older_definition_counts_only_where_there_is_no_newer()
    {
        Assert.Equal(CellState.Yes, Fold([Cell(CellState.Yes, Backend.Soft), Cell(CellState.No, Backend.Kvm) with { Stale = true }]).State);
        var old = Fold([Cell(CellState.No, Backend.Kvm) with { Stale = true }]);
        Assert.Equal((CellState.No, true), (old.State, old.Stale));
    }

    [Fact]
    public void A_running_job_shows_its_phase_over_the_verdict_it_had()
    {
        var cell = Fold([Cell(CellState.Yes, Backend.Soft)], Active(JobState.Queued, 1), Active(JobState.Running, 2));
        Assert.Equal((CellState.Running, CellState.Yes, BootPhase.Kernel, 2), (cell.State, cell.Verdict, cell.Furthest, cell.JobId));
        Assert.Equal(CellState.Queued, Fold([], Active(JobState.Queued, 1)).State);
    }

    [Fact]
    public void Missing_media_are_said_only_while_there_is_nothing_better_to_say()
    {
        var bare = s_guest with { Media = [s_guest.Media[0] with { State = MediaState.Missing, Licence = "Bring your own." }] };
        var cell = MatrixFold.Fold(bare, JobKind.Disk, [], []);
        Assert.Equal((CellState.NoMedia, "No worker holds cd (g.iso). Bring your own."), (cell.State, cell.Note));
        Assert.Equal(CellState.Yes, MatrixFold.Fold(bare, JobKind.Disk, [Cell(CellState.Yes, Backend.Soft)], []).State);
    }

    [Fact]
    public void A_column_that_the_guest_does_not_define_says_so() => Assert.True(MatrixFold.Fold(s_guest, JobKind.Install, [], []).Undefined);

    [Fact]
    public void Every_stack_that_ran_or_runs_is_a_variant()
    {
        var row = MatrixFold.Row(s_guest, [Cell(CellState.Yes, Backend.Kvm)], [Active(JobState.Running, 1), Active(JobState.Queued, 2) with { Stack = new() { Backend = Backend.Auto } }]);
        Assert.Equal([(Backend.Soft, CellState.Running), (Backend.Kvm, CellState.Yes)], row.Variants.Select(cell => (cell.Stack!.Backend, cell.State)));
    }

    private static MatrixCell Fold(IReadOnlyList<MatrixCell> results, params ActiveJob[] active) => MatrixFold.Fold(s_guest, JobKind.Disk, results, active);

    private static MatrixCell Cell(CellState verdict, Backend backend) => new()
    {
        GuestId = "g",
        Kind = JobKind.Disk,
        State = verdict,
        Verdict = verdict,
        Stack = new() { Backend = backend },
        At = DateTimeOffset.UnixEpoch,
    };

    private static ActiveJob Active(JobState state, long id) =>
        new(id, "g", JobKind.Disk, new() { Backend = Backend.Soft }, state, BootPhase.Kernel, 0.5, null, null);
}
