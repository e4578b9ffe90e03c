using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using Farm.Contracts.Api;
using Farm.Silo.Artifacts;
using Farm.Silo.Tests.Service;

namespace Farm.Silo.Tests.Artifacts;

public sealed class FolderArtifactStoreTests : IDisposable
{
    private readonly string _folder = Path.Combine(Path.GetTempPath(), "farm-store-" + Guid.NewGuid().ToString("N")[..12]);

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task A_content_is_stored_once_under_its_digest()
    {
        var store = new FolderArtifactStore(_folder, 100, 1000);
        var first = await store.Put(Content("hello"));
        var second = await store.Put(Content("hello"));
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData("hello"u8)), first.Sha256);
        Assert.Equal((first, 5L), (second, store.Used));
        await using (var read = (await store.Open(first.Sha256))!)
            Assert.Equal("hello", await new StreamReader(read).ReadToEndAsync());
        Assert.Equal(5, new FolderArtifactStore(_folder, 100, 1000).Used);
        Assert.True(await store.Delete(first.Sha256));
        Assert.Null(await store.Open(first.Sha256));
        Assert.Equal(0, store.Used);
    }

    [Fact]
    public async Task What_is_too_large_or_breaks_off_leaves_nothing_behind()
    {
        var store = new FolderArtifactStore(_folder, 100, 150);
        await Assert.ThrowsAsync<ArtifactTooLargeException>(() => store.Put(Content(new string('a', 101))));
        await store.Put(Content(new string('b', 100)));
        var full = await Assert.ThrowsAsync<ArtifactTooLargeException>(() => store.Put(Content(new string('c', 60))));
        Assert.Contains("full", full.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<IOException>(() => store.Put(new Breaking()));
        Assert.Empty(Directory.GetFiles(Path.Combine(_folder, "incoming")));
        Assert.Equal(100, store.Used);
    }

    [Theory]
    [InlineData("../../../etc/passwd")]
    [InlineData("..%2f..%2fetc%2fpasswd")]
    [InlineData("")]
    [InlineData("ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789")]
    [InlineData("aa/../../../../../../../../../../../../../../../../../../etc/passwd")]
    public async Task Only_a_digest_names_a_content(string name)
    {
        var store = new FolderArtifactStore(_folder, 100, 1000);
        Assert.Null(await store.Open(name));
        Assert.False(await store.Delete(name));
    }

    private static MemoryStream Content(string text) => new(Encoding.UTF8.GetBytes(text));

    private sealed class Breaking : MemoryStream
    {
        private bool _read;

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (_read)
                throw new IOException("The line broke.");
            _read = true;
            return new(10);
        }
    }
}

[Collection(FarmCollection.Name)]
public sealed class ArtifactApiTests(TestFarm farm)
{
    [Fact]
    public async Task An_artifact_goes_up_and_comes_down_with_its_type()
    {
        var stored = await farm.Api.PutArtifact("screen.txt", new MemoryStream("A:\\>"u8.ToArray()), "text/plain; charset=utf-8");
        Assert.Equal(("screen.txt", 4L), (stored.Name, stored.Size));
        await using (var content = (await farm.Api.GetArtifact(stored.Sha256))!)
        {
            Assert.Equal("text/plain; charset=utf-8", content.ContentType);
            Assert.Equal("A:\\>", await new StreamReader(content.Content).ReadToEndAsync());
        }
        Assert.Null(await farm.Api.GetArtifact(new string('0', 64)));
    }

    [Fact]
    public async Task What_a_guest_wrote_is_never_a_page_of_ours()
    {
        var stored = await farm.Api.PutArtifact("x.html", new MemoryStream("<script>"u8.ToArray()), "text/html");
        using var response = await farm.Http.GetAsync(new Uri("api/artifacts/" + stored.Sha256, UriKind.Relative));
        Assert.Equal("attachment", response.Content.Headers.ContentDisposition?.DispositionType);
        Assert.Equal("nosniff", response.Headers.GetValues("X-Content-Type-Options").Single());
        Assert.StartsWith("sandbox", response.Headers.GetValues("Content-Security-Policy").Single(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("../x", "text/plain", HttpStatusCode.BadRequest)]
    [InlineData("x", "nonsense", HttpStatusCode.BadRequest)]
    public async Task A_bad_name_or_type_is_refused(string name, string type, HttpStatusCode status)
    {
        using var content = new ByteArrayContent([1]);
        content.Headers.TryAddWithoutValidation("Content-Type", type);
        using var response = await farm.Http.PostAsync(new Uri("api/artifacts?name=" + Uri.EscapeDataString(name), UriKind.Relative), content);
        Assert.Equal(status, response.StatusCode);
    }

    [Fact]
    public async Task An_artifact_beyond_the_bound_is_refused_as_too_large()
    {
        var error = await Assert.ThrowsAsync<FarmException>(() => farm.Api.PutArtifact("big", new MemoryStream(new byte[(1 << 20) + 1]), "application/octet-stream"));
        Assert.Equal(FarmErrorKind.TooLarge, error.Kind);
    }

    [Theory]
    [InlineData("api/artifacts/..%2f..%2f..%2fetc%2fpasswd")]
    [InlineData("api/artifacts/%2e%2e%2f%2e%2e")]
    public async Task No_path_leads_out_of_the_store(string path)
    {
        using var response = await farm.Http.GetAsync(new Uri(farm.Silo.Url + "/" + path));
        Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
    }
}
