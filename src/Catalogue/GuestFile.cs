using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Farm.Contracts.Api;
using Farm.Contracts.Guests;
using YamlDotNet.Core.Events;
using YamlDotNet.RepresentationModel;

namespace Farm.Catalogue;

/// <summary>Reads one guest's definition. The script is carried as it stands; who runs it checks it.</summary>
internal sealed partial class GuestFile
{
    private const int DefaultMemoryMiB = 32;
    private const int MostProcessors = 31;
    private const double DefaultGuestSeconds = 600;
    private const double DefaultHostSeconds = 1800;
    private const int MostDrives = 8;
    private const int MostNetworkCards = 4;

    private readonly YamlFile _file;
    private readonly Dictionary<string, MediaInfo> _media = [];
    private readonly Dictionary<string, List<JobKind>> _uses = [];

    private GuestFile(YamlFile file) => _file = file;

    /// <summary>The entry, or the errors.</summary>
    public static (CatalogueEntry? Entry, IReadOnlyList<string> Errors) Read(string path, string text)
    {
        var (file, root) = YamlFile.Read(path, text.ReplaceLineEndings("\n"));
        var entry = root is null ? null : new GuestFile(file).ReadGuest(root);
        return (file.Errors.Count > 0 ? null : entry, file.Errors);
    }

    private CatalogueEntry ReadGuest(YamlMappingNode root)
    {
        var keys = _file.Keys(root, "A guest", "id", "name", "family", "version", "notes", "memory", "cpu", "cpus", "vga", "network", "media", "install", "disk");
        var id = _file.Required(root, keys, "id");
        if (id.Length > 0 && !GuestId().IsMatch(id))
            _file.Error(keys["id"], $"id '{id}' has to be 1 to 64 lower-case letters, digits, dots, dashes, and begin with a letter.");
        else if (id.Length > 0 && Path.GetFileNameWithoutExtension(_file.Path) is var name && name != id)
            _file.Error(keys["id"], $"id '{id}' has to be the file's name, '{name}'.");
        var memory = _file.Int(keys, "memory", 1, 64512, DefaultMemoryMiB);
        var cpu = _file.Text(keys, "cpu");
        var cpus = _file.Int(keys, "cpus", 1, MostProcessors, 1);
        var vga = _file.Text(keys, "vga");
        var network = ReadNetwork(keys);
        ReadMedia(keys);

        var plans = new List<GuestPlan>();
        foreach (var kind in Enum.GetValues<JobKind>())
        {
            var key = kind.ToString().ToLowerInvariant();
            if (keys.TryGetValue(key, out var node))
                plans.Add(ReadPlan(node, kind, id, memory, cpu, cpus, vga, network));
        }
        if (plans.Count == 0)
            _file.Error(root, "a guest defines install, disk, or both.");
        foreach (var medium in _media.Values.Where(medium => !_uses.ContainsKey(medium.Name)))
            _file.Error(keys["media"], $"medium '{medium.Name}' is used by no drive and no insert step.");

        var guest = new GuestInfo
        {
            Id = id,
            Name = _file.Required(root, keys, "name"),
            Family = _file.Required(root, keys, "family"),
            Version = _file.Text(keys, "version"),
            Notes = _file.Text(keys, "notes")?.Trim(),
            MemoryMiB = memory,
            CpuModel = cpu,
            Media = [.. _media.Values.Select(WithUses)],
            Kinds = [.. plans.Select(plan => plan.Kind)],
            Digest = Digest(plans),
        };
        return new() { Guest = guest, Plans = plans };
    }

    private void ReadMedia(Dictionary<string, YamlNode> keys)
    {
        if (!keys.TryGetValue("media", out var node))
            return;
        if (node is not YamlSequenceNode list)
        {
            _file.Error(node, "media has to be a list.");
            return;
        }
        foreach (var item in list.Children)
        {
            var medium = _file.Keys(item, "A medium", "name", "kind", "sha256", "recipe", "files", "licence");
            var name = _file.Required(item, medium, "name");
            var sha256 = _file.Text(medium, "sha256")?.ToLowerInvariant();
            if (sha256 is not null && !Sha256().IsMatch(sha256))
                _file.Error(medium["sha256"], $"sha256 '{sha256}' has to be 64 hexadecimal digits.");
            var kind = _file.Choice<MediaKind>(medium, "kind");
            if (kind is null && !medium.ContainsKey("kind"))
                _file.Error(item, "kind is missing: floppy, disk or cdrom.");
            var files = _file.Texts(medium, "files");
            if (files.Any(file => file.Contains('/', StringComparison.Ordinal) || file.Contains('\\', StringComparison.Ordinal)))
                _file.Error(medium["files"], "files are names, without folders.");
            if (sha256 is null && files.Count == 0)
                _file.Error(item, $"medium '{name}' has neither sha256 nor files: it could never be found.");
            if (name.Length > 0 && !_media.TryAdd(name, new()
            {
                Name = name,
                Kind = kind ?? MediaKind.Disk,
                Sha256 = sha256,
                Recipe = _file.Text(medium, "recipe"),
                Files = files,
                Licence = _file.Text(medium, "licence")?.Trim(),
            }))
                _file.Error(item, $"there are two media '{name}'.");
        }
    }

