using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Farm.Contracts;
using Farm.Contracts.Api;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;

namespace Farm.Vm.Tests;

/// <summary>The program that was compiled ahead does what the same sources do here, byte for byte.</summary>
public sealed class CompiledAheadTests
{
    [Fact]
    public async Task A_VM_of_the_program_compiled_ahead_tells_what_one_of_this_process_does()
    {
        string program = CompiledAhead.Program;
        Assert.SkipUnless(File.Exists(program), $"{program} is not there: no gcc, or no Release build");
        var folder = Directory.CreateTempSubdirectory("farm-vm-");
        try
        {
            string floppy = Path.Combine(folder.FullName, "loop.img");
            byte[] image = new byte[1474560];
            // INT 10h's teletype writes an 'x'; a loop.
            new byte[] { 0xB8, 0x78, 0x0E, 0xCD, 0x10, 0xEB, 0xFE }.CopyTo(image, 0);
            (image[510], image[511]) = (0x55, 0xAA);
            await File.WriteAllBytesAsync(floppy, image, TestContext.Current.CancellationToken);
            var job = new VmJob
            {
                JobId = 1,
                RunId = 1,
                Stack = new() { Backend = Backend.Soft },
                Media = new Dictionary<string, string> { ["loop"] = floppy },
                Folder = folder.FullName,
                Plan = new()
                {
                    GuestId = "loop",
                    Kind = JobKind.Disk,
                    Digest = "d",
                    MemoryMiB = 16,
                    BootOrder = "a",
                    Drives = [new() { Slot = "floppy0", Media = "loop" }],
                    Media = [new() { Name = "loop", Kind = MediaKind.Floppy, State = MediaState.Present, UsedBy = [JobKind.Disk] }],
                    Script = "steps:\n  - expect: 'xx'\n",
                    GuestLimitSeconds = 6,
                },
            };
            var (stack, report) = await Native(program, job);
            var here = new Listener();
            var expected = await new MachineRunner().Run(job, here, TestContext.Current.CancellationToken);
            Assert.Equal(here.Stack, stack);
            Assert.True(report.Instructions > 1_000_000);
            Assert.Equal(Text(expected with { HostSeconds = 0 }), Text(report with { HostSeconds = 0 }));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static string Text(RunReport report) => JsonSerializer.Serialize(report, FarmJson.Options);

    private static async Task<(StackSpec Stack, RunReport Report)> Native(string program, VmJob job)
    {
        using var process = Process.Start(new ProcessStartInfo(program, [VmRunCommand.Verb])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            StandardInputEncoding = new UTF8Encoding(false),
        })!;
        await process.StandardInput.WriteLineAsync(JsonSerializer.Serialize(job, FarmJson.Options));
        await process.StandardInput.FlushAsync(TestContext.Current.CancellationToken);
        StackSpec? stack = null;
        RunReport? report = null;
        while (await process.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken) is { } line)
        {
            var message = JsonSerializer.Deserialize<VmMessage>(line, FarmJson.Options)!;
            stack ??= message.Started;
            report ??= message.Report;
        }
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(0, process.ExitCode);
        return (stack!, report!);
    }

    private sealed class Listener : IVmEvents
    {
        public StackSpec? Stack { get; private set; }

        public void Started(StackSpec stack) => Stack = stack;

        public void Progress(VmProgress progress)
        {
        }

        public void Artifact(VmArtifact artifact)
        {
        }
    }
}
