using Farm.Machine.Network;

namespace Farm.Machine.Devices.Nics.Ne2000;

/// <summary>Remote DMA, transmission and the receive ring.</summary>
public sealed partial class Dp8390
{
    private const int PageSize = 256;
    private const int PacketHeader = 4;
    private const int CheckSequenceLength = 4;

    /// <inheritdoc/>
    public bool HasRoom => !Receiving || FreePages > Pages(Ethernet.MaximumFrame);

    private bool Receiving => _running && !Loopback && (_receive & Dp8390ReceiveConfiguration.Monitor) == 0;

    /// <summary>Pages from CURR up to BNRY; the whole ring when they are the same.</summary>
    private int FreePages
    {
        get
        {
            int ring = _pageStop - _pageStart;
            int free = _boundary - _current;
            return ring <= 0 ? 0 : free > 0 ? free : free + ring;
        }
    }

    /// <inheritdoc/>
    public void Receive(ReadOnlySpan<byte> frame)
    {
        if (!_running || Loopback || frame.Length > Ethernet.MaximumFrame || !Accepts(frame))
            return;
        if ((_receive & Dp8390ReceiveConfiguration.Monitor) != 0)
        {
            CountMissed();
            return;
        }
        int pages = Pages(frame.Length);
        if (pages >= FreePages || _current < _pageStart || _current >= _pageStop)
        {
            _receiveStatus = Dp8390ReceiveStatus.MissedPacket;
            CountMissed();
            Raise(Dp8390Interrupt.OverwriteWarning);
            return;
        }
        int next = _current + pages;
        if (next >= _pageStop)
            next -= _pageStop - _pageStart;
        _receiveStatus = Dp8390ReceiveStatus.PacketReceived;
        if ((frame[0] & 1) != 0)
            _receiveStatus |= Dp8390ReceiveStatus.PhysicalAddressMissed;

        int count = frame.Length + CheckSequenceLength;
        int at = _current * PageSize;
        Store(ref at, [(byte)_receiveStatus, (byte)next, (byte)count, (byte)(count >> 8)]);
        Store(ref at, frame);
        uint check = Ethernet.CheckSequence(frame);
        Store(ref at, [(byte)check, (byte)(check >> 8), (byte)(check >> 16), (byte)(check >> 24)]);
        _current = (byte)next;
        Raise(Dp8390Interrupt.PacketReceived);
    }

    private static int Pages(int length) => (length + PacketHeader + CheckSequenceLength + PageSize - 1) / PageSize;

    private bool Accepts(ReadOnlySpan<byte> frame)
    {
        if ((frame[0] & 1) == 0)
            return (_receive & Dp8390ReceiveConfiguration.Promiscuous) != 0 || frame[..MacAddress.Length].SequenceEqual(_station);
        if (frame[..MacAddress.Length].IndexOfAnyExcept((byte)0xFF) < 0 && (_receive & Dp8390ReceiveConfiguration.AcceptBroadcast) != 0)
            return true;
        int hash = Ethernet.MulticastHash(frame);
        return (_receive & Dp8390ReceiveConfiguration.AcceptMulticast) != 0 && (_multicast[hash >> 3] >> (hash & 7) & 1) != 0;
    }

    /// <summary>Tally counters stop at 192 and interrupt when their top bit comes up (data sheet, 10.3).</summary>
    private void CountMissed()
    {
        const byte most = 192, topBit = 0x80;
        if (_tally[2] < most && ++_tally[2] == topBit)
            Raise(Dp8390Interrupt.CounterOverflow);
    }

    /// <summary>The local DMA's writes: after the ring's last page comes its first.</summary>
    private void Store(ref int at, ReadOnlySpan<byte> bytes)
    {
        foreach (byte value in bytes)
        {
            WriteMemory(at, value);
            if (++at == _pageStop * PageSize)
                at = _pageStart * PageSize;
        }
    }

