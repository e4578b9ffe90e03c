using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Farm.Machine.Bus;
using Farm.Machine.Hypervisors;
using Farm.Machine.Time;

namespace Farm.Machine.Network.Slirp;

/// <summary>
/// The guest's own subnet 10.0.2.0/24 on libslirp in its restricted mode: DHCP hands out 10.0.2.15, TFTP at 10.0.2.2 serves one
/// folder read-only, ARP and ping answer there, everything else is dropped. The library opens no socket. All its time is guest
/// time, so a run repeats.
/// </summary>
public sealed class SlirpNetwork : INetworkPeer, IDisposable
{
    private const int EtherTypeOffset = 12;
    private const ushort Ipv4 = 0x0800;
    private const ushort Arp = 0x0806;
    private const uint Network = 0x0A00_0200;
    private const uint NetworkMask = 0xFFFF_FF00;
    private const uint Host = 0x0A00_0202;
    private const uint NameServer = 0x0A00_0203;
    private const uint DhcpStart = 0x0A00_020F;

    private readonly SlirpLibrary _library;
    private readonly IVirtualClock _clock;
    private readonly EthernetCable _cable;
    private readonly EventLog _events;
    private readonly byte[] _packet = new byte[Ethernet.MaximumFrame];
    private readonly byte[] _announcement = new byte[Ethernet.MinimumFrame];
    private readonly Dictionary<nint, IClockTimer> _timers = [];
    private readonly Delegate[] _delegates;
    private readonly SlirpAddPoll _addPoll;
    private readonly SlirpGetRevents _getRevents;
    private readonly nint _callbacks;
    private nint _slirp;
    private nint _timerHandles;
    private (uint Address, MacAddress Station)? _known;

    /// <exception cref="HostException">libslirp is not installed, or does not start.</exception>
    public SlirpNetwork(NicOptions options, IVirtualClock clock, EthernetCable cable, EventLog events)
    {
        _library = SlirpLibrary.Get();
        _clock = clock;
        _cable = cable;
        _events = events;
        _addPoll = (_, _, _) => Refuse();
        _getRevents = (_, _) => 0;
        SlirpSendPacket send = SendPacket;
        SlirpGuestError error = (message, _) => _events.Report("network", Marshal.PtrToStringUTF8(message) ?? "guest error");
        SlirpClock now = _ => _clock.Now;
        SlirpTimerNew timerNew = NewTimer;
        SlirpTimerFree timerFree = (timer, _) => FreeTimer(timer);
        SlirpTimerModify timerModify = (timer, milliseconds, _) => _timers.GetValueOrDefault(timer)?.Arm(milliseconds * 1_000_000);
        SlirpPollFd register = (_, _) => Refuse();
        SlirpPollFd unregister = (_, _) => { };
        SlirpNotify notify = _ => { };
        _delegates = [send, error, now, timerNew, timerFree, timerModify, register, unregister, notify];
        _callbacks = Marshal.AllocHGlobal(Marshal.SizeOf<SlirpCallbacks>());
        Marshal.StructureToPtr(
            new SlirpCallbacks
            {
                SendPacket = Pointer(send),
                GuestError = Pointer(error),
                ClockGetNs = Pointer(now),
                TimerNew = Pointer(timerNew),
                TimerFree = Pointer(timerFree),
                TimerMod = Pointer(timerModify),
                RegisterPollFd = Pointer(register),
                UnregisterPollFd = Pointer(unregister),
                Notify = Pointer(notify),
            },
            _callbacks,
            fDeleteOld: false);
        _slirp = Create(options);
        if (_slirp == 0)
        {
            Dispose();
            throw new HostException($"libslirp {_library.Version} could not be started.");
        }
        cable.Peer = this;
    }

    /// <summary>The library is installed here.</summary>
    public static bool Available => SlirpLibrary.Available;

    /// <summary>Frames of the guest that have no business in its subnet: other protocols, foreign sources, fragments.</summary>
    public long Refused { get; private set; }

    /// <summary>Sockets that the library wanted to wait for: none, in restricted mode.</summary>
    public int Sockets { get; private set; }

    /// <inheritdoc/>
    public void Accept(ReadOnlySpan<byte> frame)
    {
        if (!Admit(frame))
        {
            Refused++;
            return;
        }
        Turn();
        Input(frame);
    }

    public void Dispose()
    {
        if (_slirp != 0)
            _library.Cleanup(_slirp);
        _slirp = 0;
        foreach (var timer in _timers.Values)
            timer.Disarm();
        _timers.Clear();
        Marshal.FreeHGlobal(_callbacks);
        GC.KeepAlive(_delegates);
        if (_cable.Peer == this)
            _cable.Peer = null;
    }

