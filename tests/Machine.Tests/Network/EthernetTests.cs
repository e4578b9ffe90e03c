using System.Text;
using Farm.Machine.Hypervisors;
using Farm.Machine.Network;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Network;

public class EthernetTests
{
    [Fact]
    public void Check_sequence_is_the_CRC_32_of_IEEE_802_3()
    {
        Assert.Equal(0xCBF43926u, Ethernet.CheckSequence(Encoding.ASCII.GetBytes("123456789")));
    }

    [Theory]
    [InlineData("01:00:5e:00:00:01", 31)]
    [InlineData("33:33:00:00:00:01", 62)]
    [InlineData("ff:ff:ff:ff:ff:ff", 63)]
    public void Multicast_hash_is_the_upper_six_bits_of_the_CRC(string address, int expected)
    {
        // computed bit by bit, as the data sheet draws the shift register
        uint register = uint.MaxValue;
        var bytes = MacAddress.TryParse(address)!.Value.ToArray();
        foreach (byte value in bytes)
        {
            for (int bit = 0; bit < 8; bit++)
            {
                bool feedback = (register >> 31 != 0) != ((value >> bit & 1) != 0);
                register = register << 1 ^ (feedback ? 0x04C11DB7u : 0);
            }
        }
        Assert.Equal((int)(register >> 26), Ethernet.MulticastHash(bytes));
        Assert.Equal(expected, Ethernet.MulticastHash(bytes));
    }

    [Theory]
    [InlineData("52:54:00:12:34:56", true)]
    [InlineData("52-54-00-AB-cd-EF", true)]
    [InlineData("52:54:00:12:34", false)]
    [InlineData("52:54:00:12:34:5g", false)]
    [InlineData("52:54:00:12:34:56\n", false)]
    [InlineData("", false)]
    public void Station_addresses_are_six_pairs_of_digits(string text, bool good)
    {
        Assert.Equal(good, MacAddress.TryParse(text) is not null);
        if (good)
            Assert.Equal(text.Replace('-', ':'), MacAddress.TryParse(text).ToString(), ignoreCase: true);
    }

    [Fact]
    public void Frames_arrive_padded_in_order_and_spaced_by_their_length()
    {
        var clock = new VirtualClock();
        using var cable = new EthernetCable(clock);
        var card = new FakeCard();
        cable.Card = card;
        cable.Deliver(new byte[42]);
        cable.Deliver(new byte[1000]);
        Assert.Empty(card.Lengths);
        long first = clock.NextDeadline;
        clock.AdvanceTo(first);
        Assert.Equal([60], card.Lengths);
        Assert.Equal(1000 * 80, clock.NextDeadline - first);
        clock.AdvanceTo(clock.NextDeadline);
        Assert.Equal([60, 1000], card.Lengths);
        Assert.Equal(long.MaxValue, clock.NextDeadline);
    }

    [Fact]
    public void Frames_wait_for_a_buffer_and_are_lost_beyond_the_bound()
    {
        var clock = new VirtualClock();
        using var cable = new EthernetCable(clock);
        var card = new FakeCard { HasRoom = false };
        cable.Card = card;
        for (int i = 0; i < EthernetCable.Capacity + 5; i++)
            cable.Deliver(new byte[60]);
        Assert.Equal(5, cable.FramesDropped);
        clock.AdvanceTo(1_000_000_000);
        Assert.Empty(card.Lengths);
        card.HasRoom = true;
        cable.RoomMade();
        clock.AdvanceTo(2_000_000_000);
        Assert.Equal(EthernetCable.Capacity, card.Lengths.Count);
    }

    [Fact]
    public void A_reset_of_the_card_loses_what_waits_for_it()
    {
        var clock = new VirtualClock();
        using var cable = new EthernetCable(clock);
        var card = new FakeCard();
        cable.Card = card;
        cable.Deliver(new byte[60]);
        cable.Discard();
        clock.AdvanceTo(1_000_000_000);
        Assert.Empty(card.Lengths);
        Assert.Equal(1, cable.FramesDropped);
        cable.Deliver(new byte[60]);
        clock.AdvanceTo(2_000_000_000);
        Assert.Single(card.Lengths);
    }

    [Theory]
    [InlineData(13)]
    [InlineData(1519)]
    public void Frames_of_impossible_size_are_not_sent(int length)
    {
        using var cable = new EthernetCable(new VirtualClock());
        var network = new FakeNetwork(cable);
        cable.Transmit(new byte[length]);
        cable.Deliver(new byte[length]);
        Assert.Empty(network.Sent);
        Assert.Equal(2, cable.FramesDropped);
    }

    [Fact]
    public void Card_options_are_read()
    {
        Assert.Null(NicOptions.Parse("none"));
        string folder = Path.GetTempPath();
        var options = NicOptions.Parse($"rtl8139,tftp={folder},bootfile=pxelinux.0,mac=52:54:00:01:02:03")!;
        Assert.Equal((NicModel.Rtl8139, folder, "pxelinux.0", "52:54:00:01:02:03"), (options.Model, options.TftpFolder, options.BootFile, options.Mac.ToString()));
        Assert.Equal(NicModel.Ne2kIsa, NicOptions.Parse("ne2k-isa")!.Model);
    }

    [Theory]
    [InlineData("3c509", "There is no network card '3c509'")]
    [InlineData("ne2k,tftp=/no/such/folder", "There is no folder /no/such/folder")]
    [InlineData("ne2k,mac=12:34", "'12:34' is no station address")]
    [InlineData("ne2k,mac=01:00:00:00:00:00", "is a group address")]
    [InlineData("ne2k-isa,rom=x", "A card on ISA has no option ROM")]
    [InlineData("ne2k,speed=10", "has no 'speed=10'")]
    [InlineData("ne2k,bootfile=a b", "The boot file's name 'a b'")]
    public void Bad_card_options_say_what_is_wrong(string text, string message)
    {
        var error = Assert.Throws<BadInputException>(() => NicOptions.Parse(text));
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_option_ROM_is_looked_at_before_it_is_used()
    {
        string file = Path.GetTempFileName();
        try
        {
            var options = NicOptions.Parse($"rtl8139,rom={file}")!;
            Assert.Contains("its 0 bytes are not between", Assert.Throws<BadInputException>(() => options.LoadRom()).Message, StringComparison.Ordinal);
            File.WriteAllBytes(file, new byte[512]);
            Assert.Contains("does not begin with 55 AA", Assert.Throws<BadInputException>(() => options.LoadRom()).Message, StringComparison.Ordinal);
            File.WriteAllBytes(file, [0x55, 0xAA, .. new byte[510]]);
            Assert.Equal(512, options.LoadRom().Length);
        }
        finally
        {
            File.Delete(file);
        }
        Assert.Contains("cannot be read", Assert.Throws<BadInputException>(() => NicOptions.Parse($"rtl8139,rom={file}")!.LoadRom()).Message, StringComparison.Ordinal);
    }

    private sealed class FakeCard : IEthernetCard
    {
        public List<int> Lengths { get; } = [];

        public bool HasRoom { get; set; } = true;

        public void Receive(ReadOnlySpan<byte> frame) => Lengths.Add(frame.Length);
    }
}
