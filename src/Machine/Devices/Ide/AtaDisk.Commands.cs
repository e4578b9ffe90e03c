using System.Buffers.Binary;
using Farm.Machine.Storage;

namespace Farm.Machine.Devices.Ide;

public sealed partial class AtaDisk
{
    protected override void Execute(AtaCommand command)
    {
        if ((byte)command is >= 0x10 and <= 0x1F)
            command = AtaCommand.Recalibrate;
        else if ((byte)command is >= 0x70 and <= 0x7F)
            command = AtaCommand.Seek;
        switch (command)
        {
            case AtaCommand.ReadSectors or AtaCommand.ReadSectorsNoRetry:
                StartRead(1, extended: false);
                break;
            case AtaCommand.ReadSectorsExt:
                StartRead(1, extended: true);
                break;
            case AtaCommand.ReadMultiple or AtaCommand.ReadMultipleExt when _multiple > 0:
                StartRead(_multiple, command == AtaCommand.ReadMultipleExt);
                break;
            case AtaCommand.WriteSectors or AtaCommand.WriteSectorsNoRetry or AtaCommand.WriteVerify:
                StartWrite(1, extended: false);
                break;
            case AtaCommand.WriteSectorsExt:
                StartWrite(1, extended: true);
                break;
            case AtaCommand.WriteMultiple or AtaCommand.WriteMultipleExt or AtaCommand.WriteMultipleFuaExt when _multiple > 0:
                StartWrite(_multiple, command != AtaCommand.WriteMultiple);
                break;
            case AtaCommand.ReadDma or AtaCommand.ReadDmaNoRetry or AtaCommand.ReadDmaExt:
                StartDma(command == AtaCommand.ReadDmaExt, writing: false);
                break;
            case AtaCommand.WriteDma or AtaCommand.WriteDmaNoRetry or AtaCommand.WriteDmaExt or AtaCommand.WriteDmaFuaExt:
                StartDma(command is AtaCommand.WriteDmaExt or AtaCommand.WriteDmaFuaExt, writing: true);
                break;
            case AtaCommand.ReadVerifySectors or AtaCommand.ReadVerifySectorsNoRetry or AtaCommand.ReadVerifySectorsExt:
                StartVerify(command == AtaCommand.ReadVerifySectorsExt);
                break;
            case AtaCommand.Recalibrate:
                LbaMid = LbaHigh = 0;
                After(Channel.Timing.CommandNs, Complete);
                break;
            case AtaCommand.Seek:
                bool reachable = Address(extended: false) < _image.SectorCount;
                After(Channel.Timing.CommandNs, reachable ? Complete : () => Fail(AtaError.IDNF));
                break;
            case AtaCommand.IdentifyDevice:
                _remaining = 0;
                After(Channel.Timing.CommandNs, () =>
                {
                    WriteIdentity(Buffer.AsSpan(0, 512));
                    OfferData(512);
                });
                break;
            case AtaCommand.ReadBuffer:
                _remaining = 0;
                After(Channel.Timing.CommandNs, () => OfferData(512));
                break;
            case AtaCommand.WriteBuffer:
                _dataOut = () => After(Channel.Timing.CommandNs, Complete);
                RequestData(512, interrupt: false);
                break;
            case AtaCommand.InitializeDeviceParameters:
                InitializeParameters();
                break;
            case AtaCommand.SetMultipleMode:
                SetMultiple();
                break;
            case AtaCommand.SetFeatures:
                SetFeatures();
                break;
            case AtaCommand.FlushCache or AtaCommand.FlushCacheExt:
                _image.Flush();
                After(Channel.Timing.CommandNs, Complete);
                break;
            case AtaCommand.ReadNativeMaxAddress or AtaCommand.ReadNativeMaxAddressExt:
                NativeMaximum(command == AtaCommand.ReadNativeMaxAddressExt);
                break;
            case AtaCommand.CheckPowerMode or AtaCommand.CheckPowerModeOld:
                Count = 0xFF; // active
                After(Channel.Timing.CommandNs, Complete);
                break;
            case AtaCommand.StandbyImmediate or AtaCommand.StandbyImmediateOld or AtaCommand.IdleImmediate or AtaCommand.IdleImmediateOld
                or AtaCommand.Standby or AtaCommand.StandbyOld or AtaCommand.Idle or AtaCommand.IdleOld or AtaCommand.Sleep or AtaCommand.SleepOld:
                After(Channel.Timing.CommandNs, Complete);
                break;
            default: // NOP, SMART, security, packet commands: what is not supported is aborted
                Abort();
                break;
        }
    }

    private void Abort() => After(Channel.Timing.CommandNs, () => Fail(AtaError.ABRT));

    /// <summary>INITIALIZE DEVICE PARAMETERS: the host's own heads and sectors per track.</summary>
    private void InitializeParameters()
    {
        int heads = (Device & 0x0F) + 1;
        int perTrack = Count;
        if (perTrack == 0)
        {
            Abort();
            return;
        }
        _current = new DiskGeometry((int)Math.Min(65535, _image.SectorCount / (heads * perTrack)), heads, perTrack);
        After(Channel.Timing.CommandNs, Complete);
    }

