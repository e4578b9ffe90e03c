using Farm.Assist.Monitor;
using Farm.Machine.Hypervisors;
using Farm.Machine.Hypervisors.Soft;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Machine.Tests;

/// <summary>Boot sectors read the time stamp counter around an idle wait of eight timer ticks and around accesses to the ISA bus.</summary>
public sealed class TimeStampTests : IDisposable
{
    private const double TicksOf18Hz = 8 * 65536 / 1193182.0 * 100_000_000;
    private readonly string _floppy = Path.Combine(Path.GetTempPath(), $"farm-tsc-{Guid.NewGuid():N}.img");

    public void Dispose() => File.Delete(_floppy);

    [Theory]
    [InlineData(AssistStrength.Vm86)]
    [InlineData(AssistStrength.Full)]
    [InlineData(AssistStrength.Native)]
    public void Counter_goes_on_while_the_guest_halts(AssistStrength strength) =>
        Assert.InRange(Measure(strength, WaitForTicks), TicksOf18Hz * 0.98, TicksOf18Hz * 1.02);

    [Theory]
    [InlineData(AssistStrength.Vm86)]
    [InlineData(AssistStrength.Full)]
    [InlineData(AssistStrength.Native)]
    public void An_access_to_the_ISA_bus_takes_a_microsecond(AssistStrength strength) =>
        Assert.InRange(Measure(strength, a => ReadPort(a, 0x80, 1000)), 102_000u, 110_000u);

    [Fact]
    public void An_access_to_a_PCI_device_takes_an_instruction() =>
        Assert.InRange(Measure(AssistStrength.Vm86, a => ReadPort(a, 0x1F7, 1000)), 2000u, 10_000u);

    /// <summary>The ticks that the code between two readings of the counter takes.</summary>
    private uint Measure(AssistStrength strength, Action<Assembler> code)
    {
        File.WriteAllBytes(_floppy, Image(code));
        var sent = new List<byte>();
        using (var machine = TestMachine.Build(new MachineOptions { Floppies = [_floppy], Assist = strength }))
        {
            bool started = false;
            machine.DebugSink = value =>
            {
                started |= value == 0xA5;
                if (started)
                    sent.Add(value);
            };
            machine.Run(30_000_000_000);
        }
        Assert.True(sent.Count >= 5, $"The boot sector sent {sent.Count} bytes.");
        return BitConverter.ToUInt32([.. sent.Skip(1).Take(4)]);
    }

    private static void WaitForTicks(Assembler a)
    {
        Label wait = a.CreateLabel();
        a.mov(cx, 8);
        a.Label(ref wait);
        a.hlt();
        a.loop(wait);
    }

    private static void ReadPort(Assembler a, ushort port, short times)
    {
        Label again = a.CreateLabel();
        a.cli();
        a.mov(dx, port);
        a.mov(cx, times);
        a.Label(ref again);
        a.@in(al, dx);
        a.loop(again);
    }

    private static byte[] Image(Action<Assembler> code)
    {
        var a = new Assembler(16);
        Label stop = a.CreateLabel();
        a.sti();
        a.hlt();
        a.rdtsc();
        a.mov(ebx, eax);
        code(a);
        a.rdtsc();
        a.sub(eax, ebx);
        a.mov(ebx, eax);
        a.mov(al, 0xA5);
        a.@out(0xE9, al);
        a.mov(eax, ebx);
        for (int i = 0; i < 4; i++)
        {
            a.@out(0xE9, al);
            a.shr(eax, 8);
        }
        a.cli();
        a.Label(ref stop);
        a.hlt();
        a.jmp(stop);
        return TestMachine.BootFloppy(a);
    }
}
