using System.Text.RegularExpressions;
using Farm.Contracts;
using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;
using Farm.Contracts.Workers;

namespace Farm.EndToEnd.WholeFarm;

/// <summary>
/// A farm on this machine and a KVM node in the nested one, which has no media of its own and reaches the farm over the virtual network
/// only: <c>./farm test kvm-farm</c>.
/// </summary>
public sealed partial class KvmNodeTests
{
    private const string Node = "kvm-node";
    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(20);

    [Fact(Explicit = true)]
    public async Task A_KVM_node_joins_over_the_network_fetches_media_runs_FreeDOS_and_dies()
    {
        await using var farm = new FarmProcess(["freedos"], ["freedos-722.img"]);
        // the guest's time is that of a machine some fifty times slower than a real one
        string definition = Path.Combine(farm.Folder, "guests", "freedos.yaml");
        await File.WriteAllTextAsync(definition, GuestSeconds().Replace(await File.ReadAllTextAsync(definition), "guest-seconds: 6000"));
        await farm.Start("--gateway-port", "0", "--advertise", NestedMachine.OuterAddress);
        int gateway = int.Parse(Gateway().Match(farm.Log).Groups[1].ValueSpan, System.Globalization.CultureInfo.InvariantCulture);
        string command = $"export PATH='{Environment.GetEnvironmentVariable("PATH")}' FARM_ROOT=/tmp/empty FARM_STATE=/tmp/state DOTNET_EnableDiagnostics=0 DOTNET_TieredPGO=0; mkdir /tmp/empty; "
            + $"exec dotnet {FarmProcess.Cli} worker --backend kvm --id {Node} --slots 1 --gateway {NestedMachine.OuterAddress}:{gateway}";
        await using var nested = new NestedMachine(command, s_limit, ["--forward", $"{new Uri(farm.Url).Port}", "--forward", $"{gateway}"]);
        try
        {
            // it says what it can do
            await farm.Until(async () => await Worker(farm) is { State: WorkerState.Online } || Ended(nested), "the KVM node has signed on", 400);
            var worker = (await Worker(farm))!;
            Assert.Equal([Backend.Kvm], worker.Capabilities.Backends);
            Assert.Empty(worker.Media);
            Assert.Contains(Node, (await farm.Run("workers")).Out, StringComparison.Ordinal);

            // the command line's way to a green cell of the KVM column
            var (code, output, error) = await farm.Run("run", "freedos", "--kind", "disk", "--backend", "kvm", "--wait");
            Assert.True(code == 0, $"farm run ended with code {code}\n{output}\n{error}\n{nested.Console}");
            var matrix = await farm.Api.GetMatrix(new() { GuestId = "freedos", Backend = Backend.Kvm });
            // a node that a busy machine kept from beating had to take its job twice
            Assert.True(matrix.Rows[0].Disk.State is CellState.Yes or CellState.Flaky, $"{matrix.Rows[0].Disk.State}");
            var run = (await farm.Api.GetRun((await farm.Api.GetRuns("freedos")).First(run => run.Stack.Backend == Backend.Kvm).Id))!;
            Assert.Equal((Node, RunHealth.Ok, GuestOutcome.Pass), (run.Run.Worker, run.Run.Health, run.Run.Outcome));
            Assert.Contains(run.Report!.FinalScreen, line => line.Contains("A:\\>", StringComparison.Ordinal));
            await using (var picture = (await farm.Api.GetArtifact(run.Artifacts.Single(artifact => artifact.Name == "screen.png").Sha256))!)
            {
                byte[] head = new byte[8];
                await picture.Content.ReadExactlyAsync(head);
                Assert.Equal([0x89, (byte)'P', (byte)'N', (byte)'G', 0x0D, 0x0A, 0x1A, 0x0A], head);
            }
            // the floppy came from the farm and stays
            await farm.Until(async () => (await Worker(farm))!.Media.Count == 1, "the node tells of the medium that it has fetched", 120);

            // the plug is pulled in mid-run: the host's trouble, not the guest's
            long job = (await farm.Api.CreateJobs(new() { Guests = ["freedos"], Kind = Contracts.Guests.JobKind.Disk, Stack = new() { Backend = Backend.Kvm } })).Jobs[0].Id;
            await farm.Until(async () => (await farm.Api.GetJob(job))!.Job.State == JobState.Running, "the second job runs", 120);
            await nested.Kill();
            await farm.Until(async () => (await farm.Api.GetJob(job))!.Job.State == JobState.Queued, "the job has gone back to the queue", 120);
            var back = (await farm.Api.GetJob(job))!;
            Assert.True(back.Job is { InfrastructureRetries: >= 1, Outcome: null }, $"{back.Job}");
            Assert.Equal(RunHealth.Infrastructure, back.Runs[0].Health);
            Assert.Contains($"Worker {Node} stopped answering", back.Runs[0].Summary, StringComparison.Ordinal);
            Assert.Equal(WorkerState.Dead, (await Worker(farm))!.State);
            Assert.Contains("kvm", back.Job.WaitReason, StringComparison.Ordinal);
            Assert.NotEqual(CellState.No, (await farm.Api.GetMatrix(new() { GuestId = "freedos", Backend = Backend.Kvm })).Rows[0].Disk.State);
        }
        catch
        {
            TestContext.Current.TestOutputHelper?.WriteLine(farm.Log);
            TestContext.Current.TestOutputHelper?.WriteLine(nested.Console);
            throw;
        }
    }

    private static async Task<WorkerInfo?> Worker(FarmProcess farm) => (await farm.Api.GetWorkers()).FirstOrDefault(worker => worker.Id == Node);

    private static bool Ended(NestedMachine nested)
    {
        Assert.SkipWhen(nested.IsNotToBeHad, nested.Console);
        return nested.Runs ? false : throw new InvalidOperationException("The nested machine ended:\n" + nested.Console);
    }

    [GeneratedRegex(@"guest-seconds: \d+")]
    private static partial Regex GuestSeconds();

    [GeneratedRegex(@"farm worker --gateway 10\.0\.2\.100:(\d+)")]
    private static partial Regex Gateway();
}
