using System.Buffers.Binary;
using Farm.Machine.Bus;
using Farm.Machine.Devices.Chipset;
using Farm.Machine.Devices.Nics.Rtl8139;
using Farm.Machine.Devices.Pci;
using Farm.Machine.Network;
using Farm.Machine.Tests.Devices;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Network;

public sealed class Rtl8139Tests : IDisposable
{
    private const ushort Base = 0xC000;
    private const int Ring = 0x10000;
    private const int TransmitBuffer = 0x8000;
    private const ushort AllInterrupts = 0xE07F;

    private static readonly MacAddress Own = MacAddress.OfCard(0);
    private readonly VirtualClock _clock = new();
    private readonly PortBus _ports = new(new EventLog());
    private readonly FakeMemory _memory = new(1 << 18);
    private readonly EthernetCable _cable;
    private readonly FakeNetwork _network;
    private readonly Rtl8139C _card;
    private bool _irq;

    public Rtl8139Tests()
    {
        _cable = new EthernetCable(_clock);
        _network = new FakeNetwork(_cable);
        _card = new Rtl8139C(_memory, _clock, _cable, Own);
        var pci = new PciBus(_ports, new MmioBus(new EventLog()), new SystemControl(), 1 << 18);
        pci.RouteInterrupts((_, _) => new InterruptLine(level => _irq = level));
        pci.Add(3, 0, _card);
        _card.WriteConfig(0x10, Base, 4);
        _card.WriteConfig(0x04, 0x0007, 2);
    }

    public void Dispose() => _cable.Dispose();

    [Fact]
    public void Station_address_is_in_IDR_and_in_the_EEPROM()
    {
        for (int i = 0; i < MacAddress.Length; i++)
            Assert.Equal(Own[i], (byte)Read(i, 1));
        Assert.Equal(0x8129, ReadEeprom(0));
        Assert.Equal(Own[0] | Own[1] << 8, ReadEeprom(7));
        Assert.Equal(Own[4] | Own[5] << 8, ReadEeprom(9));
    }

    [Fact]
    public void Station_address_can_be_written_only_with_configuration_writes_enabled()
    {
        Write(0, 0x44332211, 4);
        Assert.NotEqual(0x44332211u, Read(0, 4));
        Write(0x50, 0xC0, 1);
        Write(0, 0x44332211, 4);
        Write(4, 0x6655, 2);
        Assert.Equal((0x44332211u, 0x6655u), (Read(0, 4), Read(4, 4)));
    }

    [Fact]
    public void Version_says_RTL8139C()
    {
        Assert.Equal(0x74000000u, Read(0x40, 4) & 0x7CC00000);
        Assert.Equal(0x10u, _card.ReadConfig(0x08, 1));
        Assert.Equal(0u, Read(0x58, 1) & 0x0C); // link up, not 10 Mbit/s
        Assert.Equal(0x782Du, Read(0x64, 2));
    }

    [Fact]
    public void Software_reset_ends_at_once_and_keeps_the_station_address()
    {
        Start();
        Write(0x37, 0x10, 1);
        Assert.Equal(0x01u, Read(0x37, 1));
        Assert.Equal(0u, Read(0x3C, 2));
        Assert.Equal(0x2000u, Read(0x10, 4));
        Assert.Equal(Own[5], (byte)Read(5, 1));
    }

    [Fact]
    public void Descriptors_are_sent_in_turn()
    {
        Start();
        for (int i = 0; i < 5; i++)
        {
            byte[] frame = FakeNetwork.Frame(FakeNetwork.Broadcast, 60 + i, (byte)i);
            frame.CopyTo(_memory.Bytes, TransmitBuffer);
            Write(0x20 + 4 * (i & 3), TransmitBuffer, 4);
            Write(0x10 + 4 * (i & 3), (uint)frame.Length, 4);
            Assert.Equal(i, _network.Sent.Count);
            Run();
            Assert.Equal(frame, _network.Sent[i]);
            Assert.Equal(0xA000u, Read(0x10 + 4 * (i & 3), 4) & 0xE000);
            Assert.True(_irq);
            Write(0x3E, 0x0004, 2);
            Assert.False(_irq);
        }
    }

