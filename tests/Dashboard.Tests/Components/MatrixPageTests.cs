using Bunit;
using Farm.Contracts.Api;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Farm.Contracts.Matrix;
using Farm.Dashboard.Components.Pages;

namespace Farm.Dashboard.Tests.Components;

public sealed class MatrixPageTests : PageTest
{
    private const string Disk = "td[data-guest=freedos][data-kind=Disk]";

    public MatrixPageTests()
    {
        Farm.Rows.Add(Sample.Row("freedos", "FreeDOS"));
        Farm.Rows.Add(Sample.Row("rhel3-u5", "RHEL 3 U5", CellState.NoMedia, CellState.NoMedia));
    }

    [Fact]
    public void A_guest_without_media_stands_in_the_matrix()
    {
        var page = Render<MatrixPage>();
        Assert.Equal("(-) no media", page.Find("td[data-guest=rhel3-u5][data-kind=Install] span").TextContent);
        Assert.Equal("(-)", page.Find(Disk + " span").TextContent);
    }

    [Fact]
    public async Task An_event_changes_its_cell_without_a_new_read()
    {
        var page = Render<MatrixPage>();
        int reads = Farm.MatrixReads;
        await Happens(Sample.CellChanged(11, Sample.Cell("freedos", JobKind.Disk, CellState.Running) with { RunId = 5, Furthest = BootPhase.BootSector, Progress = 0.4 }));
        Assert.Equal("boot sector", page.Find(Disk + " a[href='/runs/5']").TextContent);
        Assert.Equal("0.4", page.Find(Disk + " progress").GetAttribute("value"));

        await Happens(Sample.CellChanged(12, Sample.Cell("freedos", JobKind.Disk, CellState.Yes) with { RunId = 5 }));
        Assert.Contains("yes", page.Find(Disk).ClassList);
        Assert.Contains("1 yes", page.Find(".totals").TextContent, StringComparison.Ordinal);
        Assert.Equal(reads, Farm.MatrixReads);
    }

    [Fact]
    public async Task Events_in_a_burst_are_drawn_once()
    {
        var page = Render<MatrixPage>();
        int drawn = page.RenderCount;
        for (int i = 0; i < 50; i++)
            await Farm.Push(Sample.CellChanged(11 + i, Sample.Cell("freedos", JobKind.Disk, CellState.Running) with { Progress = i / 50.0 }));
        await Draws();
        Assert.Equal(drawn + 1, page.RenderCount);
        Assert.Equal("0.98", page.Find(Disk + " progress").GetAttribute("value"));
    }

    [Fact]
    public async Task A_gap_in_the_feed_reads_the_matrix_anew()
    {
        var page = Render<MatrixPage>();
        Farm.Rows[0] = Sample.Row("freedos", "FreeDOS", CellState.Yes, CellState.Yes);
        await Happens(new FarmEvent { Kind = FarmEventKind.Reset, Sequence = 30 });
        Assert.Equal("Yes", page.Find(Disk).GetAttribute("data-state"));
    }

    [Fact]
    public void Run_queues_every_kind_of_its_guest()
    {
        Render<MatrixPage>().Find("tr:first-child button").Click();
        var request = Assert.Single(Farm.Requests);
        Assert.Equal(["freedos"], request.Guests);
        Assert.Null(request.Kind);
    }

    [Fact]
    public void A_refusal_is_shown_and_the_matrix_stays()
    {
        Farm.Refusal = new FarmException(FarmErrorKind.Conflict, "The queue is full.");
        var page = Render<MatrixPage>();
        page.Find("tr:first-child button").Click();
        Assert.Equal("The queue is full.", page.Find("[role=alert]").TextContent);
        Assert.NotNull(page.Find(Disk));
    }

    [Fact]
    public void The_filter_leaves_the_rows_that_match()
    {
        var page = Render<MatrixPage>();
        page.Find("input[type=search]").Input("rhel");
        Assert.Equal("rhel3-u5", Assert.Single(page.FindAll("td[data-kind=Disk]")).GetAttribute("data-guest"));
    }
}
