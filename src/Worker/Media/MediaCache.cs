using System.Net;
using System.Security.Cryptography;
using System.Text.Json;
using Farm.Contracts.Api;
using Farm.Contracts.Guests;
using Farm.Contracts.Workers;

namespace Farm.Worker.Media;

/// <summary>A medium could not be fetched; the message says why.</summary>
public sealed class MediaFetchException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>A fetched medium in use: its file stays until this is disposed.</summary>
public sealed class CachedMedium(string path, Action done) : IDisposable
{
    private Action? _done = done;

    public string Path { get; } = path;

    public void Dispose() => Interlocked.Exchange(ref _done, null)?.Invoke();
}

/// <summary>
/// The media that this worker has fetched from the farm, by digest: checked on arrival, kept in a folder of bounded size, of which what
/// was not used for the longest goes first. Runs that want the same medium at once share one download.
/// </summary>
public sealed class MediaCache : IDisposable
{
    private const string Partial = ".part";

    /// <summary>A farm that sends nothing for this long is given up.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    /// <summary>A partial download that nobody has written to for this long belongs to a killed worker.</summary>
    private static readonly TimeSpan s_abandoned = TimeSpan.FromHours(1);

    /// <summary>Disk that a download must leave free.</summary>
    private const long SpareBytes = 512L << 20;

    private readonly string _folder;
    private readonly long _quota;
    private readonly ApiEndpoint _api;
    private readonly TimeProvider _time;
    private readonly HttpClient _http;
    private readonly MediaLibrary _library;
    private readonly Lock _gate = new();
    private readonly Dictionary<string, int> _used = [];

    /// <summary>By digest, whose turn it is to download it, and how many want it.</summary>
    private readonly Dictionary<string, (SemaphoreSlim Turn, int Wanted)> _turns = [];