    [Fact]
    public void A_descriptor_out_of_turn_waits_for_those_before_it()
    {
        Start();
        Write(0x14, 60, 4);
        Run();
        Assert.Empty(_network.Sent);
        Write(0x10, 60, 4);
        Run();
        Assert.Equal(2, _network.Sent.Count);
        Assert.Equal(0x300Fu, Read(0x60, 2)); // TSAD: two sent, all owned by the host
    }

    [Fact]
    public void Too_long_a_descriptor_is_aborted()
    {
        Start();
        Write(0x10, 0x1000, 4);
        Run();
        Assert.Empty(_network.Sent);
        Assert.Equal(0x0008u, Read(0x3E, 2));
        Assert.Equal(0x40002000u, Read(0x10, 4) & 0xC000E000);
    }

    [Fact]
    public void Nothing_moves_without_bus_mastering()
    {
        Start();
        _card.WriteConfig(0x04, 0x0003, 2);
        Write(0x10, 60, 4);
        _network.Send(FakeNetwork.Frame(Own));
        Run();
        Assert.Empty(_network.Sent);
        Assert.Equal(0x01u, Read(0x37, 1) & 1);
        _card.WriteConfig(0x04, 0x0007, 2);
        Run();
        Assert.Single(_network.Sent);
    }

    [Fact]
    public void A_received_packet_lies_in_the_ring_with_status_length_and_check_sequence()
    {
        Start();
        Assert.Equal(0x01u, Read(0x37, 1) & 1);
        byte[] frame = FakeNetwork.Frame(Own, 61);
        _network.Send(frame);
        Run();
        Assert.True(_irq);
        Assert.Equal(0x0001u, Read(0x3E, 2));
        Assert.Equal(0x00u, Read(0x37, 1) & 1);
        var stored = _memory.Bytes.AsSpan(Ring);
        Assert.Equal(0x4001, BinaryPrimitives.ReadUInt16LittleEndian(stored));
        Assert.Equal(65, BinaryPrimitives.ReadUInt16LittleEndian(stored[2..]));
        Assert.Equal(frame, stored.Slice(4, 61).ToArray());
        Assert.Equal(Ethernet.CheckSequence(frame), BinaryPrimitives.ReadUInt32LittleEndian(stored[65..]));
        Assert.Equal(72u, Read(0x3A, 2));
        Write(0x38, 72 - 16, 2);
        Assert.Equal(0x01u, Read(0x37, 1) & 1);
    }

    [Theory]
    [InlineData(0x0000u, false)]
    [InlineData(0x0080u, true)]
    public void A_packet_at_the_rings_end_wraps_or_goes_beyond(uint wrap, bool beyond)
    {
        Start(0x0A | wrap);
        for (int i = 0; i < 8; i++)
        {
            _network.Send(FakeNetwork.Frame(Own, 1000));
            Run();
            Write(0x38, Read(0x3A, 2) - 16, 2);
        }
        Assert.Equal(8 * 1008u, Read(0x3A, 2)); // 128 bytes left
        byte[] frame = FakeNetwork.Frame(Own, 1000, 77);
        _network.Send(frame);
        Run();
        Assert.Equal((8 * 1008u + 1008) % 8192, Read(0x3A, 2));
        Assert.Equal(frame[..124], _memory.Bytes[(Ring + 8068)..(Ring + 8192)]);
        int rest = beyond ? Ring + 8192 : Ring;
        Assert.Equal(frame[124..1000], _memory.Bytes[rest..(rest + 876)]);
    }

    [Fact]
    public void A_full_ring_overflows_and_counts_the_missed_packet()
    {
        Start();
        for (int i = 0; i < 6; i++)
            _card.Receive(FakeNetwork.Frame(Own, 1514));
        Assert.Equal(0x0011u, Read(0x3E, 2));
        Assert.Equal(1u, Read(0x4C, 4));
        Write(0x4C, 0, 4);
        Assert.Equal(0u, Read(0x4C, 4));
    }

