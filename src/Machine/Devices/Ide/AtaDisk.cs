using Farm.Machine.Storage;

namespace Farm.Machine.Devices.Ide;

/// <summary>A hard disk with the general feature set and 48-bit addresses (ATA/ATAPI-6). Owns its image.</summary>
public sealed partial class AtaDisk : AtaDevice, IDisposable
{
    private const int MaxMultiple = 16;
    private const int DmaSectors = BufferSize / 512;
    private const long Lba28Limit = 0x0FFF_FFFF;

    private readonly IBlockImage _image;
    private readonly DiskGeometry _physical;
    private readonly string _serial;
    private DiskGeometry _current;
    private int _multiple;
    private byte _transferMode;
    private bool _writeCache;
    private bool _lookAhead;

    private long _lba;
    private int _remaining;
    private int _block;
    private int _inBuffer;
    private bool _extended;
    private bool _writing;
    private Action? _dataOut;

    /// <param name="image">Sectors of 512 bytes.</param>
    /// <param name="geometry">What IDENTIFY DEVICE reports; null: from the partition table or the size.</param>
    /// <param name="serial">Serial number, up to 20 characters.</param>
    public AtaDisk(IBlockImage image, DiskGeometry? geometry = null, string serial = "FARM00000001")
    {
        if (image.SectorSize != 512)
            throw new ArgumentException($"{image.Name} has sectors of {image.SectorSize} bytes.", nameof(image));
        _image = image;
        _physical = geometry ?? DiskParameters.Detect(image).Physical;
        _current = _physical;
        _serial = serial;
    }

    public IBlockImage Image => _image;

    public void Dispose() => _image.Dispose();

    protected override AtaStatus SetSignature()
    {
        Count = 1;
        LbaLow = 1;
        LbaMid = 0;
        LbaHigh = 0;
        return Ready;
    }

    protected override void RestoreDefaults()
    {
        _current = _physical;
        _multiple = MaxMultiple;
        _transferMode = 0x0C;
        _writeCache = true;
        _lookAhead = true;
    }

    protected override void DataInDone()
    {
        if (_remaining > 0)
            After(Channel.Timing.SectorNs * Math.Min(_block, _remaining), ReadBlock);
        else
            Status = Ready;
    }

    protected override void DataOutDone(int bytes) => _dataOut!();

    protected override int NextDmaIn()
    {
        if (_remaining == 0)
        {
            Complete();
            return 0;
        }
        return Load(DmaSectors);
    }

    protected override int NextDmaOut()
    {
        if (_remaining == 0)
        {
            Complete();
            return 0;
        }
        _inBuffer = Reachable(DmaSectors);
        if (_inBuffer == 0)
            FailAt(AtaError.IDNF);
        return _inBuffer * 512;
    }

    private void StartRead(int block, bool extended)
    {
        if (Begin(block, extended, writing: false))
            After(Channel.Timing.CommandNs + (Channel.Timing.SectorNs * Math.Min(block, _remaining)), ReadBlock);
    }

    private void StartWrite(int block, bool extended)
    {
        // A block is taken at once, into the write cache: the Bochs BIOS does not wait for BSY to clear after the data of a write.
        _dataOut = WriteBlock;
        if (Begin(block, extended, writing: true))
            RequestBlock(interrupt: false);
    }

    private void StartDma(bool extended, bool writing)
    {
        if (Channel.BusMaster is null)
        {
            Abort();
            return;
        }
        _dataOut = Store;
        if (Begin(DmaSectors, extended, writing))
            StartDma(toMemory: !writing);
    }

    private void StartVerify(bool extended)
    {
        if (!Begin(1, extended, writing: false))
            return;
        After(Channel.Timing.CommandNs, () =>
        {
            int count = _remaining;
            int reachable = Reachable(count);
            Advance(reachable);
            if (reachable < count)
                FailAt(AtaError.IDNF);
            else
                Complete();
        });
    }

