using System.Buffers.Binary;
using Farm.Machine.Storage;

namespace Farm.Machine.Devices.Ide;

/// <summary>Packet commands that describe drive and medium (MMC-3): one session, one data track.</summary>
public sealed partial class AtapiCdRom
{
    private const byte DataTrack = 0x14;

    private bool MediumIsDvd => Medium is { SectorCount: > MaxCdSectors };

    private static int AllocationAt7(ReadOnlySpan<byte> packet) => BinaryPrimitives.ReadUInt16BigEndian(packet[7..]);

    private void ReadToc(ReadOnlySpan<byte> packet, IBlockImage medium)
    {
        bool msf = (packet[1] & 2) != 0;
        int format = packet[2] & 0x0F;
        if (format == 0)
            format = packet[9] >> 6; // where SFF-8020i has it
        int length;
        switch (format)
        {
            case 0:
                length = TableOfContents(packet[6], msf, medium.SectorCount);
                break;
            case 1: // session information
                Clear(12);
                Buffer[2] = Buffer[3] = 1;
                Buffer[5] = DataTrack;
                Buffer[6] = 1;
                WriteAddress(Buffer.AsSpan(8), 0, msf);
                length = 12;
                break;
            case 2:
                length = FullTableOfContents(packet[6], medium.SectorCount);
                break;
            default:
                length = 0;
                break;
        }
        if (length == 0)
        {
            Check(Sense.InvalidField);
            return;
        }
        BinaryPrimitives.WriteUInt16BigEndian(Buffer, (ushort)(length - 2));
        Reply(length, AllocationAt7(packet));
    }

    private int TableOfContents(byte startTrack, bool msf, long sectors)
    {
        if (startTrack is > 1 and not 0xAA)
            return 0;
        Clear(20);
        Buffer[2] = Buffer[3] = 1;
        int at = 4;
        if (startTrack <= 1)
            at = Track(at, 1, 0);
        return Track(at, 0xAA, sectors);

        int Track(int offset, byte number, long lba)
        {
            Buffer[offset + 1] = DataTrack;
            Buffer[offset + 2] = number;
            WriteAddress(Buffer.AsSpan(offset + 4), lba, msf);
            return offset + 8;
        }
    }

    private int FullTableOfContents(byte session, long sectors)
    {
        if (session > 1)
            return 0;
        Clear(48);
        Buffer[2] = Buffer[3] = 1;
        int at = 4;
        Point(0xA0, (1, 0, 0)); // first track, disc type CD-ROM
        Point(0xA1, (1, 0, 0)); // last track
        Point(0xA2, RawSector.Msf(sectors)); // lead-out
        Point(1, RawSector.Msf(0));
        return at;

        void Point(byte point, (byte, byte, byte) address)
        {
            Buffer[at] = 1;
            Buffer[at + 1] = DataTrack;
            Buffer[at + 3] = point;
            (Buffer[at + 8], Buffer[at + 9], Buffer[at + 10]) = address;
            at += 11;
        }
    }

    private static void WriteAddress(Span<byte> field, long lba, bool msf)
    {
        if (msf)
        {
            field[0] = 0;
            (field[1], field[2], field[3]) = RawSector.Msf(lba);
        }
        else
        {
            BinaryPrimitives.WriteUInt32BigEndian(field, (uint)lba);
        }
    }

    private void ReadSubchannel(ReadOnlySpan<byte> packet)
    {
        bool wantsChannelQ = (packet[2] & 0x40) != 0;
        int format = packet[3];
        if (wantsChannelQ && format is not (1 or 2 or 3))
        {
            Check(Sense.InvalidField);
            return;
        }
        int length = !wantsChannelQ ? 4 : format == 1 ? 16 : 24;
        Clear(length);
        Buffer[1] = 0x15; // no audio status to return
        Buffer[3] = (byte)(length - 4);
        if (length > 4)
        {
            Buffer[4] = (byte)format;
            if (format != 2)
            {
                Buffer[5] = DataTrack;
                Buffer[6] = 1;
            }
            if (format == 1)
            {
                Buffer[7] = 1;
                WriteAddress(Buffer.AsSpan(8), _lba, (packet[1] & 2) != 0);
                WriteAddress(Buffer.AsSpan(12), _lba, (packet[1] & 2) != 0);
            }
        }
        Reply(length, AllocationAt7(packet));
    }