    [Theory]
    [InlineData(0x02u, "own", 0x4000)]
    [InlineData(0x00u, "own", null)]
    [InlineData(0x02u, "other", null)]
    [InlineData(0x01u, "other", 0x0000)]
    [InlineData(0x08u, "broadcast", 0x2000)]
    [InlineData(0x02u, "broadcast", null)]
    [InlineData(0x04u, "multicast", 0x8000)]
    [InlineData(0x02u, "multicast", null)]
    [InlineData(0x04u, "multicast not in the filter", null)]
    public void Receive_configuration_filters_by_address(uint configuration, string kind, int? status)
    {
        Start(configuration);
        var multicast = MacAddress.TryParse("01:00:5e:00:00:01")!.Value;
        int hash = Ethernet.MulticastHash(multicast.ToArray());
        Write(0x08 + hash / 8, 1u << (hash & 7), 1);
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
        Assert.Equal(status is null, (Read(0x37, 1) & 1) != 0);
        if (status is { } bits)
            Assert.Equal(bits | 1, BinaryPrimitives.ReadUInt16LittleEndian(_memory.Bytes.AsSpan(Ring)));
    }

    [Fact]
    public void Loopback_returns_the_packet_and_sends_nothing()
    {
        Start();
        Write(0x40, 0x00060000, 4);
        byte[] frame = FakeNetwork.Frame(Own);
        frame.CopyTo(_memory.Bytes, TransmitBuffer);
        Write(0x20, TransmitBuffer, 4);
        Write(0x10, (uint)frame.Length, 4);
        Run();
        Assert.Empty(_network.Sent);
        Assert.Equal(frame, _memory.Bytes[(Ring + 4)..(Ring + 4 + frame.Length)]);
    }

    [Fact]
    public void Timer_counts_at_33_MHz_and_interrupts()
    {
        Write(0x3C, 0x4000, 2);
        Write(0x48, 0, 4);
        Write(0x54, 3300, 4);
        _clock.AdvanceTo(99_999);
        Assert.False(_irq);
        _clock.AdvanceTo(100_000);
        Assert.Equal(3300u, Read(0x48, 4));
        Assert.True(_irq);
    }

    [Fact]
    public void Rings_and_buffers_outside_RAM_are_harmless()
    {
        Start();
        Write(0x30, 0xFFFF_FF00, 4);
        Write(0x20, 0xFFFF_FFF0, 4);
        _network.Send(FakeNetwork.Frame(Own, 1000));
        Write(0x10, 1500, 4);
        Run();
        Assert.Single(_network.Sent);
        Assert.Equal(0x0005u, Read(0x3E, 2));
    }

    private void Start(uint receiveConfiguration = 0x0A)
    {
        Write(0x37, 0x0C, 1);
        Write(0x30, Ring, 4);
        Write(0x44, receiveConfiguration, 4);
        Write(0x40, 0x03000700, 4);
        Write(0x3C, AllInterrupts, 2);
    }

    private void Run() => _clock.AdvanceTo(_clock.Now + 10_000_000);

    /// <summary>Reads a word of the 93C46 bit by bit, as drivers do.</summary>
    private int ReadEeprom(int word)
    {
        const uint programming = 0x80, select = 0x08, clock = 0x04, dataIn = 0x02;
        int command = 6 << 6 | word;
        for (int bit = 8; bit >= 0; bit--)
        {
            uint data = (command >> bit & 1) != 0 ? dataIn : 0;
            Write(0x50, programming | select | data, 1);
            Write(0x50, programming | select | data | clock, 1);
        }
        Write(0x50, programming | select, 1);
        Assert.Equal(0u, Read(0x50, 1) & 1); // the zero before the data
        int value = 0;
        for (int bit = 0; bit < 16; bit++)
        {
            Write(0x50, programming | select | clock, 1);
            value = value << 1 | (int)(Read(0x50, 1) & 1);
            Write(0x50, programming | select, 1);
        }
        Write(0x50, 0, 1);
        return value;
    }

    private uint Read(int offset, int size) => _ports.Read((ushort)(Base + offset), size);

    private void Write(int offset, uint value, int size) => _ports.Write((ushort)(Base + offset), value, size);
}
