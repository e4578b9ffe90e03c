using Farm.Assist.Monitor;
using Farm.Contracts.Guests;
using Farm.Machine;
using Farm.Machine.Boot;
using Farm.Machine.Network;
using Farm.Machine.Network.Slirp;
using Farm.Machine.Storage;

namespace Farm.EndToEnd.Guests;

/// <summary>Real drivers on the network cards: iPXE gets a DHCP lease and boots a program by TFTP, OpenBSD pings.</summary>
public sealed class NetworkTests : IDisposable
{
    private const string Greeting = "Hello over TFTP";

    private readonly string _folder = Directory.CreateTempSubdirectory("farm-tftp").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact(Explicit = true)]
    public void Boots_by_an_NE2000()
    {
        var report = Boot(NicModel.Ne2k);
        Assert.True(report.Outcome == BootOutcome.Pass, report.Reason);
        Assert.Contains(report.Screen, line => line.Contains("using rtl8029", StringComparison.Ordinal));
    }

    [Fact(Explicit = true)]
    public void Boots_by_an_RTL8139()
    {
        var report = Boot(NicModel.Rtl8139);
        Assert.True(report.Outcome == BootOutcome.Pass, report.Reason);
        Assert.Contains(report.Screen, line => line.Contains("10.0.2.15/255.255.255.0", StringComparison.Ordinal));
    }

    [Fact]
    public void Boots_by_virtio()
    {
        var report = Boot(NicModel.Virtio);
        Assert.True(report.Outcome == BootOutcome.Pass, report.Reason);
        Assert.Contains(report.Screen, line => line.Contains("using virtio-net", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(NicModel.Rtl8139, "rl0")]
    [InlineData(NicModel.Ne2kIsa, "ne1")]
    public void OpenBSD_pings(NicModel card, string driver)
    {
        Assert.SkipUnless(SlirpNetwork.Available, "libslirp is not installed (package libslirp0).");
        using var session = new BootSession(new BootRequest
        {
            Machine = new MachineOptions { Floppies = [Media.Need("openbsd-floppy.img")], CpuModel = "pentium", Assist = AssistStrength.Native, Nics = [new NicOptions { Model = card }] },
            Backend = "soft",
            Script = new GuestScript
            {
                Steps =
                [
                    ScriptStep.Expect(@"\(I\)nstall, \(U\)pgrade or \(S\)hell\?"), ScriptStep.Type("s\\n"), ScriptStep.Expect("# *$"),
                    ScriptStep.Type($@"ifconfig {driver} 10.0.2.77 netmask 255.255.255.0; ping -c 3 10.0.2.2\n"), ScriptStep.Expect("3 packets received"),
                ],
            },
            GuestTimeout = TimeSpan.FromSeconds(200),
        });
        var report = session.Run(TestContext.Current.CancellationToken);
        Assert.True(report.Outcome == BootOutcome.Pass, report.Reason);
    }

    [Fact]
    public void SeaBIOS_boots_from_the_cards_option_ROM_and_twice_alike_to_the_instruction()
    {
        var machine = new MachineOptions { Firmware = "seabios", Order = "n" };
        var card = new NicOptions { Model = NicModel.Rtl8139, RomFile = Media.NeedInstalled("/usr/lib/ipxe/qemu/pxe-rtl8139.rom", "ipxe-qemu") };
        var first = Boot(machine, card);
        Assert.True(first.Outcome == BootOutcome.Pass, first.Reason);
        Assert.Contains(first.Screen, line => line.Contains("Booting from ROM", StringComparison.Ordinal));
        Assert.True(first.Network[0] is { FramesSent: > 3, FramesReceived: > 3, FramesDropped: 0 });
        var second = Boot(machine, card);
        Assert.Equal(first.Instructions, second.Instructions);
        Assert.Equal(first.Screen, second.Screen);
        Assert.Equal(first.Network, second.Network);
    }

    [Fact(Explicit = true)]
    public async Task Debians_installer_drives_every_PCI_card_and_sees_the_virtio_disk()
    {
        Assert.SkipUnless(SlirpNetwork.Available, "libslirp is not installed (package libslirp0).");
        var cancel = TestContext.Current.CancellationToken;
        string cd = await Media.Need(new MediaInfo { Name = "cd", Kind = MediaKind.Cdrom, Recipe = "debian-installer-i386", Files = ["debian-installer-i386.iso"] }, cancel);
        string disk = Path.Combine(_folder, "disk.img");
        using (RawImage.CreateBlank(disk, 32 << 20))
        {
        }
        using var session = new BootSession(new BootRequest
        {
            Machine = new MachineOptions
            {
                MemoryMiB = 512,
                Assist = AssistStrength.Native,
                Cdroms = [cd],
                Order = "d",
                VirtioDisks = [disk],
                Nics = [new NicOptions { Model = NicModel.Ne2k }, new NicOptions { Model = NicModel.Rtl8139 }, new NicOptions { Model = NicModel.Virtio }],
            },
            Backend = "soft",
            Script = GuestScript.Parse(
                """
                steps:
                  - expect: 'Select a language'
                  - key: alt-f2
                  - expect: 'Please press Enter to activate this console'
                  - key: enter
                  - expect: '# *$'
                  - type: 'for m in virtio_pci virtio_net 8139too ne2k-pci; do modprobe $m; done; lspci\n'
                  - expect: '00:08\.0 SCSI storage controller: Red Hat, Inc\. Virtio block device'
                  - type: 'for i in /sys/class/net/e*; do readlink $i/device/driver; done; echo SE""EN\n'
                  - expect: '^SEEN'
                """, "installer.yaml"),
            GuestTimeout = TimeSpan.FromSeconds(1200),
        });
        var report = session.Run(cancel);
        Assert.True(report.Outcome == BootOutcome.Pass, report.Reason);
        foreach (string driver in new[] { "/ne2k-pci", "/8139too", "/virtio_net" })
            Assert.Contains(report.Screen, line => line.TrimEnd().EndsWith(driver, StringComparison.Ordinal));
    }

    private BootReport Boot(NicModel card) =>
        Boot(new MachineOptions { Cdroms = [Media.NeedInstalled("/usr/lib/ipxe/ipxe.iso", "ipxe")], Order = "d" }, new NicOptions { Model = card });

    private BootReport Boot(MachineOptions machine, NicOptions card)
    {
        Assert.SkipUnless(SlirpNetwork.Available, "libslirp is not installed (package libslirp0).");
        File.WriteAllBytes(Path.Combine(_folder, "hello.0"), BootSectors.NetworkBootProgram(Greeting));
        using var session = new BootSession(new BootRequest
        {
            Machine = machine with { Nics = [card with { TftpFolder = _folder, BootFile = "hello.0" }] },
            Backend = "soft",
            Script = new GuestScript { Steps = [ScriptStep.Expect(Greeting)] },
            GuestTimeout = TimeSpan.FromSeconds(60),
        });
        return session.Run(TestContext.Current.CancellationToken);
    }
}
