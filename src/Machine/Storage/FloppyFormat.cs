using System.Buffers.Binary;
using Farm.Machine.Hypervisors;

namespace Farm.Machine.Storage;

/// <summary>Recording density of a floppy; decides which data rates read it.</summary>
public enum FloppyDensity
{
    /// <summary>250 kbit/s, or 300 kbit/s in a 1.2M drive.</summary>
    Double,

    /// <summary>500 kbit/s.</summary>
    High,

    /// <summary>1 Mbit/s, perpendicular recording.</summary>
    Extra,
}

/// <summary>Drive types as CMOS register 10h counts them.</summary>
public enum FloppyDriveType : byte
{
    None = 0,
    Drive360K = 1,
    Drive1200K = 2,
    Drive720K = 3,
    Drive1440K = 4,
    Drive2880K = 5,
}

/// <summary>How a floppy is laid out; sectors of 512 bytes, numbered from 1.</summary>
public sealed record FloppyFormat(string Name, int Cylinders, int Heads, int SectorsPerTrack, FloppyDensity Density, FloppyDriveType Drive)
{
    private static readonly FloppyFormat[] s_standard =
    [
        new("160K", 40, 1, 8, FloppyDensity.Double, FloppyDriveType.Drive360K),
        new("180K", 40, 1, 9, FloppyDensity.Double, FloppyDriveType.Drive360K),
        new("320K", 40, 2, 8, FloppyDensity.Double, FloppyDriveType.Drive360K),
        new("360K", 40, 2, 9, FloppyDensity.Double, FloppyDriveType.Drive360K),
        new("640K", 80, 2, 8, FloppyDensity.Double, FloppyDriveType.Drive720K),
        new("720K", 80, 2, 9, FloppyDensity.Double, FloppyDriveType.Drive720K),
        new("800K", 80, 2, 10, FloppyDensity.Double, FloppyDriveType.Drive720K),
        new("1.2M", 80, 2, 15, FloppyDensity.High, FloppyDriveType.Drive1200K),
        new("1.44M", 80, 2, 18, FloppyDensity.High, FloppyDriveType.Drive1440K),
        new("1.6M", 80, 2, 20, FloppyDensity.High, FloppyDriveType.Drive1440K),
        new("1.68M", 80, 2, 21, FloppyDensity.High, FloppyDriveType.Drive1440K),
        new("1.72M", 82, 2, 21, FloppyDensity.High, FloppyDriveType.Drive1440K),
        new("2.88M", 80, 2, 36, FloppyDensity.Extra, FloppyDriveType.Drive2880K),
    ];

    public static IReadOnlyList<FloppyFormat> Standard => s_standard;

    public int Sectors => Cylinders * Heads * SectorsPerTrack;

    public long Bytes => Sectors * 512L;

    /// <summary>
    /// The format of an image of <paramref name="length"/> bytes. A BIOS parameter block that describes exactly that many sectors
    /// decides where it differs from the usual format of the size, and for sizes of its own.
    /// </summary>
    /// <exception cref="BadInputException">No floppy has this size.</exception>
    public static FloppyFormat Detect(string path, long length, ReadOnlySpan<byte> bootSector)
    {
        FloppyFormat? standard = Array.Find(s_standard, format => format.Bytes == length);
        FloppyFormat? own = FromParameterBlock(bootSector, out int totalSectors);
        if (own is not null && own.Bytes == length)
            return standard is not null && standard.Heads == own.Heads && standard.SectorsPerTrack == own.SectorsPerTrack ? standard : own;
        if (standard is not null)
            return standard;
        string hint = own is not null
            ? $"its boot sector describes {totalSectors * 512L} bytes: the file is cut short or has something appended"
            : "floppy images are 163840, 184320, 327680, 368640, 737280, 1228800, 1474560 or 2949120 bytes (160K to 2.88M)";
        throw new BadInputException($"{path} is not a floppy image: it has {length} bytes; {hint}. Use --disk for hard disks and --cdrom for CDs.");
    }

    private static FloppyFormat? FromParameterBlock(ReadOnlySpan<byte> sector, out int total)
    {
        total = 0;
        if (sector.Length < 512 || BinaryPrimitives.ReadUInt16LittleEndian(sector[11..]) != 512)
            return null;
        total = BinaryPrimitives.ReadUInt16LittleEndian(sector[19..]);
        int perTrack = BinaryPrimitives.ReadUInt16LittleEndian(sector[24..]);
        int heads = BinaryPrimitives.ReadUInt16LittleEndian(sector[26..]);
        if (perTrack is < 1 or > 48 || heads is not (1 or 2) || total == 0 || total % (perTrack * heads) != 0)
            return null;
        int cylinders = total / (perTrack * heads);
        if (cylinders is < 35 or > 84)
            return null;
        FloppyDensity density = perTrack <= 11 ? FloppyDensity.Double : perTrack <= 24 ? FloppyDensity.High : FloppyDensity.Extra;
        FloppyDriveType drive = density switch
        {
            FloppyDensity.Extra => FloppyDriveType.Drive2880K,
            FloppyDensity.High => perTrack <= 15 ? FloppyDriveType.Drive1200K : FloppyDriveType.Drive1440K,
            _ => cylinders <= 42 ? FloppyDriveType.Drive360K : FloppyDriveType.Drive720K,
        };
        return new FloppyFormat($"{total / 2}K", cylinders, heads, perTrack, density, drive);
    }
}
