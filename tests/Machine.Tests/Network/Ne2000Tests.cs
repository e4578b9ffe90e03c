using Farm.Machine.Bus;
using Farm.Machine.Devices.Nics.Ne2000;
using Farm.Machine.Network;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Network;

/// <summary>The DP8390 on its NE2000 board, driven as the data sheet's programming sequence says.</summary>
public sealed class Ne2000Tests : IDisposable
{
    private const ushort Base = 0x300;
    private const int Command = 0x00, PageStart = 0x01, PageStop = 0x02, Boundary = 0x03, TransmitStatus = 0x04, TransmitPage = 0x04, TransmitCount = 0x05;
    private const int InterruptStatus = 0x07, RemoteStart = 0x08, RemoteCount = 0x0A, ReceiveConfiguration = 0x0C, TransmitConfiguration = 0x0D;
    private const int DataConfiguration = 0x0E, InterruptMask = 0x0F, Data = 0x10, ResetPort = 0x1F, Current = 0x07;
    private const byte First = 0x46, Last = 0x80;

    private static readonly MacAddress Own = MacAddress.OfCard(0);
    private readonly VirtualClock _clock = new();
    private readonly PortBus _ports = new(new EventLog());
    private readonly EthernetCable _cable;
    private readonly FakeNetwork _network;
    private bool _irq;

    public Ne2000Tests()
    {
        _cable = new EthernetCable(_clock);
        _network = new FakeNetwork(_cable);
        var card = new Ne2000Isa(Base, _clock, new InterruptLine(level => _irq = level), _cable, Own);
        _ports.Map(card);
        card.Reset();
    }

    public void Dispose() => _cable.Dispose();

    [Fact]
    public void Station_address_is_in_the_PROM_each_byte_twice_with_the_NE2000_mark()
    {
        Write(DataConfiguration, 0x48);
        byte[] prom = ReadMemory(0, 32);
        for (int i = 0; i < MacAddress.Length; i++)
            Assert.Equal((Own[i], Own[i]), (prom[2 * i], prom[2 * i + 1]));
        Assert.Equal([0x57, 0x57, 0x57, 0x57], prom[28..]);
        Assert.Equal(0x40, Read(InterruptStatus) & 0x40);
    }

    [Fact]
    public void Reset_port_stops_the_controller_and_sets_RST()
    {
        Start();
        Assert.Equal(0, Read(InterruptStatus) & 0x80);
        Read(ResetPort);
        Assert.Equal(0x80, Read(InterruptStatus) & 0x80);
        Assert.Equal(0x21, Read(Command));
        Write(InterruptStatus, 0xFF);
        Assert.Equal(0x80, Read(InterruptStatus)); // a status, not a latch
    }

    [Fact]
    public void Memory_takes_words_and_reads_back_as_bytes()
    {
        Write(DataConfiguration, 0x49);
        SetRemote(0x4000, 4);
        Write(Command, 0x12);
        _ports.Write(Base + Data, 0x2211, 2);
        Assert.Equal(0, Read(InterruptStatus) & 0x40);
        _ports.Write(Base + Data, 0x4433, 2);
        Assert.Equal(0x40, Read(InterruptStatus) & 0x40);
        Write(DataConfiguration, 0x48);
        Assert.Equal([0x11, 0x22, 0x33, 0x44], ReadMemory(0x4000, 4));
    }

    [Fact]
    public void Double_word_accesses_are_two_words()
    {
        Write(DataConfiguration, 0x49);
        SetRemote(0x4000, 4);
        Write(Command, 0x12);
        _ports.Write(Base + Data, 0x44332211, 4);
        SetRemote(0x4000, 4);
        Write(Command, 0x0A);
        Assert.Equal(0x44332211u, _ports.Read(Base + Data, 4));
    }

    [Fact]
    public void Memory_outside_the_board_reads_as_ones_and_takes_nothing()
    {
        Write(DataConfiguration, 0x48);
        SetRemote(0x8000, 2);
        Write(Command, 0x12);
        Write(Data, 0x55);
        Write(Data, 0x55);
        Assert.Equal([0xFF, 0xFF], ReadMemory(0x8000, 2));
    }

