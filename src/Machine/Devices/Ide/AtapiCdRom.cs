using Farm.Machine.Storage;

namespace Farm.Machine.Devices.Ide;

/// <summary>
/// A CD/DVD-ROM drive (ATA/ATAPI-6 packet feature set, MMC-3): the task file's side, the packet handshake and the tray. The
/// packet commands are in the other parts. Owns the medium.
/// </summary>
public sealed partial class AtapiCdRom : AtaDevice, IDisposable
{
    /// <summary>Beyond what 99 minutes hold a medium can only be a DVD.</summary>
    private const long MaxCdSectors = (99 * 60 * 75) - 150;

    private readonly string _serial;
    private readonly byte[] _packet = new byte[12];
    private IBlockImage? _medium;
    private bool _trayOpen;
    private bool _locked;
    private bool _mediumChanged;
    private bool _ejectRequested;
    private MediaEvent _event;
    private Sense _sense;
    private byte _transferMode;

    private bool _dma;
    private int _byteLimit;
    private int _reply;
    private int _replyOffset;
    private long _lba;
    private int _remaining;
    private int _blockSize;
    private SectorParts _parts;
    private bool _packetPhase;

    private enum MediaEvent : byte
    {
        None = 0,
        EjectRequest = 1,
        NewMedia = 2,
        MediaRemoval = 3,
    }

    /// <param name="medium">Sectors of 2048 bytes; null: the tray is empty.</param>
    /// <param name="serial">Serial number, up to 20 characters.</param>
    public AtapiCdRom(IBlockImage? medium = null, string serial = "FARM00000002")
    {
        CheckMedium(medium);
        _medium = medium;
        _serial = serial;
    }

    /// <summary>The disc that the guest can read: null while the tray is open or empty.</summary>
    public IBlockImage? Medium => _trayOpen ? null : _medium;

    public bool TrayOpen => _trayOpen;

    /// <summary>The guest has locked the tray (PREVENT MEDIUM REMOVAL).</summary>
    public bool Locked => _locked;

    /// <summary>Puts a disc in (the one before is disposed of), closes the tray and tells the guest by unit attention.</summary>
    public void Insert(IBlockImage medium)
    {
        CheckMedium(medium);
        _medium?.Dispose();
        _medium = medium;
        CloseTray();
    }

    /// <summary>
    /// Presses the eject button. A locked tray stays closed and the guest gets an eject request (false), unless
    /// <paramref name="force"/>: the pin in the hole.
    /// </summary>
    public bool Eject(bool force = false)
    {
        if (_locked && !force)
        {
            _ejectRequested = true;
            return false;
        }
        OpenTray();
        return true;
    }

    public void Dispose() => _medium?.Dispose();

    protected override AtaStatus SetSignature()
    {
        Count = 1;
        LbaLow = 1;
        LbaMid = 0x14;
        LbaHigh = 0xEB;
        _packetPhase = false;
        return AtaStatus.None; // a packet device shows DRDY only after its first command
    }

    protected override void RestoreDefaults()
    {
        _transferMode = 0x0C;
        _locked = false;
        _sense = Sense.None;
        _mediumChanged = false;
        _ejectRequested = false;
        _event = MediaEvent.None;
    }

    protected override void Execute(AtaCommand command)
    {
        _packetPhase = false;
        switch (command)
        {
            case AtaCommand.Packet when (Features & 2) == 0 && ((Features & 1) == 0 || Channel.BusMaster is not null):
                _dma = (Features & 1) != 0;
                int limit = LbaMid | (LbaHigh << 8);
                _byteLimit = limit switch { 0 or 0xFFFF => 0xFFFE, 1 => 2, _ => limit };
                _packetPhase = true;
                SetReason(AtapiReason.CD);
                RequestData(12, interrupt: false);
                break;
            case AtaCommand.IdentifyPacketDevice:
                _remaining = _reply = 0;
                After(Channel.Timing.CommandNs, () =>
                {
                    WriteIdentity(Buffer.AsSpan(0, 512));
                    OfferData(512);
                });
                break;
            case AtaCommand.IdentifyDevice or AtaCommand.ReadSectors:
                SetSignature(); // how a host that asks for a disk learns that this is none (9.12)
                After(Channel.Timing.CommandNs, () => Fail(AtaError.ABRT));
                break;
            case AtaCommand.DeviceReset:
                Error = 1;
                Status = SetSignature();
                break;
            case AtaCommand.SetFeatures:
                SetFeatures();
                break;
            case AtaCommand.CheckPowerMode:
                Count = 0xFF;
                After(Channel.Timing.CommandNs, Complete);
                break;
            case AtaCommand.StandbyImmediate or AtaCommand.IdleImmediate or AtaCommand.Sleep or AtaCommand.FlushCache:
                After(Channel.Timing.CommandNs, Complete);
                break;
            default:
                After(Channel.Timing.CommandNs, () => Fail(AtaError.ABRT));
                break;
        }
    }

