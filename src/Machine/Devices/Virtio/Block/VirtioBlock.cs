using System.Buffers.Binary;
using System.Text;
using Farm.Machine.Bus;
using Farm.Machine.Storage;
using Farm.Machine.Time;

namespace Farm.Machine.Devices.Virtio.Block;

/// <summary>
/// A virtio block device (Virtio 1.2, 5.2). Requests are served one after the other, each in its time. Owns its image.
/// </summary>
public sealed class VirtioBlock : VirtioPciDevice, IDisposable
{
    private const int ScsiStorage = 0x010000;
    private const int SectorSize = 512;
    private const int HeaderSize = 16;
    private const int IdSize = 20;
    private const ushort QueueSize = 128;
    private const int LargestTransfer = 32 << 20;
    private const long RequestNs = 20_000;
    private const long NanosecondsPerByte = 4; // 250 MB/s

    private readonly IBlockImage _image;
    private readonly IClockTimer _served;
    private readonly IVirtualClock _clock;
    private readonly ISectorEvents _events;
    private readonly string _unit;
    private readonly DescriptorChain _chain;
    private readonly byte[] _configuration = new byte[36];
    private readonly byte[] _buffer = new byte[64 << 10];

    /// <param name="unit">Name of the drive in events: virtio0...</param>
    public VirtioBlock(IBlockImage image, string unit, IGuestMemory memory, IVirtualClock clock, ISectorEvents events)
        : base("virtio-blk", 2, 0x1001, ScsiStorage, memory, (ulong)Features(image), QueueSize)
    {
        if (image.SectorSize != SectorSize)
            throw new ArgumentException($"{image.Name} has sectors of {image.SectorSize} bytes.", nameof(image));
        _image = image;
        _unit = unit;
        _clock = clock;
        _events = events;
        _chain = NewChain();
        _served = clock.CreateTimer(unit, _ => Serve());
        var geometry = DiskParameters.Detect(image).Physical;
        BinaryPrimitives.WriteInt64LittleEndian(_configuration, image.SectorCount);
        BinaryPrimitives.WriteUInt32LittleEndian(_configuration.AsSpan(12), QueueSize - 2);
        BinaryPrimitives.WriteUInt16LittleEndian(_configuration.AsSpan(16), (ushort)Math.Min(geometry.Cylinders, ushort.MaxValue));
        _configuration[18] = (byte)geometry.Heads;
        _configuration[19] = (byte)geometry.SectorsPerTrack;
        BinaryPrimitives.WriteUInt32LittleEndian(_configuration.AsSpan(20), SectorSize);
    }

    protected override ReadOnlySpan<byte> Configuration => _configuration;

    public void Dispose() => _image.Dispose();

    protected override void Kicked(int queue) => Begin();

    protected override void Stop() => _served.Disarm();

    private static VirtioBlockFeatures Features(IBlockImage image) =>
        VirtioBlockFeatures.SegmentMaximum | VirtioBlockFeatures.Geometry | VirtioBlockFeatures.BlockSize | VirtioBlockFeatures.Flush
        | (image.ReadOnly ? VirtioBlockFeatures.ReadOnly : 0);

    private void Begin()
    {
        if (_served.Armed || !TryTake(0, _chain))
            return;
        if (_chain.ReadableBytes < HeaderSize || _chain.WritableBytes < 1)
        {
            Fail();
            return;
        }
        long bytes = Math.Min(_chain.ReadableBytes + _chain.WritableBytes, LargestTransfer);
        _served.Arm(_clock.Now + RequestNs + bytes * NanosecondsPerByte);
    }

    private void Serve()
    {
        Span<byte> header = stackalloc byte[HeaderSize];
        _chain.Read(0, header);
        var request = (VirtioBlockRequest)BinaryPrimitives.ReadUInt32LittleEndian(header);
        ulong sector = BinaryPrimitives.ReadUInt64LittleEndian(header[8..]);
        long room = _chain.WritableBytes - 1;
        long written = 0;
        VirtioBlockStatus status;
        switch (request)
        {
            case VirtioBlockRequest.In:
                status = Read(sector, room);
                written = status == VirtioBlockStatus.Ok ? room : 0;
                break;
            case VirtioBlockRequest.Out:
                status = Write(sector, _chain.ReadableBytes - HeaderSize);
                break;
            case VirtioBlockRequest.Flush:
                _image.Flush();
                status = VirtioBlockStatus.Ok;
                break;
            case VirtioBlockRequest.GetId:
                Span<byte> id = stackalloc byte[IdSize];
                id.Clear();
                Encoding.ASCII.GetBytes("FARM-" + _unit, id);
                written = Math.Min(room, IdSize);
                _chain.Write(0, id[..(int)written]);
                status = VirtioBlockStatus.Ok;
                break;
            default:
                status = VirtioBlockStatus.Unsupported;
                break;
        }
        _chain.Write(room, [(byte)status]);
        Put(0, _chain.Head, (uint)(written + 1));
        Begin();
    }

    private VirtioBlockStatus Read(ulong sector, long bytes)
    {
        if (!InRange(sector, bytes))
            return VirtioBlockStatus.IoError;
        for (long done = 0; done < bytes;)
        {
            var piece = _buffer.AsSpan(0, (int)Math.Min(_buffer.Length, bytes - done));
            _image.Read((long)sector + done / SectorSize, piece);
            _chain.Write(done, piece);
            done += piece.Length;
        }
        _events.Read(_unit, (long)sector, (int)(bytes / SectorSize));
        return VirtioBlockStatus.Ok;
    }

    private VirtioBlockStatus Write(ulong sector, long bytes)
    {
        if (_image.ReadOnly || !InRange(sector, bytes))
            return VirtioBlockStatus.IoError;
        for (long done = 0; done < bytes;)
        {
            var piece = _buffer.AsSpan(0, (int)Math.Min(_buffer.Length, bytes - done));
            _chain.Read(HeaderSize + done, piece);
            _image.Write((long)sector + done / SectorSize, piece);
            _events.Written(_unit, (long)sector + done / SectorSize, piece);
            done += piece.Length;
        }
        return VirtioBlockStatus.Ok;
    }

    private bool InRange(ulong sector, long bytes) => bytes % SectorSize == 0 && bytes <= LargestTransfer
        && sector <= (ulong)_image.SectorCount && (ulong)(bytes / SectorSize) <= (ulong)_image.SectorCount - sector;
}