    /// <summary>Takes address and count from the task file; false when the address is none (and says so).</summary>
    private bool Begin(int block, bool extended, bool writing)
    {
        _block = block;
        _extended = extended;
        _writing = writing;
        int count = extended ? Count | (PreviousCount << 8) : Count;
        _remaining = count != 0 ? count : extended ? 65536 : 256;
        if (writing && _image.ReadOnly)
        {
            Abort();
            return false;
        }
        if (Address(extended) is not { } lba || lba >= _image.SectorCount)
        {
            After(Channel.Timing.CommandNs, () => Fail(AtaError.IDNF));
            return false;
        }
        _lba = lba;
        return true;
    }

    private long? Address(bool extended)
    {
        uint low = LbaLow | ((uint)LbaMid << 8) | ((uint)LbaHigh << 16);
        if (extended)
            return low | (PreviousLba << 24);
        if ((Device & 0x40) != 0)
            return low | ((uint)(Device & 0x0F) << 24);
        int cylinder = LbaMid | (LbaHigh << 8);
        int head = Device & 0x0F;
        if (LbaLow == 0 || LbaLow > _current.SectorsPerTrack || head >= _current.Heads || cylinder >= _current.Cylinders)
            return null;
        return ((((long)cylinder * _current.Heads) + head) * _current.SectorsPerTrack) + LbaLow - 1;
    }

    /// <summary>Leaves the address of the current sector in the task file, as drives do at the end of a command or at an error.</summary>
    private void ShowAddress(long lba)
    {
        if (_extended)
        {
            SetAddress48(lba);
            return;
        }
        if ((Device & 0x40) != 0)
        {
            (LbaLow, LbaMid, LbaHigh) = ((byte)lba, (byte)(lba >> 8), (byte)(lba >> 16));
            Device = (byte)((Device & 0xF0) | (int)((lba >> 24) & 0x0F));
            return;
        }
        long track = lba / _current.SectorsPerTrack;
        long cylinder = track / _current.Heads;
        LbaLow = (byte)((lba % _current.SectorsPerTrack) + 1);
        (LbaMid, LbaHigh) = ((byte)cylinder, (byte)(cylinder >> 8));
        Device = (byte)((Device & 0xF0) | (int)(track % _current.Heads));
    }

    private int Reachable(int most) => (int)Math.Min(Math.Min(most, _remaining), _image.SectorCount - _lba);

    private void Advance(int sectors)
    {
        _lba += sectors;
        _remaining -= sectors;
        Count = (byte)_remaining;
        if (sectors > 0)
            ShowAddress(_lba - 1);
    }

    private void FailAt(AtaError error)
    {
        ShowAddress(_lba);
        Fail(error);
    }

    /// <summary>Reads the next sectors into the buffer; 0 when the address runs off the disk (and says so).</summary>
    private int Load(int most)
    {
        int sectors = Reachable(most);
        if (sectors == 0)
        {
            FailAt(AtaError.IDNF);
            return 0;
        }
        _image.Read(_lba, Buffer.AsSpan(0, sectors * 512));
        Channel.Events?.Read(Unit, _lba, sectors);
        Advance(sectors);
        return sectors * 512;
    }

    private void Store()
    {
        ReadOnlySpan<byte> data = Buffer.AsSpan(0, _inBuffer * 512);
        _image.Write(_lba, data);
        Channel.Events?.Written(Unit, _lba, data);
        Advance(_inBuffer);
    }

    private void ReadBlock()
    {
        int bytes = Load(_block);
        if (bytes > 0)
            OfferData(bytes);
    }

    private void RequestBlock(bool interrupt)
    {
        _inBuffer = Reachable(_block);
        if (_inBuffer == 0)
            FailAt(AtaError.IDNF);
        else
            RequestData(_inBuffer * 512, interrupt);
    }

    private void WriteBlock()
    {
        Store();
        if (_remaining > 0)
            RequestBlock(interrupt: true);
        else
            Complete();
    }
}