    protected override void DataOutDone(int bytes)
    {
        if (_packetPhase)
        {
            _packetPhase = false;
            Buffer.AsSpan(0, 12).CopyTo(_packet);
            After(Channel.Timing.CommandNs, () => ExecutePacket(_packet));
        }
        else if (_dma)
        {
            _remaining = 0; // a parameter list has come whole
        }
        else
        {
            After(Channel.Timing.CommandNs, Good);
        }
    }

    protected override void DataInDone()
    {
        if (_replyOffset < _reply)
            After(Channel.Timing.SectorNs, OfferChunk);
        else if (_remaining > 0)
            After(Channel.Timing.SectorNs * NextSectors, ReadAhead);
        else if (_reply > 0)
            After(Channel.Timing.SectorNs, Good);
        else
            Status = Ready; // IDENTIFY PACKET DEVICE ends without an interrupt
    }

    protected override int NextDmaIn()
    {
        int bytes = _reply;
        if (bytes > 0)
        {
            _reply = 0; // made by the command itself
            return bytes;
        }
        if (_remaining > 0)
            return LoadSectors();
        Good();
        return 0;
    }

    protected override int NextDmaOut()
    {
        if (_remaining > 0)
            return _remaining;
        Good();
        return 0;
    }

    /// <summary>Sectors to load at once: what the buffer holds, and with PIO no more than one DRQ takes if that is whole sectors.</summary>
    private int NextSectors => Math.Min(_remaining, Math.Max(1, (_dma ? BufferSize : _byteLimit) / _blockSize));

    private static void CheckMedium(IBlockImage? medium)
    {
        if (medium is not null && medium.SectorSize != 2048)
            throw new ArgumentException($"{medium.Name} has sectors of {medium.SectorSize} bytes.", nameof(medium));
    }

    private void OpenTray()
    {
        if (_trayOpen)
            return;
        _trayOpen = true;
        _locked = false;
        _event = MediaEvent.MediaRemoval;
        Channel.Events?.MediumChanged(Unit, null);
    }

    private void CloseTray()
    {
        _trayOpen = false;
        _event = MediaEvent.NewMedia;
        _mediumChanged = _medium is not null;
        Channel?.Events?.MediumChanged(Unit, _medium?.Name);
    }

    private void SetReason(AtapiReason reason) => Count = (byte)((Count & 0xF8) | (byte)reason);

    /// <summary>GOOD status: command over.</summary>
    private void Good()
    {
        SetReason(AtapiReason.CD | AtapiReason.IO);
        Complete();
    }

    /// <summary>CHECK CONDITION: command over, sense data kept for REQUEST SENSE.</summary>
    private void Check(Sense sense)
    {
        _sense = sense;
        SetReason(AtapiReason.CD | AtapiReason.IO);
        Fail((byte)((sense.Key << 4) | (sense.Key == 5 ? 4 : 0)));
    }

    /// <summary>Sends the first bytes of the buffer, at most <paramref name="allocation"/>.</summary>
    private void Reply(int bytes, int allocation)
    {
        _reply = Math.Min(bytes, allocation);
        _replyOffset = 0;
        _remaining = 0;
        if (_reply == 0)
            Good();
        else if (_dma)
            StartDma(toMemory: true);
        else
            OfferChunk();
    }

    /// <summary>Sends sectors (MMC-3: READ and READ CD); the range has been checked.</summary>
    private void SendSectors(long lba, int count, SectorParts parts)
    {
        _lba = lba;
        _remaining = count;
        _parts = parts;
        _blockSize = RawSector.Length(parts);
        _reply = 0;
        if (count == 0 || _blockSize == 0)
            Good();
        else if (_dma)
            StartDma(toMemory: true);
        else
            After(Channel.Timing.SectorNs * NextSectors, ReadAhead);
    }

    private void ReceiveParameters(int bytes)
    {
        _remaining = 0;
        if (bytes == 0)
        {
            Good();
        }
        else if (_dma)
        {
            _remaining = bytes;
            StartDma(toMemory: false);
        }
        else
        {
            SetReason(AtapiReason.None);
            SetByteCount(bytes);
            RequestData(bytes, interrupt: true);
        }
    }

