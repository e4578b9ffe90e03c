using Farm.Assist.Monitor;
using Farm.Assist.Reports;
using Farm.Backends.Tests.WhpStandIn;
using Farm.Firmware;
using Farm.Machine;
using Farm.Machine.Boot;
using Farm.Machine.Hypervisors;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Backends.Tests;

/// <summary>
/// A whole machine whose boot sector does to a device's memory what the kernel's emulator has no code for (an x87 load): the assist
/// executes it, and the guest goes on.
/// </summary>
public sealed class EmulationTests
{
    [Theory]
    [InlineData("soft", AssistStrength.Vm86)]
    [InlineData("kvm", AssistStrength.Vm86)]
    [InlineData("kvm", AssistStrength.Native)]
    [InlineData("whp", AssistStrength.Vm86)]
    [InlineData("whp", AssistStrength.Native)]
    public void An_x87_load_from_video_memory_is_executed_by_whoever_can(string backend, AssistStrength strength)
    {
        var report = Boot(Hypervisor(backend), strength, BootSector());
        Assert.True(report.Outcome == BootOutcome.Pass, report.Reason);
        Assert.Empty(report.UnsupportedOpcodes);
        if (backend == "kvm")
            Assert.Equal(1ul, report.Exits[nameof(VcpuExitReason.EmulationFailure)]);
    }

    /// <summary>
    /// A copy from the platform's local APIC to video memory: the platform reports it for the video memory, and our interpreter reaches no
    /// APIC of the platform's.
    /// </summary>
    [Fact]
    public void What_neither_the_platform_nor_the_interpreter_can_do_is_reported_with_all_around_it()
    {
        var report = Boot(StandInLibrary.NewHypervisor(), AssistStrength.Native, FlatBootSector(static c =>
        {
            KeepVideoMemoryADevice(c);
            c.mov(esi, 0xFEE00030);
            c.mov(edi, 0xB80A0);
            // MOVSD with 32-bit addresses
            c.db(0x67, 0x66, 0xA5);
        }));
        Assert.Equal(BootOutcome.UnsupportedOpcode, report.Outcome);
        Assert.Contains("unsupported opcode 6766A5 at ", report.Reason, StringComparison.Ordinal);
        var opcode = Assert.Single(report.UnsupportedOpcodes);
        Assert.Equal((OpcodeReasons.Whp, "6766A5", "movsd", "boot sector", CpuMode.Real), (opcode.ExitReason, opcode.Bytes, opcode.Mnemonic, opcode.Owner, opcode.Mode));
        Assert.Contains(opcode.Registers, register => register is { Name: "ESI", Value: 0xFEE00030 });
        Assert.Contains(opcode.Disassembly, static line => line.Failing && line.Text.Contains("movsd", StringComparison.Ordinal));
        Assert.Contains("6766A5", opcode.BytesAround, StringComparison.Ordinal);
    }

    /// <summary>Under vm86 it is the assist that refuses; the guest's code stands in the report, not the monitor's.</summary>
    [Fact]
    public void What_the_assist_refuses_is_reported_from_WHP_as_from_soft()
    {
        var report = Boot(StandInLibrary.NewHypervisor(), AssistStrength.Vm86, FlatBootSector(static c => c.rdpmc()));
        Assert.Equal(BootOutcome.UnsupportedOpcode, report.Outcome);
        var opcode = Assert.Single(report.UnsupportedOpcodes);
        Assert.Equal((OpcodeReasons.Assist, "0F33", "rdpmc", "boot sector"), (opcode.ExitReason, opcode.Bytes, opcode.Mnemonic, opcode.Owner));
    }

    private static IHypervisor Hypervisor(string backend)
    {
        if (backend == "whp")
            return StandInLibrary.NewHypervisor();
        var hypervisor = Machine.Hypervisors.Backends.All.Single(candidate => candidate.Name == backend);
        BackendTests.Need(hypervisor);
        return hypervisor;
    }

    private static BootReport Boot(IHypervisor hypervisor, AssistStrength strength, byte[] image)
    {
        string floppy = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(floppy, image);
            using var session = new BootSession(
                new BootRequest
                {
                    Machine = new MachineOptions { Assist = strength, MemoryMiB = 16, Floppies = [floppy], Order = "a" },
                    Script = new GuestScript { Steps = [ScriptStep.Expect("loaded it")] },
                    GuestTimeout = TimeSpan.FromMinutes(5),
                    HostTimeout = TimeSpan.FromMinutes(5),
                },
                hypervisor);
            return session.Run(TestContext.Current.CancellationToken);
        }
        catch (FirmwareException e)
        {
            Assert.Skip(e.Message);
            throw;
        }
        finally
        {
            File.Delete(floppy);
        }
    }

    /// <summary>Real mode with data segments of 4 GiB, then <paramref name="body"/>.</summary>
    private static byte[] FlatBootSector(Action<Assembler> body)
    {
        var code = new Assembler(16);
        code.cli();
        code.xor(ax, ax);
        code.mov(ds, ax);
        code.lgdt(__[0x7DD0]);
        code.mov(eax, cr0);
        code.or(al, 1);
        code.mov(cr0, eax);
        code.mov(bx, 8);
        code.mov(ds, bx);
        code.mov(es, bx);
        code.and(al, 0xFE);
        code.mov(cr0, eax);
        body(code);
        code.hlt();
        byte[] image = Image(code);
        BitConverter.GetBytes(0x7DD8_000Ful).CopyTo(image, 0x1D0);
        BitConverter.GetBytes(0x00CF93000000FFFFul).CopyTo(image, 0x1E0);
        return image;
    }

    /// <summary>The window of a plain text mode may become memory; with all planes written it is not plain.</summary>
    private static void KeepVideoMemoryADevice(Assembler code)
    {
        code.mov(dx, 0x3C4);
        code.mov(ax, 0x0F02);
        code.@out(dx, ax);
    }

    private static byte[] BootSector()
    {
        var code = new Assembler(16);
        var end = code.CreateLabel();
        KeepVideoMemoryADevice(code);
        code.mov(ax, 0xB800);
        code.mov(es, ax);
        code.xor(bx, bx);
        code.mov(ds, bx);
        code.fninit();
        code.mov(__word_ptr.es[160], 0x0741); // "A" at the second row
        code.fild(__word_ptr.es[160]);
        code.fistp(__word_ptr[0x600]);
        code.wait();
        code.cmp(__word_ptr[0x600], 0x0741);
        code.jne(end);
        foreach (char letter in "loaded it")
        {
            code.mov(ax, (ushort)(0x0E00 | letter));
            code.@int(0x10);
        }
        code.Label(ref end);
        code.hlt();
        code.jmp(end);
        return Image(code);
    }

    /// <summary>A floppy that boots it.</summary>
    internal static byte[] Image(Assembler code)
    {
        using var stream = new MemoryStream();
        code.Assemble(new StreamCodeWriter(stream), 0x7C00);
        byte[] image = new byte[1474560];
        stream.ToArray().CopyTo(image, 0);
        image[510] = 0x55;
        image[511] = 0xAA;
        return image;
    }
}
