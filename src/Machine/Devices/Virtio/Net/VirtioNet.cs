using Farm.Machine.Bus;
using Farm.Machine.Network;

namespace Farm.Machine.Devices.Virtio.Net;

/// <summary>
/// A virtio network card (Virtio 1.2, 5.1) without offloads: queue 0 receives, queue 1 transmits. Its link is up.
/// </summary>
public sealed class VirtioNet : VirtioPciDevice, IEthernetCard
{
    private const int NetworkEthernet = 0x020000;
    private const ulong HasMac = 1 << 5;
    private const ulong HasStatus = 1 << 16;
    private const ushort QueueSize = 256;
    private const int ReceiveQueue = 0;
    private const int TransmitQueue = 1;
    private const int LegacyHeader = 10;
    private const int ModernHeader = 12;
    private const byte LinkUp = 1;

    private readonly EthernetCable _cable;
    private readonly DescriptorChain _chain;
    private readonly byte[] _frame = new byte[Ethernet.MaximumFrame];
    private readonly byte[] _configuration;

    public VirtioNet(IGuestMemory memory, EthernetCable cable, MacAddress address)
        : base("virtio-net", 1, 0x1000, NetworkEthernet, memory, HasMac | HasStatus, QueueSize, QueueSize)
    {
        _cable = cable;
        cable.Card = this;
        _chain = NewChain();
        _configuration = [.. address.ToArray(), LinkUp, 0];
    }

    /// <inheritdoc/>
    public bool HasRoom => Ready(ReceiveQueue) is not { } queue || queue.HasChain;

    protected override ReadOnlySpan<byte> Configuration => _configuration;

    private int HeaderLength => Modern ? ModernHeader : LegacyHeader;

    /// <summary>A header without offloads (of one buffer, for modern drivers), then the frame; too small a chain comes back empty.</summary>
    public void Receive(ReadOnlySpan<byte> frame)
    {
        if (!TryTake(ReceiveQueue, _chain))
            return;
        int length = HeaderLength + frame.Length;
        if (_chain.WritableBytes < length)
        {
            Put(ReceiveQueue, _chain.Head, 0);
            return;
        }
        Span<byte> header = stackalloc byte[ModernHeader];
        header.Clear();
        header[LegacyHeader] = 1;
        _chain.Write(0, header[..HeaderLength]);
        _chain.Write(HeaderLength, frame);
        Put(ReceiveQueue, _chain.Head, (uint)length);
    }

    protected override void Kicked(int queue)
    {
        if (queue == ReceiveQueue)
            _cable.RoomMade();
        else
            Transmit();
    }

    protected override void Stop() => _cable.Discard();

    private void Transmit()
    {
        // a bound of its own: rings laid over each other could make chains without end
        for (int budget = QueueSize; budget > 0 && TryTake(TransmitQueue, _chain); budget--)
        {
            long length = _chain.ReadableBytes - HeaderLength;
            if (length is > 0 and <= Ethernet.MaximumFrame)
            {
                var frame = _frame.AsSpan(0, (int)length);
                _chain.Read(HeaderLength, frame);
                _cable.Transmit(frame);
            }
            Put(TransmitQueue, _chain.Head, 0);
        }
    }
}
