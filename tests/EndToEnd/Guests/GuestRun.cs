using System.Text.Json;
using Farm.Catalogue;
using Farm.Contracts;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Machine.Boot;
using Farm.Worker.VmHost;

namespace Farm.EndToEnd.Guests;

/// <summary>Runs a plan of the catalogue as a worker's child process does.</summary>
internal static class GuestRun
{
    private static readonly Lazy<IReadOnlyList<CatalogueEntry>> Catalogue = new(() => GuestCatalogue.Load(Path.Combine(Media.Root, "guests")));

    /// <summary>
    /// The report; the test is skipped when a medium is missing. With FARM_TEST_RESULTS set, report and screen are kept in that folder,
    /// named by guest, kind, strength and firmware.
    /// </summary>
    /// <param name="patience">Stretches the plan's limit in guest time, where that is the time of a slow host.</param>
    public static async Task<BootReport> Run(string guest, JobKind kind, AssistMode assist, FirmwareSet firmware, Backend backend = Backend.Soft, double patience = 1)
    {
        var entry = Catalogue.Value.Single(known => known.Guest.Id == guest);
        var plan = entry.Plans.Single(known => known.Kind == kind);
        var media = new Dictionary<string, string>();
        foreach (var medium in plan.Media)
            media[medium.Name] = await Media.Need(medium, TestContext.Current.CancellationToken);
        var folder = Directory.CreateTempSubdirectory("farm-guest-");
        try
        {
            await new MachineRunner().Run(new VmJob
            {
                JobId = 1,
                RunId = 1,
                Plan = plan with { GuestLimitSeconds = plan.GuestLimitSeconds * patience },
                Stack = new StackSpec { Backend = backend, Assist = assist, Firmware = firmware },
                Media = media,
                Folder = folder.FullName,
            }, new Deaf(), TestContext.Current.CancellationToken);
            Keep(folder.FullName, $"{guest}-{kind}-{assist}-{firmware}".ToLowerInvariant());
            return JsonSerializer.Deserialize<BootReport>(await File.ReadAllTextAsync(Path.Combine(folder.FullName, "report.json")), BootReport.Json)!;
        }
        finally
        {
            folder.Delete(recursive: true);
        }
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
