using Farm.Contracts.Grains;
using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Farm.Contracts.Matrix;

namespace Farm.Silo.Tests.Service;

[Collection(FarmCollection.Name)]
public sealed class LiveTests(TestFarm farm)
{
    [Fact]
    public async Task A_reader_of_the_feed_sees_a_cell_go_from_queued_to_yes_and_can_resume()
    {
        var guest = farm.NewGuest();
        var worker = await farm.SignOn(guest);
        var start = (await farm.Api.GetMatrix()).Sequence;
        await farm.QueueJob(guest);
        var lease = await worker.ClaimOne();
        await worker.Start(lease);
        await worker.Pass(lease);

        var seen = await Read(start, guest, CellState.Yes);
        Assert.Equal([CellState.Queued, CellState.Running, CellState.Yes], seen.Where(change => change.Cell is not null).Select(change => change.Cell!.State).Distinct());
        Assert.Equal(seen.Select(change => change.Sequence).Order(), seen.Select(change => change.Sequence));

        // from the middle: the rest, and nothing twice
        var middle = seen[seen.Count / 2].Sequence;
        var rest = await Read(middle, guest, CellState.Yes);
        Assert.Equal(seen.Where(change => change.Sequence > middle).Select(change => change.Sequence), rest.Select(change => change.Sequence));
    }

    [Fact]
    public async Task A_reader_that_asks_for_what_is_gone_is_told_to_read_anew()
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        await foreach (var change in farm.Api.Events(1, limit.Token))
        {
            Assert.Equal(FarmEventKind.Reset, change.Kind);
            return;
        }
    }

    [Fact]
    public async Task A_run_is_followed_from_a_snapshot_to_its_end()
    {
        var guest = farm.NewGuest();
        var worker = await farm.SignOn(guest);
        await farm.QueueJob(guest);
        var lease = await worker.ClaimOne();
        await worker.Start(lease);
        await Report(lease, Screen(1, full: true, "a", "b"), "one ");

        var events = new List<RunEvent>();
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        await foreach (var change in farm.Api.RunEvents(lease.RunId, limit.Token))
        {
            events.Add(change);
            if (events.Count == 1)
                await Report(lease, Screen(2, full: false, null, "c"), "two");
            if (events.Count == 2)
                await worker.Pass(lease);
        }
        Assert.True(events[0].Snapshot);
        Assert.Equal(("one ", "a,b"), (events[0].Serial, Rows(events[0])));
        Assert.Equal(("two", "a,c"), (events[1].Serial, Rows(events[1])));
        Assert.Equal(GuestOutcome.Pass, events[^1].Finished!.Outcome);
        Assert.Equal("a,c", Rows(events[^1]));

        // who comes too late gets the end
        var late = await First(farm.Api.RunEvents(lease.RunId, limit.Token));
        Assert.Equal(("one two", "a,c"), (late.Serial, Rows(late)));
        Assert.NotNull(late.Finished);
    }

    [Fact]
    public async Task A_worker_that_skipped_a_screen_is_asked_for_a_full_one()
    {
        var guest = farm.NewGuest();
        var worker = await farm.SignOn(guest);
        await farm.QueueJob(guest);
        var lease = await worker.ClaimOne();
        Assert.False((await Report(lease, Screen(1, full: true, "a", "b"), "")).NeedFullScreen);
        Assert.True((await Report(lease, Screen(3, full: false, null, "c"), "")).NeedFullScreen);
        Assert.Equal("a,b", string.Join(',', (await farm.Farm.GetRun(lease.RunId))!.Screen!.Lines.Select(line => line.Text)));
        Assert.False((await Report(lease, Screen(4, full: true, "x", "y"), "")).NeedFullScreen);
        await worker.Pass(lease);
    }

    [Fact]
    public async Task A_screen_that_is_out_of_bounds_is_dropped()
    {
        var guest = farm.NewGuest();
        var worker = await farm.SignOn(guest);
        await farm.QueueJob(guest);
        var lease = await worker.ClaimOne();
        await Report(lease, Screen(1, full: true, "a", "b") with { Rows = 100_000 }, "");
        await Report(lease, Screen(1, full: true, "a", new string('x', 100_000)), "");
        await Report(lease, Screen(1, full: true, "a") with { Lines = [new() { Row = -1, Text = "a" }] }, "");
        Assert.Null((await farm.Farm.GetRun(lease.RunId))!.Screen);
        await worker.Pass(lease);
    }

    private Task<Contracts.Workers.LeaseReply> Report(Contracts.Workers.Lease lease, ScreenUpdate screen, string serial) =>
        farm.Grains.GetGrain<IJobGrain>(lease.JobId).Report(new() { Epoch = lease.Epoch, Screen = screen, Serial = serial });

    private async Task<List<FarmEvent>> Read(long after, string guest, CellState until)
    {
        var seen = new List<FarmEvent>();
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        await foreach (var change in farm.Api.Events(after, limit.Token))
        {
            if (change.Cell?.GuestId != guest && change.Job?.GuestId != guest)
                continue;
            seen.Add(change);
            if (change.Cell?.State == until)
                break;
        }
        return seen;
    }

    private static async Task<RunEvent> First(IAsyncEnumerable<RunEvent> events)
    {
        await foreach (var change in events)
            return change;
        throw new InvalidOperationException("There was no event.");
    }

    private static string Rows(RunEvent change) => string.Join(',', change.Screen!.Lines.Select(line => line.Text));

    private static ScreenUpdate Screen(long sequence, bool full, params string?[] rows) => new()
    {
        Sequence = sequence,
        Full = full,
        Rows = rows.Length,
        Lines = [.. rows.Select((text, row) => (text, row)).Where(line => line.text is not null).Select(line => new ScreenLine { Row = line.row, Text = line.text! })],
    };
}