    private void Transmit()
    {
        _command |= Dp8390Command.TransmitPacket;
        _transmitStatus = 0;
        _transmitted.Arm(_clock.Now + (Math.Max((int)_transmitCount, Ethernet.MinimumFrame) + WireOverhead) * NanosecondsPerByte);
    }

    /// <summary>The wire is free again: only now does the frame leave, so that no answer can come before it is sent.</summary>
    private void TransmissionDone()
    {
        _command &= ~Dp8390Command.TransmitPacket;
        _transmitStatus = Dp8390TransmitStatus.Transmitted;
        if (Loopback)
        {
            _transmitStatus |= Dp8390TransmitStatus.CarrierSenseLost;
        }
        else
        {
            // what is longer than any frame is left to the cable to drop
            int length = Math.Min((int)_transmitCount, Ethernet.MaximumFrame + 1);
            Span<byte> frame = stackalloc byte[length];
            for (int i = 0; i < length; i++)
                frame[i] = ReadMemory(_transmitPage * PageSize + i);
            _cable.Transmit(frame);
        }
        Raise(Dp8390Interrupt.PacketTransmitted);
    }

    /// <summary>The send packet command reads the packet at BNRY: its length comes from the header in the ring.</summary>
    private void BeginSendPacket()
    {
        int at = _boundary * PageSize;
        _remoteAddress = (ushort)at;
        _remoteCount = (ushort)(ReadMemory(at + 2) | ReadMemory(at + 3) << 8);
        if (_remoteCount == 0)
            RemoteDmaDone();
    }

    private uint ReadDataPort(int size)
    {
        uint value = ReadMemory(_remoteAddress);
        int step = 1;
        if ((_data & Dp8390DataConfiguration.WordTransfer) != 0 || size == 2)
        {
            value |= (uint)ReadMemory(_remoteAddress + 1) << 8;
            step = 2;
        }
        AdvanceRemoteDma(step, Dp8390Command.RemoteRead);
        return size == 1 ? (byte)value : value;
    }

    private void WriteDataPort(uint value, int size)
    {
        if (_remoteCount == 0 || (_command & Dp8390Command.RemoteMask) != Dp8390Command.RemoteWrite)
            return;
        WriteMemory(_remoteAddress, (byte)value);
        int step = 1;
        if ((_data & Dp8390DataConfiguration.WordTransfer) != 0 || size == 2)
        {
            if (_remoteCount > 1)
                WriteMemory(_remoteAddress + 1, (byte)(value >> 8));
            step = 2;
        }
        AdvanceRemoteDma(step, Dp8390Command.RemoteWrite);
    }

    private void AdvanceRemoteDma(int step, Dp8390Command direction)
    {
        var remote = _command & Dp8390Command.RemoteMask;
        if (_remoteCount == 0 || remote != direction && !(direction == Dp8390Command.RemoteRead && remote == Dp8390Command.SendPacket))
            return;
        int next = _remoteAddress + step;
        _remoteAddress = (ushort)(next == _pageStop * PageSize ? _pageStart * PageSize : next);
        _remoteCount = (ushort)Math.Max(0, _remoteCount - step);
        if (_remoteCount == 0)
            RemoteDmaDone();
    }

    /// <summary>After a send packet command the boundary moves to the next packet.</summary>
    private void RemoteDmaDone()
    {
        if ((_command & Dp8390Command.RemoteMask) == Dp8390Command.SendPacket)
        {
            _boundary = ReadMemory(_boundary * PageSize + 1);
            _cable.RoomMade();
        }
        Raise(Dp8390Interrupt.RemoteDmaComplete);
    }

    private byte ReadMemory(int address) => (address & 0xFFFF) switch
    {
        < PromSize and var at => _prom[at],
        >= BufferStart and < BufferStart + BufferSize and var at => _buffer[at - BufferStart],
        _ => 0xFF,
    };

    private void WriteMemory(int address, byte value)
    {
        int at = address & 0xFFFF;
        if (at is >= BufferStart and < BufferStart + BufferSize)
            _buffer[at - BufferStart] = value;
    }
}
