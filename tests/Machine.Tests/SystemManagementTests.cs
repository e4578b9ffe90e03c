using Farm.Assist.Monitor;
using Farm.Machine.Hypervisors;
using Farm.Machine.Hypervisors.Soft;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Machine.Tests;

/// <summary>
/// The BIOS moves SMBASE to A0000h and puts its handler there; a boot sector then turns ACPI on and off through the APM port, which
/// is the handler's work, and looks whether anything of its own was lost.
/// </summary>
public sealed class SystemManagementTests : IDisposable
{
    private readonly string _floppy = Path.Combine(Path.GetTempPath(), $"farm-smi-{Guid.NewGuid():N}.img");

    public void Dispose() => File.Delete(_floppy);

    [Theory]
    [InlineData("bochs", "p3", AssistStrength.Vm86)]
    [InlineData("bochs", "x86-64", AssistStrength.Full)]
    [InlineData("bochs", "p3", AssistStrength.Native)]
    [InlineData("seabios", "x86-64", AssistStrength.Vm86)]
    [InlineData("seabios", "p3", AssistStrength.Full)]
    [InlineData("seabios", "x86-64", AssistStrength.Native)]
    public void The_bios_handler_serves_the_apm_port(string firmware, string model, AssistStrength strength)
    {
        File.WriteAllBytes(_floppy, Image());
        var sent = new List<byte>();
        using (var machine = TestMachine.Build(new MachineOptions { Firmware = firmware, CpuModel = model, Floppies = [_floppy], Assist = strength }))
        {
            bool started = false;
            machine.DebugSink = value =>
            {
                started |= value == 0xA5;
                if (started)
                    sent.Add(value);
            };
            machine.Run(30_000_000_000);

            // One moved SMBASE, two are the boot sector's.
            Assert.True(machine.ExitCounts()["Smi"] >= 3, $"{machine.ExitCounts()["Smi"]} SMIs.");

            // SMRAM is closed again: the window shows the VGA's memory.
            var code = new byte[1];
            Assert.False(machine.Memory.Read(0xA8000, code));
        }
        // SCI_EN before, after enabling and after disabling; then the register that was to survive.
        Assert.Equal([0xA5, 0, 1, 0, 0x5A], sent.Take(5));
    }

    private static byte[] Image()
    {
        var a = new Assembler(16);
        Label stop = a.CreateLabel();

        // PMBA of the PIIX4 function, then its control register.
        a.mov(eax, 0x80000B40u);
        a.mov(dx, 0xCF8);
        a.@out(dx, eax);
        a.mov(dx, 0xCFC);
        a.@in(ax, dx);
        a.and(ax, -64);
        a.add(ax, 4);
        a.mov(di, ax);
        a.mov(ebp, 0x1234565Au);
        a.mov(al, 0xA5);
        a.@out(0xE9, al);
        SendSciEnable(a);
        foreach (int command in new[] { 0xF1, 0xF0 })
        {
            a.mov(al, (sbyte)command);
            a.@out(0xB2, al);
            SendSciEnable(a);
        }
        a.mov(eax, ebp);
        a.@out(0xE9, al);
        a.cli();
        a.Label(ref stop);
        a.hlt();
        a.jmp(stop);
        return TestMachine.BootFloppy(a);
    }

    private static void SendSciEnable(Assembler a)
    {
        a.mov(dx, di);
        a.@in(al, dx);
        a.and(al, 1);
        a.@out(0xE9, al);
    }
}
