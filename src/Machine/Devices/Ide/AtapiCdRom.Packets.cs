using System.Buffers.Binary;
using Farm.Machine.Storage;

namespace Farm.Machine.Devices.Ide;

/// <summary>Packet commands: dispatch, unit attention, tray and reading (MMC-3).</summary>
public sealed partial class AtapiCdRom
{
    private Sense NotReady => _trayOpen ? Sense.MediumNotPresentTrayOpen : Sense.MediumNotPresentTrayClosed;

    private void ExecutePacket(ReadOnlySpan<byte> packet)
    {
        var command = (PacketCommand)packet[0];
        if (command is not (PacketCommand.Inquiry or PacketCommand.RequestSense or PacketCommand.GetConfiguration or PacketCommand.GetEventStatusNotification))
        {
            if (_mediumChanged)
            {
                _mediumChanged = false;
                Check(Sense.MediumMayHaveChanged);
                return;
            }
            _sense = Sense.None;
        }
        if (Medium is not { } medium)
            ExecuteWithoutMedium(command, packet);
        else if (!ExecuteOnMedium(command, packet, medium))
            ExecuteWithoutMedium(command, packet);
    }

    /// <summary>Commands that work with an empty drive; the others answer NOT READY or invalid opcode.</summary>
    private void ExecuteWithoutMedium(PacketCommand command, ReadOnlySpan<byte> packet)
    {
        switch (command)
        {
            case PacketCommand.RequestSense:
                RequestSense(packet[4]);
                break;
            case PacketCommand.Inquiry:
                Inquiry(packet);
                break;
            case PacketCommand.ModeSense6:
                ModeSense(packet, headerSize: 4, allocation: packet[4]);
                break;
            case PacketCommand.ModeSense10:
                ModeSense(packet, headerSize: 8, allocation: BinaryPrimitives.ReadUInt16BigEndian(packet[7..]));
                break;
            case PacketCommand.ModeSelect6:
                ReceiveParameters(packet[4]);
                break;
            case PacketCommand.ModeSelect10:
                ReceiveParameters(BinaryPrimitives.ReadUInt16BigEndian(packet[7..]));
                break;
            case PacketCommand.StartStopUnit:
                StartStop(packet[4]);
                break;
            case PacketCommand.PreventAllowMediumRemoval:
                _locked = (packet[4] & 1) != 0 && !_trayOpen;
                Good();
                break;
            case PacketCommand.GetConfiguration:
                GetConfiguration(packet);
                break;
            case PacketCommand.GetEventStatusNotification:
                GetEventStatus(packet);
                break;
            case PacketCommand.MechanismStatus:
                MechanismStatus(BinaryPrimitives.ReadUInt16BigEndian(packet[8..]));
                break;
            case PacketCommand.SetCdSpeed or PacketCommand.StopPlayScan or PacketCommand.SynchronizeCache or PacketCommand.RezeroUnit:
                Good();
                break;
            default:
                Check(NeedsMedium(command) ? NotReady : Sense.InvalidOpcode);
                break;
        }
    }

    private bool NeedsMedium(PacketCommand command) => Medium is null && command is PacketCommand.TestUnitReady or PacketCommand.ReadCapacity
        or PacketCommand.Read10 or PacketCommand.Read12 or PacketCommand.ReadCd or PacketCommand.ReadCdMsf or PacketCommand.Seek or PacketCommand.Verify
        or PacketCommand.ReadSubchannel or PacketCommand.ReadToc or PacketCommand.ReadHeader or PacketCommand.PlayAudio10 or PacketCommand.PlayAudioMsf
        or PacketCommand.PauseResume or PacketCommand.ReadDiscInformation or PacketCommand.ReadTrackInformation or PacketCommand.ReadDvdStructure;

