using Farm.Assist.Monitor;
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
    public void An_x87_load_from_video_memory_is_executed_by_whoever_can(string backend, AssistStrength strength)
    {
        var hypervisor = Machine.Hypervisors.Backends.All.Single(candidate => candidate.Name == backend);
        BackendTests.Need(hypervisor);
        string floppy = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(floppy, BootSector());
            using var session = new BootSession(
                new BootRequest
                {
                    Machine = new MachineOptions { Assist = strength, MemoryMiB = 16, Floppies = [floppy], Order = "a" },
                    Script = new GuestScript { Steps = [ScriptStep.Expect("loaded it")] },
                    GuestTimeout = TimeSpan.FromMinutes(5),
                    HostTimeout = TimeSpan.FromMinutes(5),
                },
                hypervisor);
            var report = session.Run(TestContext.Current.CancellationToken);
            Assert.True(report.Outcome == BootOutcome.Pass, report.Reason);
            Assert.Empty(report.UnsupportedOpcodes);
            if (backend == "kvm")
                Assert.Equal(1ul, report.Exits[nameof(VcpuExitReason.EmulationFailure)]);
        }
        catch (FirmwareException e)
        {
            Assert.Skip(e.Message);
        }
        finally
        {
            File.Delete(floppy);
        }
    }

    private static byte[] BootSector()
    {
        var code = new Assembler(16);
        var end = code.CreateLabel();
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
        using var stream = new MemoryStream();
        code.Assemble(new StreamCodeWriter(stream), 0x7C00);
        byte[] image = new byte[1474560];
        stream.ToArray().CopyTo(image, 0);
        image[510] = 0x55;
        image[511] = 0xAA;
        return image;
    }
}
