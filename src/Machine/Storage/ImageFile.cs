using System.Buffers.Binary;
using System.Globalization;
using Farm.Machine.Hypervisors;

namespace Farm.Machine.Storage;

/// <summary>A floppy image and how it is laid out.</summary>
public sealed record FloppyImage(IBlockImage Image, FloppyFormat Format);

/// <summary>
/// Opens the media of a run. A file that cannot be what it is said to be throws <see cref="BadInputException"/>: file, what is
/// wrong, what to do.
/// </summary>
public static class ImageFile
{
    /// <summary>A hard disk. Changes go to an overlay, or with <paramref name="write"/> to the file.</summary>
    public static IBlockImage OpenDisk(string path, bool write = false, OverlayOptions? overlay = null)
    {
        RawImage image = Open(path, 512, write);
        return Checked<IBlockImage>(image, () =>
        {
            long length = new FileInfo(path).Length;
            if (length % 512 != 0)
                throw new BadInputException($"{path} is not a disk image: its {length} bytes are not a multiple of 512; it is cut short or not a raw image.");
            byte[] first = new byte[512];
            image.Read(0, first);
            if (VolumeChecks.DiskProblem(first, image.SectorCount) is { } problem)
                throw new BadInputException($"{path} is damaged: {problem}. Get the whole image, or clear its first sector to install anew.");
            return write ? image : new OverlayImage(image, overlay);
        });
    }

    /// <summary>A floppy of 160K to 2.88M. Changes go to an overlay, or with <paramref name="write"/> to the file.</summary>
    public static FloppyImage OpenFloppy(string path, bool write = false, OverlayOptions? overlay = null)
    {
        RawImage image = Open(path, 512, write);
        return Checked(image, () =>
        {
            byte[] bootSector = new byte[512];
            image.Read(0, bootSector);
            FloppyFormat format = FloppyFormat.Detect(path, new FileInfo(path).Length, bootSector);
            return new FloppyImage(write ? image : new OverlayImage(image, overlay), format);
        });
    }

    /// <summary>
    /// A CD or DVD with sectors of 2048 bytes; a last sector cut short is padded. One whose file ends before its volume does is taken, and
    /// its lost sectors cannot be read (<see cref="IBlockImage.ReadableSectors"/>).
    /// </summary>
    public static IBlockImage OpenCdRom(string path)
    {
        RawImage image = Open(path, 2048, write: false);
        return Checked<IBlockImage>(image, () =>
        {
            byte[] sector = new byte[2048];
            image.Read(0, sector);
            ReadOnlySpan<byte> sync = [0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0];
            if (sector.AsSpan().StartsWith(sync))
                throw new BadInputException($"{path} holds raw CD sectors of 2352 bytes (a .bin of a .cue); convert it to an ISO image with sectors of 2048 bytes (for example with bchunk).");
            long volume = VolumeChecks.CdVolumeSectors(image)
                ?? throw new BadInputException($"{path} is not a CD image: there is no volume at sector 16 (byte 32768). Give the ISO image of a CD or DVD; use --disk for hard disks and --floppy for floppies.");
            return new CdRomImage(image, volume);
        });
    }

    /// <summary>What a run should be told about a medium that it takes nevertheless, or null.</summary>
    public static string? Warning(IBlockImage image) => image.ReadableSectors < image.SectorCount
        ? string.Create(CultureInfo.InvariantCulture, $"{image.Name} is cut short: its volume has {image.SectorCount * image.SectorSize} bytes, of which {image.ReadableSectors * image.SectorSize} are there; the guest gets read errors for the rest")
        : null;

    /// <summary>An empty disk that takes no space on the host until the guest writes.</summary>
    public static IBlockImage BlankDisk(long bytes, OverlayOptions? overlay = null)
    {
        if (bytes < 512 * 63 || bytes % 512 != 0 || bytes > 1L << 47)
            throw new BadInputException($"A blank disk of {bytes} bytes is not possible; give a multiple of 512 between 32256 bytes and 128 TiB.");
        return new OverlayImage(new BlankImage(bytes / 512), overlay);
    }

    /// <summary>An empty floppy, unformatted.</summary>
    public static FloppyImage BlankFloppy(FloppyFormat format) => new(new OverlayImage(new BlankImage(format.Sectors)), format);

    private static RawImage Open(string path, int sectorSize, bool write)
    {
        RawImage image = RawImage.Open(path, sectorSize, write);
        return Checked(image, () =>
        {
            if (image.SectorCount == 0)
                throw new BadInputException($"{path} is empty.");
            if (ForeignFormat(image, new FileInfo(path).Length) is { } format)
                throw new BadInputException($"{path} is {format.Name}, not a raw image; {format.Advice}.");
            return image;
        });
    }

    private static T Checked<T>(RawImage image, Func<T> open)
    {
        try
        {
            return open();
        }
        catch
        {
            image.Dispose();
            throw;
        }
    }

    private static (string Name, string Advice)? ForeignFormat(RawImage image, long length)
    {
        byte[] head = new byte[image.SectorSize];
        byte[] tail = new byte[image.SectorSize];
        image.Read(0, head);
        image.Read(image.SectorCount - 1, tail);
        string Convert(string format) => $"convert it first: qemu-img convert -f {format} -O raw {image.Name} disk.img";
        string unpack = "unpack it first";
        return head switch
        {
            [(byte)'Q', (byte)'F', (byte)'I', 0xFB, ..] => ("a qcow2 image", Convert("qcow2")),
            [(byte)'Q', (byte)'E', (byte)'D', 0, ..] => ("a QED image", Convert("qed")),
            [(byte)'K', (byte)'D', (byte)'M', (byte)'V', ..] => ("a VMDK image", Convert("vmdk")),
            _ when head.AsSpan().StartsWith("# Disk DescriptorFile"u8) => ("a VMDK descriptor", Convert("vmdk")),
            _ when head.AsSpan().StartsWith("vhdxfile"u8) => ("a VHDX image", Convert("vhdx")),
            _ when head.AsSpan().StartsWith("conectix"u8) => ("a VHD image", Convert("vpc")),
            _ when image.SectorSize == 512 && length % 512 == 0 && tail.AsSpan().StartsWith("conectix"u8) => ("a fixed-size VHD image", Convert("vpc")),
            _ when BinaryPrimitives.ReadUInt32LittleEndian(head.AsSpan(0x40)) == 0xBEDA107F => ("a VDI image", Convert("vdi")),
            [0x1F, 0x8B, 8, ..] => ("compressed with gzip", unpack),
            [(byte)'B', (byte)'Z', (byte)'h', >= (byte)'1' and <= (byte)'9', 0x31, 0x41, ..] => ("compressed with bzip2", unpack),
            [0xFD, (byte)'7', (byte)'z', (byte)'X', (byte)'Z', 0, ..] => ("compressed with xz", unpack),
            [0x28, 0xB5, 0x2F, 0xFD, ..] => ("compressed with zstd", unpack),
            [(byte)'P', (byte)'K', 3, 4, ..] => ("a ZIP archive", unpack),
            [(byte)'7', (byte)'z', 0xBC, 0xAF, 0x27, 0x1C, ..] => ("a 7-Zip archive", unpack),
            _ when head.AsSpan().StartsWith("MComprHD"u8) => ("a CHD image", "convert it first with chdman"),
            _ => null,
        };
    }
}
