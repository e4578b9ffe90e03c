using Farm.Contracts.Guests;
using Farm.Machine;
using Farm.Machine.Boot;

namespace Farm.EndToEnd.Guests;

/// <summary>SeaBIOS finds the disk behind the virtio block device and boots GRUB from it.</summary>
public sealed class VirtioDiskTests
{
    [Fact]
    public async Task SeaBIOS_boots_GRUB_from_a_virtio_disk()
    {
        var cancel = TestContext.Current.CancellationToken;
        string disk = await Media.Need(new MediaInfo { Name = "disk", Kind = MediaKind.Disk, Recipe = "grub2-disk", Files = ["grub2-disk.img"] }, cancel);
        using var session = new BootSession(new BootRequest
        {
            Machine = new MachineOptions { VirtioDisks = [disk], Order = "c", Firmware = "seabios" },
            Backend = "soft",
            Script = new GuestScript { Steps = [ScriptStep.Expect("GNU GRUB +version 2")] },
            GuestTimeout = TimeSpan.FromSeconds(60),
        });
        var report = session.Run(cancel);
        Assert.True(report.Outcome == BootOutcome.Pass, report.Reason);
        Assert.True(session.Machine.Storage.Units["virtio0"].SectorsRead > 100);
    }
}