    [Fact]
    public void A_packet_is_sent_when_its_time_on_the_wire_is_over()
    {
        Start();
        byte[] frame = FakeNetwork.Frame(FakeNetwork.Broadcast, 100);
        WriteMemory(0x4000, frame);
        Transmit(0x40, frame.Length);
        Assert.Equal(0x26, Read(Command));
        Assert.Empty(_network.Sent);
        _clock.AdvanceTo((100 + 24) * 800 - 1);
        Assert.False(_irq);
        _clock.AdvanceTo((100 + 24) * 800);
        Assert.True(_irq);
        Assert.Equal(frame, Assert.Single(_network.Sent));
        Assert.Equal(0x22, Read(Command));
        Assert.Equal(0x01, Read(TransmitStatus));
        Write(InterruptStatus, 0x02);
        Assert.False(_irq);
    }

    [Fact]
    public void Loopback_stays_inside()
    {
        Start();
        Write(TransmitConfiguration, 0x02);
        Transmit(0x40, 60);
        Run();
        Assert.Empty(_network.Sent);
        Assert.Equal(0x02, Read(InterruptStatus) & 0x02);
    }

    [Fact]
    public void A_received_packet_lies_in_the_ring_with_header_and_check_sequence()
    {
        Start();
        byte[] frame = FakeNetwork.Frame(Own, 64);
        _network.Send(frame);
        Run();
        Assert.True(_irq);
        byte[] stored = ReadMemory(First * 256, 4 + 64 + 4);
        Assert.Equal([0x01, First + 1, 68, 0], stored[..4]);
        Assert.Equal(frame, stored[4..68]);
        Assert.Equal(BitConverter.GetBytes(Ethernet.CheckSequence(frame)), stored[68..]);
        Assert.Equal(First + 1, ReadCurrent());
        Assert.Equal(0x01, Read(ReceiveConfiguration)); // RSR
    }

    [Fact]
    public void The_ring_wraps_and_a_packet_over_its_end_goes_on_at_its_start()
    {
        Start();
        Write(Command, 0x62);
        Write(Current, Last - 1);
        Write(Command, 0x22);
        Write(Boundary, Last - 2);
        byte[] frame = FakeNetwork.Frame(Own, 300);
        _network.Send(frame);
        Run();
        Assert.Equal(First + 1, ReadCurrent());
        Assert.Equal(frame[..252], ReadMemory((Last - 1) * 256 + 4, 252));
        Assert.Equal(frame[252..], ReadMemory(First * 256, 48));
    }

    [Theory]
    [InlineData(0x00, "own", true)]
    [InlineData(0x00, "other", false)]
    [InlineData(0x10, "other", true)]
    [InlineData(0x00, "broadcast", false)]
    [InlineData(0x04, "broadcast", true)]
    [InlineData(0x08, "multicast", true)]
    [InlineData(0x00, "multicast", false)]
    [InlineData(0x08, "multicast not in the filter", false)]
    [InlineData(0x20, "own", false)]
    public void Receive_configuration_filters_by_address(byte configuration, string kind, bool taken)
    {
        Start();
        var multicast = MacAddress.TryParse("01:00:5e:00:00:01")!.Value;
        int hash = Ethernet.MulticastHash(multicast.ToArray());
        Write(Command, 0x62);
        Write(0x08 + hash / 8, (byte)(1 << (hash & 7)));
        Write(Command, 0x22);
        Write(ReceiveConfiguration, configuration);
        var to = kind switch
        {
            "own" => Own,
            "other" => MacAddress.OfCard(9),
            "broadcast" => FakeNetwork.Broadcast,
            "multicast" => multicast,
            _ => MacAddress.TryParse("01:00:5e:00:00:02")!.Value,
        };
        _network.Send(FakeNetwork.Frame(to));
        Run();
        Assert.Equal(taken, ReadCurrent() != First);
        if (taken)
            Assert.Equal(to.IsGroup ? 0x21 : 0x01, Read(ReceiveConfiguration));
    }

    [Fact]
    public void A_stopped_controller_receives_nothing()
    {
        Start();
        Write(Command, 0x21);
        _network.Send(FakeNetwork.Frame(Own));
        Run();
        Assert.Equal(First, ReadCurrent());
        Assert.Equal(1, _cable.FramesReceived);
    }

    [Fact]
    public void Switching_pages_with_neither_start_nor_stop_leaves_it_running()
    {
        Start();
        Write(Command, 0x40);
        Write(Command, 0x00);
        _network.Send(FakeNetwork.Frame(Own));
        Run();
        Assert.NotEqual(First, ReadCurrent());
    }

