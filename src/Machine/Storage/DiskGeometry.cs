using System.Buffers.Binary;

namespace Farm.Machine.Storage;

/// <summary>How a BIOS turns its CHS into the drive's: the two-bit codes that the Bochs BIOS reads from CMOS 39h and 3Ah.</summary>
public enum BiosTranslation : byte
{
    None = 0,
    Lba = 1,
    Large = 2,
    RevisedEchs = 3,
}

/// <summary>Cylinders, heads, sectors per track.</summary>
public readonly record struct DiskGeometry(int Cylinders, int Heads, int SectorsPerTrack)
{
    /// <summary>Limit of the default geometry (ATA/ATAPI-6, annex B): larger disks report it and are reached by LBA.</summary>
    public const int MaxCylinders = 16383;

    public long Sectors => (long)Cylinders * Heads * SectorsPerTrack;

    /// <summary>The geometry that a drive of this many sectors reports when nothing says otherwise: 16 heads, 63 sectors.</summary>
    public static DiskGeometry ForSize(long sectors) => new((int)Math.Clamp(sectors / (16 * 63), 1, MaxCylinders), 16, 63);

    /// <summary>LBA-assist translation: what INT 13h function 08h reports for a disk beyond 1024 cylinders.</summary>
    public static DiskGeometry LbaAssist(long sectors)
    {
        long tracks = sectors / 63;
        int heads = (tracks / 1024) switch { > 128 => 255, > 64 => 128, > 32 => 64, > 16 => 32, _ => 16 };
        return new DiskGeometry((int)Math.Clamp(tracks / heads, 1, 1024), heads, 63);
    }
}

/// <summary>A hard disk's geometry: what the drive itself reports and what the BIOS makes of it.</summary>
/// <param name="Physical">IDENTIFY DEVICE words 1, 3, 6.</param>
/// <param name="Logical">INT 13h.</param>
public sealed record DiskParameters(DiskGeometry Physical, DiskGeometry Logical, BiosTranslation Translation)
{
    /// <summary>
    /// From the partition table where it tells (the end of a partition lies on the last head and sector of a cylinder), else from
    /// the size. Never fails: a table of nonsense is ignored.
    /// </summary>
    public static DiskParameters Detect(IBlockImage image)
    {
        Span<byte> sector = stackalloc byte[512];
        image.Read(0, sector);
        long sectors = image.SectorCount;
        if (FromPartitionTable(sector, sectors) is { Heads: <= 16 } told)
            return new DiskParameters(told, told, BiosTranslation.None);
        DiskGeometry physical = DiskGeometry.ForSize(sectors);
        return physical.Cylinders <= 1024
            ? new DiskParameters(physical, physical, BiosTranslation.None)
            : new DiskParameters(physical, DiskGeometry.LbaAssist(sectors), BiosTranslation.Lba);
    }

    private static DiskGeometry? FromPartitionTable(ReadOnlySpan<byte> sector, long sectors)
    {
        if (sector[510] != 0x55 || sector[511] != 0xAA)
            return null;
        for (int entry = 446; entry < 510; entry += 16)
        {
            ReadOnlySpan<byte> partition = sector.Slice(entry, 16);
            uint start = BinaryPrimitives.ReadUInt32LittleEndian(partition[8..]);
            uint count = BinaryPrimitives.ReadUInt32LittleEndian(partition[12..]);
            int heads = partition[5] + 1;
            int perTrack = partition[6] & 0x3F;
            int cylinder = partition[7] | ((partition[6] & 0xC0) << 2);
            if (count == 0 || heads == 1 || perTrack == 0 || (long)start + count > sectors)
                continue;
            long cylinders = sectors / (heads * perTrack);
            if (cylinders is < 1 or > 1024)
                continue;
            long end = (((long)cylinder * heads) + heads - 1) * perTrack + perTrack - 1;
            if (end == (long)start + count - 1)
                return new DiskGeometry((int)cylinders, heads, perTrack);
        }
        return null;
    }
}
