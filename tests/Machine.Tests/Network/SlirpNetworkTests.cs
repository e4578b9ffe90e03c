using System.Buffers.Binary;
using System.Net.NetworkInformation;
using System.Runtime.InteropServices;
using System.Text;
using Farm.Machine.Bus;
using Farm.Machine.Network;
using Farm.Machine.Network.Slirp;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Network;

/// <summary>The guest's subnet on the real library.</summary>
public sealed class SlirpNetworkTests : IDisposable
{
    private static readonly MacAddress Own = MacAddress.OfCard(0);
    private static readonly byte[] Guest = [10, 0, 2, 15];
    private static readonly byte[] Host = [10, 0, 2, 2];
    private readonly VirtualClock _clock = new();
    private readonly EthernetCable _cable;
    private readonly Card _card = new();
    private readonly string _folder = Directory.CreateTempSubdirectory("farm-tftp").FullName;
    private readonly SlirpNetwork _network;

    public SlirpNetworkTests()
    {
        Assert.SkipUnless(SlirpNetwork.Available, "libslirp is not installed (package libslirp0).");
        File.WriteAllText(Path.Combine(_folder, "hello.txt"), "hello over TFTP");
        _cable = new EthernetCable(_clock) { Card = _card };
        _network = new SlirpNetwork(new NicOptions { Model = NicModel.Ne2k, TftpFolder = _folder, BootFile = "hello.0" }, _clock, _cable, new EventLog());
    }

