using System.Buffers.Binary;
using System.Security.Cryptography;
using Farm.Machine.Time;

namespace Farm.Machine.Network;

/// <summary>
/// The cable between a network card and its peer. Frames towards the guest take their time on the wire, in guest time; those that
/// the card has no room for wait, up to <see cref="Capacity"/>, what comes on top is lost.
/// </summary>
public sealed class EthernetCable : IDisposable
{
    /// <summary>Frames on their way to the guest, at most.</summary>
    public const int Capacity = 256;

    private const long NanosecondsPerByte = 80; // 100 Mbit/s
    private const long Latency = 20_000;

    private readonly IVirtualClock _clock;
    private readonly IClockTimer _arrival;
    private readonly Queue<(long Due, byte[] Frame)> _frames = new();
    private readonly IncrementalHash _traffic = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private long _lastDue;

    public EthernetCable(IVirtualClock clock)
    {
        _clock = clock;
        _arrival = clock.CreateTimer("frame on the wire", Arrive);
    }

    public IEthernetCard? Card { get; set; }

    public INetworkPeer? Peer { get; set; }

    public long FramesSent { get; private set; }

    public long BytesSent { get; private set; }

    public long FramesReceived { get; private set; }

    public long BytesReceived { get; private set; }

    /// <summary>Frames of no possible size, and those that the guest did not fetch in time.</summary>
    public long FramesDropped { get; private set; }

    /// <summary>SHA-256 over every frame so far, sent and received, in their order. The hash goes on.</summary>
    public string TrafficHash => Convert.ToHexStringLower(_traffic.GetCurrentHash());

    /// <summary>The card sends a frame.</summary>
    public void Transmit(ReadOnlySpan<byte> frame)
    {
        if (frame.Length is < Ethernet.HeaderLength or > Ethernet.MaximumFrame)
        {
            FramesDropped++;
            return;
        }
        FramesSent++;
        BytesSent += frame.Length;
        Hash(frame, sent: true);
        Peer?.Accept(frame);
    }

    /// <summary>The peer sends a frame to the guest.</summary>
    public void Deliver(ReadOnlySpan<byte> frame)
    {
        if (frame.Length is < Ethernet.HeaderLength or > Ethernet.MaximumFrame || _frames.Count >= Capacity)
        {
            FramesDropped++;
            return;
        }
        var padded = new byte[Math.Max(frame.Length, Ethernet.MinimumFrame)];
        frame.CopyTo(padded);
        _lastDue = Math.Max(_clock.Now + Latency, _lastDue) + padded.Length * NanosecondsPerByte;
        _frames.Enqueue((_lastDue, padded));
        if (_frames.Count == 1)
            _arrival.Arm(_lastDue);
    }

    /// <summary>The card has a receive buffer again.</summary>
    public void RoomMade()
    {
        if (!_arrival.Armed && _frames.TryPeek(out var next))
            _arrival.Arm(Math.Max(next.Due, _clock.Now));
    }

    /// <summary>The card was reset: what waits for it is lost.</summary>
    public void Discard()
    {
        FramesDropped += _frames.Count;
        _frames.Clear();
        _arrival.Disarm();
    }

    public void Dispose() => _traffic.Dispose();

    private void Hash(ReadOnlySpan<byte> frame, bool sent)
    {
        Span<byte> head = stackalloc byte[sizeof(int)];
        BinaryPrimitives.WriteInt32LittleEndian(head, sent ? frame.Length : -frame.Length);
        _traffic.AppendData(head);
        _traffic.AppendData(frame);
    }

    private void Arrive(long deadline)
    {
        if (Card is not { HasRoom: true } card || !_frames.TryPeek(out var next))
            return;
        _frames.Dequeue();
        FramesReceived++;
        BytesReceived += next.Frame.Length;
        Hash(next.Frame, sent: false);
        card.Receive(next.Frame);
        RoomMade();
    }
}