    private void ReadHeader(ReadOnlySpan<byte> packet, IBlockImage medium, long address)
    {
        if (address >= medium.SectorCount)
        {
            Check(Sense.AddressOutOfRange);
            return;
        }
        Clear(8)[0] = 1; // mode 1
        WriteAddress(Buffer.AsSpan(4), address, (packet[1] & 2) != 0);
        Reply(8, AllocationAt7(packet));
    }

    private void ReadDiscInformation(ReadOnlySpan<byte> packet)
    {
        Span<byte> reply = Clear(34);
        reply[1] = 32;
        reply[2] = 0x0E; // last session complete, disc finalized
        reply[3] = reply[4] = reply[5] = reply[6] = 1;
        reply[7] = 0x20; // unrestricted use
        reply[16..24].Fill(0xFF); // no further session can start
        Reply(34, AllocationAt7(packet));
    }

    private void ReadTrackInformation(ReadOnlySpan<byte> packet, IBlockImage medium)
    {
        Span<byte> reply = Clear(36);
        reply[1] = 34;
        reply[2] = reply[3] = 1;
        reply[5] = 4; // data track, uninterrupted
        reply[6] = 1; // mode 1
        BinaryPrimitives.WriteUInt32BigEndian(reply[24..], (uint)medium.SectorCount);
        Reply(36, AllocationAt7(packet));
    }

    /// <summary>READ DVD STRUCTURE: physical format (0), copyright (1), manufacturing information (4).</summary>
    private void ReadDvdStructure(ReadOnlySpan<byte> packet, IBlockImage medium)
    {
        int format = packet[7];
        int length = format switch { 0 or 4 => 2052, 1 => 8, _ => 0 };
        if (!MediumIsDvd)
        {
            Check(new Sense(5, 0x30, 2)); // incompatible medium
            return;
        }
        if (length == 0 || packet[6] != 0)
        {
            Check(Sense.InvalidField);
            return;
        }
        Clear(length);
        BinaryPrimitives.WriteUInt16BigEndian(Buffer, (ushort)(length - 2));
        if (format == 0)
        {
            const uint FirstSector = 0x30000;
            Buffer[4] = 0x01; // DVD-ROM, version 1
            Buffer[5] = 0x0F; // 120 mm, no maximum rate given
            Buffer[6] = 0x01; // one layer, embossed
            BinaryPrimitives.WriteUInt32BigEndian(Buffer.AsSpan(8), FirstSector);
            BinaryPrimitives.WriteUInt32BigEndian(Buffer.AsSpan(12), (uint)(FirstSector + medium.SectorCount - 1));
        }
        Reply(length, BinaryPrimitives.ReadUInt16BigEndian(packet[8..]));
    }

    private void MechanismStatus(int allocation)
    {
        Clear(8);
        Buffer[1] = (byte)(_trayOpen ? 0x10 : 0); // door
        Buffer[5] = 0; // no changer
        Reply(8, allocation);
    }

    private void GetEventStatus(ReadOnlySpan<byte> packet)
    {
        if ((packet[1] & 1) == 0)
        {
            Check(Sense.InvalidField); // asynchronous notification needs overlapped commands
            return;
        }
        const int MediaClass = 4;
        Clear(8);
        Buffer[3] = 1 << MediaClass;
        if ((packet[4] & (1 << MediaClass)) == 0)
        {
            Buffer[1] = 2;
            Buffer[2] = 0x80; // no event available
            Reply(4, AllocationAt7(packet));
            return;
        }
        MediaEvent current = _ejectRequested ? MediaEvent.EjectRequest : _event;
        if (_ejectRequested)
            _ejectRequested = false;
        else
            _event = MediaEvent.None;
        Buffer[1] = 6;
        Buffer[2] = MediaClass;
        Buffer[4] = (byte)current;
        Buffer[5] = (byte)((_trayOpen ? 1 : 0) | (Medium is not null ? 2 : 0));
        Reply(8, AllocationAt7(packet));
    }

