using Farm.Contracts;
using Farm.Contracts.Api;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;
using Farm.Silo.Verdicts;

namespace Farm.Silo.Tests.Verdicts;

public sealed class MatrixComparisonTests
{
    [Theory]
    [InlineData(CellState.Yes, CellState.Yes, CellChange.Same)]
    [InlineData(CellState.Yes, CellState.Flaky, CellChange.Worse)]
    [InlineData(CellState.Flaky, CellState.Yes, CellChange.Better)]
    [InlineData(CellState.No, CellState.Yes, CellChange.Better)]
    [InlineData(CellState.NotTried, CellState.No, CellChange.SecondOnly)]
    [InlineData(CellState.No, CellState.NotTried, CellChange.FirstOnly)]
    [InlineData(CellState.NotTried, CellState.NotTried, CellChange.NoResult)]
    public void Verdicts_are_ranked(CellState first, CellState second, CellChange change) =>
        Assert.Equal(change, MatrixComparison.Change(Cell(first), Cell(second)));

    [Theory]
    [InlineData(BootPhase.Kernel, GuestOutcome.Hang, BootPhase.Post, GuestOutcome.Hang, CellChange.Worse)]
    [InlineData(BootPhase.Post, GuestOutcome.Hang, BootPhase.Kernel, GuestOutcome.TripleFault, CellChange.Better)]
    [InlineData(BootPhase.Post, GuestOutcome.Hang, BootPhase.Post, GuestOutcome.TripleFault, CellChange.FailsOtherwise)]
    [InlineData(BootPhase.Post, GuestOutcome.Hang, BootPhase.Post, GuestOutcome.Hang, CellChange.Same)]
    public void Of_two_failures_the_one_that_gets_further_is_better(BootPhase reached, GuestOutcome outcome, BootPhase otherReached, GuestOutcome otherOutcome, CellChange change) =>
        Assert.Equal(change, MatrixComparison.Change(Cell(CellState.No) with { Furthest = reached, Outcome = outcome }, Cell(CellState.No) with { Furthest = otherReached, Outcome = otherOutcome }));

    [Fact]
    public void The_worst_comes_first_and_a_guest_of_one_side_not_at_all()
    {
        MatrixRow[] first = [Row("same", Cell(CellState.Yes)), Row("better", Cell(CellState.No)), Row("worse", Cell(CellState.Yes)), Row("new", Cell(CellState.Yes))];
        MatrixRow[] second = [Row("same", Cell(CellState.Yes)), Row("better", Cell(CellState.Yes)), Row("worse", Cell(CellState.No))];
        Assert.Equal(["worse", "better", "same"], MatrixComparison.Compare(first, second).Select(cell => cell.Guest.Id));
    }

    [Theory]
    [InlineData("")]
    [InlineData("kvm")]
    [InlineData("soft/vm86:bochs#5a61ae48cc1c")]
    [InlineData("/native")]
    [InlineData(":seabios")]
    [InlineData("#5a61")]
    public void A_side_is_read_as_it_is_written(string text) => Assert.Equal(text, MatrixSide.Text(MatrixSide.Parse(text)));

    [Theory]
    [InlineData("sofd", "'sofd' is no backend")]
    [InlineData("soft/vm87", "'vm87' is no assist")]
    [InlineData("soft:bios", "'bios' is no firmware")]
    [InlineData("soft vm86", MatrixSide.Form)]
    [InlineData("#", MatrixSide.Form)]
    [InlineData("0", MatrixSide.Form)]
    public void A_side_that_is_none_is_told(string text, string words) =>
        Assert.Contains(words, Assert.Throws<FarmException>(() => MatrixSide.Parse(text)).Message, StringComparison.Ordinal);

    private static MatrixRow Row(string id, MatrixCell? disk = null) => new()
    {
        Guest = new() { Id = id, Name = id, Family = "test", Digest = "d", Kinds = [JobKind.Disk] },
        Install = Cell(CellState.NotTried) with { Undefined = true },
        Disk = disk ?? Cell(CellState.NotTried),
    };

    private static MatrixCell Cell(CellState verdict) => new() { GuestId = "g", Kind = JobKind.Disk, State = verdict, Verdict = verdict };
}