    public void Dispose()
    {
        _network?.Dispose();
        _cable?.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    /// <summary>Offsets as a C compiler gives them for libslirp.h on x86-64 Linux.</summary>
    [Theory]
    [InlineData(nameof(SlirpConfig.Restricted), 4)]
    [InlineData(nameof(SlirpConfig.Network), 12)]
    [InlineData(nameof(SlirpConfig.In6Enabled), 24)]
    [InlineData(nameof(SlirpConfig.Prefix6), 28)]
    [InlineData(nameof(SlirpConfig.Host6), 48)]
    [InlineData(nameof(SlirpConfig.HostName), 64)]
    [InlineData(nameof(SlirpConfig.TftpPath), 80)]
    [InlineData(nameof(SlirpConfig.DhcpStart), 96)]
    [InlineData(nameof(SlirpConfig.DnsSearch), 120)]
    [InlineData(nameof(SlirpConfig.Mtu), 136)]
    [InlineData(nameof(SlirpConfig.DisableHostLoopback), 152)]
    [InlineData(nameof(SlirpConfig.OutboundAddress), 160)]
    [InlineData(nameof(SlirpConfig.DisableDhcp), 177)]
    public void Configuration_lies_in_memory_as_the_library_reads_it(string field, int offset)
    {
        Assert.Equal(offset, (int)Marshal.OffsetOf<SlirpConfig>(field));
        Assert.Equal((184, 88), (Marshal.SizeOf<SlirpConfig>(), Marshal.SizeOf<SlirpCallbacks>()));
    }

    [Fact]
    public void DHCP_leases_an_address_and_names_the_boot_file_but_neither_router_nor_name_server()
    {
        byte[] offer = Payload(Assert.Single(Exchange(Dhcp(1))));
        Assert.Equal(2, offer[0]);
        Assert.Equal(Guest, offer[16..20]);
        Assert.Equal(Host, offer[20..24]);
        Assert.Equal("hello.0", Encoding.ASCII.GetString(offer, 108, 7));
        var options = Options(offer[240..]);
        Assert.Equal([2], options[53]);
        Assert.Equal(Host, options[54]);
        Assert.Equal([255, 255, 255, 0], options[1]);
        Assert.DoesNotContain((byte)3, options.Keys);
        Assert.DoesNotContain((byte)6, options.Keys);
    }

    [Fact]
    public void TFTP_serves_the_folder_and_nothing_outside()
    {
        byte[] data = Payload(Exchange(Udp(Host, 69, Encoding.ASCII.GetBytes("\0\u0001hello.txt\0octet\0")))[^1]);
        Assert.Equal([0, 3, 0, 1], data[..4]);
        Assert.Equal("hello over TFTP", Encoding.ASCII.GetString(data[4..]));
        foreach (string outside in new[] { "../etc/passwd", "/../etc/passwd", "a/../../etc/passwd", "/etc/passwd" })
        {
            byte[] error = Payload(Exchange(Udp(Host, 69, Encoding.ASCII.GetBytes($"\0\u0001{outside}\0octet\0"), 2000))[^1]);
            Assert.Equal(5, error[1]);
        }
    }

    [Fact]
    public void Ping_answers_at_the_host_address_only()
    {
        byte[] echo = [8, 0, 0, 0, 0, 1, 0, 1, 1, 2, 3, 4];
        BinaryPrimitives.WriteUInt16BigEndian(echo.AsSpan(2), Checksum(echo));
        Assert.Equal(0, Exchange(Ip(1, Host, echo))[^1][34]);
        Assert.Empty(Exchange(Ip(1, [8, 8, 8, 8], echo)));
        Assert.Empty(Exchange(Ip(1, [127, 0, 0, 1], echo)));
    }

    [Theory]
    [InlineData(17, 53)]
    [InlineData(17, 7)]
    [InlineData(6, 80)]
    public void Nothing_beyond_the_subnet_is_reached_and_no_socket_is_opened(byte protocol, ushort port)
    {
        int before = OpenSockets();
        foreach (byte[] target in new byte[][] { [10, 0, 2, 2], [10, 0, 2, 3], [127, 0, 0, 1], [192, 168, 1, 1], [93, 184, 216, 34] })
        {
            byte[] frame = protocol == 17 ? Udp(target, port, [1, 2, 3, 4]) : Ip(6, target, TcpSyn(target, port));
            foreach (byte[] answer in Exchange(frame))
                Assert.True(answer[23] == 6 && (answer[47] & 0x04) != 0, "an answer that is no TCP reset");
            _clock.AdvanceTo(_clock.Now + 1_000_000_000);
        }
        Assert.Equal(before, OpenSockets());
        Assert.Equal(0, _network.Sockets);
    }

    [Fact]
    public void Foreign_sources_fragments_and_other_protocols_are_refused()
    {
        byte[] fragment = Udp(Host, 69, new byte[40]);
        fragment[20] = 0x20;
        byte[] foreign = Udp(Host, 69, new byte[40]);
        foreign[26] = 192;
        byte[] ipv6 = FakeNetwork.Frame(FakeNetwork.Broadcast);
        ipv6[12] = 0x86;
        ipv6[13] = 0xDD;
        foreach (byte[] frame in new[] { fragment, foreign, ipv6 })
            Assert.Empty(Exchange(frame));
        Assert.Equal(3, _network.Refused);
    }

    [Fact]
    public void Random_frames_neither_crash_nor_open_sockets()
    {
        int seed = Random.Shared.Next();
        TestContext.Current.TestOutputHelper?.WriteLine($"seed {seed}");
        var random = new Random(seed);
        int before = OpenSockets();
        for (int i = 0; i < 20_000; i++)
        {
            byte[] frame = random.Next(3) switch
            {
                0 => Udp([10, 0, 2, (byte)random.Next(256)], (ushort)(random.Next(2) == 0 ? 67 + random.Next(3) : random.Next(65536)), Bytes(random, random.Next(600))),
                1 => Ip((byte)random.Next(20), [10, 0, 2, (byte)random.Next(5)], Bytes(random, random.Next(200))),
                _ => Bytes(random, random.Next(14, 1500)),
            };
            for (int flips = random.Next(4); flips > 0; flips--)
                frame[random.Next(frame.Length)] = (byte)random.Next(256);
            _cable.Transmit(frame);
            if (random.Next(50) == 0)
                _clock.AdvanceTo(_clock.Now + random.Next(100_000_000));
        }
        Assert.Equal(0, _network.Sockets);
        Assert.Equal(before, OpenSockets());
    }

    private static byte[] Bytes(Random random, int count)
    {
        var bytes = new byte[count];
        random.NextBytes(bytes);
        return bytes;
    }

    private List<byte[]> Exchange(byte[] frame)
    {
        _card.Frames.Clear();
        _cable.Transmit(frame);
        _clock.AdvanceTo(_clock.Now + 10_000_000);
        return [.. _card.Frames.Where(received => received[12] == 8 && received[13] == 0)];
    }

    private static byte[] Payload(byte[] frame) => frame[42..(14 + (frame[16] << 8 | frame[17]))];

    private static Dictionary<byte, byte[]> Options(byte[] bytes)
    {
        var options = new Dictionary<byte, byte[]>();
        for (int at = 0; at < bytes.Length && bytes[at] != 255; at += 2 + bytes[at + 1])
            options.Add(bytes[at], bytes[(at + 2)..(at + 2 + bytes[at + 1])]);
        return options;
    }

    private static byte[] Dhcp(byte kind)
    {
        var request = new byte[300];
        request[0] = 1;
        request[1] = 1;
        request[2] = 6;
        request[4] = 0x12;
        Own.ToArray().CopyTo(request, 28);
        new byte[] { 99, 130, 83, 99, 53, 1, kind, 255 }.CopyTo(request, 236);
        byte[] frame = Udp([255, 255, 255, 255], 67, request, 68);
        frame.AsSpan(26, 4).Clear();
        return Summed(frame);
    }

    private static byte[] Udp(byte[] to, ushort port, byte[] data, ushort from = 1024)
    {
        var udp = new byte[8 + data.Length];
        BinaryPrimitives.WriteUInt16BigEndian(udp, from);
        BinaryPrimitives.WriteUInt16BigEndian(udp.AsSpan(2), port);
        BinaryPrimitives.WriteUInt16BigEndian(udp.AsSpan(4), (ushort)udp.Length);
        data.CopyTo(udp, 8);
        return Ip(17, to, udp);
    }

    private static byte[] TcpSyn(byte[] to, ushort port)
    {
        var tcp = new byte[20];
        BinaryPrimitives.WriteUInt16BigEndian(tcp, 1024);
        BinaryPrimitives.WriteUInt16BigEndian(tcp.AsSpan(2), port);
        tcp[12] = 0x50;
        tcp[13] = 0x02;
        byte[] pseudo = [.. Guest, .. to, 0, 6, 0, 20, .. tcp];
        BinaryPrimitives.WriteUInt16BigEndian(tcp.AsSpan(16), Checksum(pseudo));
        return tcp;
    }

    private static byte[] Ip(byte protocol, byte[] to, byte[] data)
    {
        var frame = new byte[34 + data.Length];
        new byte[] { 0x52, 0x55, 10, 0, 2, 2 }.CopyTo(frame, 0);
        Own.ToArray().CopyTo(frame, 6);
        frame[12] = 8;
        frame[14] = 0x45;
        BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(16), (ushort)(20 + data.Length));
        frame[22] = 64;
        frame[23] = protocol;
        Guest.CopyTo(frame, 26);
        to.CopyTo(frame, 30);
        data.CopyTo(frame, 34);
        return Summed(frame);
    }

