using System.Diagnostics;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Farm.Catalogue;
using Farm.Contracts;
using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Farm.Machine;
using Farm.Machine.Boot;
using Farm.Machine.Devices.Vga;
using Farm.Machine.Hypervisors;
using Farm.Machine.Network;
using Farm.Machine.Storage;

namespace Farm.Vm;

/// <summary>Runs a job on a real machine: in the VM's child process.</summary>
public sealed partial class MachineRunner : IVmRunner
{
    public Task<RunReport> Run(VmJob job, IVmEvents events, CancellationToken cancel) => Task.Run(() => RunVm(job, events, cancel), CancellationToken.None);

    private static RunReport RunVm(VmJob job, IVmEvents events, CancellationToken cancel)
    {
        BootRequest request;
        try
        {
            request = Request(job);
        }
        catch (BadInputException e)
        {
            throw new InvalidOperationException($"The job cannot be built: {e.Message}", e);
        }
        using var serialLog = new FileStream(Path.Combine(job.Folder, "serial0.log"), FileMode.Create, FileAccess.ReadWrite);
        var teller = new Teller(events);
        using var session = new BootSession(request)
        {
            SerialSink = serialLog,
            OnSerial = teller.Serial,
            OnPoll = teller.Poll,
            Media = name => job.Media.GetValueOrDefault(name),
        };
        var stack = job.Stack with { Backend = Enum.Parse<Backend>(session.Backend, ignoreCase: true), MemoryMiB = request.Machine.MemoryMiB, CpuModel = request.Machine.CpuModel, FirmwareBuild = BuildIdentity.With(session.Machine.Firmware.Payloads) };
        events.Started(stack);
        session.Phases.OnReached = teller.Phase;
        foreach (var phase in session.Phases.Reached)
            teller.Phase(phase);
        var report = session.Run(cancel);
        teller.TellLast(session);
        Keep(job, session, report, serialLog, events);
        return Convert(report, stack, session);
    }

    /// <summary>The machine that the plan asks for, media by their files, blank disks as sparse files in the run's folder.</summary>
    /// <exception cref="BadInputException">The plan cannot be built.</exception>
    public static BootRequest Request(VmJob job)
    {
        var plan = job.Plan;
        var floppies = new List<string?>();
        var disks = new List<string>();
        var virtioDisks = new List<string>();
        var cdroms = new List<string?>();
        foreach (var drive in plan.Drives.OrderBy(drive => drive.Slot, StringComparer.Ordinal))
        {
            var match = Slot().Match(drive.Slot);
            if (!match.Success)
                throw new BadInputException($"the plan's drive '{drive.Slot}' is unknown");
            string? path = drive.Media is { } medium
                ? job.Media.TryGetValue(medium, out var file) ? file : throw new BadInputException($"the medium '{medium}' was not handed over")
                : null;
            switch (match.Groups[1].Value)
            {
                case "floppy":
                    Place(floppies, match, path);
                    break;
                case "cdrom":
                    Place(cdroms, match, path);
                    break;
                default:
                    (match.Groups[1].Value == "disk" ? disks : virtioDisks).Add(path ?? Blank(job, drive.Slot, drive.BlankMiB));
                    break;
            }
        }
        return new BootRequest
        {
            Machine = new MachineOptions
            {
                MemoryMiB = job.Stack.MemoryMiB ?? plan.MemoryMiB,
                CpuModel = job.Stack.CpuModel ?? plan.CpuModel ?? "p3",
                Vcpus = plan.Cpus,
                Assist = Enum.Parse<Assist.Monitor.AssistStrength>(job.Stack.Assist.ToString()),
                Firmware = job.Stack.Firmware.ToString().ToLowerInvariant(),
                Vgabios = plan.Vga ?? "std",
                Floppies = floppies,
                Disks = disks,
                VirtioDisks = virtioDisks,
                Nics = [.. (plan.Network ?? []).Select(NicOptions.Parse).OfType<NicOptions>()],
                Cdroms = cdroms,
                Order = plan.BootOrder,
            },
            Backend = job.Stack.Backend.ToString().ToLowerInvariant(),
            Script = GuestScript.Parse(GuestCatalogue.ScriptAtItsLine(plan), plan.ScriptFile).WithPatience(job.Patience),
            GuestTimeout = (plan.GuestLimitSeconds > 0 ? TimeSpan.FromSeconds(plan.GuestLimitSeconds) : TimeSpan.FromMinutes(30)) * job.Patience,
            Settle = TimeSpan.FromSeconds(job.SettleSeconds),
        };
    }