    private void SetMultiple()
    {
        int sectors = Count;
        if (sectors > MaxMultiple || (sectors & (sectors - 1)) != 0)
        {
            Abort();
            return;
        }
        _multiple = sectors;
        After(Channel.Timing.CommandNs, Complete);
    }

    private void SetFeatures()
    {
        bool known = true;
        switch (Features)
        {
            case 0x02:
                _writeCache = true;
                break;
            case 0x82:
                _writeCache = false;
                break;
            case 0xAA:
                _lookAhead = true;
                break;
            case 0x55:
                _lookAhead = false;
                break;
            case 0x03:
                known = SetTransferMode(Count);
                break;
            case 0x66 or 0xCC: // keep or restore settings over a software reset
                break;
            default:
                known = false;
                break;
        }
        if (known)
            After(Channel.Timing.CommandNs, Complete);
        else
            Abort();
    }

    private bool SetTransferMode(byte mode)
    {
        bool valid = mode switch
        {
            <= 0x01 or (>= 0x08 and <= 0x0C) => true,
            (>= 0x20 and <= 0x22) or (>= 0x40 and <= 0x45) => Channel.BusMaster is not null,
            _ => false,
        };
        if (valid)
            _transferMode = mode;
        return valid;
    }

    private void NativeMaximum(bool extended)
    {
        long last = _image.SectorCount - 1;
        _extended = extended;
        bool chs = (Device & 0x40) == 0;
        ShowAddress(extended ? last : Math.Min(last, (chs ? _current.Sectors : Lba28Limit) - 1));
        After(Channel.Timing.CommandNs, Complete);
    }

    /// <summary>IDENTIFY DEVICE data (ATA/ATAPI-6, 8.15.8).</summary>
    private void WriteIdentity(Span<byte> data)
    {
        data.Clear();
        var words = new IdentifyWords(data);
        bool dma = Channel.BusMaster is not null;
        long sectors = _image.SectorCount;
        words[0] = 0x0040; // fixed disk
        words[1] = (ushort)_physical.Cylinders;
        words[3] = (ushort)_physical.Heads;
        words[4] = (ushort)(512 * _physical.SectorsPerTrack); // unformatted bytes per track and per sector: retired since ATA-2,
        words[5] = 512; // but the Bochs BIOS takes its transfer size from here
        words[6] = (ushort)_physical.SectorsPerTrack;
        words.Text(10, 10, _serial);
        words[20] = 3; // dual-ported buffer with look-ahead
        words[21] = BufferSize / 512;
        words[22] = 4;
        words.Text(23, 4, "1.0");
        words.Text(27, 20, "FARM HARDDISK");
        words[47] = 0x8000 | MaxMultiple;
        words[48] = 1; // 32-bit access to the data register
        words[49] = (ushort)(0x0E00 | (dma ? 0x0100 : 0)); // LBA, IORDY
        words[50] = 0x4000;
        words[51] = 0x0200;
        words[52] = 0x0200;
        words[53] = 0x0007;
        words[54] = (ushort)Math.Min(65535, _current.Cylinders);
        words[55] = (ushort)_current.Heads;
        words[56] = (ushort)_current.SectorsPerTrack;
        words.DoubleWord(57, (uint)Math.Min(_current.Sectors, uint.MaxValue));
        words[59] = (ushort)(_multiple > 0 ? 0x0100 | _multiple : 0);
        words.DoubleWord(60, (uint)Math.Min(sectors, Lba28Limit));
        words[63] = dma ? DmaModes(0x07, 0x20) : (ushort)0;
        words[64] = 0x0003; // PIO 3 and 4
        words[65] = words[66] = words[67] = words[68] = 120;
        words[80] = 0x007E; // ATA-1 to ATA/ATAPI-6
        words[81] = 0x0016;
        words[82] = 0x4000 | 0x2000 | 0x1000 | 0x0040 | 0x0020 | 0x0008; // NOP, READ and WRITE BUFFER, look-ahead, write cache, power
        words[83] = 0x7400; // FLUSH CACHE, FLUSH CACHE EXT, 48-bit addresses
        words[84] = 0x4000;
        words[85] = (ushort)(0x4000 | 0x2000 | 0x1000 | (_lookAhead ? 0x0040 : 0) | (_writeCache ? 0x0020 : 0) | 0x0008);
        words[86] = 0x3400;
        words[87] = 0x4000;
        words[88] = dma ? DmaModes(0x3F, 0x40) : (ushort)0;
        words[93] = (ushort)(Position == 0 ? 0x600B : 0x6B00); // 80-conductor cable, device number by jumper
        words.DoubleWord(100, (uint)sectors);
        words.DoubleWord(102, (uint)(sectors >> 32));
        words[255] = words.Integrity();
    }

    private ushort DmaModes(int supported, byte family)
    {
        int selected = (_transferMode & 0xF8) == family ? 1 << (_transferMode & 7) : 0;
        return (ushort)(supported | (selected << 8));
    }
}
