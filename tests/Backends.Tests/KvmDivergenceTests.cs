using Farm.Assist.Monitor;
using Farm.Firmware;
using Farm.Machine;
using Farm.Machine.Boot;
using Farm.Machine.Divergence;
using Farm.Machine.Tests.Divergence;

namespace Farm.Backends.Tests;

/// <summary>
/// Soft and KVM compared: a processor timed by the host does the same as one in virtual time, and a machine that is broken on one side is
/// found out although every poll and every interrupt comes at another place.
/// </summary>
public sealed class KvmDivergenceTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("farm-diverge-kvm-");

    public KvmDivergenceTests() => BackendTests.Need(Machine.Hypervisors.Backends.All.Single(backend => backend.Name == "kvm"));

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public void A_boot_sector_does_the_same_on_both()
    {
        var report = Find(Request("soft", 'A'), Request("kvm", 'A'));
        Assert.True(report.Alike, report.Describe());
        Assert.True(report.First.Events > 1000, report.Describe());
        Assert.NotEqual(report.First.LeftOut, report.Second.LeftOut);
    }

    [Fact]
    public void What_is_broken_on_one_side_is_found()
    {
        // a device that answers something else, a disk that holds something else, and so another screen
        var report = Find(Request("soft", 'A'), Request("kvm", 'B', memory: 8));
        Assert.Equal("MC146818", report.Streams[0].Stream);
        Assert.StartsWith("in 071h[31h]", report.Streams[0].First!.Value.What(), StringComparison.Ordinal);
        Assert.StartsWith("write of 512 bytes at sector 9,", report.Streams.Single(stream => stream.Stream == "disk writes of fd0").First!.Value.What(), StringComparison.Ordinal);
        Assert.EndsWith("AAA", report.Screen!.First, StringComparison.Ordinal);
        Assert.EndsWith("BBB", report.Screen.Second, StringComparison.Ordinal);
    }

    private DivergenceReport Find(BootRequest first, BootRequest second)
    {
        try
        {
            return DivergenceReport.Find(new("soft", first), new("kvm", second), _folder.FullName, [], TestContext.Current.CancellationToken);
        }
        catch (FirmwareException e)
        {
            Assert.Skip(e.Message);
            throw;
        }
    }

    private BootRequest Request(string backend, char mark, int memory = 16)
    {
        string floppy = Path.Combine(_folder.FullName, $"{Guid.NewGuid():N}.img");
        File.WriteAllBytes(floppy, TracedSector.Image(mark, poll: false));
        return new BootRequest
        {
            Machine = new MachineOptions { MemoryMiB = memory, Assist = AssistStrength.Vm86, Floppies = [floppy], Order = "a" },
            Backend = backend,
            Script = new GuestScript { Steps = [ScriptStep.Expect("DONE ...")] },
            GuestTimeout = TimeSpan.FromMinutes(10),
            HostTimeout = TimeSpan.FromMinutes(10),
        };
    }
}
