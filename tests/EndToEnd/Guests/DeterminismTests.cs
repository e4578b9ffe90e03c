using Farm.Contracts;
using Farm.Contracts.Guests;
using Farm.Machine.Boot;

namespace Farm.EndToEnd.Guests;

/// <summary>A run is a function of its inputs: the same count of instructions, the same screens, bytes and sectors, whatever the host does meanwhile.</summary>
public sealed class DeterminismTests
{
    public static TheoryDataRow<string, JobKind, AssistMode, FirmwareSet>[] Rows { get; } =
    [
        new("freedos", JobKind.Disk, AssistMode.Vm86, FirmwareSet.Bochs),
        new("grub2-disk", JobKind.Disk, AssistMode.Vm86, FirmwareSet.Seabios) { Explicit = true },
        new("grub2", JobKind.Disk, AssistMode.Native, FirmwareSet.Bochs) { Explicit = true },
        new("ipxe", JobKind.Disk, AssistMode.Full, FirmwareSet.Bochs) { Explicit = true },
        new("memtest86plus", JobKind.Disk, AssistMode.Vm86, FirmwareSet.Bochs) { Explicit = true },
        new("freedos", JobKind.Install, AssistMode.Vm86, FirmwareSet.Bochs) { Explicit = true },
        new("openbsd-floppy", JobKind.Disk, AssistMode.Vm86, FirmwareSet.Bochs) { Explicit = true },
        new("linux-boote", JobKind.Disk, AssistMode.Vm86, FirmwareSet.Bochs) { Explicit = true },
    ];

    [Theory]
    [MemberData(nameof(Rows))]
    public async Task Three_runs_are_alike_on_a_quiet_and_on_a_loaded_host(string guest, JobKind kind, AssistMode assist, FirmwareSet firmware)
    {
        var first = await GuestRun.Run(guest, kind, assist, firmware);
        var second = await GuestRun.Run(guest, kind, assist, firmware);
        BootReport third;
        using (new HostLoad())
            third = await GuestRun.Run(guest, kind, assist, firmware);

        Assert.True(first.Outcome == BootOutcome.Pass, first.Reason);
        Assert.True(first.Screens > 2, $"{first.Screens} screens");
        Assert.Equal(Traces(first), Traces(second));
        Assert.Equal(Traces(first), Traces(third));
    }

    /// <summary>All that a report says about the guest, without what it says about the host.</summary>
    private static string Traces(BootReport report) =>
        (report with { HostSeconds = 0, Phases = [.. report.Phases.Select(phase => phase with { HostSeconds = 0 })] }).ToJson();

    /// <summary>Threads that compete with the guest for the processors, and garbage that collects now and then.</summary>
    private sealed class HostLoad : IDisposable
    {
        private readonly Thread[] _threads = new Thread[Math.Min(Environment.ProcessorCount, 4) + 1];
        private volatile bool _stop;

        public HostLoad()
        {
            for (int i = 0; i < _threads.Length; i++)
            {
                _threads[i] = new Thread(Burn) { IsBackground = true };
                _threads[i].Start();
            }
        }

        public void Dispose()
        {
            _stop = true;
            foreach (var thread in _threads)
                thread.Join();
        }

        private void Burn()
        {
            for (uint round = 1; !_stop; round++)
            {
                byte[] garbage = new byte[4096];
                garbage[round % 4096] = 1;
                if (round % 1_000_000 == 0)
                    GC.Collect();
                if (round % 1000 == 0)
                    Thread.Yield();
            }
        }
    }
}
