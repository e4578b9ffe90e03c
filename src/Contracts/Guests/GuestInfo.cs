using Orleans;

namespace Farm.Contracts.Guests;

/// <summary>The two columns of the matrix.</summary>
public enum JobKind { Install, Disk }

/// <summary>What a medium is put into.</summary>
public enum MediaKind { Floppy, Disk, Cdrom }

/// <summary>Whether any live worker holds a medium.</summary>
public enum MediaState { Missing, Present }

/// <summary>One medium that a guest needs. With a digest it is matched by digest, without one by file name.</summary>
[GenerateSerializer, Immutable, Alias("Farm.MediaInfo")]
public sealed record MediaInfo
{
    /// <summary>Unique in its guest, e.g. <c>boot</c> or <c>cd1</c>.</summary>
    [Id(0)] public required string Name { get; init; }
    [Id(1)] public required MediaKind Kind { get; init; }

    /// <summary>Lower-case hex, or null where the catalogue does not know it.</summary>
    [Id(2)] public string? Sha256 { get; init; }

    /// <summary>The recipe under infra/media that makes this medium, or null.</summary>
    [Id(3)] public string? Recipe { get; init; }

    /// <summary>File names under which the medium is usually found.</summary>
    [Id(4)] public IReadOnlyList<string> Files { get; init; } = [];

    /// <summary>Who may use it and where to get it.</summary>
    [Id(5)] public string? Licence { get; init; }
    [Id(6)] public MediaState State { get; init; }

    /// <summary>Workers that hold it, by id.</summary>
    [Id(7)] public IReadOnlyList<string> HeldBy { get; init; } = [];

    /// <summary>The columns that need it.</summary>
    [Id(8)] public IReadOnlyList<JobKind> UsedBy { get; init; } = [];

    /// <summary>The name with what helps to find it, for messages.</summary>
    public string Describe()
    {
        string? hint = Files.Count > 0 ? Files[0] : Sha256 is { } digest ? "sha256 " + digest[..12] : null;
        return hint is null ? Name : $"{Name} ({hint})";
    }
}

/// <summary>A guest of the catalogue as the farm shows it.</summary>
[GenerateSerializer, Immutable, Alias("Farm.GuestInfo")]
public sealed record GuestInfo
{
    /// <summary>The catalogue's key, e.g. <c>freebsd-5.3</c>.</summary>
    [Id(0)] public required string Id { get; init; }
    [Id(1)] public required string Name { get; init; }

    /// <summary>Operating system family, e.g. <c>linux</c>, <c>bsd</c>, <c>dos</c>, <c>firmware</c>.</summary>
    [Id(2)] public required string Family { get; init; }
    [Id(3)] public string? Version { get; init; }
    [Id(4)] public string? Notes { get; init; }
    [Id(5)] public int MemoryMiB { get; init; }
    [Id(6)] public string? CpuModel { get; init; }
    [Id(7)] public IReadOnlyList<MediaInfo> Media { get; init; } = [];
    /// <summary>The columns that the guest defines.</summary>
    [Id(8)] public IReadOnlyList<JobKind> Kinds { get; init; } = [];

    /// <summary>SHA-256 of the definition: results of another digest are of an older definition.</summary>
    [Id(9)] public required string Digest { get; init; }
}

/// <summary>One drive of a plan: a medium of the guest, or a blank disk.</summary>
[GenerateSerializer, Immutable, Alias("Farm.DriveSpec")]
public sealed record DriveSpec
{
    /// <summary><c>floppy0</c>, <c>floppy1</c>, <c>disk0</c>..<c>disk3</c> (IDE), <c>virtio0</c>..<c>virtio3</c>, <c>cdrom0</c>..: kind and index.</summary>
    [Id(0)] public required string Slot { get; init; }

    /// <summary>Name of the guest's medium, or null for an empty drive or a blank disk.</summary>
    [Id(1)] public string? Media { get; init; }

    /// <summary>Size of a blank disk in MiB; 0 when <see cref="Media"/> is given or the drive is empty.</summary>
    [Id(2)] public int BlankMiB { get; init; }
}

/// <summary>What a job runs: everything of the catalogue that one kind of one guest needs, frozen when the job is queued.</summary>
[GenerateSerializer, Immutable, Alias("Farm.GuestPlan")]
public sealed record GuestPlan
{
    [Id(0)] public required string GuestId { get; init; }
    [Id(1)] public required JobKind Kind { get; init; }
    [Id(2)] public required string Digest { get; init; }
    [Id(3)] public int MemoryMiB { get; init; }
    [Id(4)] public string? CpuModel { get; init; }

    /// <summary>Boot order in the command line's letters: a floppy, c disk, d CD-ROM.</summary>
    [Id(5)] public string BootOrder { get; init; } = "acd";
    [Id(6)] public IReadOnlyList<DriveSpec> Drives { get; init; } = [];
    [Id(7)] public IReadOnlyList<MediaInfo> Media { get; init; } = [];

    /// <summary>The guest script's YAML text, read by the worker; the silo carries it.</summary>
    [Id(8)] public string Script { get; init; } = "";

    /// <summary>Where <see cref="Script"/> stands, for messages: file name and the line of its first line.</summary>
    [Id(12)] public string ScriptFile { get; init; } = "";
    [Id(13)] public int ScriptLine { get; init; } = 1;

    /// <summary>Limit in guest time; 0 leaves it to the script.</summary>
    [Id(9)] public double GuestLimitSeconds { get; init; }

    /// <summary>Limit in the host's time, after which the worker ends the child.</summary>
    [Id(10)] public double HostLimitSeconds { get; init; }
    [Id(11)] public string? Vga { get; init; }

    /// <summary>Number of processors.</summary>
    [Id(20)] public int Cpus { get; init; } = 1;

    /// <summary>Network cards (<c>ne2k</c>, <c>ne2k-isa</c>, <c>rtl8139</c>, <c>virtio</c>), each on a network of the guest's own; null: none.</summary>
    [Id(14)] public IReadOnlyList<string>? Network { get; init; }
}

/// <summary>A guest with what its kinds run: one entry of the catalogue.</summary>
[GenerateSerializer, Immutable, Alias("Farm.CatalogueEntry")]
public sealed record CatalogueEntry
{
    [Id(0)] public required GuestInfo Guest { get; init; }
    [Id(1)] public required IReadOnlyList<GuestPlan> Plans { get; init; }
}
