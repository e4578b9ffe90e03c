using System.Text.Json;
using Farm.Catalogue;
using Farm.Contracts.Api;
using Farm.Contracts.Guests;

namespace Farm.Silo.Tests.Guests;

public sealed class CatalogueTests
{
    private const string Good = """
        id: tiny
        name: Tiny
        family: test
        memory: 8
        media:
          - name: a
            kind: floppy
            sha256: 6C7B3C62823D538E20797FECAE6DC55D2572455791A573A7DE2CDBA0B583F6BE
            files: [a.img]
          - name: b
            kind: floppy
            files: b.img
        install:
          boot: ac
          drives:
            floppy0: a
            floppy1: empty
            disk0: { blank: 32 }
          script:
            # a comment stays
            steps:
              - expect: 'x'
              - insert: { drive: floppy0, media: b }
              - type: "two
                  lines"
            fail-on: ['bad']
        disk:
          memory: 4
          drives: { floppy0: a }
          guest-seconds: 60
          script:
            steps: [ { expect: y } ]
        """;

    [Fact]
    public void A_definition_becomes_a_guest_with_a_plan_for_each_kind()
    {
        var entry = GuestCatalogue.Parse("guests/tiny.yaml", Good);
        Assert.Equal([JobKind.Install, JobKind.Disk], entry.Guest.Kinds);
        Assert.Equal([JobKind.Install, JobKind.Disk], entry.Guest.Media[0].UsedBy);
        Assert.Equal([JobKind.Install], entry.Guest.Media[1].UsedBy);

        var install = entry.Plans[0];
        Assert.Equal((8, "ac"), (install.MemoryMiB, install.BootOrder));
        Assert.Equal(["a", "b"], install.Media.Select(medium => medium.Name));
        Assert.Equal([("floppy0", "a", 0), ("floppy1", null, 0), ("disk0", null, 32)], install.Drives.Select(drive => (drive.Slot, drive.Media, drive.BlankMiB)));

        var disk = entry.Plans[1];
        Assert.Equal((4, 60.0), (disk.MemoryMiB, disk.GuestLimitSeconds));
        Assert.Equal("6c7b3c62823d538e20797fecae6dc55d2572455791a573a7de2cdba0b583f6be", Assert.Single(disk.Media).Sha256);
    }

    [Fact]
    public void A_script_is_carried_as_it_stands_with_its_place()
    {
        var plan = GuestCatalogue.Parse("tiny.yaml", Good).Plans[0];
        Assert.Equal(
            """
            steps:
              - expect: 'x'
              - insert: { drive: floppy0, media: b }
              - type: "two
                  lines"
            fail-on: ['bad']

            """, plan.Script);
        Assert.Equal(("tiny.yaml", 21), (plan.ScriptFile, plan.ScriptLine));
        Assert.Equal("steps:", GuestCatalogue.ScriptAtItsLine(plan).Split('\n')[20]);
    }

    [Fact]
    public void Lines_that_move_and_words_in_notes_leave_the_digest_as_it_was()
    {
        var before = GuestCatalogue.Parse("tiny.yaml", Good).Guest.Digest;
        Assert.Equal(before, GuestCatalogue.Parse("tiny.yaml", "notes: new words\n" + Good).Guest.Digest);
        Assert.NotEqual(before, GuestCatalogue.Parse("tiny.yaml", Good.Replace("blank: 32", "blank: 33", StringComparison.Ordinal)).Guest.Digest);
    }

    [Fact]
    public void A_guest_may_ask_for_network_cards_and_virtio_disks_and_a_column_may_say_otherwise()
    {
        string text = Good.Replace("memory: 8", "memory: 8\nnetwork: rtl8139", StringComparison.Ordinal)
            .Replace("memory: 4", "memory: 4\n  network: [virtio, ne2k]", StringComparison.Ordinal)
            .Replace("disk0: { blank: 32 }", "virtio0: { blank: 32 }", StringComparison.Ordinal);
        var plans = GuestCatalogue.Parse("tiny.yaml", text).Plans;
        Assert.Equal(["rtl8139"], plans[0].Network);
        Assert.Equal(["virtio", "ne2k"], plans[1].Network);
        Assert.Equal(("virtio0", 32), (plans[0].Drives[2].Slot, plans[0].Drives[2].BlankMiB));
        Assert.Null(GuestCatalogue.Parse("tiny.yaml", Good).Plans[0].Network);
        Assert.Null(GuestCatalogue.Parse("tiny.yaml", text.Replace("[virtio, ne2k]", "none", StringComparison.Ordinal)).Plans[1].Network);
    }