    private void ReadAhead()
    {
        _reply = LoadSectors();
        _replyOffset = 0;
        if (_reply > 0)
            OfferChunk();
    }

    /// <summary>Fills the buffer with sectors; 0 when the medium is gone (and says so).</summary>
    private int LoadSectors()
    {
        int count = NextSectors;
        if (Medium is not { } medium || _lba + count > medium.SectorCount)
        {
            _remaining = 0;
            Check(NotReady);
            return 0;
        }
        if (_lba + count > medium.ReadableSectors)
        {
            count = (int)Math.Max(0, medium.ReadableSectors - _lba);
            if (count == 0)
            {
                _remaining = 0;
                Check(Sense.UnrecoveredReadError with { Sector = (uint)_lba });
                return 0;
            }
        }
        if (_parts == SectorParts.UserData)
        {
            medium.Read(_lba, Buffer.AsSpan(0, count * 2048));
        }
        else
        {
            Span<byte> user = stackalloc byte[2048];
            for (int i = 0; i < count; i++)
            {
                medium.Read(_lba + i, user);
                RawSector.Write(_lba + i, user, _parts, Buffer.AsSpan(i * _blockSize));
            }
        }
        Channel.Events?.Read(Unit, _lba, count);
        _lba += count;
        _remaining -= count;
        return count * _blockSize;
    }

    /// <summary>One DRQ: no more than the host's byte count limit, and an even number unless it is the last.</summary>
    private void OfferChunk()
    {
        int left = _reply - _replyOffset;
        int chunk = left <= _byteLimit ? left : _byteLimit & ~1;
        SetReason(AtapiReason.IO);
        SetByteCount(chunk);
        int offset = _replyOffset;
        _replyOffset += chunk;
        OfferData(chunk, offset);
    }

    private void SetByteCount(int bytes) => (LbaMid, LbaHigh) = ((byte)bytes, (byte)(bytes >> 8));

    private void SetFeatures()
    {
        bool dma = Channel.BusMaster is not null;
        bool known = Features switch
        {
            0x03 => Count switch
            {
                <= 0x01 or (>= 0x08 and <= 0x0C) => true,
                (>= 0x20 and <= 0x22) or (>= 0x40 and <= 0x42) => dma,
                _ => false,
            },
            0x66 or 0xCC => true,
            _ => false,
        };
        if (known && Features == 0x03)
            _transferMode = Count;
        After(Channel.Timing.CommandNs, known ? Complete : () => Fail(AtaError.ABRT));
    }

    /// <summary>IDENTIFY PACKET DEVICE data (ATA/ATAPI-6, 8.16.8).</summary>
    private void WriteIdentity(Span<byte> data)
    {
        data.Clear();
        var words = new IdentifyWords(data);
        bool dma = Channel.BusMaster is not null;
        words[0] = 0x85C0; // ATAPI, CD-ROM, removable, DRQ within 50 us, packets of 12 bytes
        words.Text(10, 10, _serial);
        words.Text(23, 4, "1.0");
        words.Text(27, 20, "FARM CD-ROM");
        words[49] = (ushort)(0x0E00 | (dma ? 0x0100 : 0));
        words[50] = 0x4000;
        words[51] = 0x0200;
        words[52] = 0x0200;
        words[53] = 0x0006;
        words[63] = dma ? DmaModes(0x07, 0x20) : (ushort)0;
        words[64] = 0x0003;
        words[65] = words[66] = words[67] = words[68] = 120;
        words[71] = 30;
        words[72] = 30;
        words[80] = 0x007E;
        words[82] = 0x4000 | 0x0200 | 0x0010 | 0x0008; // NOP, DEVICE RESET, PACKET, power management
        words[83] = 0x4000;
        words[84] = 0x4000;
        words[85] = 0x4000 | 0x0200 | 0x0010 | 0x0008;
        words[87] = 0x4000;
        words[88] = dma ? DmaModes(0x07, 0x40) : (ushort)0;
        words[93] = (ushort)(Position == 0 ? 0x600B : 0x6B00);
        words[255] = words.Integrity();
    }

    private ushort DmaModes(int supported, byte family)
    {
        int selected = (_transferMode & 0xF8) == family ? 1 << (_transferMode & 7) : 0;
        return (ushort)(supported | (selected << 8));
    }
}
