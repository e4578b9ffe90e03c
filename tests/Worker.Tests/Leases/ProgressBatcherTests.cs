using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Farm.Worker.Leases;

namespace Farm.Worker.Tests.Leases;

public sealed class ProgressBatcherTests
{
    private readonly ProgressBatcher _batcher = new();

    [Fact]
    public void Messages_become_one_batch_and_nothing_becomes_none()
    {
        Assert.Null(_batcher.Take(7));
        _batcher.Add(new() { Serial = "one ", Phases = [new() { Phase = BootPhase.Loader }] });
        _batcher.Add(new() { Serial = "two", Phases = [new() { Phase = BootPhase.Post }], Progress = 0.25 });
        var batch = _batcher.Take(7)!;
        Assert.Equal((7, "one two", 0.25), (batch.Epoch, batch.Serial, batch.Progress));
        Assert.Equal([BootPhase.Loader, BootPhase.Post], batch.Phases.Select(phase => phase.Phase));
        Assert.Null(_batcher.Take(7));
        Assert.Equal(BootPhase.Post, _batcher.Furthest);
    }

    [Fact]
    public void Only_rows_that_changed_go_over_the_wire_and_they_rebuild_the_screen()
    {
        ScreenUpdate? reader = null;
        string[][] screens = [["a", "b", "c"], ["a", "X", "c"], ["a", "X", "c"], ["Y", "X", "Z"]];
        int[] rows = [3, 1, 0, 2];
        for (var i = 0; i < screens.Length; i++)
        {
            _batcher.Add(new() { Screen = Screen(screens[i]) });
            var update = _batcher.Take(1)!.Screen;
            Assert.Equal(rows[i], update?.Lines.Count ?? 0);
            if (update is not null)
                reader = ScreenUpdate.Merge(reader, update);
            Assert.Equal(screens[i], reader!.Lines.Select(line => line.Text));
        }
    }

    [Fact]
    public void A_reader_that_lost_its_place_gets_the_whole_screen()
    {
        _batcher.Add(new() { Screen = Screen("a", "b") });
        _batcher.Take(1);
        _batcher.NeedFullScreen();
        _batcher.Add(new() { Screen = Screen("a", "c") });
        var update = _batcher.Take(1)!.Screen!;
        Assert.True(update.Full);
        Assert.Equal(2, update.Lines.Count);
    }

    [Fact]
    public void A_screen_of_another_size_is_sent_whole()
    {
        _batcher.Add(new() { Screen = Screen("a", "b") });
        _batcher.Take(1);
        _batcher.Add(new() { Screen = Screen("a", "b", "c") });
        Assert.True(_batcher.Take(1)!.Screen!.Full);
    }

    [Fact]
    public void A_flood_on_the_serial_line_is_cut_and_says_so()
    {
        for (var i = 0; i < 100; i++)
            _batcher.Add(new() { Serial = new string((char)('a' + i % 26), 10_000) });
        var serial = _batcher.Take(1)!.Serial;
        Assert.InRange(serial.Length, 60_000, 64 * 1024);
        Assert.Contains("[938560 characters left out]", serial, StringComparison.Ordinal);
    }

    private static ScreenUpdate Screen(params string[] rows) => new()
    {
        Sequence = 0,
        Full = true,
        Columns = 80,
        Rows = rows.Length,
        Lines = [.. rows.Select((text, row) => new ScreenLine { Row = row, Text = text })],
    };
}