    /// <param name="quota">Bytes that all files may have together.</param>
    public MediaCache(string folder, long quota, ApiEndpoint api, TimeProvider time, HttpMessageHandler? handler = null)
    {
        (_folder, _quota, _api, _time) = (Path.GetFullPath(folder), quota, api, time);
        _http = new(handler ?? new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(15) }) { Timeout = Timeout.InfiniteTimeSpan };
        _library = new([_folder], Path.Combine(_folder, "digests.json"));
    }

    /// <summary>What is here, as of the last scan or download.</summary>
    public IReadOnlyList<HeldMedia> Held => _library.Held;

    /// <summary>Looks at the folder again. True when something changed.</summary>
    public Task<bool> Scan(CancellationToken cancel = default) => _library.Scan(cancel);

    /// <summary>A medium from the folder, or from the farm into it; null when the farm has none either.</summary>
    /// <param name="progress">Hears the part that has arrived, 0..1.</param>
    /// <exception cref="MediaFetchException">The farm has it, but it did not arrive whole.</exception>
    public async Task<CachedMedium?> Get(MediaInfo medium, Action<double>? progress = null, CancellationToken cancel = default)
    {
        if (medium.Sha256 is { } known && await Cached(known, cancel) is { } here)
            return here;
        if (_api.Address is not { } farm)
            return null;
        HeldMedia? offered;
        try
        {
            offered = (await Offered(farm, cancel)).FirstOrDefault(held => held.Is(medium));
        }
        catch (Exception e) when (Failed(e, cancel))
        {
            throw new MediaFetchException($"Medium {medium.Describe()} could not be asked for at {farm}: {e.Message}", e);
        }
        if (offered is null)
            return null;
        if (offered.Sha256.Length != 64 || !offered.Sha256.All(char.IsAsciiHexDigit) || offered.Size <= 0)
            throw new MediaFetchException($"{farm} offers medium {medium.Describe()} under '{offered.Sha256}', which is no SHA-256.");

        string digest = offered.Sha256.ToLowerInvariant();
        return await InTurn(digest, async () =>
        {
            if (await Cached(digest, cancel) is { } meanwhile)
                return meanwhile;
            try
            {
                await Fetch(farm, digest, offered.Size, progress, cancel);
            }
            catch (Exception e) when (Failed(e, cancel))
            {
                throw new MediaFetchException($"Medium {medium.Describe()} could not be fetched from {farm}: {e.Message}", e);
            }
            return await Cached(digest, cancel) ?? throw new MediaFetchException($"Medium {medium.Describe()} was fetched and is gone again from {_folder}.");
        }, cancel);
    }

    public void Dispose() => _http.Dispose();

    private async Task<T> InTurn<T>(string digest, Func<Task<T>> action, CancellationToken cancel)
    {
        SemaphoreSlim turn;
        lock (_gate)
        {
            (turn, int wanted) = _turns.TryGetValue(digest, out var known) ? known : (new(1), 0);
            _turns[digest] = (turn, wanted + 1);
        }
        try
        {
            await turn.WaitAsync(cancel);
            try
            {
                return await action();
            }
            finally
            {
                turn.Release();
            }
        }
        finally
        {
            lock (_gate)
            {
                int wanted = _turns[digest].Wanted - 1;
                if (wanted > 0)
                    _turns[digest] = (turn, wanted);
                else
                    _turns.Remove(digest);
            }
        }
    }

    private static bool Failed(Exception error, CancellationToken cancel) => !cancel.IsCancellationRequested
        && error is HttpRequestException or IOException or UnauthorizedAccessException or JsonException or OperationCanceledException or MediaFetchException;

    private async Task<CachedMedium?> Cached(string sha256, CancellationToken cancel)
    {
        string digest = sha256.ToLowerInvariant();
        lock (_gate)
            _used[digest] = _used.GetValueOrDefault(digest) + 1;
        var medium = new CachedMedium(Path.Combine(_folder, digest + ".img"), () => Release(digest));
        try
        {
            if (await _library.Locate(digest, cancel) is not null)
            {
                File.SetLastAccessTimeUtc(medium.Path, _time.GetUtcNow().UtcDateTime);
                return medium;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // as if it were not there
        }
        medium.Dispose();
        return null;
    }

    private void Release(string digest)
    {
        lock (_gate)
        {
            if (--_used[digest] == 0)
                _used.Remove(digest);
        }
    }

    private async Task<List<HeldMedia>> Offered(Uri farm, CancellationToken cancel)
    {
        using var patience = new CancellationTokenSource(s_patience, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancel, patience.Token);
        using var response = await _http.GetAsync(new Uri(farm, FarmRoutes.Media), either.Token);
        response.EnsureSuccessStatusCode();
        await using var body = await response.Content.ReadAsStreamAsync(either.Token);
        return await JsonSerializer.DeserializeAsync<List<HeldMedia>>(body, FarmJson.Options, either.Token) ?? [];
    }

    private async Task Fetch(Uri farm, string digest, long size, Action<double>? progress, CancellationToken cancel)
    {
        Directory.CreateDirectory(_folder);
        MakeRoom(size);
        // other workers of this machine may have the same folder
        string part = Path.Combine(_folder, $"{digest}-{Guid.NewGuid():N}{Partial}");
        try
        {
            using var patience = new CancellationTokenSource(s_patience, _time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(cancel, patience.Token);
            try
            {
                await Download(new Uri(farm, $"{FarmRoutes.Media}/{digest}"), part, digest, size, progress, patience, either.Token);
            }
            catch (OperationCanceledException) when (patience.IsCancellationRequested && !cancel.IsCancellationRequested)
            {
                throw new MediaFetchException($"nothing came for {s_patience.TotalSeconds:F0} s.");
            }
            string path = Path.Combine(_folder, digest + ".img");
            File.Move(part, path, overwrite: true);
            await _library.Scan(cancel);
        }
        finally
        {
            File.Delete(part);
        }
    }

    private async Task Download(Uri from, string part, string digest, long size, Action<double>? progress, CancellationTokenSource patience, CancellationToken cancel)
    {
        using var response = await _http.GetAsync(from, HttpCompletionOption.ResponseHeadersRead, cancel);
        if (response.StatusCode == HttpStatusCode.NotFound)
            throw new MediaFetchException("the farm has it no more.");
        response.EnsureSuccessStatusCode();
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        long arrived = 0;
        await using (var body = await response.Content.ReadAsStreamAsync(cancel))
        await using (var file = new FileStream(part, FileMode.Create, FileAccess.Write, FileShare.None, 1, FileOptions.Asynchronous))
        {
            byte[] buffer = new byte[256 << 10];
            int count;
            while ((count = await body.ReadAsync(buffer, cancel)) > 0)
            {
                patience.CancelAfter(s_patience);
                arrived += count;
                if (arrived > size)
                    throw new MediaFetchException($"it is longer than the {size} bytes it should have.");
                hash.AppendData(buffer, 0, count);
                await file.WriteAsync(buffer.AsMemory(0, count), cancel);
                progress?.Invoke((double)arrived / size);
            }
        }
        string got = Convert.ToHexStringLower(hash.GetHashAndReset());
        if (arrived != size || got != digest)
            throw new MediaFetchException($"what came ({arrived} of {size} bytes) has the wrong checksum: it is {got}, not {digest}.");
    }

    /// <summary>Deletes what was not used for the longest until there is room.</summary>
    private void MakeRoom(long size)
    {
        foreach (var left in new DirectoryInfo(_folder).EnumerateFiles("*" + Partial).Where(file => _time.GetUtcNow() - file.LastWriteTimeUtc > s_abandoned))
            left.Delete();
        if (size > _quota)
            throw new MediaFetchException($"its {size >> 20} MiB are more than the {_quota >> 20} MiB that this worker keeps of fetched media (--media-cache).");
        var files = new DirectoryInfo(_folder).EnumerateFiles("*.img").OrderBy(file => file.LastAccessTimeUtc).ToList();
        long kept = files.Sum(file => file.Length);
        foreach (var file in files)
        {
            if (kept + size <= _quota && HasSpace(size))
                break;
            lock (_gate)
            {
                if (_used.ContainsKey(Path.GetFileNameWithoutExtension(file.Name)))
                    continue;
                long length = file.Length;
                file.Delete();
                kept -= length;
            }
        }
        if (kept + size > _quota)
            throw new MediaFetchException($"the {_quota >> 20} MiB for fetched media (--media-cache) are taken by media in use.");
        if (!HasSpace(size))
            throw new MediaFetchException($"{_folder} has no room for its {size >> 20} MiB.");
    }

    private bool HasSpace(long size) => new DriveInfo(_folder).AvailableFreeSpace > size + SpareBytes;
}