    private static byte[] Summed(byte[] frame)
    {
        frame[24] = frame[25] = 0;
        BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(24), Checksum(frame.AsSpan(14, 20)));
        return frame;
    }

    private static ushort Checksum(ReadOnlySpan<byte> data)
    {
        uint sum = 0;
        for (int i = 0; i < data.Length; i += 2)
            sum += (uint)(data[i] << 8 | (i + 1 < data.Length ? data[i + 1] : 0));
        while (sum >> 16 != 0)
            sum = (sum & 0xFFFF) + (sum >> 16);
        return (ushort)~sum;
    }

    /// <summary>Internet sockets of this process's machine would show other programs' too: counted by this process's descriptors.</summary>
    private static int OpenSockets() => Directory.Exists("/proc/self/fd")
        ? Directory.EnumerateFileSystemEntries("/proc/self/fd").Count(IsSocket)
        : IPGlobalProperties.GetIPGlobalProperties().GetActiveTcpConnections().Length;

    private static bool IsSocket(string descriptor)
    {
        try
        {
            return File.ResolveLinkTarget(descriptor, returnFinalTarget: false)?.Name.StartsWith("socket:", StringComparison.Ordinal) == true;
        }
        catch (FileNotFoundException)
        {
            // Another test has closed it meanwhile.
            return false;
        }
    }

    private sealed class Card : IEthernetCard
    {
        public List<byte[]> Frames { get; } = [];

        public bool HasRoom => true;

        public void Receive(ReadOnlySpan<byte> frame) => Frames.Add(frame.ToArray());
    }
}
