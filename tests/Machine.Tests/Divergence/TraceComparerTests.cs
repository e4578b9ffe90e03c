using System.Runtime.InteropServices;
using Farm.Machine.Divergence;

namespace Farm.Machine.Tests.Divergence;

/// <summary>What counts as the same although it comes at another time, and what does not.</summary>
public sealed class TraceComparerTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("farm-trace-");
    private readonly TraceNames _names = new();

    public TraceComparerTests()
    {
        _names.Number("one");
        _names.Number("two");
    }

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public void Equal_traces_are_alike_however_long() => Assert.Empty(Compare(Numbers(0, 5000), Numbers(0, 5000)));

    [Fact]
    public void Devices_may_interleave_otherwise()
    {
        TraceEvent[] mixed = [.. Numbers(0, 2000, stream: 0).Zip(Numbers(0, 2000, stream: 1)).SelectMany(static pair => new[] { pair.First, pair.Second })];
        Assert.Empty(Compare([.. Numbers(0, 2000, stream: 0), .. Numbers(0, 2000, stream: 1)], mixed));
    }

    [Fact]
    public void Events_may_change_places_nearby()
    {
        TraceEvent[] swapped = Numbers(0, 1000);
        (swapped[500], swapped[510]) = (swapped[510], swapped[500]);
        Assert.Empty(Compare(Numbers(0, 1000), swapped));
    }

    [Fact]
    public void Another_value_is_found_with_what_came_before()
    {
        TraceEvent[] other = Numbers(0, 1000);
        other[700] = other[700] with { Value = 99 };
        var found = Assert.Single(Compare(Numbers(0, 1000), other));
        Assert.Equal("one", found.Stream);
        Assert.Equal(700ul, found.First!.Value.Value);
        Assert.Equal(99ul, found.Second!.Value.Value);
        Assert.Equal(700, found.Time);
        Assert.Contains(found.Before, item => item.Value == 699);
    }

    [Theory]
    [InlineData(10)]
    [InlineData(500)]
    [InlineData(995)]
    public void An_extra_event_is_found_wherever_it_is(int at)
    {
        var longer = Numbers(0, 1000).ToList();
        longer.Insert(at, Item(5555, 0, at));
        var found = Assert.Single(Compare(Numbers(0, 1000), [.. longer]));
        Assert.Null(found.First);
        Assert.Equal(5555ul, found.Second!.Value.Value);
    }

    [Fact]
    public void A_run_may_end_a_few_events_earlier_but_not_many()
    {
        Assert.Empty(Compare(Numbers(0, 1000), Numbers(0, 990)));
        var found = Assert.Single(Compare(Numbers(0, 1000), Numbers(0, 900)));
        Assert.Equal(900ul, found.First!.Value.Value);
        Assert.Null(found.Second);
    }

    [Fact]
    public void The_earliest_of_several_comes_first()
    {
        TraceEvent[] one = Numbers(0, 1000, stream: 0), two = Numbers(0, 1000, stream: 1);
        TraceEvent[] changed = Numbers(0, 1000, stream: 1);
        changed[100] = changed[100] with { Value = 7777 };
        TraceEvent[] late = Numbers(0, 1000, stream: 0);
        late[900] = late[900] with { Value = 8888 };
        var found = Compare([.. one, .. two], [.. late, .. changed]);
        Assert.Equal(["two", "one"], found.Select(static divergence => divergence.Stream));
    }

    [Theory]
    [InlineData(100, 200)]
    [InlineData(300, 150)]
    [InlineData(960, 40)]
    public void On_a_hosts_time_doing_the_same_once_more_is_no_divergence(int at, int count)
    {
        var longer = Numbers(0, 1000).ToList();
        longer.InsertRange(at, Numbers(at - 40, 40).Concat(Numbers(at - 100, count)).Where(item => item.Value < (ulong)at));
        Assert.NotEmpty(Compare(Numbers(0, 1000), [.. longer]));

        var comparer = new TraceComparer(Write("a", Numbers(0, 1000)), Write("b", [.. longer]), _names, hostTime: true);
        Assert.Empty(comparer.Compare());
        Assert.InRange(comparer.Surplus["one"].Second, longer.Count - 1000 - 32, longer.Count - 1000);
        Assert.Equal(0, comparer.Surplus["one"].First);
    }

    [Fact]
    public void On_a_hosts_time_one_run_may_come_further()
    {
        var comparer = new TraceComparer(Write("a", Numbers(0, 3000)), Write("b", Numbers(0, 1000)), _names, hostTime: true);
        Assert.Empty(comparer.Compare());
        Assert.Equal((2000, 0), comparer.Surplus["one"]);
    }

    [Fact]
    public void On_a_hosts_time_something_new_is_found_among_repetitions()
    {
        var other = Numbers(0, 2000).ToList();
        other[700] = other[700] with { Value = 9999 };
        other.InsertRange(650, Numbers(500, 60));
        other.InsertRange(600, Numbers(400, 100));
        var found = Assert.Single(new TraceComparer(Write("a", Numbers(0, 2000)), Write("b", [.. other]), _names, hostTime: true).Compare());
        Assert.Equal((700ul, 9999ul), (found.First!.Value.Value, found.Second!.Value.Value));
    }

    private static TraceEvent[] Numbers(int from, int count, ushort stream = 0) => [.. Enumerable.Range(from, count).Select(number => Item((ulong)number, stream, number))];

    private static TraceEvent Item(ulong value, ushort stream, long time) =>
        new() { Kind = TraceKind.PortWrite, Address = 0x80, Value = value, Count = 1, Size = 1, Stream = stream, Time = time };

    private IReadOnlyList<StreamDivergence> Compare(TraceEvent[] first, TraceEvent[] second) =>
        new TraceComparer(Write("a", first), Write("b", second), _names).Compare();

    private string Write(string name, TraceEvent[] events)
    {
        string path = Path.Combine(_folder.FullName, name);
        File.WriteAllBytes(path, MemoryMarshal.AsBytes(events.AsSpan()));
        return path;
    }
}