    [Theory]
    [InlineData("memory: 8", "network: 3c509", "tiny.yaml:4: network '3c509' is no card")]
    [InlineData("memory: 8", "network: [ne2k-isa, ne2k-isa]", "tiny.yaml:4: network takes at most 4 cards")]
    [InlineData("floppy1: empty", "virtio0: a", "tiny.yaml:17: medium 'a' is a floppy: it does not fit virtio0.")]
    [InlineData("memory: 8", "memroy: 8", "tiny.yaml:4: A guest has no 'memroy'")]
    [InlineData("memory: 8", "memory: lots", "tiny.yaml:4: memory 'lots' has to be a number from 1 to 64512.")]
    [InlineData("id: tiny", "id: Tiny!", "tiny.yaml:1: id 'Tiny!' has to be")]
    [InlineData("id: tiny", "id: other", "tiny.yaml:1: id 'other' has to be the file's name, 'tiny'.")]
    [InlineData("kind: floppy\n    sha256", "kind: tape\n    sha256", "tiny.yaml:7: kind 'tape' has to be one of floppy, disk, cdrom.")]
    [InlineData("6C7B", "XYZ", "tiny.yaml:8: sha256")]
    [InlineData("floppy0: a\n    floppy1", "floppy0: c\n    floppy1", "tiny.yaml:16: there is no medium 'c'; media has a, b.")]
    [InlineData("floppy1: empty", "cdrom0: a", "tiny.yaml:17: medium 'a' is a floppy: it does not fit cdrom0.")]
    [InlineData("floppy1: empty", "hda: a", "tiny.yaml:17: 'hda' is no drive")]
    [InlineData("media: b }", "media: z }", "tiny.yaml:23: there is no medium 'z'")]
    [InlineData("boot: ac", "boot: aca", "tiny.yaml:14: boot 'aca'")]
    [InlineData("{ blank: 32 }", "{ blank: 0 }", "tiny.yaml:18: blank '0' has to be a number from 1 to")]
    [InlineData("files: b.img", "files: ../b.img", "tiny.yaml:12: files are names, without folders.")]
    [InlineData("name: Tiny", "name: [", "this is not YAML")]
    [InlineData("name: Tiny", "name: &a Tiny\nnotes: *a", "tiny.yaml:3: aliases are not supported")]
    public void A_mistake_is_told_with_file_and_line(string part, string mistake, string expected)
    {
        Assert.Contains(part, Good, StringComparison.Ordinal);
        var error = Assert.Throws<CatalogueException>(() => GuestCatalogue.Parse("tiny.yaml", Good.Replace(part, mistake, StringComparison.Ordinal)));
        Assert.Contains(error.Errors, line => line.Contains(expected, StringComparison.Ordinal));
    }

    [Fact]
    public void A_medium_that_nothing_uses_is_a_mistake()
    {
        var text = Good.Replace("media: b }", "media: a }", StringComparison.Ordinal);
        var error = Assert.Throws<CatalogueException>(() => GuestCatalogue.Parse("tiny.yaml", text));
        Assert.Contains("medium 'b' is used by no drive", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_projects_own_catalogue_loads_and_names_the_first_four_systems()
    {
        var entries = GuestCatalogue.Load(Path.Combine(ProjectRoot(), "guests"));
        string[] seed = ["rhel3-u5", "fedora-core-3", "freebsd-5.3", "msdos-5.0"];
        foreach (var id in seed)
            Assert.Equal([JobKind.Install, JobKind.Disk], entries.Single(entry => entry.Guest.Id == id).Guest.Kinds);
        Assert.All(entries, entry => Assert.Equal(entry.Plans, JsonSerializer.Deserialize<List<GuestPlan>>(JsonSerializer.Serialize(entry.Plans, FarmJson.Options), FarmJson.Options)!, PlanComparer));
    }

    [Fact]
    public void A_folder_without_guests_is_an_error_that_names_it()
    {
        var error = Assert.Throws<CatalogueException>(() => GuestCatalogue.Load("/nowhere/guests"));
        Assert.Contains("/nowhere/guests", error.Message, StringComparison.Ordinal);
    }

    private static readonly IEqualityComparer<GuestPlan> PlanComparer =
        EqualityComparer<GuestPlan>.Create((a, b) => JsonSerializer.Serialize(a, FarmJson.Options) == JsonSerializer.Serialize(b, FarmJson.Options));

    private static string ProjectRoot()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "farm.sln")))
            folder = Path.GetDirectoryName(folder) ?? throw new InvalidOperationException("The project's root is not above the test.");
        return folder;
    }
}