    /// <summary>Commands that need a medium; false: none of them.</summary>
    private bool ExecuteOnMedium(PacketCommand command, ReadOnlySpan<byte> packet, IBlockImage medium)
    {
        uint address = BinaryPrimitives.ReadUInt32BigEndian(packet[2..]);
        switch (command)
        {
            case PacketCommand.TestUnitReady:
                Good();
                break;
            case PacketCommand.ReadCapacity:
                BinaryPrimitives.WriteUInt32BigEndian(Buffer, (uint)Math.Min(medium.SectorCount - 1, uint.MaxValue));
                BinaryPrimitives.WriteUInt32BigEndian(Buffer.AsSpan(4), 2048);
                Reply(8, 8);
                break;
            case PacketCommand.Read10:
                Read(medium, address, BinaryPrimitives.ReadUInt16BigEndian(packet[7..]), SectorParts.UserData);
                break;
            case PacketCommand.Read12:
                Read(medium, address, BinaryPrimitives.ReadUInt32BigEndian(packet[6..]), SectorParts.UserData);
                break;
            case PacketCommand.ReadCd:
                ReadCd(packet, medium, address, (uint)((packet[6] << 16) | (packet[7] << 8) | packet[8]));
                break;
            case PacketCommand.ReadCdMsf:
                long start = Lba(packet[3], packet[4], packet[5]);
                long end = Lba(packet[6], packet[7], packet[8]);
                if (start < 0 || end < start)
                    Check(Sense.InvalidField);
                else
                    ReadCd(packet, medium, start, end - start);
                break;
            case PacketCommand.Seek or PacketCommand.Verify:
                if (address >= medium.SectorCount)
                    Check(Sense.AddressOutOfRange);
                else
                    Good();
                break;
            case PacketCommand.ReadToc:
                ReadToc(packet, medium);
                break;
            case PacketCommand.ReadSubchannel:
                ReadSubchannel(packet);
                break;
            case PacketCommand.ReadHeader:
                ReadHeader(packet, medium, address);
                break;
            case PacketCommand.ReadDiscInformation:
                ReadDiscInformation(packet);
                break;
            case PacketCommand.ReadTrackInformation:
                ReadTrackInformation(packet, medium);
                break;
            case PacketCommand.ReadDvdStructure:
                ReadDvdStructure(packet, medium);
                break;
            case PacketCommand.PlayAudio10 or PacketCommand.PlayAudioMsf:
                Check(Sense.IllegalModeForTrack);
                break;
            case PacketCommand.PauseResume:
                Check(new Sense(5, 0x2C)); // nothing is playing: command sequence error
                break;
            default:
                return false;
        }
        return true;
    }

    private static long Lba(byte minute, byte second, byte frame) => (((minute * 60) + second) * 75) + frame - 150;

    private void Read(IBlockImage medium, long address, long count, SectorParts parts)
    {
        if (address + count > medium.SectorCount || count > int.MaxValue)
            Check(Sense.AddressOutOfRange);
        else
            SendSectors(address, (int)count, parts);
    }

    private void ReadCd(ReadOnlySpan<byte> packet, IBlockImage medium, long address, long count)
    {
        int expectedType = (packet[1] >> 2) & 7;
        if (expectedType is not (0 or 2))
        {
            Check(Sense.IllegalModeForTrack); // every sector is mode 1
            return;
        }
        if (packet[10] != 0 || (packet[9] & 0x06) != 0)
        {
            Check(Sense.InvalidField); // sub-channels, C2 pointers
            return;
        }
        Read(medium, address, count, (SectorParts)(packet[9] & 0xB8));
    }

    private void StartStop(byte operation)
    {
        bool start = (operation & 1) != 0;
        bool loadOrEject = (operation & 2) != 0;
        if (loadOrEject && !start && _locked)
        {
            Check(Sense.RemovalPrevented);
            return;
        }
        if (loadOrEject && !start)
            OpenTray();
        else if (loadOrEject && _trayOpen)
            CloseTray();
        Good();
    }

    private void RequestSense(int allocation)
    {
        Sense sense = _sense;
        if (_mediumChanged && sense == Sense.None)
        {
            sense = Sense.MediumMayHaveChanged;
            _mediumChanged = false;
        }
        Span<byte> reply = Clear(18);
        reply[0] = 0x70;
        reply[2] = sense.Key;
        if (sense.Sector is { } sector)
        {
            reply[0] |= 0x80; // the information field is valid
            BinaryPrimitives.WriteUInt32BigEndian(reply[3..], sector);
        }
        reply[7] = 10;
        reply[12] = sense.Code;
        reply[13] = sense.Qualifier;
        _sense = Sense.None;
        Reply(18, allocation);
    }

    private void Inquiry(ReadOnlySpan<byte> packet)
    {
        if ((packet[1] & 1) != 0)
        {
            Check(Sense.InvalidField); // no vital product data
            return;
        }
        Span<byte> reply = Clear(36);
        reply[0] = 0x05; // CD-ROM
        reply[1] = 0x80; // removable
        reply[3] = 0x21; // ATAPI version 2, response format 1
        reply[4] = 31;
        "FARM    CD-ROM          1.0 "u8.CopyTo(reply[8..]);
        Reply(36, packet[4]);
    }

    /// <summary>The first <paramref name="length"/> bytes of the buffer, zeroed.</summary>
    private Span<byte> Clear(int length)
    {
        Span<byte> reply = Buffer.AsSpan(0, length);
        reply.Clear();
        return reply;
    }
}
