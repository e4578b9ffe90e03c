using Farm.Contracts;
using Farm.Contracts.Guests;

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
    public Task Reaches_its_screen(string guest, JobKind kind, AssistMode assist, FirmwareSet firmware) =>
        GuestRun.ReachPrompt(guest, kind, assist, firmware);
}
