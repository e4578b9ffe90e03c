using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Farm.Contracts;
using Farm.Contracts.Api;
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
            // INT 10h's teletype writes an 'x'; a loop.
            var job = await BootSectorJob.Create(folder.FullName, [0xB8, 0x78, 0x0E, 0xCD, 0x10, 0xEB, 0xFE], "steps:\n  - expect: 'xx'\n");
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
}
