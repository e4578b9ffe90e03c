using System.Net;
using System.Text.Json;
using Farm.Contracts.Api;
using Farm.Contracts.Guests;
using Farm.Contracts.Workers;
using Farm.Worker.Media;

namespace Farm.Worker.Tests.Media;

public sealed class MediaCacheTests : IDisposable
{
    private const string HelloDigest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"; // SHA-256 of "hello"
    private const string WorldDigest = "486ea46224d1bb4fb680f34f7c9ad96a8f24ec88be73ea8e5a6c65260e9cb8a7"; // SHA-256 of "world"

    private readonly string _folder = Path.Combine(Path.GetTempPath(), "farm-fetched-" + Guid.NewGuid().ToString("N")[..12]);
    private readonly FakeFarm _farm = new();

    public void Dispose()
    {
        _farm.Dispose();
        if (Directory.Exists(_folder))
            Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task A_medium_is_fetched_once_checked_and_kept()
    {
        _farm.Offer("boot.img", HelloDigest, "hello");
        using (var cache = Cache())
        {
            double arrived = 0;
            using var medium = (await cache.Get(ByDigest(HelloDigest), part => arrived = part))!;
            Assert.Equal(Path.Combine(_folder, HelloDigest + ".img"), medium.Path);
            Assert.Equal("hello", await File.ReadAllTextAsync(medium.Path));
            Assert.Equal((1.0, HelloDigest), (arrived, Assert.Single(cache.Held).Sha256));
        }
        // also after a restart, and with the farm away
        _farm.Broken = true;
        using var restarted = Cache();
        await restarted.Scan();
        using var again = await restarted.Get(ByDigest(HelloDigest));
        Assert.NotNull(again);
        Assert.Equal(1, _farm.Downloads);
    }

    [Fact]
    public async Task A_medium_without_a_digest_is_asked_for_by_name()
    {
        _farm.Offer("FC3-disc1.iso", HelloDigest, "hello");
        using var cache = Cache();
        using var medium = await cache.Get(new() { Name = "cd1", Kind = MediaKind.Cdrom, Files = ["fc3-DISC1.iso"] });
        Assert.Equal("hello", await File.ReadAllTextAsync(medium!.Path));
    }

    [Fact]
    public async Task Runs_that_want_the_same_medium_share_one_download()
    {
        _farm.Offer("boot.img", HelloDigest, "hello");
        using var cache = Cache();
        var all = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => cache.Get(ByDigest(HelloDigest))));
        Assert.All(all, Assert.NotNull);
        Assert.Equal(1, _farm.Downloads);
    }

    [Fact]
    public async Task A_medium_that_the_farm_has_not_is_no_medium()
    {
        using var cache = Cache();
        Assert.Null(await cache.Get(ByDigest(HelloDigest)));
    }

    [Theory]
    [InlineData("hullo", "wrong checksum")]
    [InlineData("hell", "4 of 5 bytes")]
    [InlineData("hello and more", "longer than the 5 bytes")]
    public async Task What_arrives_broken_is_refused_and_leaves_nothing(string content, string words)
    {
        _farm.Offer("boot.img", HelloDigest, content, size: 5);
        using var cache = Cache();
        var error = await Assert.ThrowsAsync<MediaFetchException>(() => cache.Get(ByDigest(HelloDigest)));
        Assert.Contains("Medium boot (boot.img) could not be fetched from http://farm.test/", error.Message, StringComparison.Ordinal);
        Assert.Contains(words, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(Directory.EnumerateFiles(_folder), file => !file.EndsWith(".json", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_download_ends_with_its_run()
    {
        _farm.Offer("boot.img", HelloDigest, "hello");
        _farm.Gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var cache = Cache();
        using var stop = new CancellationTokenSource();
        var download = cache.Get(ByDigest(HelloDigest), cancel: stop.Token);
        await _farm.Asked.Task;
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => download);
        _farm.Gate = null;
        using var medium = await cache.Get(ByDigest(HelloDigest));
        Assert.NotNull(medium);
        Assert.Empty(Directory.EnumerateFiles(_folder, "*.part"));
    }

    [Fact]
    public async Task A_farm_that_names_a_path_as_digest_is_not_followed()
    {
        _farm.Offer("boot.img", "../../etc/passwd", "hello");
        using var cache = Cache();
        var error = await Assert.ThrowsAsync<MediaFetchException>(() => cache.Get(new() { Name = "boot", Kind = MediaKind.Floppy, Files = ["boot.img"] }));
        Assert.Contains("no SHA-256", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_farm_that_does_not_answer_is_told_as_such()
    {
        _farm.Broken = true;
        using var cache = Cache();
        var error = await Assert.ThrowsAsync<MediaFetchException>(() => cache.Get(ByDigest(HelloDigest)));
        Assert.Contains("could not be asked for at http://farm.test/: out of order", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_file_that_was_changed_here_is_fetched_again()
    {
        _farm.Offer("boot.img", HelloDigest, "hello");
        using var cache = Cache();
        using (var medium = (await cache.Get(ByDigest(HelloDigest)))!)
            await File.WriteAllTextAsync(medium.Path, "changed");
        using var again = (await cache.Get(ByDigest(HelloDigest)))!;
        Assert.Equal("hello", await File.ReadAllTextAsync(again.Path));
        Assert.Equal(2, _farm.Downloads);
    }

    [Fact]
    public async Task The_folder_keeps_to_its_size_and_never_drops_what_is_in_use()
    {
        _farm.Offer("hello.img", HelloDigest, "hello");
        _farm.Offer("world.img", WorldDigest, "world");
        using var cache = Cache(quota: 9);
        var hello = await cache.Get(ByDigest(HelloDigest));
        var error = await Assert.ThrowsAsync<MediaFetchException>(() => cache.Get(ByDigest(WorldDigest)));
        Assert.Contains("media in use", error.Message, StringComparison.Ordinal);

        hello!.Dispose();
        using var world = await cache.Get(ByDigest(WorldDigest));
        Assert.Equal(WorldDigest, Assert.Single(cache.Held).Sha256);

        using var small = Cache(quota: 4, folder: _folder + "/small");
        error = await Assert.ThrowsAsync<MediaFetchException>(() => small.Get(ByDigest(HelloDigest)));
        Assert.Contains("--media-cache", error.Message, StringComparison.Ordinal);
    }

    private static MediaInfo ByDigest(string digest) => new() { Name = "boot", Kind = MediaKind.Floppy, Sha256 = digest, Files = ["boot.img"] };

    private MediaCache Cache(long quota = 1 << 20, string? folder = null) =>
        new(folder ?? _folder, quota, new(() => new("http://farm.test/")), TimeProvider.System, _farm);

    /// <summary>The farm's HTTP API as far as media go.</summary>
    private sealed class FakeFarm : HttpMessageHandler
    {
        private readonly List<(HeldMedia Held, string Content)> _media = [];
        private int _downloads;

        public bool Broken { get; set; }

        /// <summary>Downloads wait for it.</summary>
        public TaskCompletionSource? Gate { get; set; }

        public TaskCompletionSource Asked { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public int Downloads => _downloads;

        public void Offer(string file, string digest, string content, long? size = null) => _media.Add((new() { File = file, Sha256 = digest, Size = size ?? content.Length }, content));

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            if (Broken)
                throw new HttpRequestException("out of order");
            string path = request.RequestUri!.AbsolutePath.TrimStart('/');
            if (path == FarmRoutes.Media)
                return Answer(JsonSerializer.Serialize(_media.Select(medium => medium.Held), FarmJson.Options));
            Interlocked.Increment(ref _downloads);
            Asked.TrySetResult();
            if (Gate is { } gate)
                await gate.Task.WaitAsync(cancellationToken);
            return Answer(_media.Single(medium => path == $"{FarmRoutes.Media}/{medium.Held.Sha256}").Content);
        }

        private static HttpResponseMessage Answer(string content) => new(HttpStatusCode.OK) { Content = new StringContent(content) };
    }
}
