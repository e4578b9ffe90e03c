using Farm.Machine.Hypervisors;

namespace Farm.Machine.Network;

/// <summary>The network cards that the machine can have.</summary>
public enum NicModel
{
    /// <summary>Realtek RTL8029AS: an NE2000 on PCI.</summary>
    Ne2k,

    /// <summary>NE2000 on ISA, port 300h, interrupt 10.</summary>
    Ne2kIsa,

    /// <summary>Realtek RTL8139C.</summary>
    Rtl8139,

    /// <summary>virtio-net on PCI, transitional.</summary>
    Virtio,
}

/// <summary>
/// A network card and the network behind it: a subnet of the guest's own (10.0.2.0/24) with DHCP and, if a folder is given, TFTP
/// at 10.0.2.2. Nothing of the host or beyond is reachable.
/// </summary>
public sealed record NicOptions
{
    public const string Forms = "none, ne2k, ne2k-isa, rtl8139 or virtio, then for example ,tftp=FOLDER,bootfile=NAME,rom=FILE,mac=52:54:00:00:00:01";

    private const int LongestBootFile = 127;
    private const long LargestRom = 256 << 10;

    public required NicModel Model { get; init; }

    /// <summary>Folder that the guest may read by TFTP; null: none.</summary>
    public string? TftpFolder { get; init; }

    /// <summary>The boot file's name that DHCP hands out; null: none.</summary>
    public string? BootFile { get; init; }

    /// <summary>Option ROM of a card on PCI, from which SeaBIOS boots; null: none.</summary>
    public string? RomFile { get; init; }

    /// <summary>Station address; null: <see cref="MacAddress.OfCard"/>.</summary>
    public MacAddress? Mac { get; init; }

    private static readonly Dictionary<string, NicModel> Models = new(StringComparer.Ordinal)
    {
        ["ne2k"] = NicModel.Ne2k,
        ["ne2k-isa"] = NicModel.Ne2kIsa,
        ["rtl8139"] = NicModel.Rtl8139,
        ["virtio"] = NicModel.Virtio,
    };

    /// <summary>The card's name in options, in the catalogue and in reports.</summary>
    public static string NameOf(NicModel model) => Models.First(entry => entry.Value == model).Key;

    /// <summary>Reads <c>MODEL[,tftp=FOLDER][,bootfile=NAME][,mac=ADDRESS]</c>; null for <c>none</c>.</summary>
    /// <exception cref="BadInputException">It is something else, or the folder is not there.</exception>
    public static NicOptions? Parse(string text)
    {
        string[] parts = text.Split(',');
        if (parts is ["none"])
            return null;
        var options = new NicOptions { Model = Models.TryGetValue(parts[0], out var model) ? model : throw new BadInputException($"There is no network card '{parts[0]}': give {Forms}.") };
        foreach (string part in parts[1..])
        {
            int equals = part.IndexOf('=', StringComparison.Ordinal);
            string value = part[(equals + 1)..];
            options = (equals < 0 ? part : part[..equals]) switch
            {
                "tftp" when value.Length > 0 => options with { TftpFolder = value },
                "bootfile" when value.Length > 0 => options with { BootFile = value },
                "rom" when value.Length > 0 => options with { RomFile = value },
                "mac" => options with { Mac = MacAddress.TryParse(value) ?? throw new BadInputException($"'{value}' is no station address: six pairs of hexadecimal digits, as in 52:54:00:00:00:01.") },
                _ => throw new BadInputException($"A network card has no '{part}': give {Forms}."),
            };
        }
        return options.Checked();
    }

    /// <summary>The option ROM's image; empty: none.</summary>
    /// <exception cref="BadInputException">The file is no option ROM.</exception>
    public ReadOnlyMemory<byte> LoadRom()
    {
        if (RomFile is not { } file)
            return default;
        try
        {
            long length = new FileInfo(file).Length;
            if (length is < 512 or > LargestRom)
                throw new BadInputException($"{file} is no option ROM: its {length} bytes are not between 512 and {LargestRom}.");
            byte[] image = File.ReadAllBytes(file);
            return image is [0x55, 0xAA, ..] ? image : throw new BadInputException($"{file} is no option ROM: it does not begin with 55 AA.");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new BadInputException($"The option ROM {file} cannot be read: {e.Message}", e);
        }
    }

    /// <summary>These options, when they can be used.</summary>
    public NicOptions Checked()
    {
        if (Mac is { IsGroup: true })
            throw new BadInputException($"The station address {Mac} is a group address: its first byte has to be even.");
        if (BootFile is { } file && (file.Length > LongestBootFile || file.Any(c => c is < '!' or > '~')))
            throw new BadInputException($"The boot file's name '{file}' has to be 1 to {LongestBootFile} printable ASCII characters without spaces.");
        if (RomFile is not null && Model == NicModel.Ne2kIsa)
            throw new BadInputException("A card on ISA has no option ROM: give rom= to ne2k, rtl8139 or virtio.");
        if (TftpFolder is { } folder && !Directory.Exists(folder))
            throw new BadInputException($"There is no folder {folder} to serve by TFTP.");
        return this;
    }
}
