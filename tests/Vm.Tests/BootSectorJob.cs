using Farm.Contracts;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;

namespace Farm.Vm.Tests;

/// <summary>A job that boots code of a test's own from a floppy, on soft; six seconds of guest time at most.</summary>
internal static class BootSectorJob
{
    public static async Task<VmJob> Create(string folder, byte[] code, string script)
    {
        string floppy = Path.Combine(folder, "own.img");
        byte[] image = new byte[1474560];
        code.CopyTo(image, 0);
        (image[510], image[511]) = (0x55, 0xAA);
        await File.WriteAllBytesAsync(floppy, image, TestContext.Current.CancellationToken);
        return new VmJob
        {
            JobId = 1,
            RunId = 1,
            Stack = new() { Backend = Backend.Soft },
            Media = new Dictionary<string, string> { ["own"] = floppy },
            Folder = folder,
            Plan = new()
            {
                GuestId = "own",
                Kind = JobKind.Disk,
                Digest = "d",
                MemoryMiB = 16,
                BootOrder = "a",
                Drives = [new() { Slot = "floppy0", Media = "own" }],
                Media = [new() { Name = "own", Kind = MediaKind.Floppy, State = MediaState.Present, UsedBy = [JobKind.Disk] }],
                Script = script,
                GuestLimitSeconds = 6,
            },
        };
    }
}

/// <summary>Keeps what a run tells.</summary>
internal sealed class Listener : IVmEvents
{
    public StackSpec? Stack { get; private set; }

    public List<VmProgress> Progresses { get; } = [];

    public void Started(StackSpec stack) => Stack = stack;

    public void Progress(VmProgress progress) => Progresses.Add(progress);

    public void Artifact(VmArtifact artifact)
    {
    }
}
