using Farm.Machine.Bus;

namespace Farm.Machine.Tests.Bus;

public class BusTests
{
    private readonly EventLog _events = new();

    [Fact]
    public void Access_wider_than_the_range_is_split_low_part_first()
    {
        var bus = new PortBus(_events);
        var narrow = new Recorder("narrow", new PortRange(0x100, 2));
        var next = new Recorder("next", new PortRange(0x102, 2, 2));
        bus.Map(narrow);
        bus.Map(next);
        bus.Write(0x100, 0x44332211, 4);
        Assert.Equal(["100:1=11", "101:1=22"], narrow.Log);
        Assert.Equal(["102:1=33", "103:1=44"], next.Log);
    }

    [Fact]
    public void Access_within_the_width_goes_through_whole()
    {
        var bus = new PortBus(_events);
        var data = new Recorder("data", new PortRange(0x1F0, 1, 4));
        bus.Map(data);
        Assert.Equal(0xDDCCBBAAu, bus.Read(0x1F0, 4));
        Assert.Equal(0xBBAAu, bus.Read(0x1F0, 2));
        Assert.Equal(2, bus.Mappings[0].Reads);
    }

    [Fact]
    public void Unmapped_port_reads_ones_and_is_reported_once()
    {
        var bus = new PortBus(_events);
        for (int i = 0; i < 1000; i++)
            Assert.Equal(0xFFFFu, bus.Read(0x1234, 2));
        Assert.Equal(2, _events.Events.Count);
        Assert.Equal(2000, bus.UnmappedReads);
    }

    [Fact]
    public void Conflict_names_both_owners_and_the_first_keeps_the_port()
    {
        var bus = new PortBus(_events);
        var first = new Recorder("first", new PortRange(0x60, 4));
        bus.Map(first);
        bus.Map(new Recorder("second", new PortRange(0x62, 4)));
        Assert.Equal(["Port 0062h is claimed by first and by second."], bus.Conflicts);
        bus.Write(0x62, 1, 1);
        Assert.Single(first.Log);
    }

    [Fact]
    public void Movable_range_yields_to_a_fixed_one_and_gives_ports_back()
    {
        var bus = new PortBus(_events);
        var fixedDevice = new Recorder("fixed", new PortRange(0x300, 8));
        var moving = new Recorder("moving");
        var other = new Recorder("other");
        bus.Map(fixedDevice);
        var a = bus.MapMovable("moving", moving, 16, 1);
        var b = bus.MapMovable("other", other, 16, 1);
        bus.Move(a, 0x300);
        bus.Move(b, 0x300);
        bus.Write(0x300, 1, 1);
        bus.Write(0x308, 2, 1);
        Assert.Equal(["300:1=1"], fixedDevice.Log);
        Assert.Equal(["308:1=2"], moving.Log);
        bus.Move(a, null);
        bus.Write(0x308, 3, 1);
        Assert.Equal(["308:1=3"], other.Log);
        Assert.NotEmpty(_events.Events);
    }

    [Fact]
    public void Range_at_the_end_of_port_space_is_clipped_when_moved_there()
    {
        var bus = new PortBus(_events);
        var moving = new Recorder("moving");
        var mapping = bus.MapMovable("moving", moving, 16, 4);
        bus.Move(mapping, 0xFFF8);
        bus.Write(0xFFFF, 0x11, 1);
        bus.Move(mapping, 0x10);
        Assert.Equal(["FFFF:1=11"], moving.Log);
        Assert.Equal(0xFFu, bus.Read(0xFFFF, 1));
    }

    [Fact]
    public void Memory_ranges_are_found_and_earlier_ones_win()
    {
        var bus = new MmioBus(_events);
        var low = new Recorder("low");
        var apic = new Recorder("apic");
        var bar = new Recorder("bar");
        bus.Map("low", low, 0xA0000, 0x20000);
        bus.Map("apic", apic, 0xFEE00000, 0x1000);
        var mapping = bus.MapMovable("bar", bar, 0x10000);
        bus.Move(mapping, 0xFEDF8000);
        bus.Write(0xFEDF8000, 0x55, 1);
        bus.Write(0xFEE00080, 0x66, 4);
        bus.Write(0xFEE01000, 0x77, 1);
        bus.Write(0xBFFFF, 0x88, 1);
        Assert.Equal(["FEDF8000:1=55", "FEE01000:1=77"], bar.Log);
        Assert.Equal(["FEE00080:4=66"], apic.Log);
        Assert.Equal(["BFFFF:1=88"], low.Log);
        Assert.Equal(0xFFFFFFFFul, bus.Read(0xC0000000, 4));
        Assert.Equal(1, bus.UnmappedReads);
        Assert.Empty(bus.Conflicts);
    }

    [Fact]
    public void Event_list_is_bounded()
    {
        var log = new EventLog(capacity: 3);
        for (int i = 0; i < 10; i++)
            log.Report("x", $"event {i}");
        log.Report("x", "event 1");
        Assert.Equal(3, log.Events.Count);
        Assert.Equal(7, log.Dropped);
        Assert.Equal(2, log.Events[1].Count);
    }

    private sealed class Recorder(string name, params PortRange[] ports) : IPortDevice, IMmioDevice
    {
        public List<string> Log { get; } = [];

        public string Name => name;

        public IReadOnlyList<PortRange> Ports => ports;

        public void Reset()
        {
        }

        public uint ReadPort(ushort port, int size) => 0xDDCCBBAA;

        public void WritePort(ushort port, uint value, int size) => Log.Add($"{port:X}:{size}={value:X}");

        public ulong ReadMmio(ulong address, int size) => 0x1122334455667788;

        public void WriteMmio(ulong address, ulong value, int size) => Log.Add($"{address:X}:{size}={value:X}");
    }
}
