using Bunit;
using Farm.Contracts;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;
using Farm.Dashboard.Components.Pages;
using Microsoft.AspNetCore.Components;
using Microsoft.Extensions.DependencyInjection;

namespace Farm.Dashboard.Tests.Components;

public sealed class ComparePageTests : PageTest
{
    public ComparePageTests()
    {
        Farm.Compared.Add(Compared("freedos", JobKind.Disk, CellState.No, CellState.Yes, CellChange.Better));
        Farm.Compared.Add(Compared("grub2", JobKind.Disk, CellState.Yes, CellState.NotTried, CellChange.FirstOnly));
        Farm.Compared.Add(Compared("freedos", JobKind.Install, CellState.Yes, CellState.Yes, CellChange.Same));
        Farm.Builds.Add(new() { Build = "5a61ae48cc1c", Cells = 3 });
    }

    [Fact]
    public void The_assist_stands_beside_none_where_nothing_is_asked_for()
    {
        var page = Render<ComparePage>();
        Assert.Equal(["/vm86", "/native"], page.FindAll("thead th").Skip(2).Take(2).Select(head => head.TextContent));
        Assert.Equal(["", "Vm86", "", "", "", "Native", "", ""], page.FindAll("select").Select(select => select.QuerySelector("option[selected]")?.GetAttribute("value") ?? ""));
        Assert.Equal(["better", "first only"], page.FindAll("td[data-change]").Select(cell => cell.TextContent));
        Assert.Equal("freedos", page.Find("tbody td[data-guest]").GetAttribute("data-guest"));
        Assert.Contains("1 better", page.Find(".totals").TextContent, StringComparison.Ordinal);
    }

    [Fact]
    public void The_address_says_what_is_compared()
    {
        var navigation = Services.GetRequiredService<NavigationManager>();
        var page = Render<ComparePage>();
        page.FindAll("[data-side=Second] select")[3].Change("5a61ae48cc1c");
        Assert.EndsWith("/compare?a=%2Fvm86&b=%2Fnative%235a61ae48cc1c", "/compare" + new Uri(navigation.Uri).Query, StringComparison.Ordinal);
        Assert.Equal((AssistMode.Native, "5a61ae48cc1c"), (Farm.Comparisons[^1].Second.Assist, Farm.Comparisons[^1].Second.Build));
        page.Find("[data-side=First] select").Change("Kvm");
        Assert.Equal((Backend.Kvm, AssistMode.Vm86), (Farm.Comparisons[^1].First.Backend, Farm.Comparisons[^1].First.Assist));
        page.Find("input[type=checkbox]").Change(true);
        Assert.Contains("all=1", navigation.Uri, StringComparison.Ordinal);
        Assert.Equal(3, page.FindAll("td[data-change]").Count);
    }

    [Fact]
    public void An_address_that_is_none_is_told()
    {
        Services.GetRequiredService<NavigationManager>().NavigateTo("/compare?a=sofd");
        var page = Render<ComparePage>();
        Assert.Contains("'sofd' is no backend", page.Find("[role=alert]").TextContent, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_result_is_read_anew_and_progress_is_not()
    {
        var page = Render<ComparePage>();
        int reads = Farm.Comparisons.Count;
        await Happens(Sample.CellChanged(11, Sample.Cell("freedos", JobKind.Disk, CellState.Running) with { Furthest = BootPhase.BootSector }));
        Assert.Equal(reads, Farm.Comparisons.Count);
        Farm.Compared.RemoveAt(0);
        await Happens(Sample.CellChanged(12, Sample.Cell("freedos", JobKind.Disk, CellState.Yes)));
        Assert.Equal(reads + 1, Farm.Comparisons.Count);
        Assert.Equal(["first only"], page.FindAll("td[data-change]").Select(cell => cell.TextContent));
    }

    [Fact]
    public async Task What_is_chosen_while_an_older_comparison_is_on_its_way_is_what_stays()
    {
        var page = Render<ComparePage>();
        var late = new TaskCompletionSource();
        Farm.Answer = late.Task;
        await Happens(Sample.CellChanged(11, Sample.Cell("freedos", JobKind.Disk, CellState.Yes)));
        Farm.Answer = Task.CompletedTask;
        Farm.Compared.Clear();
        await page.FindAll("[data-side=Second] select")[1].ChangeAsync("Vm86");
        await page.FindAll("[data-side=Second] select")[0].ChangeAsync("Kvm");
        late.SetResult();
        await page.WaitForAssertionAsync(() => Assert.Contains("No cell differs.", page.Markup, StringComparison.Ordinal));
        await Draws();
        Assert.Empty(page.FindAll("td[data-change]"));
        Assert.Equal((Backend.Kvm, AssistMode.Vm86), (Farm.Comparisons[^1].Second.Backend, Farm.Comparisons[^1].Second.Assist));
    }

    private static CellComparison Compared(string guest, JobKind kind, CellState first, CellState second, CellChange change) => new()
    {
        Guest = Sample.Row(guest, guest).Guest,
        Kind = kind,
        First = Sample.Cell(guest, kind, first),
        Second = Sample.Cell(guest, kind, second),
        Change = change,
    };
}