    private static void Place(List<string?> drives, Match slot, string? path)
    {
        int index = slot.Groups[2].ValueSpan[0] - '0';
        while (drives.Count <= index)
            drives.Add(null);
        drives[index] = path;
    }

    private static string Blank(VmJob job, string slot, int mebibytes)
    {
        string path = Path.Combine(job.Folder, $"{slot}.img");
        using var image = RawImage.CreateBlank(path, (long)mebibytes << 20);
        return path;
    }

    private static void Keep(VmJob job, BootSession session, BootReport report, FileStream serialLog, IVmEvents events)
    {
        serialLog.Flush();
        if (serialLog.Length > 0)
            events.Artifact(new VmArtifact { Name = "serial0.log", File = "serial0.log", ContentType = "text/plain", GuestSeconds = report.GuestSeconds });
        File.WriteAllText(Path.Combine(job.Folder, "report.json"), report.ToJson());
        events.Artifact(new VmArtifact { Name = "report.json", File = "report.json", ContentType = "application/json", GuestSeconds = report.GuestSeconds });
        File.WriteAllText(Path.Combine(job.Folder, "screen.txt"), string.Join('\n', report.Screen) + "\n");
        events.Artifact(new VmArtifact { Name = "screen.txt", File = "screen.txt", ContentType = "text/plain; charset=utf-8", GuestSeconds = report.GuestSeconds });
        File.WriteAllBytes(Path.Combine(job.Folder, "screen.png"), session.Screenshot());
        events.Artifact(new VmArtifact { Name = "screen.png", File = "screen.png", ContentType = "image/png", GuestSeconds = report.GuestSeconds });
    }

    private static RunReport Convert(BootReport report, StackSpec stack, BootSession session) => new()
    {
        Health = RunHealth.Ok,
        Outcome = Enum.Parse<GuestOutcome>(report.Outcome.ToString()),
        Furthest = Teller.Known(report.FurthestPhase) ?? BootPhase.Loader,
        Summary = report.Reason,
        GuestSeconds = report.GuestSeconds,
        HostSeconds = report.HostSeconds,
        Instructions = (long)report.Instructions,
        NativeRealModeInstructions = (long)report.RealModeInstructions,
        Exits = Counts(report.Exits),
        AssistTraps = Counts(report.AssistTraps),
        Interrupts = Counts(report.Interrupts),
        // the event's JSON form is that of the wire record
        UnsupportedOpcodes = [.. report.UnsupportedOpcodes.Select(opcode =>
            JsonSerializer.Deserialize(JsonSerializer.Serialize(opcode, OpcodeJson.Farm.UnsupportedOpcodeEvent), VmJson.Farm.UnsupportedOpcodeReport)! with
            {
                Screen = report.Screen,
                GuestSeconds = report.GuestSeconds,
            })],
        FinalScreen = report.Screen,
        StallVerdict = report.Stall?.Text,
        ClockMode = report.ClockMode,
        StepsDone = session.Script?.StepsDone ?? 0,
        StepsTotal = session.StepsTotal,
        DeterminismDigest = $"{report.ScreenHash}{report.SerialHash[..16]}{report.DiskWriteHash[..16]}",
        Stack = stack,
    };

    private static List<NamedCount> Counts(IReadOnlyDictionary<string, ulong> counts) => [.. counts.Select(entry => new NamedCount(entry.Key, (long)entry.Value))];

    [GeneratedRegex("^(floppy|disk|virtio|cdrom)([0-3])$")]
    private static partial Regex Slot();
}