    private GuestPlan ReadPlan(YamlNode node, JobKind kind, string id, int memory, string? cpu, int cpus, string? vga, IReadOnlyList<string>? network)
    {
        var what = kind.ToString().ToLowerInvariant();
        var keys = _file.Keys(node, what, "memory", "cpu", "cpus", "vga", "network", "boot", "drives", "guest-seconds", "host-seconds", "script");
        var drives = ReadDrives(keys);
        var used = drives.Select(drive => drive.Media).OfType<string>().ToHashSet();
        var script = "";
        var line = 1;
        if (keys.TryGetValue("script", out var scriptNode))
        {
            if (scriptNode is not YamlMappingNode { Style: not MappingStyle.Flow } mapping)
                _file.Error(scriptNode, "script has to be a mapping over several lines: steps, fail-on, limits.");
            else
                script = _file.Source(mapping);
            line = (int)scriptNode.Start.Line;
            used.UnionWith(Inserted(scriptNode));
        }
        else
        {
            _file.Error(node, $"{what} has no script: without one nothing says when the guest is there.");
        }
        foreach (var name in used)
        {
            if (!_uses.TryGetValue(name, out var kinds))
                _uses[name] = kinds = [];
            kinds.Add(kind);
        }
        var order = _file.Text(keys, "boot") ?? "acd";
        if (order.Length is 0 or > 3 || order.Distinct().Count() != order.Length || order.Any(letter => letter is not ('a' or 'c' or 'd')))
            _file.Error(keys["boot"], $"boot '{order}' has to name drives by letter: a floppy, c disk, d CD-ROM, each at most once.");
        var plan = new GuestPlan
        {
            GuestId = id,
            Kind = kind,
            Digest = "",
            MemoryMiB = _file.Int(keys, "memory", 1, 64512, memory),
            CpuModel = _file.Text(keys, "cpu") ?? cpu,
            Cpus = _file.Int(keys, "cpus", 1, MostProcessors, cpus),
            Vga = _file.Text(keys, "vga") ?? vga,
            Network = keys.ContainsKey("network") ? ReadNetwork(keys) : network,
            BootOrder = order,
            Drives = drives,
            Media = [.. _media.Values.Where(medium => used.Contains(medium.Name)).Select(medium => medium with { UsedBy = [kind] })],
            Script = script,
            GuestLimitSeconds = _file.Int(keys, "guest-seconds", 1, 10_000_000, (int)DefaultGuestSeconds),
            HostLimitSeconds = _file.Int(keys, "host-seconds", 1, 1_000_000, (int)DefaultHostSeconds),
        };
        // the place in the file may move without the definition changing
        return plan with { Digest = Digest([plan]), ScriptFile = Path.GetFileName(_file.Path), ScriptLine = line };
    }

    /// <summary>One card or a list of them; null for <c>none</c>.</summary>
    private List<string>? ReadNetwork(Dictionary<string, YamlNode> keys)
    {
        var cards = _file.Texts(keys, "network").Where(card => card != "none").ToList();
        foreach (var card in cards.Where(card => !NetworkCard().IsMatch(card)))
            _file.Error(keys["network"], $"network '{card}' is no card: ne2k, ne2k-isa, rtl8139, virtio, or none.");
        if (cards.Count > MostNetworkCards || cards.Count(card => card == "ne2k-isa") > 1)
            _file.Error(keys["network"], $"network takes at most {MostNetworkCards} cards, one of them ne2k-isa.");
        return cards.Count == 0 ? null : cards;
    }

