using System.Security.Cryptography;
using Farm.Assist.Monitor;
using Farm.Machine.Hypervisors;
using Farm.Machine.Hypervisors.Soft;
using Farm.Machine.Tests.Storage;

namespace Farm.Machine.Tests.Hostile;

/// <summary>
/// Random code over half-broken descriptor, interrupt and page tables, in every mode and strength: the run goes on or ends with a
/// reason, costs no more than its instructions, and repeats to the instruction.
/// </summary>
public sealed class HostileCodeTests
{
    private const long GuestTime = 4_000_000;

    [Theory]
    [InlineData(AssistStrength.Vm86)]
    [InlineData(AssistStrength.Full)]
    [InlineData(AssistStrength.Native)]
    public void A_machine_survives_hostile_code(AssistStrength strength) => FuzzBudget.Run(4, random =>
    {
        using var folder = new TestFolder();
        var mode = (HostileMode)random.Next(4);
        var code = new HostileCode(random, mode);
        string model = mode == HostileMode.Long ? "x86-64" : random.Next(3) switch { 0 => "p3", 1 => "pentium", _ => "x86-64" };
        var options = new MachineOptions
        {
            MemoryMiB = HostileCode.RamSize >> 20,
            Assist = strength,
            Firmware = "bochs",
            BiosFile = folder.File("bios.bin", code.Bios),
            CpuModel = model,
            Vcpus = model == "pentium" ? 1 : random.Next(1, 4),
            Floppies = [folder.Sparse("a.img", 1474560)],
            Disks = [folder.Sparse("c.img", 10 << 20)],
        };
        string first = Run(options, code);
        if (random.Next(4) == 0)
            Assert.Equal(first, Run(options, code));
    });

    /// <summary>What became of the machine: end, instructions, memory, screen.</summary>
    private static string Run(MachineOptions options, HostileCode code)
    {
        using (var machine = TestMachine.Build(options))
        {
            machine.Memory.Write(0, code.Ram.AsSpan(0, 0xA0000));
            machine.Memory.Write(0x100000, code.Ram.AsSpan(0x100000));
            using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(2));
            using var kick = limit.Token.Register(machine.Kick);
            machine.Run(GuestTime, limit.Token);
            Assert.False(limit.IsCancellationRequested, $"Two minutes of host time were not enough for {machine.Instructions} instructions.");
            Assert.InRange(machine.Instructions, 1ul, ((ulong)GuestTime / 10 + 1) * (ulong)options.Vcpus);
            if (machine.End is { } end)
                Assert.InRange(end.Reason.Length, 1, 500);
            byte[] ram = new byte[HostileCode.RamSize];
            machine.Memory.Read(0, ram);
            var screen = machine.Screen.Capture();
            return $"{machine.End} {machine.Instructions} {machine.Resets} {Convert.ToHexString(SHA256.HashData(ram))} {screen.Hash} {string.Join(' ', machine.Events.Events)}";
        }
    }
}
