using System.Buffers.Binary;
using System.Security.Cryptography;
using Farm.Machine.Hypervisors;
using Farm.Machine.Storage;
using Farm.Machine.Tests.Firmware;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Storage;

public sealed class ImageTests
{
    [Fact]
    public void A_guests_writes_stay_out_of_the_file()
    {
        using var folder = new TestFolder();
        byte[] content = RandomNumberGenerator.GetBytes(64 * 512);
        string path = folder.File("disk.img", content);
        using (IBlockImage disk = ImageFile.OpenDisk(path))
        {
            disk.Write(3, TestImage.Sector(99));
            Assert.Equal(TestImage.Sector(99), TestImage.Read(disk, 3));
            Assert.Equal(content[(4 * 512)..(5 * 512)], TestImage.Read(disk, 4));
            Assert.False(disk.ReadOnly);
        }
        Assert.Equal(content, File.ReadAllBytes(path));
    }

    [Fact]
    public void With_write_they_go_to_the_file()
    {
        using var folder = new TestFolder();
        string path = folder.File("disk.img", new byte[64 * 512]);
        using (IBlockImage disk = ImageFile.OpenDisk(path, write: true))
        {
            disk.Write(3, TestImage.Sector(99));
            disk.Flush();
        }
        Assert.Equal(TestImage.Sector(99), File.ReadAllBytes(path)[(3 * 512)..(4 * 512)]);
    }