    [Fact]
    public void A_full_ring_warns_and_counts_the_missed_packet()
    {
        Start();
        Write(Boundary, First + 2);
        _cable.Card!.Receive(FakeNetwork.Frame(Own, 600));
        Assert.Equal(0x10, Read(InterruptStatus) & 0x10);
        Assert.Equal(1, Read(0x0F));
        Assert.Equal(0, Read(0x0F)); // reading clears
        Assert.Equal(First, ReadCurrent());
    }

    [Fact]
    public void The_cable_holds_packets_back_until_the_boundary_moves()
    {
        Start();
        for (int i = 0; i < 20; i++)
            _network.Send(FakeNetwork.Frame(Own, 1514, (byte)i));
        Run();
        Assert.True(_cable.FramesReceived is > 5 and < 20);
        Assert.Equal(0, Read(InterruptStatus) & 0x10);
        Write(Boundary, ReadCurrent() - 1);
        Run();
        Write(Boundary, ReadCurrent() - 1);
        Run();
        Assert.Equal(20, _cable.FramesReceived);
        Assert.Equal(0, _cable.FramesDropped);
    }

    [Fact]
    public void Send_packet_command_reads_the_packet_at_the_boundary_and_moves_it()
    {
        Start();
        Write(Boundary, Last - 1);
        byte[] frame = FakeNetwork.Frame(Own, 64);
        _network.Send(frame);
        Run();
        Write(Boundary, First);
        Write(DataConfiguration, 0x48);
        Write(Command, 0x1A);
        var read = new byte[68];
        for (int i = 0; i < read.Length; i++)
            read[i] = Read(Data);
        Assert.Equal(frame[..64], read[4..]);
        Assert.Equal(First + 1, Read(Boundary));
        Assert.Equal(0x40, Read(InterruptStatus) & 0x40);
    }

    [Fact]
    public void Page_2_shows_what_page_0_was_given()
    {
        Start();
        Write(Command, 0xA2);
        Assert.Equal((First, Last), (Read(PageStart), Read(PageStop)));
        Assert.Equal(0xC0 | 0x04, Read(0x0C));
        Assert.Equal(0x80 | 0x49, Read(0x0E));
    }

    private void Start()
    {
        Write(Command, 0x21);
        Write(DataConfiguration, 0x49);
        Write(ReceiveConfiguration, 0x04);
        Write(TransmitConfiguration, 0x00);
        Write(PageStart, First);
        Write(PageStop, Last);
        Write(Boundary, Last - 1);
        Write(InterruptStatus, 0xFF);
        Write(InterruptMask, 0x3F);
        Write(Command, 0x61);
        for (int i = 0; i < MacAddress.Length; i++)
            Write(1 + i, Own[i]);
        Write(Current, First);
        Write(Command, 0x22);
    }

    private void Transmit(byte page, int length)
    {
        Write(TransmitPage, page);
        Write(TransmitCount, (byte)length);
        Write(TransmitCount + 1, length >> 8);
        Write(Command, 0x26);
    }

    private void Run() => _clock.AdvanceTo(_clock.Now + 100_000_000);

    private byte ReadCurrent()
    {
        Write(Command, 0x62);
        byte current = Read(Current);
        Write(Command, 0x22);
        return current;
    }

    private void SetRemote(int address, int count)
    {
        Write(InterruptStatus, 0x40);
        Write(RemoteStart, address);
        Write(RemoteStart + 1, address >> 8);
        Write(RemoteCount, count);
        Write(RemoteCount + 1, count >> 8);
    }

    private byte[] ReadMemory(int address, int count)
    {
        Write(DataConfiguration, 0x48);
        SetRemote(address, count);
        Write(Command, 0x0A);
        var bytes = new byte[count];
        for (int i = 0; i < count; i++)
            bytes[i] = Read(Data);
        return bytes;
    }

    private void WriteMemory(int address, byte[] bytes)
    {
        Write(DataConfiguration, 0x48);
        SetRemote(address, bytes.Length);
        Write(Command, 0x12);
        foreach (byte value in bytes)
            Write(Data, value);
    }

    private byte Read(int offset) => (byte)_ports.Read((ushort)(Base + offset), 1);

    private void Write(int offset, int value) => _ports.Write((ushort)(Base + offset), (byte)value, 1);
}