    private void GetConfiguration(ReadOnlySpan<byte> packet)
    {
        int requestType = packet[1] & 3;
        int starting = BinaryPrimitives.ReadUInt16BigEndian(packet[2..]);
        if (requestType == 3)
        {
            Check(Sense.InvalidField);
            return;
        }
        const ushort CdRom = 0x0008, DvdRom = 0x0010;
        ushort current = Medium is null ? (ushort)0 : MediumIsDvd ? DvdRom : CdRom;
        Clear(128);
        BinaryPrimitives.WriteUInt16BigEndian(Buffer.AsSpan(6), current);
        int at = 8;
        Feature(0x0000, 0x03, [DvdRom >> 8, DvdRom & 0xFF, (byte)(current == DvdRom ? 1 : 0), 0, CdRom >> 8, CdRom & 0xFF, (byte)(current == CdRom ? 1 : 0), 0]);
        Feature(0x0001, 0x0B, [0, 0, 0, 2, 1, 0, 0, 0]); // core: ATAPI
        Feature(0x0002, 0x07, [2, 0, 0, 0]); // morphing
        Feature(0x0003, 0x03, [0x29, 0, 0, 0]); // removable medium: tray, eject, lock
        Feature(0x0010, Current(current != 0), [0, 0, 0x08, 0, 0, 1, 0, 0]); // random readable, 2048 bytes
        Feature(0x001E, Current(current == CdRom), []); // CD read
        Feature(0x001F, Current(current == DvdRom), []); // DVD read
        BinaryPrimitives.WriteUInt32BigEndian(Buffer, (uint)(at - 4));
        Reply(at, AllocationAt7(packet));

        static byte Current(bool current) => (byte)(current ? 1 : 0);

        void Feature(int code, byte flags, ReadOnlySpan<byte> data)
        {
            bool wanted = requestType switch
            {
                0 => code >= starting,
                1 => code >= starting && (flags & 1) != 0,
                _ => code == starting,
            };
            if (!wanted)
                return;
            BinaryPrimitives.WriteUInt16BigEndian(Buffer.AsSpan(at), (ushort)code);
            Buffer[at + 2] = flags;
            Buffer[at + 3] = (byte)data.Length;
            data.CopyTo(Buffer.AsSpan(at + 4));
            at += 4 + data.Length;
        }
    }

    private void ModeSense(ReadOnlySpan<byte> packet, int headerSize, int allocation)
    {
        int page = packet[2] & 0x3F;
        if (packet[2] >> 6 == 3)
        {
            Check(Sense.SavingNotSupported);
            return;
        }
        bool changeable = packet[2] >> 6 == 1;
        Clear(256);
        int at = headerSize;
        Page(0x01, [0, 0, 0, 0, 0, 0]); // read error recovery
        Page(0x0E, [4, 0, 0, 0, 0, 75, 1, 0xFF, 2, 0xFF, 0, 0, 0, 0]); // audio control
        Page(0x1A, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]); // power condition
        Page(0x2A, [
            0x0B, 0, // reads CD-R, CD-RW, DVD-ROM
            0x70, 0x60, // mode 2 forms 1 and 2, multi-session
            (byte)(0x29 | (_locked ? 2 : 0)), 0, // tray, eject, lock
            0x02, 0xC2, 0, 0, // 706 KB/s (4x)
            0, 64, 0x02, 0xC2, 0, 0, 0, 0]);
        if (at == headerSize)
        {
            Check(Sense.InvalidField);
            return;
        }
        byte mediumType = (byte)(_trayOpen ? 0x71 : _medium is null ? 0x70 : 0x01);
        if (headerSize == 8)
        {
            BinaryPrimitives.WriteUInt16BigEndian(Buffer, (ushort)(at - 2));
            Buffer[2] = mediumType;
        }
        else
        {
            Buffer[0] = (byte)(at - 1);
            Buffer[1] = mediumType;
        }
        Reply(at, allocation);

        void Page(byte code, ReadOnlySpan<byte> data)
        {
            if (page != code && page != 0x3F)
                return;
            Buffer[at] = code;
            Buffer[at + 1] = (byte)data.Length;
            if (!changeable)
                data.CopyTo(Buffer.AsSpan(at + 2));
            at += 2 + data.Length;
        }
    }
}
