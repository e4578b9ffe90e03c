using System.Buffers;
using System.Security.Cryptography;
using Farm.Silo.Verdicts;

namespace Farm.Silo.Artifacts;

/// <summary>Artifacts in a local folder: <c>objects/ab/abcdef...</c>, written through <c>incoming/</c> and moved into place.</summary>
public sealed class FolderArtifactStore : IArtifactStore
{
    private readonly string _objects;
    private readonly string _incoming;
    private readonly long _largest;
    private readonly long _quota;
    private long _used;

    /// <param name="largest">Bytes that one artifact may have.</param>
    /// <param name="quota">Bytes that all may have together.</param>
    public FolderArtifactStore(string folder, long largest, long quota)
    {
        _objects = Path.Combine(folder, "objects");
        _incoming = Path.Combine(folder, "incoming");
        _largest = largest;
        _quota = quota;
        Directory.CreateDirectory(_objects);
        if (Directory.Exists(_incoming))
            Directory.Delete(_incoming, recursive: true); // what a killed farm had half written
        Directory.CreateDirectory(_incoming);
        _used = new DirectoryInfo(_objects).EnumerateFiles("*", SearchOption.AllDirectories).Sum(file => file.Length);
    }

    /// <summary>Bytes in the store.</summary>
    public long Used => Interlocked.Read(ref _used);

    public async Task<StoredArtifact> Put(Stream content, CancellationToken cancel = default)
    {
        var temporary = Path.Combine(_incoming, Guid.NewGuid().ToString("N"));
        try
        {
            var (digest, size) = await CopyHashed(content, temporary, cancel);
            var target = PathOf(digest);
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            try
            {
                File.Move(temporary, target);
                Interlocked.Add(ref _used, size);
            }
            catch (IOException) when (File.Exists(target))
            {
                // the same content is there already
            }
            return new(digest, size);
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    public Task<Stream?> Open(string sha256, CancellationToken cancel = default)
    {
        // a digest has no separators or dots: no other path can be named
        if (!RunReports.IsDigest(sha256))
            return Task.FromResult<Stream?>(null);
        try
        {
            return Task.FromResult<Stream?>(new FileStream(PathOf(sha256), FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, 64 * 1024, FileOptions.Asynchronous));
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return Task.FromResult<Stream?>(null);
        }
    }

    public Task<bool> Delete(string sha256, CancellationToken cancel = default)
    {
        if (!RunReports.IsDigest(sha256) || new FileInfo(PathOf(sha256)) is not { Exists: true } file)
            return Task.FromResult(false);
        var size = file.Length;
        file.Delete();
        Interlocked.Add(ref _used, -size);
        return Task.FromResult(true);
    }

    private async Task<(string Digest, long Size)> CopyHashed(Stream content, string path, CancellationToken cancel)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        await using var file = new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, 64 * 1024, FileOptions.Asynchronous);
        var buffer = ArrayPool<byte>.Shared.Rent(64 * 1024);
        try
        {
            long size = 0;
            int read;
            while ((read = await content.ReadAsync(buffer, cancel)) > 0)
            {
                size += read;
                if (size > _largest)
                    throw new ArtifactTooLargeException($"The artifact is larger than {_largest >> 20} MiB, the most that this store takes.");
                if (Used + size > _quota)
                    throw new ArtifactTooLargeException($"The artifact store is full: its quota is {_quota >> 20} MiB.");
                hash.AppendData(buffer, 0, read);
                await file.WriteAsync(buffer.AsMemory(0, read), cancel);
            }
            return (Convert.ToHexStringLower(hash.GetHashAndReset()), size);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private string PathOf(string sha256) => Path.Combine(_objects, sha256[..2], sha256);
}
