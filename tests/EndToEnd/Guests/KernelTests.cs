using Farm.Contracts;
using Farm.Contracts.Guests;

namespace Farm.EndToEnd.Guests;

/// <summary>
/// Whole kernels on the local APIC, the IOAPIC and the BIOS's ACPI tables: thousands of millions of instructions each. One quick row always
/// runs; the others are explicit (<c>./farm test guests</c> runs them all).
/// </summary>
public sealed class KernelTests
{
    private static readonly string[] Guests = ["gnumach", "xen", "debian-i386-disk", "debian-i386-smp", "debian-installer-i386", "debian-installer-amd64"];

    public static IEnumerable<TheoryDataRow<string, AssistMode, FirmwareSet>> Rows() =>
        from guest in Guests
        from firmware in Enum.GetValues<FirmwareSet>()
        from assist in new[] { AssistMode.Vm86, AssistMode.Native }
        select new TheoryDataRow<string, AssistMode, FirmwareSet>(guest, assist, firmware)
        {
            Explicit = (guest, assist, firmware) != ("gnumach", AssistMode.Vm86, FirmwareSet.Bochs),
        };

    [Theory]
    [MemberData(nameof(Rows))]
    public Task Reaches_its_console(string guest, AssistMode assist, FirmwareSet firmware) => GuestRun.ReachPrompt(guest, JobKind.Disk, assist, firmware);
}
