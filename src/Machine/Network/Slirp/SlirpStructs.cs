using System.Runtime.InteropServices;

namespace Farm.Machine.Network.Slirp;

/// <summary>
/// struct SlirpConfig of libslirp.h on 64-bit hosts. Addresses are in network byte order. The IPv6 fields lie elsewhere on Windows, but
/// within the same bytes, and are all zero.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal struct SlirpConfig
{
    public const uint Version1 = 1;

    public uint Version;
    public int Restricted;
    public byte InEnabled;
    public uint Network;
    public uint NetworkMask;
    public uint Host;
    public byte In6Enabled;
    public In6Address Prefix6;
    public byte PrefixLength6;
    public In6Address Host6;
    public nint HostName;
    public nint TftpServerName;
    public nint TftpPath;
    public nint BootFile;
    public uint DhcpStart;
    public uint NameServer;
    public In6Address NameServer6;
    public nint DnsSearch;
    public nint DomainName;
    public nuint Mtu;
    public nuint Mru;
    public byte DisableHostLoopback;
    public byte EnableEmulation;
    public nint OutboundAddress;
    public nint OutboundAddress6;
    public byte DisableDns;
    public byte DisableDhcp;
}

/// <summary>struct in6_addr: sixteen bytes on a boundary of four.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct In6Address
{
    public uint Word0;
    public uint Word1;
    public uint Word2;
    public uint Word3;
}

/// <summary>struct SlirpCb of libslirp.h: function pointers.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct SlirpCallbacks
{
    public nint SendPacket;
    public nint GuestError;
    public nint ClockGetNs;
    public nint TimerNew;
    public nint TimerFree;
    public nint TimerMod;
    public nint RegisterPollFd;
    public nint UnregisterPollFd;
    public nint Notify;
    public nint InitCompleted;
    public nint TimerNewOpaque;
}

[UnmanagedFunctionPointer(CallingConvention.Cdecl)]
internal delegate nint SlirpSendPacket(nint buffer, nuint length, nint opaque);

[UnmanagedFunctionPointer(CallingConvention.Cdecl)]
internal delegate void SlirpGuestError(nint message, nint opaque);

[UnmanagedFunctionPointer(CallingConvention.Cdecl)]
internal delegate long SlirpClock(nint opaque);

[UnmanagedFunctionPointer(CallingConvention.Cdecl)]
internal delegate nint SlirpTimerNew(nint callback, nint callbackOpaque, nint opaque);

[UnmanagedFunctionPointer(CallingConvention.Cdecl)]
internal delegate void SlirpTimerFree(nint timer, nint opaque);

[UnmanagedFunctionPointer(CallingConvention.Cdecl)]
internal delegate void SlirpTimerModify(nint timer, long milliseconds, nint opaque);

[UnmanagedFunctionPointer(CallingConvention.Cdecl)]
internal delegate void SlirpPollFd(int descriptor, nint opaque);

[UnmanagedFunctionPointer(CallingConvention.Cdecl)]
internal delegate void SlirpNotify(nint opaque);

[UnmanagedFunctionPointer(CallingConvention.Cdecl)]
internal delegate int SlirpAddPoll(int descriptor, int events, nint opaque);

[UnmanagedFunctionPointer(CallingConvention.Cdecl)]
internal delegate int SlirpGetRevents(int index, nint opaque);

[UnmanagedFunctionPointer(CallingConvention.Cdecl)]
internal delegate void SlirpTimerCallback(nint opaque);
