using Farm.Contracts;
using Farm.Contracts.Guests;
using Farm.Machine.Boot;

namespace Farm.EndToEnd.Guests;

/// <summary>
/// Real guests of the catalogue by strength and firmware. A few quick rows always run; the others are explicit
/// (<c>./farm test guests</c> runs them all).
/// </summary>
public sealed class GuestMatrixTests
{
    private static readonly (string Guest, JobKind Kind)[] Guests =
    [
        ("freedos", JobKind.Disk), ("freedos", JobKind.Install), ("memtest86plus", JobKind.Disk), ("grub2", JobKind.Disk), ("grub2-disk", JobKind.Disk),
        ("ipxe", JobKind.Disk), ("ipxe-disk", JobKind.Disk), ("openbsd-floppy", JobKind.Disk), ("linux-boote", JobKind.Disk),
    ];

    /// <summary>Rows of the default run: a few seconds each.</summary>
    private static readonly HashSet<(string Guest, JobKind Kind, AssistMode Assist, FirmwareSet Firmware)> Quick =
    [
        ("freedos", JobKind.Disk, AssistMode.Vm86, FirmwareSet.Seabios),
        ("grub2", JobKind.Disk, AssistMode.Vm86, FirmwareSet.Bochs),
        ("grub2-disk", JobKind.Disk, AssistMode.Full, FirmwareSet.Bochs),
        ("grub2-disk", JobKind.Disk, AssistMode.Native, FirmwareSet.Seabios),
        ("ipxe", JobKind.Disk, AssistMode.Vm86, FirmwareSet.Seabios),
        ("memtest86plus", JobKind.Disk, AssistMode.Vm86, FirmwareSet.Bochs),
    ];

    public static IEnumerable<TheoryDataRow<string, JobKind, AssistMode, FirmwareSet>> Rows() =>
        from guest in Guests
        from firmware in Enum.GetValues<FirmwareSet>()
        from assist in Enum.GetValues<AssistMode>()
        select new TheoryDataRow<string, JobKind, AssistMode, FirmwareSet>(guest.Guest, guest.Kind, assist, firmware)
        {
            Explicit = !Quick.Contains((guest.Guest, guest.Kind, assist, firmware)),
        };

    [Theory]
    [MemberData(nameof(Rows))]
    public async Task Reaches_its_screen(string guest, JobKind kind, AssistMode assist, FirmwareSet firmware)
    {
        var report = await GuestRun.Run(guest, kind, assist, firmware);
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
}
