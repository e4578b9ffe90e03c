using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;
using Farm.Dashboard.Model;

namespace Farm.Dashboard.Tests.Model;

public sealed class WordsTests
{
    [Theory]
    [InlineData(CellState.NotTried, "(-)")]
    [InlineData(CellState.NoMedia, "(-) no media")]
    [InlineData(CellState.Queued, "queued")]
    [InlineData(CellState.Running, "loader")]
    [InlineData(CellState.Yes, "Yes")]
    [InlineData(CellState.No, "No")]
    public void A_cell_says_its_state(CellState state, string word) => Assert.Equal(word, Words.Of(Sample.Cell("g", JobKind.Disk, state)));

    [Fact]
    public void An_undefined_cell_is_not_an_untried_one() => Assert.Equal("–", Words.Of(Sample.Cell("g", JobKind.Disk) with { Undefined = true }));

    [Fact]
    public void A_flaky_cell_says_how_often_it_passed() =>
        Assert.Equal("Flaky 3/5", Words.Of(Sample.Cell("g", JobKind.Disk, CellState.Flaky) with { Passes = 3, Results = 5 }));

    [Fact]
    public void A_failed_cell_says_what_happened_and_how_far_it_got() =>
        Assert.Equal("unsupported opcode after boot sector", Words.Details(Sample.Cell("g", JobKind.Disk, CellState.No) with { Outcome = GuestOutcome.UnsupportedOpcode, Furthest = BootPhase.BootSector }).First());

    [Fact]
    public void A_result_says_how_far_on_what_when_and_how_often_it_flakes()
    {
        var cell = Sample.Cell("g", JobKind.Disk, CellState.Flaky) with
        {
            Furthest = BootPhase.Prompt,
            Stack = Sample.Stack,
            At = new DateTimeOffset(2026, 3, 1, 10, 0, 0, TimeSpan.Zero),
            Passes = 3,
            Results = 4,
            FlakeRate = 1 / 3.0,
        };
        Assert.Equal(["prompt", "soft/vm86/bochs", "2026-03-01 10:00 · 3 of 4 passed · flakes 33 %"], Words.Details(cell));
    }

    [Fact]
    public void A_waiting_cell_says_why_and_what_it_was() =>
        Assert.Equal(["All slots are taken.", "was no"], Words.Details(Sample.Cell("g", JobKind.Disk, CellState.Queued) with { Note = "All slots are taken.", Verdict = CellState.No }));

    [Fact]
    public void Infrastructure_trouble_is_never_shown_as_the_guests_failure()
    {
        Assert.Equal("infrastructure", Words.Result(null, RunHealth.Infrastructure));
        Assert.NotEqual("no", Words.ResultCss(null, RunHealth.Infrastructure));
        Assert.Equal("no", Words.ResultCss(GuestOutcome.Hang, RunHealth.Ok));
        Assert.Equal("running", Words.Result(null, null));
    }

    [Fact]
    public void Times_are_universal() => Assert.Equal("2026-03-01 10:00:00 UTC", Words.When(new DateTimeOffset(2026, 3, 1, 12, 0, 0, TimeSpan.FromHours(2))));
}
