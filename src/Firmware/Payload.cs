using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;

namespace Farm.Firmware;

/// <summary>A verified image that the loader carries.</summary>
/// <param name="Source">The file it came from.</param>
/// <param name="Version">Version string found in the image, or "unverified" for a file given by the user.</param>
public sealed record Payload(string Name, PayloadRole Role, string Source, string Version, ReadOnlyMemory<byte> Image)
{
    /// <summary>SHA-256 of the image, lower-case hexadecimal.</summary>
    public string Sha256 { get; } = Hash(Image.Span);

    /// <summary>
    /// Reads the payload of a manifest entry and verifies size, SHA-256 and version string against the accepted builds.
    /// </summary>
    /// <param name="root">Directory that stands for "/".</param>
    public static Payload Load(PayloadEntry entry, string root = "/")
    {
        string path = Path.Combine(root, entry.Path.TrimStart('/'));
        byte[] image = ReadFile(path, 1 << 20, $"Install the Debian package '{entry.Package}' (apt-get install {entry.Package}).");
        string hash = Hash(image);
        string? found = FindVersion(image, entry.VersionPattern);
        foreach (var accepted in entry.Accepted)
        {
            if (accepted.Size == image.Length && accepted.Sha256 == hash && accepted.Version == found)
                return new Payload(entry.Name, entry.Role, path, accepted.Version, image);
        }
        string expected = string.Join(" or ", entry.Accepted.Select(accepted =>
            $"\"{accepted.Version}\" ({accepted.Size} bytes, sha256 {accepted.Sha256}, package {entry.Package} {accepted.PackageVersion})"));
        string version = found is null ? "no version string" : $"\"{found}\"";
        string option = entry.Role == PayloadRole.Bios ? "--bios" : "--vgabios";
        throw new FirmwareException(
            $"{path}: wrong firmware payload. Found {version} ({image.Length} bytes, sha256 {hash}); expected {expected}. " +
            $"Reinstall the Debian package '{entry.Package}', or take the file as it is with {option} {path}.");
    }

    /// <summary>Takes a raw system BIOS image of 64, 128 or 256 KiB, without a check of its origin.</summary>
    public static Payload LoadRawBios(string path)
    {
        byte[] image = ReadFile(path, 1 << 20, "Give --bios an existing file.");
        if (image.Length is not (0x10000 or 0x20000 or 0x40000))
        {
            throw new FirmwareException(
                $"{path}: a BIOS image must have 65536, 131072 or 262144 bytes (64, 128 or 256 KiB); this file has {image.Length}.");
        }
        return new Payload("bios", PayloadRole.Bios, path, "unverified", image);
    }

    /// <summary>
    /// Takes a raw video BIOS: an option ROM with signature 55AAh, a length byte that fits the file, and bytes that sum to 0.
    /// </summary>
    public static Payload LoadRawVgaBios(string path, PayloadRole role = PayloadRole.VgaBiosStandard)
    {
        byte[] image = ReadFile(path, 1 << 20, "Give --vgabios an existing file, 'std' or 'cirrus'.");
        if (image.Length is 0 or > 0x10000 || image.Length % 512 != 0)
            throw new FirmwareException($"{path}: a video BIOS must have a multiple of 512 bytes, at most 65536; this file has {image.Length}.");
        if (image[0] != 0x55 || image[1] != 0xAA)
            throw new FirmwareException($"{path}: not a video BIOS: it begins with {image[0]:X2}h {image[1]:X2}h instead of the option ROM signature 55h AAh.");
        int size = image[2] * 512;
        if (size == 0 || size > image.Length)
            throw new FirmwareException($"{path}: the option ROM header gives a length of {size} bytes, the file has {image.Length}.");
        int sum = 0;
        foreach (byte value in image.AsSpan(0, size))
            sum += value;
        if ((byte)sum != 0)
            throw new FirmwareException($"{path}: the option ROM's checksum is wrong: its {size} bytes sum to {(byte)sum:X2}h, not 00h.");
        return new Payload("vgabios", role, path, "unverified", image);
    }

    private static byte[] ReadFile(string path, int limit, string advice)
    {
        try
        {
            using var stream = File.OpenRead(path);
            byte[] image = new byte[Math.Min(stream.Length, limit + 1)];
            stream.ReadExactly(image);
            return image.Length <= limit
                ? image
                : throw new FirmwareException($"{path}: firmware images have at most {limit} bytes; this file has {stream.Length}.");
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new FirmwareException($"{path}: firmware payload not found. {advice}", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            throw new FirmwareException($"{path}: firmware payload not readable: {e.Message} {advice}", e);
        }
    }

    private static string? FindVersion(byte[] image, string pattern)
    {
        var match = Regex.Match(Encoding.Latin1.GetString(image), pattern, RegexOptions.CultureInvariant, TimeSpan.FromSeconds(5));
        return match.Success ? match.Value : null;
    }

    private static string Hash(ReadOnlySpan<byte> image) => Convert.ToHexStringLower(SHA256.HashData(image));
}
