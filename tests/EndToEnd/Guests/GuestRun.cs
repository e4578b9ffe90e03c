using System.Text.Json;
using Farm.Catalogue;
using Farm.Contracts;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Machine.Boot;
using Farm.Vm;

namespace Farm.EndToEnd.Guests;

/// <summary>Runs a plan of the catalogue as a worker's child process does.</summary>
internal static class GuestRun
{
    private static readonly Lazy<IReadOnlyList<CatalogueEntry>> Catalogue = new(() => GuestCatalogue.Load(Path.Combine(Media.Root, "guests")));

    /// <summary>
    /// The report; the test is skipped when a medium is missing. With FARM_TEST_RESULTS set, report and screen are kept in that folder,
    /// named by guest, kind, strength and firmware.
    /// </summary>
    public static Task<BootReport> Run(string guest, JobKind kind, AssistMode assist, FirmwareSet firmware) =>
        Run(guest, kind, new StackSpec { Backend = Backend.Soft, Assist = assist, Firmware = firmware }, static job => job);

    /// <param name="change">What is to be different.</param>
    public static async Task<BootReport> Run(string guest, JobKind kind, StackSpec stack, Func<VmJob, VmJob> change)
    {
        var folder = Directory.CreateTempSubdirectory("farm-guest-");
        try
        {
            await new MachineRunner().Run(change(await Job(guest, kind, stack, folder.FullName)), new Deaf(), TestContext.Current.CancellationToken);
            Keep(folder.FullName, $"{guest}-{kind}-{stack.Assist}-{stack.Firmware}".ToLowerInvariant());
            return BootReport.FromJson(await File.ReadAllTextAsync(Path.Combine(folder.FullName, "report.json")))!;
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    /// <summary>What a worker hands to its child process; the test is skipped when a medium is missing.</summary>
    /// <param name="folder">Where the run keeps its files.</param>
    public static async Task<VmJob> Job(string guest, JobKind kind, StackSpec stack, string folder)
    {
        var entry = Catalogue.Value.Single(known => known.Guest.Id == guest);
        var plan = entry.Plans.Single(known => known.Kind == kind);
        var media = new Dictionary<string, string>();
        foreach (var medium in plan.Media)
            media[medium.Name] = await Media.Need(medium, TestContext.Current.CancellationToken);
        return new VmJob { JobId = 1, RunId = 1, Plan = plan, Stack = stack, Media = media, Folder = folder };
    }

    /// <summary>Runs it and checks that it passed with a report that is true to the strength.</summary>
    public static async Task ReachPrompt(string guest, JobKind kind, AssistMode assist, FirmwareSet firmware)
    {
        var report = await Run(guest, kind, assist, firmware);
        TestContext.Current.SendDiagnosticMessage(
            "{0} {1} {2} {3}: {4}, {5} instructions, {6:F1} s of guest time, {7:F1} s of host time",
            guest, kind, assist, firmware, report.Outcome, report.Instructions, report.GuestSeconds, report.HostSeconds);
        Assert.True(report.Outcome == BootOutcome.Pass, $"{report.Reason}\n{string.Join('\n', report.Screen)}");
        Assert.Empty(report.UnsupportedOpcodes);
        Assert.Equal("prompt", report.FurthestPhase);
        if (assist == AssistMode.Native)
            Assert.True(report.RealModeInstructions > 100_000, $"{report.RealModeInstructions} instructions in real mode");
        else
            Assert.Equal(0ul, report.RealModeInstructions);
        if (assist == AssistMode.Vm86)
            Assert.True(report.AssistTrapsTotal > 0);
    }

    private static void Keep(string folder, string name)
    {
        if (Environment.GetEnvironmentVariable("FARM_TEST_RESULTS") is not { Length: > 0 } results)
            return;
        Directory.CreateDirectory(results);
        File.Copy(Path.Combine(folder, "report.json"), Path.Combine(results, name + ".json"), overwrite: true);
        File.Copy(Path.Combine(folder, "screen.png"), Path.Combine(results, name + ".png"), overwrite: true);
    }

    private sealed class Deaf : IVmEvents
    {
        public void Started(StackSpec stack)
        {
        }

        public void Progress(VmProgress progress)
        {
        }

        public void Artifact(VmArtifact artifact)
        {
        }
    }
}
