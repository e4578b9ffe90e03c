using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text.Json;
using Farm.Contracts.Api;
using Farm.Contracts.Guests;
using Farm.Contracts.Workers;

namespace Farm.Worker.Media;

/// <summary>A medium's file with its digest.</summary>
public sealed record MediaFile(string Path, string Sha256, long Size)
{
    public HeldMedia Held => new() { Sha256 = Sha256, File = System.IO.Path.GetFileName(Path), Size = Size };
}

/// <summary>What became of looking for a medium.</summary>
/// <param name="Path">The file, or null.</param>
/// <param name="Problem">One sentence when there is none.</param>
public sealed record MediaLookup(string? Path, string? Problem);

/// <summary>
/// The media in some folders, known by their SHA-256. Digests are kept in a file and computed again only when a medium's size or
/// time has changed.
/// </summary>
public sealed class MediaLibrary : IMediaShelf
{
    private const int Depth = 3;
    private const int MostFiles = 10_000;
    private static readonly HashSet<string> s_extensions = new(StringComparer.OrdinalIgnoreCase) { ".img", ".ima", ".flp", ".vfd", ".dsk", ".iso", ".raw", ".bin" };

    private readonly IReadOnlyList<string> _folders;
    private readonly string _cacheFile;
    private readonly ConcurrentDictionary<string, CachedDigest> _digests;
    private volatile IReadOnlyList<MediaFile> _files = [];

    /// <param name="folders">Looked at three levels deep; those that do not exist are left out.</param>
    /// <param name="cacheFile">Where digests are kept.</param>
    public MediaLibrary(IReadOnlyList<string> folders, string cacheFile)
    {
        _folders = [.. folders.Select(Path.GetFullPath).Distinct()];
        _cacheFile = cacheFile;
        _digests = new(ReadCache(cacheFile));
    }

    /// <summary>The folders of <c>FARM_MEDIA</c> (separated as in PATH), those given, and the farm's own.</summary>
    public static IReadOnlyList<string> Folders(IEnumerable<string> given, string farmFolder) =>
    [
        .. (Environment.GetEnvironmentVariable("FARM_MEDIA") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries),
        .. given,
        Path.Combine(farmFolder, "media"),
    ];

    /// <summary>What the last scan found.</summary>
    public IReadOnlyList<MediaFile> Files => _files;

    /// <inheritdoc/>
    public IReadOnlyList<HeldMedia> Held { get; private set; } = [];

    /// <inheritdoc/>
    public async Task<string?> Locate(string sha256, CancellationToken cancel = default)
    {
        foreach (var file in _files)
        {
            if (string.Equals(sha256, file.Sha256, StringComparison.OrdinalIgnoreCase) && await Digest(file.Path, cancel) is { } now && now.Sha256 == file.Sha256)
                return file.Path;
        }
        return null;
    }

    /// <summary>Looks at the folders again. True when something came, went or changed.</summary>
    public async Task<bool> Scan(CancellationToken cancel = default)
    {
        var found = new List<MediaFile>();
        foreach (var path in Enumerate())
        {
            if (await Digest(path, cancel) is { } file)
                found.Add(file);
        }
        var before = _files;
        _files = found;
        Held = [.. found.Select(file => file.Held)];
        if (before.SequenceEqual(found))
            return false;
        WriteCache();
        return true;
    }

    /// <summary>The file of a medium: by digest when the catalogue knows it, else by name.</summary>
    public async Task<MediaLookup> Find(MediaInfo medium, CancellationToken cancel = default)
    {
        foreach (var file in _files)
        {
            if (!file.Held.Is(medium))
                continue;
            // it may have changed since the scan
            if (await Digest(file.Path, cancel) is { } now && (medium.Sha256 is null || now.Held.Is(medium)))
                return new(file.Path, null);
        }
        var namesake = _files.FirstOrDefault(file => medium.Files.Contains(Path.GetFileName(file.Path), StringComparer.OrdinalIgnoreCase));
        return new(null, namesake is null || medium.Sha256 is null || !File.Exists(namesake.Path)
            ? $"Medium {medium.Describe()} is in none of {string.Join(", ", _folders)}."
            : $"Medium {medium.Describe()} has the wrong checksum: {namesake.Path} is {namesake.Sha256}, the catalogue says {medium.Sha256}.");
    }

    private IEnumerable<string> Enumerate()
    {
        var options = new EnumerationOptions { RecurseSubdirectories = true, MaxRecursionDepth = Depth, IgnoreInaccessible = true, AttributesToSkip = FileAttributes.Hidden };
        return _folders.Where(Directory.Exists)
            .SelectMany(folder => Directory.EnumerateFiles(folder, "*", options).Where(path => s_extensions.Contains(Path.GetExtension(path))).Order(StringComparer.Ordinal))
            .Distinct().Take(MostFiles);
    }

    private async Task<MediaFile?> Digest(string path, CancellationToken cancel)
    {
        try
        {
            var info = new FileInfo(path);
            if (!info.Exists || info.Length == 0)
                return null;
            var stamp = info.LastWriteTimeUtc.Ticks;
            if (_digests.TryGetValue(path, out var known) && known.Size == info.Length && known.Stamp == stamp)
                return new(path, known.Sha256, info.Length);
            await using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, 1 << 20, FileOptions.Asynchronous | FileOptions.SequentialScan);
            var digest = Convert.ToHexStringLower(await SHA256.HashDataAsync(stream, cancel));
            _digests[path] = new(digest, info.Length, stamp);
            return new(path, digest, info.Length);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static Dictionary<string, CachedDigest> ReadCache(string file)
    {
        try
        {
            return File.Exists(file) ? JsonSerializer.Deserialize<Dictionary<string, CachedDigest>>(File.ReadAllText(file), FarmJson.Options) ?? [] : [];
        }
        catch (Exception e) when (e is IOException or JsonException or UnauthorizedAccessException)
        {
            return []; // digests can always be computed again
        }
    }

    private void WriteCache()
    {
        try
        {
            var live = _files.ToDictionary(file => file.Path, file => _digests[file.Path]);
            Directory.CreateDirectory(Path.GetDirectoryName(_cacheFile)!);
            var temporary = _cacheFile + "." + Environment.ProcessId;
            File.WriteAllText(temporary, JsonSerializer.Serialize(live, FarmJson.Options));
            File.Move(temporary, _cacheFile, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // the next start hashes again
        }
    }

    private sealed record CachedDigest(string Sha256, long Size, long Stamp);
}
