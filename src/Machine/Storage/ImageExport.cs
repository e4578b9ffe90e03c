using System.Security.Cryptography;
using Farm.Machine.Hypervisors;
using Microsoft.Win32.SafeHandles;

namespace Farm.Machine.Storage;

/// <param name="Length">Size of the file in bytes.</param>
/// <param name="Sha256">Of its content, lower-case hexadecimal.</param>
public sealed record ExportedImage(string Path, long Length, string Sha256);

/// <summary>Writes what a guest sees of an image (base and changes) into a raw file: an installed disk becomes an artifact.</summary>
public static class ImageExport
{
    private const int ChunkSize = 1 << 20;

    /// <summary>
    /// Writes <paramref name="image"/> to <paramref name="path"/>, zeros as holes. The file appears under its name only when it is whole;
    /// an older one is replaced.
    /// </summary>
    public static ExportedImage ToRawFile(IBlockImage image, string path, CancellationToken cancellation = default)
    {
        string partial = path + ".partial";
        try
        {
            string sha256;
            using (SafeFileHandle file = File.OpenHandle(partial, FileMode.Create, FileAccess.Write, FileShare.None))
            {
                RandomAccess.SetLength(file, image.SectorCount * image.SectorSize);
                sha256 = Copy(image, file, cancellation);
                RandomAccess.FlushToDisk(file);
            }
            File.Move(partial, path, overwrite: true);
            return new ExportedImage(path, image.SectorCount * image.SectorSize, sha256);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            File.Delete(partial);
            throw new HostException($"{image.Name} cannot be exported to {path}: {e.Message}", e);
        }
        catch
        {
            File.Delete(partial);
            throw;
        }
    }

    private static string Copy(IBlockImage image, SafeFileHandle file, CancellationToken cancellation)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach ((long sector, ReadOnlyMemory<byte> data) in Chunks(image, cancellation))
        {
            hash.AppendData(data.Span);
            if (data.Span.ContainsAnyExcept((byte)0))
                RandomAccess.Write(file, data.Span, sector * image.SectorSize);
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    internal static IEnumerable<(long Sector, ReadOnlyMemory<byte> Data)> Chunks(IBlockImage image, CancellationToken cancellation)
    {
        byte[] buffer = new byte[ChunkSize];
        byte[] zeros = new byte[ChunkSize];
        int sectors = ChunkSize / image.SectorSize;
        for (long sector = 0; sector < image.SectorCount; sector += sectors)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = (int)Math.Min(sectors, image.SectorCount - sector);
            bool zero = image.IsKnownZero(sector, count);
            if (!zero)
                image.Read(sector, buffer.AsSpan(0, count * image.SectorSize));
            yield return (sector, (zero ? zeros : buffer).AsMemory(0, count * image.SectorSize));
        }
    }
}
