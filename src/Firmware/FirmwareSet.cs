namespace Farm.Firmware;

/// <summary>Which firmware a run asks for, as on the command line.</summary>
/// <param name="Set">Firmware set of the manifest: bochs, bochs-legacy or seabios.</param>
/// <param name="BiosFile">A raw BIOS image that replaces the set's (<c>--bios</c>).</param>
/// <param name="VgaBios">std, cirrus, or a raw video BIOS image (<c>--vgabios</c>); null carries both of the set and lets the loader choose by the adapter.</param>
public sealed record FirmwareRequest(string Set = "bochs", string? BiosFile = null, string? VgaBios = null);

/// <summary>The verified payloads of one run: the system BIOS and one or two video BIOSes.</summary>
public sealed record FirmwareSet(string Name, Payload Bios, IReadOnlyList<Payload> VgaBioses)
{
    /// <summary>All payloads, for reports.</summary>
    public IEnumerable<Payload> Payloads => VgaBioses.Prepend(Bios);

    /// <summary>Loads and verifies what <paramref name="request"/> asks for; throws <see cref="FirmwareException"/>.</summary>
    /// <param name="root">Directory that stands for "/" in the manifest's paths.</param>
    public static FirmwareSet Load(FirmwareRequest request, PayloadManifest? manifest = null, string root = "/")
    {
        manifest ??= PayloadManifest.Default;
        if (!manifest.Sets.Contains(request.Set))
            throw new FirmwareException($"Unknown firmware set '{request.Set}'; there are {string.Join(", ", manifest.Sets)}.");
        var bios = request.BiosFile is { } file
            ? Given(() => Payload.LoadRawBios(file))
            : Payload.Load(Entry(PayloadRole.Bios), root);
        IReadOnlyList<Payload> vgaBioses = request.VgaBios switch
        {
            null => [Payload.Load(Entry(PayloadRole.VgaBiosStandard), root), Payload.Load(Entry(PayloadRole.VgaBiosCirrus), root)],
            "std" => [Payload.Load(Entry(PayloadRole.VgaBiosStandard), root)],
            "cirrus" => [Payload.Load(Entry(PayloadRole.VgaBiosCirrus), root)],
            var path => [Given(() => Payload.LoadRawVgaBios(path))],
        };
        return new FirmwareSet(request.Set, bios, vgaBioses);

        static Payload Given(Func<Payload> load)
        {
            try
            {
                return load();
            }
            catch (FirmwareException e)
            {
                throw new FirmwareException(e.Message, e) { OfUsersFile = true };
            }
        }

        PayloadEntry Entry(PayloadRole role) => manifest.Find(request.Set, role)
            ?? throw new FirmwareException($"The firmware set '{request.Set}' has no payload for {role}.");
    }
}
