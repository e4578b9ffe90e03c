using System.Text.Json;
using System.Text.Json.Serialization;

namespace Farm.Firmware;

/// <summary>What a payload is to the loader.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<PayloadRole>))]
public enum PayloadRole
{
    /// <summary>The system BIOS ("rombios"): the flash image that ends at 4 GiB.</summary>
    [JsonStringEnumMemberName("bios")]
    Bios,

    /// <summary>Video BIOS for the standard (Bochs VBE) adapter.</summary>
    [JsonStringEnumMemberName("vgabios-std")]
    VgaBiosStandard,

    /// <summary>Video BIOS for the Cirrus Logic adapter.</summary>
    [JsonStringEnumMemberName("vgabios-cirrus")]
    VgaBiosCirrus,

    /// <summary>The guest-resident assist; built by this program, so it stands in no manifest.</summary>
    [JsonStringEnumMemberName("assist")]
    Assist,
}

/// <summary>One build of a payload that this stack was verified with.</summary>
/// <param name="Version">Version string that stands in the image.</param>
/// <param name="PackageVersion">Version of the Debian package that holds it.</param>
public sealed record AcceptedPayload(string Version, string PackageVersion, int Size, string Sha256);

/// <summary>A payload: where the package puts it and which builds are accepted.</summary>
/// <param name="Sets">Firmware sets that it belongs to.</param>
/// <param name="Package">The Debian package to install.</param>
/// <param name="VersionPattern">Regular expression that finds the version string in an image's text.</param>
public sealed record PayloadEntry(
    string Name,
    IReadOnlyList<string> Sets,
    PayloadRole Role,
    string Path,
    string Package,
    string VersionPattern,
    IReadOnlyList<AcceptedPayload> Accepted);

/// <summary>The list of firmware payloads: path, package, size, SHA-256 and version of each accepted build.</summary>
public sealed record PayloadManifest(IReadOnlyList<PayloadEntry> Payloads)
{
    /// <summary>The manifest built into this program.</summary>
    public static PayloadManifest Default { get; } = LoadDefault();

    /// <summary>Names of the firmware sets in the manifest, in its order.</summary>
    public IReadOnlyList<string> Sets => [.. Payloads.SelectMany(payload => payload.Sets).Distinct()];

    /// <summary>Reads a manifest; what is malformed throws <see cref="FirmwareException"/> naming <paramref name="origin"/>.</summary>
    public static PayloadManifest Parse(Stream json, string origin)
    {
        PayloadManifest? manifest;
        try
        {
            manifest = JsonSerializer.Deserialize(json, PayloadJson.Default.PayloadManifest);
        }
        catch (JsonException e)
        {
            throw new FirmwareException($"{origin}: not a payload manifest: {e.Message}", e);
        }
        return manifest ?? throw new FirmwareException($"{origin}: the payload manifest is empty.");
    }

    /// <summary>The payload of a set that plays a role, null when the set has none.</summary>
    public PayloadEntry? Find(string set, PayloadRole role) =>
        Payloads.FirstOrDefault(payload => payload.Role == role && payload.Sets.Contains(set));

    private static PayloadManifest LoadDefault()
    {
        using var stream = typeof(PayloadManifest).Assembly.GetManifestResourceStream("payloads.json")
            ?? throw new InvalidOperationException("The assembly lacks its payload manifest.");
        return Parse(stream, "payloads.json");
    }
}

/// <summary>How a manifest is written; its code is made by the compiler: a program compiled ahead has no reflection to do it by.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow)]
[JsonSerializable(typeof(PayloadManifest))]
internal sealed partial class PayloadJson : JsonSerializerContext;
