using System.Diagnostics;

namespace Farm.Bench;

/// <summary>A boot up to a text that every emulator's text screen shows.</summary>
/// <param name="Limit">Seconds; a guest that waits in real time needs more of them on a busy host.</param>
internal sealed record GuestBoot(string Name, Medium Medium, string Expect, int Limit = 300)
{
    /// <summary>Those whose media are at hand: in FARM_MEDIA, in shared/guests beside the checkout, or made by their recipes.</summary>
    /// <param name="slow">Those too that take an interpreter minutes.</param>
    /// <param name="wanted">By name: the media of others are not made.</param>
    public static IEnumerable<GuestBoot> All(string root, bool slow, Func<string, bool> wanted)
    {
        (string Name, Func<string?> Image, Func<string, Medium> Medium, string Expect, int Limit)[] all =
        [
            ("freedos menu", () => Find(root, "freedos-fdstd-1440.img"), file => new(Floppy: file, MemoryMiB: 16), @"DOS=HIGH", 300),
            ("openbsd", () => Find(root, "openbsd-floppy.img"), file => new(Floppy: file), @"\(I\)nstall, \(U\)pgrade", 900),
            ("linux 2.4", () => Find(root, "linux-2.4.20-boote.img"), file => new(Floppy: file), @"Please press Enter to activate", 900),
            ("grub cd", () => Made(root, "grub2", "grub2.iso"), file => new(Cdrom: file), @"GNU GRUB +version", 300),
            ("grub disk", () => Made(root, "grub2-disk", "grub2-disk.img"), file => new(Disk: file), @"GNU GRUB +version", 300),
            ("memtest86+", () => Made(root, "memtest86plus", "memtest86plus.iso"), file => new(Cdrom: file, MemoryMiB: 32), @"Pass +[0-9]+%", 300),
            ("ipxe", () => Made(root, "ipxe", "ipxe.iso"), file => new(Cdrom: file), @"Open Source Network Boot Firmware", 300),
            ("30 s countdown", () => Made(root, "countdown", "countdown-isolinux.iso"), file => new(Cdrom: file), @"after the countdown", 300),
            ("debian installer", () => slow ? Made(root, "debian-installer-i386", "debian-installer-i386.iso") : null, file => new(Cdrom: file, MemoryMiB: 512), @"Select a language", 900),
        ];
        foreach (var (name, image, medium, expect, limit) in all)
        {
            if (wanted(name) && image() is { } file)
                yield return new(name, medium(file), expect, limit);
        }
    }

    /// <summary>For the comparison on KVM.</summary>
    public static IEnumerable<GuestBoot> OnKvm(string root)
    {
        if (Find(root, "freedos-722.img") is { } freedos)
            yield return new("freedos", new Medium(Floppy: freedos, MemoryMiB: 16), @"A:\\>", 300);
        if (Find(root, "debian-installer-i386.iso") is { } debian)
            yield return new("debian", new Medium(Cdrom: debian, MemoryMiB: 512), @"Select a language", 1800);
    }

    public Measurement Run(Emulator emulator) => emulator.Boot(Medium, Expect, TimeSpan.FromSeconds(Limit));

    private static string? Find(string root, string file) =>
        (Environment.GetEnvironmentVariable("FARM_MEDIA") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            .Append(Path.Combine(root, ".farm", "media")).Append(Path.Combine(root, "..", "shared", "guests"))
            .Select(folder => Path.Combine(folder, file)).FirstOrDefault(File.Exists);

    private static string? Made(string root, string recipe, string file)
    {
        if (Find(root, file) is { } found)
            return found;
        using var process = Process.Start(new ProcessStartInfo("bash", [Path.Combine(root, "infra", "media", recipe), Path.Combine(root, ".farm", "media")]) { RedirectStandardOutput = true })!;
        process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return Find(root, file);
    }
}
