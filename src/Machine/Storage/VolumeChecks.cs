using System.Buffers.Binary;

namespace Farm.Machine.Storage;

/// <summary>
/// What the tables at the start of a medium say about its size. Media are untrusted: whatever stands there, the checks give an answer.
/// </summary>
internal static class VolumeChecks
{
    private const int CdSector = 2048;
    private const int FirstDescriptor = 16;
    private const int LastDescriptor = 64;

    /// <summary>More than the largest optical disc holds; a volume that claims more is not believed.</summary>
    private const long MostCdSectors = 128L << 30 >> 11;

    /// <summary>Partition tables made for another geometry may end in the middle of a cylinder of 255 x 63 sectors.</summary>
    private const long CylinderSlack = 255 * 63;

    /// <summary>
    /// Sectors of the volume on a CD: by its primary volume descriptor (ECMA-119, 8.4.8), 0 where a volume of another kind (UDF, High
    /// Sierra, Apple) does not say so there, null where no volume is.
    /// </summary>
    public static long? CdVolumeSectors(IBlockImage image)
    {
        Span<byte> sector = stackalloc byte[CdSector];
        bool other = false;
        for (int number = FirstDescriptor; number <= LastDescriptor && number < image.SectorCount; number++)
        {
            image.Read(number, sector);
            ReadOnlySpan<byte> name = sector.Slice(1, 5);
            if (name.SequenceEqual("CD001"u8))
            {
                other = true;
                if (sector[0] == 255)
                    break;
                if (sector[0] != 1)
                    continue;
                long blocks = BinaryPrimitives.ReadUInt32LittleEndian(sector[80..]);
                int blockSize = BinaryPrimitives.ReadUInt16LittleEndian(sector[128..]);
                long sectors = blockSize is 512 or 1024 or CdSector ? ((blocks * blockSize) + CdSector - 1) / CdSector : 0;
                return sectors <= MostCdSectors ? sectors : 0;
            }
            bool known = name.SequenceEqual("BEA01"u8) || name.StartsWith("NSR0"u8) || name.SequenceEqual("TEA01"u8) || sector.Slice(9, 5).SequenceEqual("CDROM"u8);
            if (!known)
                break;
            other = true;
        }
        image.Read(0, sector);
        return other || sector.StartsWith("ER"u8) ? 0 : null;
    }

    /// <summary>Why a hard disk of so many sectors cannot be what its first sector says, or null.</summary>
    public static string? DiskProblem(ReadOnlySpan<byte> sector, long sectors)
    {
        if (sector[510] != 0x55 || sector[511] != 0xAA)
            return null;
        if (PartitionTable(sector) is { } table)
        {
            for (int i = 0; i < table.Length; i++)
            {
                (byte type, long start, long count) = table[i];
                if (type is 0 or 0xEE || count == 0)
                    continue; // unused, or the protective entry of a GPT
                if (start >= sectors || start + count > sectors + CylinderSlack)
                    return $"its partition table puts partition {i + 1} at sectors {start} to {start + count - 1}, but the image has {sectors} sectors: it is cut short, or the table is damaged";
            }
            return null;
        }
        long claimed = BinaryPrimitives.ReadUInt16LittleEndian(sector[19..]);
        if (claimed == 0)
            claimed = BinaryPrimitives.ReadUInt32LittleEndian(sector[32..]);
        return HasFatParameters(sector) && claimed > sectors + CylinderSlack
            ? $"its boot sector describes a FAT volume of {claimed} sectors, but the image has {sectors}: it is cut short"
            : null;
    }

    /// <summary>The four entries, or null where the bytes are no partition table (a volume without one, a boot loader's text).</summary>
    private static (byte Type, long Start, long Count)[]? PartitionTable(ReadOnlySpan<byte> sector)
    {
        var table = new (byte, long, long)[4];
        for (int i = 0; i < 4; i++)
        {
            ReadOnlySpan<byte> entry = sector.Slice(446 + (i * 16), 16);
            if ((entry[0] & 0x7F) != 0)
                return null;
            table[i] = (entry[4], BinaryPrimitives.ReadUInt32LittleEndian(entry[8..]), BinaryPrimitives.ReadUInt32LittleEndian(entry[12..]));
        }
        return table;
    }

    private static bool HasFatParameters(ReadOnlySpan<byte> sector) =>
        sector[0] is 0xEB or 0xE9 && BinaryPrimitives.ReadUInt16LittleEndian(sector[11..]) == 512
        && byte.IsPow2(sector[13]) && sector[16] is 1 or 2 && sector[21] >= 0xF0;
}
