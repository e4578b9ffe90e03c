using System.Buffers.Binary;
using Farm.Machine.Hypervisors;
using Farm.Machine.Storage;

namespace Farm.Machine.Tests.Storage;

public sealed class GeometryTests
{
    [Theory]
    [InlineData(163840, "160K", 40, 1, 8)]
    [InlineData(184320, "180K", 40, 1, 9)]
    [InlineData(327680, "320K", 40, 2, 8)]
    [InlineData(368640, "360K", 40, 2, 9)]
    [InlineData(737280, "720K", 80, 2, 9)]
    [InlineData(1228800, "1.2M", 80, 2, 15)]
    [InlineData(1474560, "1.44M", 80, 2, 18)]
    [InlineData(1720320, "1.68M", 80, 2, 21)]
    [InlineData(2949120, "2.88M", 80, 2, 36)]
    public void A_floppys_format_follows_from_its_size(long bytes, string name, int cylinders, int heads, int sectors)
    {
        var format = FloppyFormat.Detect("a.img", bytes, new byte[512]);
        Assert.Equal((name, cylinders, heads, sectors), (format.Name, format.Cylinders, format.Heads, format.SectorsPerTrack));
        Assert.Equal(bytes, format.Bytes);
    }

    [Fact]
    public void A_parameter_block_of_the_right_size_decides_the_layout()
    {
        var singleSided = FloppyFormat.Detect("a.img", 368640, ParameterBlock(720, 9, 1));
        Assert.Equal((80, 1, 9), (singleSided.Cylinders, singleSided.Heads, singleSided.SectorsPerTrack));
        var odd = FloppyFormat.Detect("a.img", 82 * 2 * 20 * 512, ParameterBlock(82 * 2 * 20, 20, 2));
        Assert.Equal((82, 2, 20, FloppyDensity.High), (odd.Cylinders, odd.Heads, odd.SectorsPerTrack, odd.Density));
    }

    [Fact]
    public void A_parameter_block_of_another_size_does_not()
    {
        var format = FloppyFormat.Detect("a.img", 1474560, ParameterBlock(1440, 9, 2));
        Assert.Equal("1.44M", format.Name);
    }

    [Theory]
    [InlineData(1474048)]
    [InlineData(1)]
    [InlineData(10_000_000)]
    public void Other_sizes_are_refused(long bytes) =>
        Assert.Contains($"{bytes} bytes", Assert.Throws<BadInputException>(() => FloppyFormat.Detect("a.img", bytes, new byte[512])).Message, StringComparison.Ordinal);

    [Fact]
    public void A_floppy_cut_short_is_said_to_be() =>
        Assert.Contains("cut short", Assert.Throws<BadInputException>(() => FloppyFormat.Detect("a.img", 1000448, ParameterBlock(2880, 18, 2))).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData(65536, 65, 16, BiosTranslation.None, 65, 16)] // 32 MiB
    [InlineData(1032192, 1024, 16, BiosTranslation.None, 1024, 16)] // the 504 MiB limit
    [InlineData(2097152, 2080, 16, BiosTranslation.Lba, 1024, 32)] // 1 GiB: the BIOS cuts 1040 cylinders
    [InlineData(8388608, 8322, 16, BiosTranslation.Lba, 522, 255)] // 4 GiB
    [InlineData(419430400, 16383, 16, BiosTranslation.Lba, 1024, 255)] // 200 GiB
    public void A_blank_disk_gets_the_usual_geometry(long sectors, int cylinders, int heads, BiosTranslation translation, int biosCylinders, int biosHeads)
    {
        using IBlockImage disk = TestImage.Blank(sectors);
        DiskParameters parameters = DiskParameters.Detect(disk);
        Assert.Equal(new DiskGeometry(cylinders, heads, 63), parameters.Physical);
        Assert.Equal(translation, parameters.Translation);
        Assert.Equal(new DiskGeometry(biosCylinders, biosHeads, 63), parameters.Logical);
    }

    [Fact]
    public void A_partition_table_tells_the_geometry_it_was_made_with()
    {
        using IBlockImage disk = TestImage.Blank(615 * 4 * 17);
        disk.Write(0, Table(endHead: 3, endSector: 17, endCylinder: 614, start: 17, count: (615 * 4 * 17) - 17));
        DiskParameters parameters = DiskParameters.Detect(disk);
        Assert.Equal(new DiskGeometry(615, 4, 17), parameters.Physical);
        Assert.Equal(parameters.Physical, parameters.Logical);
    }

    [Theory]
    [InlineData(3, 17, 600, 17, 41803)] // end does not fit the length
    [InlineData(255, 63, 1023, 1, 0xFFFFFFFF)] // beyond the disk
    [InlineData(0, 0, 0, 0, 0)]
    public void A_partition_table_of_nonsense_is_ignored(byte head, byte sector, int cylinder, uint start, uint count)
    {
        using IBlockImage disk = TestImage.Blank(65536);
        disk.Write(0, Table(head, sector, cylinder, start, count));
        Assert.Equal(DiskGeometry.ForSize(65536), DiskParameters.Detect(disk).Physical);
    }

    private static byte[] ParameterBlock(int total, int perTrack, int heads)
    {
        byte[] sector = new byte[512];
        BinaryPrimitives.WriteUInt16LittleEndian(sector.AsSpan(11), 512);
        BinaryPrimitives.WriteUInt16LittleEndian(sector.AsSpan(19), (ushort)total);
        BinaryPrimitives.WriteUInt16LittleEndian(sector.AsSpan(24), (ushort)perTrack);
        BinaryPrimitives.WriteUInt16LittleEndian(sector.AsSpan(26), (ushort)heads);
        return sector;
    }

    private static byte[] Table(byte endHead, byte endSector, int endCylinder, uint start, uint count)
    {
        byte[] sector = new byte[512];
        (sector[510], sector[511]) = (0x55, 0xAA);
        Span<byte> entry = sector.AsSpan(446);
        entry[4] = 6;
        entry[5] = endHead;
        entry[6] = (byte)(endSector | ((endCylinder >> 2) & 0xC0));
        entry[7] = (byte)endCylinder;
        BinaryPrimitives.WriteUInt32LittleEndian(entry[8..], start);
        BinaryPrimitives.WriteUInt32LittleEndian(entry[12..], count);
        return sector;
    }

    [Fact]
    public void A_floppy_whose_boot_sector_is_nonsense_has_the_format_of_its_size()
    {
        var random = new Random(1);
        byte[] sector = new byte[512];
        foreach (FloppyFormat format in FloppyFormat.Standard)
        {
            for (int i = 0; i < 500; i++)
            {
                random.NextBytes(sector);
                if (random.Next(2) == 0)
                    (sector[11], sector[12], sector[25], sector[27]) = (0, 2, 0, 0);
                FloppyFormat found = FloppyFormat.Detect("a.img", format.Bytes, sector);
                Assert.Equal(format.Bytes, found.Bytes);
                Assert.InRange(found.Cylinders, 35, 84);
            }
        }
    }
}
