using System.Buffers.Binary;
using System.Text;

namespace Farm.Machine.Tests.Firmware;

/// <summary>
/// The smallest bootable ISO 9660 image: an empty volume and an El Torito boot record (Bootable CD-ROM Format Specification 1.0) with
/// one entry.
/// </summary>
internal static class TinyIso
{
    private const int Sector = 2048, Catalogue = 20, Root = 21, Image = 24;

    /// <param name="mediaType">0 no emulation, 1 to 3 floppies of 1.2, 1.44 and 2.88 MB, 4 hard disk.</param>
    /// <param name="image">The boot image.</param>
    /// <param name="loadSectors">Sectors of 512 bytes that the BIOS loads.</param>
    /// <param name="tail">Sectors behind the boot image.</param>
    public static byte[] Build(byte mediaType, byte[] image, int loadSectors, byte systemType = 0, int tail = 0)
    {
        int imageSectors = (image.Length + Sector - 1) / Sector;
        byte[] iso = new byte[(Image + imageSectors + tail) * Sector];
        Span<byte> volume = At(16);
        Header(volume, 1);
        volume[8..72].Fill((byte)' ');
        Encoding.ASCII.GetBytes("TINY", volume[40..]);
        Both32(volume[80..], (uint)(iso.Length / Sector));
        Both16(volume[120..], 1);
        Both16(volume[124..], 1);
        Both16(volume[128..], Sector);
        Directory(volume[156..], 0);
        Directory(At(Root), 0);
        Directory(At(Root)[34..], 1);
        Span<byte> boot = At(17);
        Header(boot, 0);
        Encoding.ASCII.GetBytes("EL TORITO SPECIFICATION", boot[7..]);
        BinaryPrimitives.WriteUInt32LittleEndian(boot[0x47..], Catalogue);
        Header(At(18), 255);

        Span<byte> catalogue = At(Catalogue);
        catalogue[0] = 1; // validation entry, 80x86
        catalogue[30] = 0x55;
        catalogue[31] = 0xAA;
        int sum = 0;
        for (int i = 0; i < 32; i += 2)
            sum += BinaryPrimitives.ReadUInt16LittleEndian(catalogue[i..]);
        BinaryPrimitives.WriteUInt16LittleEndian(catalogue[28..], (ushort)-sum);
        Span<byte> entry = catalogue[32..];
        entry[0] = 0x88;
        entry[1] = mediaType;
        entry[4] = systemType;
        BinaryPrimitives.WriteUInt16LittleEndian(entry[6..], (ushort)loadSectors);
        BinaryPrimitives.WriteUInt32LittleEndian(entry[8..], Image);
        image.CopyTo(iso, Image * Sector);
        return iso;

        Span<byte> At(int sector) => iso.AsSpan(sector * Sector, Sector);
    }

    private static void Header(Span<byte> descriptor, byte type)
    {
        descriptor[0] = type;
        "CD001"u8.CopyTo(descriptor[1..]);
        descriptor[6] = 1;
    }

    private static void Directory(Span<byte> record, byte name)
    {
        record[0] = 34;
        Both32(record[2..], Root);
        Both32(record[10..], Sector);
        record[25] = 2;
        Both16(record[28..], 1);
        record[32] = 1;
        record[33] = name;
    }

    private static void Both16(Span<byte> at, ushort value)
    {
        BinaryPrimitives.WriteUInt16LittleEndian(at, value);
        BinaryPrimitives.WriteUInt16BigEndian(at[2..], value);
    }

    private static void Both32(Span<byte> at, uint value)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(at, value);
        BinaryPrimitives.WriteUInt32BigEndian(at[4..], value);
    }
}
