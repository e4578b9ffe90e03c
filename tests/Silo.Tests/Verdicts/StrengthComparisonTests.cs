using Farm.Contracts;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Matrix;
using Farm.Contracts.Triage;
using Farm.Silo.Verdicts;

namespace Farm.Silo.Tests.Verdicts;

public sealed class StrengthComparisonTests
{
    private static readonly BlockedCell s_blocked = new() { GuestId = "probe", Kind = JobKind.Disk, Stack = new() { Backend = Backend.Soft }, RunId = 1 };

    [Fact]
    public void Alone_it_is_not_compared() => Says(TriageVerdict.NotCompared, "Run it under full and native", [Cell(AssistMode.Vm86, GuestOutcome.UnsupportedOpcode, 1)]);

    [Fact]
    public void Another_strength_that_passes_makes_it_an_assist_gap() => Says(
        TriageVerdict.AssistGap, "Assist gap: probe disk passes on soft/native (run 3), so the guest is right and soft/vm86 lacks this instruction.",
        [Cell(AssistMode.Vm86, GuestOutcome.UnsupportedOpcode, 1), Cell(AssistMode.Full, GuestOutcome.Hang, 2), Cell(AssistMode.Native, GuestOutcome.Pass, 3)]);

    [Fact]
    public void Another_backend_that_passes_makes_it_one_too() =>
        Says(TriageVerdict.AssistGap, "passes on kvm/vm86 (run 4)", [Cell(AssistMode.Vm86, GuestOutcome.Pass, 4, Backend.Kvm)]);

    [Fact]
    public void Failing_everywhere_in_another_way_makes_it_the_guests() => Says(
        TriageVerdict.GuestBug, "does not pass on soft/full (hang after boot sector, run 2) and soft/native (triple fault after boot sector, run 3) either",
        [Cell(AssistMode.Native, GuestOutcome.TripleFault, 3), Cell(AssistMode.Full, GuestOutcome.Hang, 2)]);

    [Fact]
    public void An_opcode_that_native_lacks_too_is_not_the_assists_alone() =>
        Says(TriageVerdict.ProcessorGap, "on soft/native (run 3) too", [Cell(AssistMode.Native, GuestOutcome.UnsupportedOpcode, 3)]);

    [Fact]
    public void Another_guest_kind_firmware_or_definition_says_nothing() => Says(TriageVerdict.NotCompared, "Not compared yet",
    [
        Cell(AssistMode.Native, GuestOutcome.Pass, 3) with { GuestId = "other" },
        Cell(AssistMode.Native, GuestOutcome.Pass, 3) with { Kind = JobKind.Install },
        Cell(AssistMode.Native, GuestOutcome.Pass, 3) with { Stack = new() { Backend = Backend.Soft, Assist = AssistMode.Native, Firmware = FirmwareSet.Seabios } },
        Cell(AssistMode.Native, GuestOutcome.Pass, 3) with { Stale = true },
    ]);

    private static void Says(TriageVerdict verdict, string words, MatrixCell[] cells)
    {
        var comparison = StrengthComparison.Compare(s_blocked, cells);
        Assert.Equal(verdict, comparison.Verdict);
        Assert.Contains(words, comparison.Text, StringComparison.Ordinal);
    }

    private static MatrixCell Cell(AssistMode assist, GuestOutcome outcome, long run, Backend backend = Backend.Soft) => new()
    {
        GuestId = "probe",
        Kind = JobKind.Disk,
        State = outcome is GuestOutcome.Pass ? CellState.Yes : CellState.No,
        Outcome = outcome,
        Furthest = BootPhase.BootSector,
        RunId = run,
        Stack = new() { Backend = backend, Assist = assist },
    };
}
