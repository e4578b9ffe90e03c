using Farm.Machine.Network;

namespace Farm.Machine.Tests.Network;

/// <summary>The other end of a card's cable in tests: keeps what the guest sent, sends what the test says.</summary>
internal sealed class FakeNetwork : INetworkPeer
{
    private readonly EthernetCable _cable;

    public FakeNetwork(EthernetCable cable)
    {
        _cable = cable;
        cable.Peer = this;
    }

    public List<byte[]> Sent { get; } = [];

    public void Accept(ReadOnlySpan<byte> frame) => Sent.Add(frame.ToArray());

    public void Send(byte[] frame) => _cable.Deliver(frame);

    /// <summary>A frame to an address whose payload counts up from <paramref name="first"/>.</summary>
    public static byte[] Frame(MacAddress to, int length = 64, byte first = 1)
    {
        var frame = new byte[length];
        to.ToArray().CopyTo(frame, 0);
        MacAddress.OfCard(200).ToArray().CopyTo(frame, MacAddress.Length);
        frame[12] = 0x88;
        frame[13] = 0xB5;
        for (int i = Ethernet.HeaderLength; i < length; i++)
            frame[i] = (byte)(first + i - Ethernet.HeaderLength);
        return frame;
    }

    public static MacAddress Broadcast { get; } = new([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
}
