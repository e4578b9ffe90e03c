using System.Diagnostics;

namespace Farm.Bench;

/// <summary>A boot up to a text that every emulator's text screen shows.</summary>
/// <param name="Limit">Seconds; a guest that waits in real time needs more of them on a busy host.</param>
internal sealed record GuestBoot(string Name, Medium Medium, string Expect, int Limit = 300)
{
    /// <summary>Those whose media are at hand: in FARM_MEDIA, in shared/guests beside the checkout, or made by their recipes.</summary>
    /// <param name="slow">Those too that take an interpreter minutes.</param>
    public static IEnumerable<GuestBoot> All(string root, bool slow)
    {
        if (Find(root, "freedos-fdstd-1440.img") is { } freedos)
            yield return new("freedos menu", new Medium(Floppy: freedos, MemoryMiB: 16), @"DOS=HIGH");
        if (Find(root, "openbsd-floppy.img") is { } openbsd)
            yield return new("openbsd", new Medium(Floppy: openbsd), @"\(I\)nstall, \(U\)pgrade", Limit: 900);
        if (Find(root, "linux-2.4.20-boote.img") is { } linux)
            yield return new("linux 2.4", new Medium(Floppy: linux), @"Please press Enter to activate", Limit: 900);
        if (Made(root, "grub2", "grub2.iso") is { } grub)
            yield return new("grub cd", new Medium(Cdrom: grub), @"GNU GRUB +version");
        if (Made(root, "grub2-disk", "grub2-disk.img") is { } disk)
            yield return new("grub disk", new Medium(Disk: disk), @"GNU GRUB +version");
        if (Made(root, "memtest86plus", "memtest86plus.iso") is { } memtest)
            yield return new("memtest86+", new Medium(Cdrom: memtest, MemoryMiB: 32), @"Pass +[0-9]+%");
        if (Made(root, "ipxe", "ipxe.iso") is { } ipxe)
            yield return new("ipxe", new Medium(Cdrom: ipxe), @"Open Source Network Boot Firmware");
        if (Made(root, "countdown", "countdown-isolinux.iso") is { } countdown)
            yield return new("30 s countdown", new Medium(Cdrom: countdown), @"after the countdown");
        if (slow && Made(root, "debian-installer-i386", "debian-installer-i386.iso") is { } debian)
            yield return new("debian installer", new Medium(Cdrom: debian, MemoryMiB: 512), @"Select a language", Limit: 900);
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
