using Farm.Contracts.Jobs;
using Farm.Contracts.Triage;
using Farm.Contracts.Workers;
using Farm.Silo.Verdicts;

namespace Farm.Silo.Tests.Service;

[Collection(FarmCollection.Name)]
public sealed class TriageTests(TestFarm farm)
{
    [Fact]
    public async Task Failures_of_one_opcode_are_one_group_with_the_cells_it_blocks()
    {
        var (a, b) = (farm.NewGuest(), farm.NewGuest());
        var worker = await farm.SignOn(a, b);
        // different addresses, registers and operands: one instruction all the same
        var one = Opcode("0F01F0", "0F 01 /6") with { LinearAddress = 0xFE05B, Owner = "rombios" };
        var two = Opcode("0F0136", "0F 01 /6") with { LinearAddress = 0x7C10, Owner = "boot loader" };
        var runA = await Fail(worker, a, one);
        await Fail(worker, b, two);

        var group = (await farm.Api.GetTriageGroup(Fingerprint.Of(one)))!;
        Assert.Equal(Fingerprint.Of(one), Fingerprint.Of(two));
        Assert.Equal("0F 01 /6 LMSW in vm86 (rombios)", group.Group.Title);
        Assert.Equal((2, TriageStatus.Open), (group.Group.Occurrences, group.Group.Status));
        Assert.Equal(new[] { a, b }.Order(StringComparer.Ordinal), group.Group.GuestsBlocked);
        Assert.Equal(2, group.Samples.Count);
        Assert.Equal("mov ax,bx", group.Samples[0].Report.Disassembly[0].Text);
        Assert.Equal([Fingerprint.Of(one)], (await farm.Api.GetRun(runA))!.Fingerprints);

        // a cell that passes is blocked no more
        await farm.QueueJob(a);
        await worker.Pass(await worker.ClaimOne());
        Assert.Equal([b], (await farm.Api.GetTriageGroup(Fingerprint.Of(one)))!.Group.GuestsBlocked);
    }

    [Fact]
    public async Task A_group_is_noted_and_closed_and_opens_again_when_it_comes_back()
    {
        var guest = farm.NewGuest();
        var worker = await farm.SignOn(guest);
        var opcode = Opcode("0F0001", "0F 00 /0");
        await Fail(worker, guest, opcode);
        var fingerprint = Fingerprint.Of(opcode);

        var edited = await farm.Api.EditTriageGroup(fingerprint, new() { Status = TriageStatus.Closed, Note = "SLDT is in." });
        Assert.Equal((TriageStatus.Closed, "SLDT is in."), (edited!.Status, edited.Note));
        await Fail(worker, guest, opcode);
        var again = (await farm.Api.GetTriageGroup(fingerprint))!.Group;
        Assert.Equal((TriageStatus.Open, "SLDT is in.", 2), (again.Status, again.Note, again.Occurrences));
        Assert.Null(await farm.Api.EditTriageGroup("000000000000", new() { Note = "x" }));
    }

    [Theory]
    [InlineData("mode")]
    [InlineData("prefix")]
    [InlineData("reason")]
    [InlineData("opcode")]
    public void Mode_prefixes_exit_reason_and_opcode_tell_failures_apart(string what)
    {
        var one = Opcode("0F01F0", "0F 01 /6");
        var other = what switch
        {
            "mode" => one with { Mode = CpuMode.Protected16 },
            "prefix" => one with { Prefixes = "66" },
            "reason" => one with { ExitReason = "KVM emulation failure" },
            _ => one with { Opcode = "0F 01 /4", Code = "Smsw_rm16" },
        };
        Assert.NotEqual(Fingerprint.Of(one), Fingerprint.Of(other));
        Assert.Equal(Fingerprint.Of(one with { Prefixes = "66 67" }), Fingerprint.Of(one with { Prefixes = "6766" }));
    }

    [Fact]
    public async Task A_report_of_any_size_is_kept_within_bounds()
    {
        var guest = farm.NewGuest();
        var worker = await farm.SignOn(guest);
        await farm.QueueJob(guest);
        var lease = await worker.ClaimOne();
        await worker.Complete(lease, new()
        {
            Health = RunHealth.Ok,
            Outcome = GuestOutcome.UnsupportedOpcode,
            Summary = new string('x', 1_000_000) + "\0",
            Exits = [.. Enumerable.Range(0, 10_000).Select(i => new NamedCount($"exit {i}", i))],
            UnsupportedOpcodes = [.. Enumerable.Range(0, 500).Select(i => Opcode($"{i:X6}", ""))],
            FinalScreen = ["a\0b\ud800"],
            Artifacts = [new() { Name = "x", Sha256 = "../../etc/passwd" }],
        });
        var report = (await farm.Api.GetRun(lease.RunId))!.Report!;
        Assert.InRange(report.Summary.Length, 1, 2100);
        Assert.Equal((500, 50, 0), (report.Exits.Count, report.UnsupportedOpcodes.Count, report.Artifacts.Count));
    }

    private async Task<long> Fail(TestWorker worker, string guest, UnsupportedOpcodeReport opcode)
    {
        await farm.QueueJob(guest);
        var lease = await worker.ClaimOne();
        await worker.Complete(lease, new()
        {
            Health = RunHealth.Ok,
            Outcome = GuestOutcome.UnsupportedOpcode,
            Furthest = BootPhase.Post,
            Summary = "The assist refused an instruction.",
            UnsupportedOpcodes = [opcode],
        });
        return lease.RunId;
    }

    private static UnsupportedOpcodeReport Opcode(string bytes, string opcode) => new()
    {
        Bytes = bytes,
        Opcode = opcode,
        Code = "Lmsw_rm16",
        Mnemonic = "lmsw",
        Mode = CpuMode.Vm86,
        Owner = "kernel",
        Disassembly = [new() { Address = "F000:E05B", Bytes = "89D8", Text = "mov ax,bx" }],
    };
}
