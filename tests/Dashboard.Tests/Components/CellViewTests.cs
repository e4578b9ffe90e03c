using Bunit;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;
using Farm.Dashboard.Components.Controls;

namespace Farm.Dashboard.Tests.Components;

public sealed class CellViewTests : PageTest
{
    [Fact]
    public void A_failed_cell_leads_to_its_run_and_says_how_far_it_got()
    {
        var cell = Render(Sample.Cell("g", JobKind.Install, CellState.No) with { RunId = 12, Outcome = GuestOutcome.TripleFault, Furthest = BootPhase.Kernel });
        Assert.Equal("/runs/12", cell.Find("a").GetAttribute("href"));
        Assert.Equal("triple fault after kernel", cell.Find("small").TextContent);
        Assert.Contains("no", cell.Find("td").ClassList);
    }

    [Fact]
    public void Stacks_that_disagree_are_marked() =>
        Assert.Equal("differs", Render(Sample.Cell("g", JobKind.Disk, CellState.Yes) with { Disagreement = true }).Find(".badge").TextContent);

    [Fact]
    public void What_a_guest_wrote_is_text()
    {
        var cell = Render(Sample.Cell("g", JobKind.Disk, CellState.No) with { Note = "<script>alert(1)</script>\"" });
        Assert.Empty(cell.FindAll("script"));
        Assert.Contains("<script>", cell.Find("td").GetAttribute("title"), StringComparison.Ordinal);
    }

    private IRenderedComponent<CellView> Render(MatrixCell cell) => Render<CellView>(parameters => parameters.Add(view => view.Cell, cell));
}
