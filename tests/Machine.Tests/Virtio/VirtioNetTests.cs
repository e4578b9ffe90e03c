using Farm.Machine.Devices.Virtio.Net;
using Farm.Machine.Network;
using Farm.Machine.Tests.Network;

namespace Farm.Machine.Tests.Virtio;

public sealed class VirtioNetTests : IDisposable
{
    private const ushort Next = 1, Writable = 2;
    private const int Buffer = 0x2000;
    private static readonly MacAddress Own = MacAddress.OfCard(0);

    private readonly VirtioRig _rig;
    private readonly EthernetCable _cable;
    private readonly FakeNetwork _network;

    public VirtioNetTests()
    {
        EthernetCable? cable = null;
        _rig = new VirtioRig(rig => new VirtioNet(rig.Memory, cable = new EthernetCable(rig.Clock), Own));
        _cable = cable!;
        _network = new FakeNetwork(_cable);
    }

    public void Dispose() => _cable.Dispose();

    [Fact]
    public void Configuration_holds_station_address_and_link()
    {
        for (int i = 0; i < MacAddress.Length; i++)
            Assert.Equal(Own[i], (byte)_rig.Configuration(i, 1));
        Assert.Equal(1ul, _rig.Configuration(6, 2));
        Assert.Equal(0x10001AF4u, _rig.Device.ReadConfig(0, 4));
        Assert.Equal(2u, _rig.Common(0x12, 2));
    }

    [Theory]
    [InlineData(false, 12)]
    [InlineData(true, 10)]
    public void Sends_what_lies_behind_the_header(bool legacy, int header)
    {
        Start(legacy);
        byte[] frame = FakeNetwork.Frame(FakeNetwork.Broadcast, 100);
        frame.CopyTo(_rig.Memory.Bytes, Buffer + header);
        _rig.Descriptor(1, 0, Buffer, (uint)header, Next, 1);
        _rig.Descriptor(1, 1, (ulong)(Buffer + header), 100, 0);
        _rig.Offer(1, 0);
        _rig.Kick(1, legacy);
        Assert.Equal(frame, Assert.Single(_network.Sent));
        Assert.Equal((0, 0), _rig.UsedEntry(1, 0));
        Assert.True(_rig.Irq);
    }

    [Theory]
    [InlineData(false, 12)]
    [InlineData(true, 10)]
    public void Receives_into_the_drivers_buffers(bool legacy, int header)
    {
        Start(legacy);
        byte[] frame = FakeNetwork.Frame(Own, 200);
        _network.Send(frame);
        _rig.Run();
        Assert.Equal(0, _cable.FramesReceived); // waits for a buffer
        _rig.Descriptor(0, 0, Buffer, 16, Next | Writable, 1);
        _rig.Descriptor(0, 1, Buffer + 16, 1600, Writable);
        _rig.Offer(0, 0);
        _rig.Kick(0, legacy);
        _rig.Run();
        Assert.Equal((0, header + 200), _rig.UsedEntry(0, 0));
        Assert.Equal(frame, _rig.Memory.Bytes[(Buffer + header)..(Buffer + header + 200)]);
        Assert.True(_rig.Irq);
        if (!legacy)
            Assert.Equal(1, _rig.Memory.Bytes[Buffer + 10]);
    }

    [Fact]
    public void Frames_before_the_driver_is_there_are_dropped()
    {
        _network.Send(FakeNetwork.Frame(Own));
        _rig.Run();
        Assert.Equal(1, _cable.FramesReceived);
    }

    [Fact]
    public void Too_small_a_buffer_comes_back_empty()
    {
        Start(false);
        _rig.Descriptor(0, 0, Buffer, 40, Writable);
        _rig.Offer(0, 0);
        _rig.Kick(0);
        _network.Send(FakeNetwork.Frame(Own));
        _rig.Run();
        Assert.Equal((0, 0), _rig.UsedEntry(0, 0));
    }

    [Theory]
    [InlineData(5u)]
    [InlineData(12u)]
    [InlineData(70_000u)]
    [InlineData(0xFFFF_FFFFu)]
    public void Chains_of_no_frames_length_send_nothing(uint length)
    {
        Start(false);
        _rig.Descriptor(1, 0, Buffer, length, 0);
        _rig.Offer(1, 0);
        _rig.Kick(1);
        Assert.Empty(_network.Sent);
        Assert.Equal(1, _rig.Used(1));
    }

    [Fact]
    public void Rings_laid_over_each_other_end()
    {
        Start(false);
        // the used ring over the available ring: every used entry offers more
        _rig.SetCommon(0x14, 0, 1);
        _rig.StartModern(0);
        _rig.SetCommon(0x14, 0x0B, 1);
        int at = _rig.RingOf(0).Driver;
        _rig.SetCommon(0x16, 1, 2);
        _rig.SetCommon(0x18, 16, 2);
        _rig.SetCommon(0x20, (uint)_rig.RingOf(0).Descriptors, 4);
        _rig.SetCommon(0x28, (uint)at, 4);
        _rig.SetCommon(0x30, (uint)at - 4, 4);
        _rig.SetCommon(0x1C, 1, 2);
        _rig.SetCommon(0x14, 0x0F, 1);
        for (int i = 0; i < 16; i++)
            _rig.Offer(0, (ushort)i);
        _rig.Kick(1);
        Assert.InRange(_network.Sent.Count, 0, 256);
    }

    private void Start(bool legacy)
    {
        if (legacy)
            _rig.StartLegacy(0, 1);
        else
            _rig.StartModern(0, 1);
    }
}
