using Farm.Contracts.Guests;
using Farm.Contracts.Live;
using Farm.Contracts.Matrix;
using Farm.Dashboard.Model;

namespace Farm.Dashboard.Tests.Model;

public sealed class MatrixModelTests
{
    private readonly MatrixModel _model = new();

    public MatrixModelTests() => _model.Load(new MatrixView
    {
        Rows = [Sample.Row("freedos", "FreeDOS", CellState.Yes, CellState.No), Sample.Row("rhel3-u5", "RHEL 3 U5", CellState.NoMedia, CellState.NoMedia)],
        Sequence = 10,
    });

    [Fact]
    public void A_newer_cell_replaces_its_column_only()
    {
        Assert.True(_model.Apply(Sample.CellChanged(11, Sample.Cell("freedos", JobKind.Disk, CellState.Running))));
        Assert.Equal(CellState.Running, _model.Rows[0].Disk.State);
        Assert.Equal(CellState.Yes, _model.Rows[0].Install.State);
        Assert.Equal(CellState.NoMedia, _model.Rows[1].Disk.State);
    }

    [Fact]
    public void An_event_from_before_the_snapshot_changes_nothing()
    {
        Assert.True(_model.Apply(Sample.CellChanged(10, Sample.Cell("freedos", JobKind.Disk, CellState.Running))));
        Assert.Equal(CellState.No, _model.Rows[0].Disk.State);
    }

    [Theory]
    [InlineData(FarmEventKind.Reset)]
    [InlineData(FarmEventKind.GuestsChanged)]
    public void A_gap_or_a_new_catalogue_asks_for_a_new_read(FarmEventKind kind) =>
        Assert.False(_model.Apply(new FarmEvent { Kind = kind, Sequence = 11 }));

    [Fact]
    public void A_cell_of_an_unknown_guest_asks_for_a_new_read() =>
        Assert.False(_model.Apply(Sample.CellChanged(11, Sample.Cell("new", JobKind.Disk, CellState.Queued))));

    [Fact]
    public void Totals_count_verdicts_and_leave_out_undefined_cells()
    {
        var row = Sample.Row("ipxe", "iPXE", CellState.NotTried, CellState.Flaky);
        _model.Load(new MatrixView { Rows = [.. _model.Rows, row with { Install = row.Install with { Undefined = true } }] });
        Assert.Equal((1, 1, 1, 2), _model.Totals);
    }

    [Theory]
    [InlineData("rhel", "rhel3-u5")]
    [InlineData("DISK:no freedos", "freedos")]
    [InlineData("install:yes", "freedos")]
    [InlineData("nothing like it", "")]
    public void Filter_wants_every_word(string search, string found) => Assert.Equal(found, string.Join(' ', _model.Filter(search).Select(row => row.Guest.Id)));

    [Theory]
    [InlineData(null)]
    [InlineData("  ")]
    public void An_empty_filter_shows_every_row(string? search) => Assert.Equal(2, _model.Filter(search).Count());
}