    private List<DriveSpec> ReadDrives(Dictionary<string, YamlNode> keys)
    {
        var drives = new List<DriveSpec>();
        if (!keys.TryGetValue("drives", out var node))
            return drives;
        if (node is not YamlMappingNode mapping || mapping.Children.Count > MostDrives)
        {
            _file.Error(node, $"drives has to be a mapping of at most {MostDrives} drives, e.g. floppy0: boot.");
            return drives;
        }
        foreach (var (key, value) in mapping.Children)
        {
            var slot = (key as YamlScalarNode)?.Value ?? "";
            if (!Slot().IsMatch(slot))
                _file.Error(key, $"'{slot}' is no drive: floppy0, floppy1, disk0 to disk3, virtio0 to virtio3, cdrom0 to cdrom3.");
            else if (value is YamlMappingNode blank)
                drives.Add(new() { Slot = slot, BlankMiB = ReadBlank(blank, slot) });
            else if (value is YamlScalarNode { Value: null or "" or "empty" })
                drives.Add(new() { Slot = slot });
            else if (value is YamlScalarNode { Value: { } name })
                drives.Add(new() { Slot = slot, Media = Known(value, name, slot) });
            else
                _file.Error(value, $"{slot} takes a medium's name, empty, or {{ blank: MiB }}.");
        }
        return drives;
    }

    private int ReadBlank(YamlMappingNode node, string slot)
    {
        var keys = _file.Keys(node, slot, "blank");
        if (!IsDisk(slot))
            _file.Error(node, $"{slot} cannot be blank: only disks can.");
        if (!keys.ContainsKey("blank"))
            _file.Error(node, $"{slot} says no size: {{ blank: MiB }}.");
        return _file.Int(keys, "blank", 1, 1 << 20, 1);
    }

    private string? Known(YamlNode at, string name, string slot)
    {
        if (!_media.TryGetValue(name, out var medium))
        {
            _file.Error(at, $"there is no medium '{name}'; media has {(_media.Count == 0 ? "none" : string.Join(", ", _media.Keys))}.");
            return null;
        }
        bool fits = medium.Kind == MediaKind.Disk ? IsDisk(slot) : slot.StartsWith(medium.Kind.ToString(), StringComparison.OrdinalIgnoreCase);
        if (!fits)
            _file.Error(at, $"medium '{name}' is a {medium.Kind.ToString().ToLowerInvariant()}: it does not fit {slot}.");
        return name;
    }

    private static bool IsDisk(string slot) => slot.StartsWith("disk", StringComparison.Ordinal) || slot.StartsWith("virtio", StringComparison.Ordinal);

    /// <summary>Media that the script's insert steps name.</summary>
    private IEnumerable<string> Inserted(YamlNode script)
    {
        foreach (var node in script.AllNodes.OfType<YamlMappingNode>())
        {
            if (!node.Children.TryGetValue(new YamlScalarNode("insert"), out var insert) || insert is not YamlMappingNode step)
                continue;
            if (!step.Children.TryGetValue(new YamlScalarNode("media"), out var media) || media is not YamlScalarNode { Value: { } name })
                continue;
            var slot = step.Children.TryGetValue(new YamlScalarNode("drive"), out var drive) ? (drive as YamlScalarNode)?.Value ?? "" : "";
            if (Known(media, name, slot) is { } known)
                yield return known;
        }
    }

    private MediaInfo WithUses(MediaInfo medium) => medium with { UsedBy = _uses.TryGetValue(medium.Name, out var kinds) ? kinds : [] };

    private static string Digest(IReadOnlyList<GuestPlan> plans)
    {
        // notes and licences may be reworded without the definition changing
        var bare = plans.Select(plan => plan with { ScriptFile = "", ScriptLine = 0, Media = [.. plan.Media.Select(medium => medium with { Licence = null })] });
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(JsonSerializer.Serialize(bare, FarmJson.Options))))[..16];
    }

    [GeneratedRegex(@"^[a-z][a-z0-9.-]{0,63}\z")]
    private static partial Regex GuestId();

    [GeneratedRegex(@"^[0-9a-f]{64}\z")]
    private static partial Regex Sha256();

    [GeneratedRegex(@"^(ne2k|ne2k-isa|rtl8139|virtio)\z")]
    private static partial Regex NetworkCard();

    [GeneratedRegex(@"^(floppy[01]|disk[0-3]|virtio[0-3]|cdrom[0-3])\z")]
    private static partial Regex Slot();
}
