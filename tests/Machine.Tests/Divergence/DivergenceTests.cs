using Farm.Assist.Monitor;
using Farm.Machine.Boot;
using Farm.Machine.Divergence;
using Farm.Machine.Hypervisors;

namespace Farm.Machine.Tests.Divergence;

/// <summary>The <see cref="TracedSector"/> run twice: alike by different strengths, and each kind of difference found where there is one.</summary>
public sealed class DivergenceTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("farm-diverge-test-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Theory]
    [InlineData(AssistStrength.Vm86, AssistStrength.Native)]
    [InlineData(AssistStrength.Full, AssistStrength.Vm86)]
    public void Strengths_are_alike_although_interrupts_come_at_other_instructions(AssistStrength first, AssistStrength second)
    {
        var report = Find(Request(first, TracedSector.Image('A')), Request(second, TracedSector.Image('A')));
        Assert.True(report.Alike, report.Describe());
        Assert.NotEqual(report.First.Report.Instructions, report.Second.Report.Instructions);
        Assert.True(report.First.Events > 1000);
    }

    [Fact]
    public void Another_memory_size_is_found_where_the_bios_reads_it()
    {
        var report = Find(Request(AssistStrength.Vm86, TracedSector.Image('A')), Request(AssistStrength.Vm86, TracedSector.Image('A'), memory: 8));
        Assert.False(report.Alike);
        Assert.Equal("MC146818", report.Streams[0].Stream);
        Assert.StartsWith("in 071h[31h]", report.Streams[0].First!.Value.What(), StringComparison.Ordinal);
        Assert.Contains("First difference: MC146818", report.Describe(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_disk_write_and_a_screen_that_differ_are_found()
    {
        var report = Find(Request(AssistStrength.Vm86, TracedSector.Image('A')), Request(AssistStrength.Vm86, TracedSector.Image('B')));
        var write = Assert.Single(report.Streams, stream => stream.Stream == "disk writes of fd0");
        Assert.StartsWith("write of 512 bytes at sector 9,", write.First!.Value.What(), StringComparison.Ordinal);
        Assert.Equal("phase prompt", report.Screen!.Moment);
        Assert.EndsWith("AAA", report.Screen.First, StringComparison.Ordinal);
        Assert.EndsWith("BBB", report.Screen.Second, StringComparison.Ordinal);
    }

    [Fact]
    public void A_refused_opcode_differs_in_the_outcome()
    {
        var refusing = Request(AssistStrength.Vm86, TracedSector.Image('A'));
        refusing = refusing with { Machine = refusing.Machine with { Refuse = ["Hlt"] } };
        var report = Find(refusing, Request(AssistStrength.Native, TracedSector.Image('A')));
        Assert.True(report.Outcomes);
        Assert.False(report.Alike);
        Assert.Contains("unsupported opcode", report.Describe(), StringComparison.Ordinal);
    }

    private DivergenceReport Find(BootRequest first, BootRequest second) =>
        TestMachine.OrSkip(() => DivergenceReport.Find(new("a", first), new("b", second), _folder.FullName, [], TestContext.Current.CancellationToken));

    private BootRequest Request(AssistStrength strength, byte[] image, int memory = 16)
    {
        string floppy = Path.Combine(_folder.FullName, $"{Guid.NewGuid():N}.img");
        File.WriteAllBytes(floppy, image);
        return new BootRequest
        {
            Machine = new MachineOptions { MemoryMiB = memory, Assist = strength, Floppies = [floppy], Order = "a" },
            Backend = "soft",
            Script = new GuestScript { Steps = [ScriptStep.Expect("DONE ...")] },
            GuestTimeout = TimeSpan.FromSeconds(60),
        };
    }
}