    [Fact]
    public void A_file_in_use_by_a_writer_is_refused_to_a_second_run()
    {
        using var folder = new TestFolder();
        string path = folder.File("disk.img", new byte[64 * 512]);
        using IBlockImage writer = ImageFile.OpenDisk(path, write: true);
        Assert.Contains(path, Assert.Throws<BadInputException>(() => ImageFile.OpenDisk(path)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(long.MaxValue)] // all in memory
    [InlineData(0)] // all in the temporary file
    [InlineData(5 * OverlayImage.ClusterSize)] // both
    public void An_overlay_agrees_with_a_plain_array(long memoryLimit)
    {
        const int Sectors = 1000; // not a whole number of clusters
        int seed = Random.Shared.Next();
        TestContext.Current.TestOutputHelper?.WriteLine($"seed {seed}");
        var random = new Random(seed);
        using var folder = new TestFolder();
        byte[] model = new byte[Sectors * 512];
        random.NextBytes(model);
        string path = folder.File("base.img", model);
        var options = new OverlayOptions { MemoryLimit = Math.Min(memoryLimit, 1 << 30), TemporaryFolder = folder.Path };
        using var overlay = new OverlayImage(RawImage.Open(path, 512, write: false), options);
        for (int i = 0; i < 2000; i++)
        {
            int first = random.Next(Sectors);
            int count = Math.Min(random.Next(1, 100), Sectors - first);
            byte[] data = new byte[count * 512];
            if (random.Next(2) == 0)
            {
                random.NextBytes(data);
                overlay.Write(first, data);
                data.CopyTo(model, first * 512);
            }
            else
            {
                overlay.Read(first, data);
                Assert.True(data.AsSpan().SequenceEqual(model.AsSpan(first * 512, data.Length)), $"sectors {first}+{count} differ, seed {seed}");
            }
        }
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(model)), MediaHasher.ImageSha256(overlay, TestContext.Current.CancellationToken));
        ExportedImage exported = ImageExport.ToRawFile(overlay, folder.Name("out.img"), TestContext.Current.CancellationToken);
        Assert.Equal(model, File.ReadAllBytes(exported.Path));
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(model)), exported.Sha256);
        if (!OperatingSystem.IsWindows())
            Assert.Equal(["base.img", "out.img"], Directory.GetFiles(folder.Path).Select(Path.GetFileName).Order());
    }

    [Fact]
    public void A_guest_that_writes_without_end_meets_the_limit()
    {
        using var folder = new TestFolder();
        using var disk = new OverlayImage(new BlankImage(1 << 20), new OverlayOptions { MemoryLimit = 1 << 16, FileLimit = 1 << 16, TemporaryFolder = folder.Path });
        byte[] cluster = new byte[OverlayImage.ClusterSize];
        HostException full = Assert.Throws<HostException>(() =>
        {
            for (int i = 0; i < 100; i++)
                disk.Write(i * 32, cluster);
        });
        Assert.Contains("more", full.Message, StringComparison.Ordinal);
        Assert.Equal(1 << 16, disk.FileBytes);
    }

    [Fact]
    public void A_blank_disk_of_200_gigabytes_takes_what_is_written()
    {
        using var folder = new TestFolder();
        using IBlockImage disk = ImageFile.BlankDisk(200L << 30);
        disk.Write(disk.SectorCount - 1, TestImage.Sector(7));
        Assert.Equal(TestImage.Sector(7), TestImage.Read(disk, disk.SectorCount - 1));
        Assert.Equal(new byte[512], TestImage.Read(disk, disk.SectorCount - 2));
        Assert.Equal(OverlayImage.ClusterSize, ((OverlayImage)disk).OverlayBytes);
        Assert.True(disk.IsKnownZero(0, 1 << 20));
        Assert.False(disk.IsKnownZero(disk.SectorCount - 100, 100));
    }

    [Fact]
    public void An_export_leaves_holes_and_no_partial_file()
    {
        using var folder = new TestFolder();
        using IBlockImage disk = ImageFile.BlankDisk(64L << 20);
        disk.Write(100_000, TestImage.Sector(1));
        ExportedImage exported = ImageExport.ToRawFile(disk, folder.Name("disk.img"), TestContext.Current.CancellationToken);
        Assert.Equal(64L << 20, exported.Length);
        using IBlockImage back = ImageFile.OpenDisk(exported.Path);
        Assert.Equal(TestImage.Sector(1), TestImage.Read(back, 100_000));
        Assert.Equal(exported.Sha256, MediaHasher.ImageSha256(back, TestContext.Current.CancellationToken));
        Assert.Single(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public async Task A_file_hashes_as_its_image_does()
    {
        using var folder = new TestFolder();
        byte[] content = RandomNumberGenerator.GetBytes(3_000_320);
        string path = folder.File("disk.img", content);
        string expected = Convert.ToHexStringLower(SHA256.HashData(content));
        Assert.Equal(expected, await MediaHasher.FileSha256Async(path, cancellation: TestContext.Current.CancellationToken));
        using IBlockImage disk = ImageFile.OpenDisk(path);
        Assert.Equal(expected, MediaHasher.ImageSha256(disk, TestContext.Current.CancellationToken));
        await Assert.ThrowsAsync<BadInputException>(() => MediaHasher.FileSha256Async(folder.Name("none"), cancellation: TestContext.Current.CancellationToken));
    }

    [Fact]
    public void A_last_sector_cut_short_reads_as_padded_with_zeros()
    {
        using var folder = new TestFolder();
        byte[] content = [.. TinyIso.Build(0, new byte[2048], 4), .. RandomNumberGenerator.GetBytes(1000)];
        using IBlockImage disc = ImageFile.OpenCdRom(folder.File("cd.iso", content));
        Assert.Equal(26, disc.SectorCount);
        Assert.Equal(26, disc.ReadableSectors);
        Assert.Null(ImageFile.Warning(disc));
        Assert.Equal([.. content[^1000..], .. new byte[1048]], TestImage.Read(disc, 25));
        Assert.True(disc.ReadOnly);
    }

    [Fact]
    public void A_disc_cut_short_keeps_its_size_and_warns()
    {
        using var folder = new TestFolder();
        byte[] whole = TinyIso.Build(0, new byte[2048], 4, tail: 100);
        using IBlockImage disc = ImageFile.OpenCdRom(folder.File("cd.iso", whole.AsSpan(0, 40 * 2048 + 100)));
        Assert.Equal(125, disc.SectorCount);
        Assert.Equal(40, disc.ReadableSectors);
        Assert.Contains("256000 bytes, of which 81920 are there", ImageFile.Warning(disc), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(20, 0xFFFFFFFFu, 2048, 125)] // an absurd size is not believed
    [InlineData(16, 500u, 512, 125)]
    [InlineData(16, 1000u, 512, 250)]
    [InlineData(16, 200u, 3, 125)]
    public void A_volume_descriptor_of_nonsense_harms_nothing(int descriptor, uint blocks, ushort blockSize, long expected)
    {
        using var folder = new TestFolder();
        byte[] iso = TinyIso.Build(0, new byte[2048], 4, tail: 100);
        iso.AsSpan(16 * 2048, 2048).CopyTo(iso.AsSpan(descriptor * 2048));
        BinaryPrimitives.WriteUInt32LittleEndian(iso.AsSpan(descriptor * 2048 + 80), blocks);
        BinaryPrimitives.WriteUInt16LittleEndian(iso.AsSpan(descriptor * 2048 + 128), blockSize);
        using IBlockImage disc = ImageFile.OpenCdRom(folder.File("cd.iso", iso));
        Assert.Equal(expected, disc.SectorCount);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(100)]
    [InlineData(40000)]
    public void What_has_no_volume_is_no_disc(int length)
    {
        using var folder = new TestFolder();
        string path = folder.File("cd.iso", new byte[length]);
        Assert.Contains(path, Assert.Throws<BadInputException>(() => ImageFile.OpenCdRom(path)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(63, 1000, true)]
    [InlineData(63, 1985, true)]
    [InlineData(63, 10_000, true)] // made for whole cylinders of another geometry
    [InlineData(63, 40_000, false)]
    [InlineData(2048, 1, false)]
    [InlineData(uint.MaxValue, uint.MaxValue, false)]
    public void A_partition_beyond_the_image_is_a_disk_cut_short(uint start, uint count, bool good)
    {
        using var folder = new TestFolder();
        byte[] disk = new byte[2048 * 512];
        disk[510] = 0x55;
        disk[511] = 0xAA;
        disk[446 + 16 + 4] = 0x83;
        BinaryPrimitives.WriteUInt32LittleEndian(disk.AsSpan(446 + 16 + 8), start);
        BinaryPrimitives.WriteUInt32LittleEndian(disk.AsSpan(446 + 16 + 12), count);
        string path = folder.File("disk.img", disk);
        if (good)
        {
            ImageFile.OpenDisk(path).Dispose();
            return;
        }
        string message = Assert.Throws<BadInputException>(() => ImageFile.OpenDisk(path)).Message;
        Assert.Contains("partition 2", message, StringComparison.Ordinal);
        Assert.Contains("cut short", message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_fat_volume_larger_than_its_image_is_cut_short_and_random_sectors_never_throw_anything_else()
    {
        using var folder = new TestFolder();
        byte[] disk = new byte[100 * 512];
        byte[] parameters = [0xEB, 0x3C, 0x90, .. "MSDOS5.0"u8, 0x00, 0x02, 4, 1, 0, 2, 0, 2, 0, 0, 0xF8, 200, 0, 63, 0, 16, 0, 0, 0, 0, 0, 0x40, 0x42, 0x0F, 0];
        parameters.CopyTo(disk, 0);
        "Non-System disk or disk error"u8.CopyTo(disk.AsSpan(446));
        disk[510] = 0x55;
        disk[511] = 0xAA;
        string path = folder.File("disk.img", disk);
        Assert.Contains("FAT", Assert.Throws<BadInputException>(() => ImageFile.OpenDisk(path)).Message, StringComparison.Ordinal);
        var random = new Random(1);
        for (int i = 0; i < 2000; i++)
        {
            random.NextBytes(disk.AsSpan(0, 510));
            if (random.Next(2) == 0)
            {
                for (int entry = 446; entry < 510; entry += 16)
                    disk[entry] = 0;
            }
            File.WriteAllBytes(path, disk);
            try
            {
                using IBlockImage image = ImageFile.OpenDisk(path);
                DiskParameters.Detect(image);
            }
            catch (BadInputException e)
            {
                Assert.Contains(path, e.Message, StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public void A_blank_file_is_sparse_and_never_replaces_another()
    {
        using var folder = new TestFolder();
        string path = folder.Name("new.img");
        using (RawImage blank = RawImage.CreateBlank(path, 1L << 40))
            Assert.Equal(1L << 31, blank.SectorCount);
        Assert.Contains("exists", Assert.Throws<BadInputException>(() => RawImage.CreateBlank(path, 512)).Message, StringComparison.Ordinal);
        Assert.Throws<BadInputException>(() => RawImage.CreateBlank(folder.Name("odd.img"), 1000));
    }

    public static TheoryData<string, byte[], string> Foreign() => new()
    {
        { "a.qcow2", Head("QFI\u00FB"), "qemu-img convert -f qcow2" },
        { "a.vmdk", Head("KDMV"), "vmdk" },
        { "a.vhdx", Head("vhdxfile"), "vhdx" },
        { "a.vhd", [.. new byte[512 * 100], .. Head("conectix")], "vpc" },
        { "a.vdi", [.. new byte[0x40], 0x7F, 0x10, 0xDA, 0xBE, .. new byte[512 - 0x44]], "vdi" },
        { "a.img.gz", Head("\u001F\u008B\u0008"), "gzip" },
        { "a.img.xz", Head("\u00FD7zXZ\0"), "xz" },
        { "a.zip", Head("PK\u0003\u0004"), "ZIP" },
        { "empty.img", [], "empty" },
        { "cut.img", new byte[1000], "multiple of 512" },
    };

    [Theory]
    [MemberData(nameof(Foreign))]
    public void What_is_no_disk_image_is_refused_with_file_reason_and_remedy(string name, byte[] content, string reason)
    {
        using var folder = new TestFolder();
        string path = folder.File(name, content);
        string message = Assert.Throws<BadInputException>(() => ImageFile.OpenDisk(path)).Message;
        Assert.Contains(path, message, StringComparison.Ordinal);
        Assert.Contains(reason, message, StringComparison.Ordinal);
        File.Delete(path); // nothing holds it open
        Assert.False(File.Exists(path));
    }

    [Fact]
    public void Missing_files_folders_and_raw_cd_dumps_are_refused()
    {
        using var folder = new TestFolder();
        Assert.Contains("does not exist", Assert.Throws<BadInputException>(() => ImageFile.OpenDisk(folder.Name("none.img"))).Message, StringComparison.Ordinal);
        Assert.Contains("directory", Assert.Throws<BadInputException>(() => ImageFile.OpenFloppy(folder.Path)).Message, StringComparison.Ordinal);
        foreach (string none in (string[])["", " "])
            Assert.Contains("empty", Assert.Throws<BadInputException>(() => ImageFile.OpenDisk(none)).Message, StringComparison.Ordinal);
        if (OperatingSystem.IsLinux())
        {
            Assert.Contains("character device", Assert.Throws<BadInputException>(() => ImageFile.OpenDisk("/dev/zero")).Message, StringComparison.Ordinal);
            string pipe = folder.Name("pipe");
            using (var mkfifo = System.Diagnostics.Process.Start("mkfifo", [pipe]))
                mkfifo.WaitForExit();
            Assert.Contains("pipe", Assert.Throws<BadInputException>(() => ImageFile.OpenDisk(pipe)).Message, StringComparison.Ordinal);
        }
        byte[] raw = new byte[2352];
        raw.AsSpan(1, 10).Fill(0xFF);
        Assert.Contains("2352", Assert.Throws<BadInputException>(() => ImageFile.OpenCdRom(folder.File("cd.bin", raw))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Activity_knows_the_first_write_and_hashes_all_writes_in_order()
    {
        var clock = new VirtualClock();
        using var one = new StorageActivity(clock);
        using var two = new StorageActivity(clock);
        var first = new List<string>();
        one.FirstWrite += first.Add;
        one.Read("ata0-master", 0, 1);
        clock.AdvanceTo(500);
        one.Written("ata0-master", 63, new byte[1024]);
        one.Written("fd0", 1, new byte[512]);
        Assert.Equal(["ata0-master"], first);
        Assert.Equal(500, one.Units["ata0-master"].FirstWrite);
        Assert.Equal(2, one.Units["ata0-master"].SectorsWritten);
        two.Written("fd0", 1, new byte[512]);
        two.Written("ata0-master", 63, new byte[1024]);
        Assert.NotEqual(one.WriteHash, two.WriteHash);
        Assert.Equal(one.WriteHash, one.WriteHash);
    }

    private static byte[] Head(string magic)
    {
        byte[] sector = new byte[512];
        for (int i = 0; i < magic.Length; i++)
            sector[i] = (byte)magic[i];
        return sector;
    }
}
