using System.Security.Cryptography;
using Farm.Machine.Hypervisors;

namespace Farm.Machine.Storage;

/// <summary>SHA-256 of media, lower-case hexadecimal: the name under which the farm knows them.</summary>
public static class MediaHasher
{
    /// <summary>Of a file's bytes. A file that is missing or unreadable throws <see cref="BadInputException"/>.</summary>
    /// <param name="progress">Told the bytes done so far, about every MiB.</param>
    public static async Task<string> FileSha256Async(string path, IProgress<long>? progress = null, CancellationToken cancellation = default)
    {
        FileKind.RequireFile(path);
        try
        {
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0, FileOptions.SequentialScan | FileOptions.Asynchronous);
            await using (stream.ConfigureAwait(false))
            {
                byte[] buffer = new byte[1 << 20];
                long done = 0;
                int got;
                while ((got = await stream.ReadAsync(buffer, cancellation).ConfigureAwait(false)) > 0)
                {
                    hash.AppendData(buffer, 0, got);
                    done += got;
                    progress?.Report(done);
                }
            }
            return Convert.ToHexStringLower(hash.GetHashAndReset());
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new BadInputException($"{path} does not exist.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new BadInputException($"{path} cannot be read: {e.Message}", e);
        }
    }

    /// <summary>Of an image as a guest sees it now, changes included.</summary>
    public static string ImageSha256(IBlockImage image, CancellationToken cancellation = default)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach ((_, ReadOnlyMemory<byte> data) in ImageExport.Chunks(image, cancellation))
            hash.AppendData(data.Span);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
