using System.Text.Json;
using Farm.Assist.Cpu;
using Farm.Assist.Monitor;
using Farm.Assist.Reports;
using Farm.Assist.Tests.Monitor;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.Reports;

public sealed unsafe class OpcodeReporterTests
{
    private static UnsupportedOpcodeEvent Refused(byte prefix = 0, ushort segment = AssistBed.CodeSegment)
    {
        using var bed = new AssistBed();
        bed.Program(c => c.AddInstruction(Instruction.CreateBranch(Code.Jmp_ptr1616, segment, 0x10)));
        bed.Assemble(((uint)segment << 4) + 0x10, 0x10, 16, c =>
        {
            c.mov(eax, 0x11223344);
            c.mov(bx, 0x5678);
            if (prefix != 0)
                c.db(prefix);
            c.rdpmc();
            c.inc(cx);
        });
        Assert.Equal(AssistStep.Unsupported, bed.Run());
        return OpcodeReporter.Create(bed.Guest, bed.Memory, new OpcodeContext(OpcodeReasons.Assist, GuestProgress.BootSector, Instructions: 7));
    }

    [Fact]
    public void The_event_says_what_where_and_in_which_state()
    {
        var report = Refused();

        Assert.Equal("0F33", report.Bytes);
        Assert.Equal("", report.Prefixes);
        Assert.Equal("Rdpmc", report.Code);
        Assert.Equal("rdpmc", report.Mnemonic);
        Assert.Equal("0F 33", report.Opcode);
        Assert.Equal("rdpmc", report.Text);
        Assert.Equal(CpuMode.Real, report.Mode);
        Assert.Equal(AssistBed.CodeSegment, report.CodeSegment);
        Assert.Equal(0x19u, report.InstructionPointer);
        Assert.Equal(0x10019u, report.LinearAddress);
        Assert.Equal(7, report.Instructions);
        Assert.Contains(new RegisterView("EAX", 0x11223344), report.Registers);
        Assert.Contains(new RegisterView("EBX", 0x5678), report.Registers);
        Assert.Contains(report.Segments, segment => segment is { Name: "CS", Selector: AssistBed.CodeSegment, Base: 0x10000, Limit: 0xFFFF });
    }

    [Fact]
    public void The_disassembly_marks_the_instruction_and_shows_its_neighbours()
    {
        var report = Refused();

        int failing = report.Disassembly.ToList().FindIndex(line => line.Failing);
        Assert.Equal(new CodeLine("1000:0019", "0F33", "rdpmc", true), report.Disassembly[failing]);
        Assert.Equal("mov bx,5678h", report.Disassembly[failing - 1].Text);
        Assert.Equal("inc cx", report.Disassembly[failing + 1].Text);
        int at = (int)(report.LinearAddress - report.BytesAroundAddress) * 2;
        Assert.Equal("0F33", report.BytesAround.Substring(at, 4));
    }

    [Fact]
    public void The_fingerprint_tells_opcode_and_prefixes_but_not_the_address()
    {
        var report = Refused();

        Assert.Equal(report.Fingerprint, Refused(segment: 0x3000).Fingerprint);
        Assert.Equal(12, report.Fingerprint.Length);
        var prefixed = Refused(prefix: 0x66);
        Assert.Equal("66", prefixed.Prefixes);
        Assert.NotEqual(report.Fingerprint, prefixed.Fingerprint);
        Assert.NotEqual(report.Fingerprint, (report with { Mode = CpuMode.Protected32 }).Fingerprint);
    }

    [Fact]
    public void Bytes_that_do_not_decode_are_reported_as_they_are()
    {
        using var machine = new TestMachine();
        machine.Load(TestMachine.CodeAt, 0x0F, 0xFF, 0xFF, 0x90);

        var report = OpcodeReporter.Create(machine.State, machine.Memory, new OpcodeContext(OpcodeReasons.Kvm, Bytes: [0x0F, 0x04]));

        Assert.Equal("0F04", report.Bytes);
        Assert.Equal("INVALID", report.Code);
        Assert.Contains(report.Disassembly, line => line.Failing);
    }

    [Fact]
    public void Code_is_read_through_the_guests_page_tables()
    {
        using var machine = new TestMachine();
        machine.SetUpProtected();
        machine.EnablePaging(16);
        machine.MapPage(0x400000, TestMachine.CodeAt, 7);
        machine.State->Rip = 0x400FFE;
        machine.Load(TestMachine.CodeAt + 0xFFE, 0x0F, 0x33);

        var report = OpcodeReporter.Create(machine.State, machine.Memory, new OpcodeContext(OpcodeReasons.Soft, GuestProgress.Kernel));

        Assert.Equal("0F33", report.Bytes);
        Assert.Equal(CpuMode.Protected32, report.Mode);
        Assert.Equal("kernel", report.Owner);
    }

    [Fact]
    public void The_event_round_trips_as_json()
    {
        var report = Refused() with { Screen = ["A:\\>"], GuestSeconds = 1.5 };

        string json = JsonSerializer.Serialize(report, JsonSerializerOptions.Web);
        var back = JsonSerializer.Deserialize<UnsupportedOpcodeEvent>(json, JsonSerializerOptions.Web)!;

        Assert.Contains("\"mode\":\"Real\"", json);
        Assert.Equal(json, JsonSerializer.Serialize(back, JsonSerializerOptions.Web));
    }

    [Theory]
    [InlineData(0xFE05Bu, GuestProgress.BootLoader, "rombios")]
    [InlineData(0xFFFFE05Bu, GuestProgress.Firmware, "rombios")]
    [InlineData(0xC0100u, GuestProgress.Firmware, "vgabios")]
    [InlineData(0xC8100u, GuestProgress.Firmware, "option ROM")]
    [InlineData(0xCA000u, GuestProgress.BootLoader, "boot loader")]
    [InlineData(0xD0100u, GuestProgress.Firmware, "assist")]
    [InlineData(0xFFE00010u, GuestProgress.Firmware, "loader")]
    [InlineData(0xFFE80010u, GuestProgress.Firmware, "assist")]
    [InlineData(0x7C10u, GuestProgress.BootSector, "boot sector")]
    [InlineData(0x7C10u, GuestProgress.Kernel, "kernel")]
    [InlineData(0x8000u, GuestProgress.Firmware, "rombios")]
    [InlineData(0x8000u, GuestProgress.BootLoader, "boot loader")]
    [InlineData(0x200000u, GuestProgress.BootLoader, "kernel")]
    public void Addresses_have_owners(uint address, GuestProgress progress, string owner)
    {
        using var bed = new AssistBed();
        bed.Memory.Write(0xC0000, [0x55, 0xAA, 0x40]);
        bed.Memory.Write(0xC8000, [0x55, 0xAA, 1]);
        var state = new CpuState { Cr0 = ControlRegisters.Cr0PE };

        Assert.Equal(owner, AddressOwner.Of(address, &state, bed.Memory, progress));
    }
}
