using Farm.Contracts.Guests;
using Farm.Worker.Media;

namespace Farm.Worker.Tests.Media;

public sealed class MediaLibraryTests : IDisposable
{
    private const string HelloDigest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"; // SHA-256 of "hello"

    private readonly string _folder = Path.Combine(Path.GetTempPath(), "farm-media-" + Guid.NewGuid().ToString("N")[..12]);

    public MediaLibraryTests() => Directory.CreateDirectory(Path.Combine(_folder, "a", "b"));

    private string Cache => Path.Combine(_folder, "state", "digests.json");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task A_medium_is_found_by_digest_whatever_its_name()
    {
        File.WriteAllText(Path.Combine(_folder, "a", "b", "other-name.img"), "hello");
        var library = new MediaLibrary([_folder], Cache);
        Assert.True(await library.Scan());
        var found = await library.Find(new() { Name = "boot", Kind = MediaKind.Floppy, Sha256 = HelloDigest, Files = ["boot.img"] });
        Assert.Equal(Path.Combine(_folder, "a", "b", "other-name.img"), found.Path);
        Assert.False(await library.Scan());
    }

    [Fact]
    public async Task A_medium_without_a_digest_is_found_by_name_in_any_case()
    {
        File.WriteAllText(Path.Combine(_folder, "FC3-i386-DISC1.iso"), "x");
        var library = new MediaLibrary([_folder], Cache);
        await library.Scan();
        Assert.NotNull((await library.Find(new() { Name = "cd1", Kind = MediaKind.Cdrom, Files = ["FC3-i386-disc1.iso"] })).Path);
    }

    [Fact]
    public async Task A_file_of_the_right_name_and_the_wrong_content_is_told_as_such()
    {
        File.WriteAllText(Path.Combine(_folder, "boot.img"), "hullo");
        var library = new MediaLibrary([_folder], Cache);
        await library.Scan();
        var found = await library.Find(new() { Name = "boot", Kind = MediaKind.Floppy, Sha256 = HelloDigest, Files = ["boot.img"] });
        Assert.Null(found.Path);
        Assert.Contains("wrong checksum", found.Problem, StringComparison.Ordinal);
        Assert.Contains(HelloDigest, found.Problem, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_file_that_changed_since_the_scan_is_not_handed_out_as_what_it_was()
    {
        var path = Path.Combine(_folder, "boot.img");
        File.WriteAllText(path, "hello");
        var library = new MediaLibrary([_folder], Cache);
        await library.Scan();
        File.WriteAllText(path, "jello!");
        Assert.Null((await library.Find(new() { Name = "boot", Kind = MediaKind.Floppy, Sha256 = HelloDigest, Files = ["boot.img"] })).Path);
    }

    [Fact]
    public async Task Digests_are_kept_over_a_restart_and_thrown_away_when_the_file_changes()
    {
        var path = Path.Combine(_folder, "boot.img");
        File.WriteAllText(path, "hello");
        var stamp = File.GetLastWriteTimeUtc(path);
        await new MediaLibrary([_folder], Cache).Scan();

        // same size, same time: taken from the cache without a look, which is how one sees that there is one
        File.WriteAllText(path, "jello");
        File.SetLastWriteTimeUtc(path, stamp);
        var second = new MediaLibrary([_folder], Cache);
        await second.Scan();
        Assert.Equal(HelloDigest, Assert.Single(second.Files).Sha256);

        File.SetLastWriteTimeUtc(path, stamp.AddSeconds(1));
        await second.Scan();
        Assert.NotEqual(HelloDigest, Assert.Single(second.Files).Sha256);
    }

    [Fact]
    public async Task A_cache_that_is_not_readable_is_made_anew()
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Cache)!);
        File.WriteAllText(Cache, "{ not json");
        File.WriteAllText(Path.Combine(_folder, "boot.img"), "hello");
        var library = new MediaLibrary([_folder], Cache);
        await library.Scan();
        Assert.Equal(HelloDigest, Assert.Single(library.Files).Sha256);
    }

    [Fact]
    public async Task Folders_that_do_not_exist_and_files_that_are_no_images_are_left_out()
    {
        File.WriteAllText(Path.Combine(_folder, "README.md"), "hello");
        File.WriteAllText(Path.Combine(_folder, "empty.img"), "");
        var library = new MediaLibrary([_folder, "/nowhere"], Cache);
        Assert.False(await library.Scan());
        Assert.Empty(library.Files);
    }
}