    private nint Create(NicOptions options)
    {
        var config = new SlirpConfig
        {
            Version = SlirpConfig.Version1,
            Restricted = 1,
            InEnabled = 1,
            Network = Order(Network),
            NetworkMask = Order(NetworkMask),
            Host = Order(Host),
            DhcpStart = Order(DhcpStart),
            NameServer = Order(NameServer),
            TftpPath = options.TftpFolder is { } folder ? Marshal.StringToCoTaskMemUTF8(Path.GetFullPath(folder)) : 0,
            BootFile = Marshal.StringToCoTaskMemUTF8(options.BootFile),
            DisableHostLoopback = 1,
        };
        try
        {
            return _library.New(config, _callbacks, 0);
        }
        finally
        {
            Marshal.FreeCoTaskMem(config.TftpPath);
            Marshal.FreeCoTaskMem(config.BootFile);
        }
    }

    /// <summary>
    /// What may go in. Fragments would pile up in the library's reassembly, and answers to a station that it has not seen in its
    /// queue: so there are no fragments, and every sender is made known before its first packet.
    /// </summary>
    private bool Admit(ReadOnlySpan<byte> frame)
    {
        const int header = Ethernet.HeaderLength;
        ushort type = BinaryPrimitives.ReadUInt16BigEndian(frame[EtherTypeOffset..]);
        if (type == Arp)
            return true;
        if (type != Ipv4 || frame.Length < header + 20)
            return false;
        const int moreFragmentsAndOffset = 0x3FFF;
        if ((BinaryPrimitives.ReadUInt16BigEndian(frame[(header + 6)..]) & moreFragmentsAndOffset) != 0)
            return false;
        uint source = BinaryPrimitives.ReadUInt32BigEndian(frame[(header + 12)..]);
        if (source == 0)
            return true;
        if ((source & NetworkMask) != Network)
            return false;
        var sender = (source, new MacAddress(frame[MacAddress.Length..]));
        if (sender != _known)
        {
            _known = sender;
            Announce(source, frame.Slice(MacAddress.Length, MacAddress.Length));
        }
        return true;
    }

    /// <summary>An ARP announcement on the guest's behalf (RFC 5227, 2.3), which nobody answers.</summary>
    private void Announce(uint address, ReadOnlySpan<byte> station)
    {
        var arp = _announcement.AsSpan();
        arp[..MacAddress.Length].Fill(0xFF);
        station.CopyTo(arp[MacAddress.Length..]);
        BinaryPrimitives.WriteUInt16BigEndian(arp[EtherTypeOffset..], Arp);
        ReadOnlySpan<byte> request = [0, 1, 8, 0, 6, 4, 0, 1];
        var body = arp[Ethernet.HeaderLength..];
        request.CopyTo(body);
        station.CopyTo(body[8..]);
        BinaryPrimitives.WriteUInt32BigEndian(body[14..], address);
        BinaryPrimitives.WriteUInt32BigEndian(body[24..], address);
        Input(arp);
    }

    private void Input(ReadOnlySpan<byte> frame)
    {
        frame.CopyTo(_packet);
        _library.Input(_slirp, _packet, frame.Length);
    }

    /// <summary>Lets the library see the time, so that its sessions and queues expire.</summary>
    private void Turn()
    {
        uint timeout = 0;
        _library.PollFdsFill(_slirp, ref timeout, _addPoll, 0);
        _library.PollFdsPoll(_slirp, 0, _getRevents, 0);
    }

    private nint SendPacket(nint buffer, nuint length, nint opaque)
    {
        if (length > Ethernet.MaximumFrame)
            return (nint)length;
        var frame = new byte[(int)length];
        Marshal.Copy(buffer, frame, 0, frame.Length);
        _cable.Deliver(frame);
        return frame.Length;
    }

    private nint NewTimer(nint callback, nint callbackOpaque, nint opaque)
    {
        var function = Marshal.GetDelegateForFunctionPointer<SlirpTimerCallback>(callback);
        nint handle = ++_timerHandles;
        _timers.Add(handle, _clock.CreateTimer("libslirp", _ => function(callbackOpaque)));
        return handle;
    }

    private void FreeTimer(nint handle)
    {
        if (_timers.Remove(handle, out var timer))
            timer.Disarm();
    }

    private int Refuse()
    {
        Sockets++;
        return -1;
    }

    private static nint Pointer<T>(T callback) where T : Delegate => Marshal.GetFunctionPointerForDelegate(callback);

    private static uint Order(uint address) => BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(address) : address;
}
