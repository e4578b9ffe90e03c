using System.Buffers.Binary;
using Farm.Machine.Network;

namespace Farm.Machine.Devices.Nics.Rtl8139;

/// <summary>Transmit descriptors and the receive ring.</summary>
public sealed partial class Rtl8139C
{
    private const int LargestTransmit = 0x700;
    private const int PacketHeader = 4;
    private const int CheckSequenceLength = 4;
    private const uint LoopbackMask = 0x0006_0000;
    private const long NanosecondsPerByte = 80; // 100 Mbit/s
    private const int WireOverhead = 8 + 4 + 12; // preamble, check sequence, gap between frames
    private const int LargestRing = 0x10000;

    /// <inheritdoc/>
    public bool HasRoom => !Receiving || Needed(Ethernet.MaximumFrame) < FreeBytes;

    private bool Receiving => (_command & Rtl8139Command.ReceiverEnable) != 0 && MasterEnabled;

    private bool Loopback => (_transmitConfiguration & LoopbackMask) == LoopbackMask;

    /// <summary>8, 16, 32 or 64 KiB.</summary>
    private int RingSize => 0x2000 << ((int)(_receiveConfiguration & Rtl8139ReceiveConfiguration.BufferLengthMask) >> 11);

    /// <summary>CAPR is kept 16 bytes behind what the driver has read (data sheet, 5.8).</summary>
    private int ReadOffset => (_readPointer + 0x10) & (RingSize - 1);

    private bool BufferEmpty => _writePointer % RingSize == ReadOffset;

    private int FreeBytes => BufferEmpty ? RingSize : (ReadOffset - _writePointer) & (RingSize - 1);

    private uint TransmitSummary
    {
        get
        {
            uint value = 0;
            for (int i = 0; i < Descriptors; i++)
            {
                value |= Bit(i, Rtl8139TransmitStatus.Own, 0) | Bit(i, Rtl8139TransmitStatus.Aborted, 4)
                    | Bit(i, Rtl8139TransmitStatus.FifoUnderrun, 8) | Bit(i, Rtl8139TransmitStatus.Ok, 12);
            }
            return value;

            uint Bit(int descriptor, Rtl8139TransmitStatus status, int at) => (_transmitStatus[descriptor] & status) != 0 ? 1u << (at + descriptor) : 0;
        }
    }

    /// <inheritdoc/>
    public void Receive(ReadOnlySpan<byte> frame)
    {
        if (!Loopback)
            Store(frame);
    }

    private static int Needed(int length) => (PacketHeader + length + CheckSequenceLength + 3) & ~3;

    private void Store(ReadOnlySpan<byte> frame)
    {
        if (!Receiving || frame.Length is < Ethernet.HeaderLength or > Ethernet.MaximumFrame || Accepts(frame) is not { } status)
            return;
        int needed = Needed(frame.Length);
        if (needed >= FreeBytes)
        {
            _missed = _missed + 1 & 0xFF_FFFF;
            Raise(Rtl8139Interrupt.ReceiveBufferOverflow);
            return;
        }
        Span<byte> packet = stackalloc byte[needed];
        packet.Clear();
        BinaryPrimitives.WriteUInt16LittleEndian(packet, (ushort)(status | Rtl8139ReceiveStatus.Ok));
        BinaryPrimitives.WriteUInt16LittleEndian(packet[2..], (ushort)(frame.Length + CheckSequenceLength));
        frame.CopyTo(packet[PacketHeader..]);
        BinaryPrimitives.WriteUInt32LittleEndian(packet[(PacketHeader + frame.Length)..], Ethernet.CheckSequence(frame));

        _writePointer &= RingSize - 1;
        // without WRAP a packet goes on at the ring's start; with it, behind the ring's end (never with 64 KiB)
        bool beyond = (_receiveConfiguration & Rtl8139ReceiveConfiguration.NoWrap) != 0 && RingSize != LargestRing;
        int first = beyond ? needed : Math.Min(needed, RingSize - _writePointer);
        _memory.Write(_receiveBuffer + (uint)_writePointer, packet[..first]);
        if (first < needed)
            _memory.Write(_receiveBuffer, packet[first..]);
        _writePointer = (_writePointer + needed) & (RingSize - 1);
        Raise(Rtl8139Interrupt.ReceiveOk);
    }

    private Rtl8139ReceiveStatus? Accepts(ReadOnlySpan<byte> frame)
    {
        var address = frame[..MacAddress.Length];
        var accept = _receiveConfiguration;
        if ((frame[0] & 1) == 0)
        {
            bool own = address.SequenceEqual(_station.AsSpan(0, MacAddress.Length));
            if (own && (accept & Rtl8139ReceiveConfiguration.AcceptPhysicalMatch) != 0)
                return Rtl8139ReceiveStatus.PhysicalMatch;
            return (accept & Rtl8139ReceiveConfiguration.AcceptAllPhysical) != 0 ? own ? Rtl8139ReceiveStatus.PhysicalMatch : 0 : null;
        }
        if (address.IndexOfAnyExcept((byte)0xFF) < 0)
            return (accept & Rtl8139ReceiveConfiguration.AcceptBroadcast) != 0 ? Rtl8139ReceiveStatus.Broadcast : null;
        int hash = Ethernet.MulticastHash(address);
        bool selected = (_multicast[hash >> 3] >> (hash & 7) & 1) != 0;
        return (accept & Rtl8139ReceiveConfiguration.AcceptMulticast) != 0 && selected ? Rtl8139ReceiveStatus.Multicast : null;
    }

    /// <summary>Writing a size with OWN clear hands the descriptor to the chip.</summary>
    private void WriteTransmitStatus(int descriptor, uint value, uint mask)
    {
        const uint writable = (uint)(Rtl8139TransmitStatus.SizeMask | Rtl8139TransmitStatus.Own | Rtl8139TransmitStatus.EarlyThresholdMask);
        if ((_command & Rtl8139Command.TransmitterEnable) == 0)
            return;
        _transmitStatus[descriptor] = (Rtl8139TransmitStatus)(Merged((uint)_transmitStatus[descriptor], value, mask) & writable);
        StartTransmission();
    }

    /// <summary>Descriptors are sent in turn, 0 to 3 and round again.</summary>
    private void StartTransmission()
    {
        var status = _transmitStatus[_transmitting];
        if (_transmitted.Armed || !MasterEnabled || (_command & Rtl8139Command.TransmitterEnable) == 0 || (status & Rtl8139TransmitStatus.Own) != 0)
            return;
        int size = (int)(status & Rtl8139TransmitStatus.SizeMask);
        _transmitted.Arm(_clock.Now + (Math.Max(size, Ethernet.MinimumFrame) + WireOverhead) * NanosecondsPerByte);
    }

    private void TransmissionDone()
    {
        ref var status = ref _transmitStatus[_transmitting];
        int size = (int)(status & Rtl8139TransmitStatus.SizeMask);
        bool sent = size <= LargestTransmit;
        if (sent)
        {
            Span<byte> frame = stackalloc byte[size];
            _memory.Read(_transmitAddress[_transmitting], frame);
            if (Loopback)
                Store(frame);
            else
                _cable.Transmit(frame);
        }
        status |= Rtl8139TransmitStatus.Own | (sent ? Rtl8139TransmitStatus.Ok : Rtl8139TransmitStatus.Aborted);
        _transmitting = (_transmitting + 1) % Descriptors;
        Raise(sent ? Rtl8139Interrupt.TransmitOk : Rtl8139Interrupt.TransmitError);
        StartTransmission();
    }
}
