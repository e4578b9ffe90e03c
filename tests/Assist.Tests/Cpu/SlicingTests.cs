using Farm.Assist.Cpu;

namespace Farm.Assist.Tests.Cpu;

/// <summary>Random code, run in one go and in slices: where a run is cut may never show.</summary>
public unsafe class SlicingTests
{
    private const ulong Instructions = 15_000;

    public enum Mode
    {
        Real,
        Protected,
        Vm86,
        Paged,
        Long,
    }

    [Theory]
    [InlineData(Mode.Real, 1)]
    [InlineData(Mode.Real, 2)]
    [InlineData(Mode.Protected, 3)]
    [InlineData(Mode.Protected, 4)]
    [InlineData(Mode.Vm86, 5)]
    [InlineData(Mode.Paged, 6)]
    [InlineData(Mode.Paged, 7)]
    [InlineData(Mode.Long, 8)]
    [InlineData(Mode.Long, 9)]
    public void However_a_run_is_sliced_the_same_state_results(Mode mode, int seed)
    {
        string whole = Execute(mode, seed, () => ulong.MaxValue);
        var random = new Random(seed);
        Assert.Equal(whole, Execute(mode, seed, () => (ulong)random.Next(1, 20)));
        Assert.Equal(whole, Execute(mode, seed, () => 1));
    }

    private static string Execute(Mode mode, int seed, Func<ulong> slice)
    {
        using var machine = new TestMachine(size: 2 << 20);
        Fill(machine, seed);
        SetUp(machine, mode);
        if (mode != Mode.Real)
        {
            // Faults of protected mode land in the same soup.
            for (int vector = 0; vector < 256; vector++)
                machine.SetGate(vector, TestMachine.CodeAt + (ulong)(vector * 97), mode == Mode.Long ? TestMachine.Code64 : TestMachine.Code32);
        }
        CpuState* state = machine.State;
        X86Cpu cpu = machine.Cpu;
        machine.OnReadPort = (port, _) => (uint)cpu.InstructionCount * 0x9E3779B1u ^ port;
        machine.OnReadMmio = (address, _) => cpu.InstructionCount * 0x9E3779B97F4A7C15u ^ address;
        int restarts = 0;
        while (cpu.InstructionCount < Instructions)
        {
            switch (cpu.Run(Math.Min(slice(), Instructions - cpu.InstructionCount)))
            {
                case StopReason.Budget:
                    break;
                case StopReason.Halted:
                    state->Activity = Activity.Active;
                    break;
                default:
                    // Shut down, or an instruction not there yet: on from another place, in the first mode's state.
                    restarts++;
                    ulong count = cpu.InstructionCount;
                    if (restarts > 2000)
                        return $"stuck at {count}";
                    SetUp(machine, mode);
                    state->Rip += (ulong)(restarts * 61 % 0x8000);
                    break;
            }
        }
        var hash = new HashCode();
        hash.AddBytes(machine.Ram);
        hash.AddBytes(new ReadOnlySpan<byte>(state->Gpr, 18 * 8));
        return $"{hash.ToHashCode():X8} {cpu.FaultCount} faults, {restarts} restarts, cs {state->Cs.Selector:X} rip {state->Rip:X} flags {state->Rflags:X} ports {machine.Ports.Count} mmio {machine.Mmio.Count}";
    }

    private static void SetUp(TestMachine machine, Mode mode)
    {
        switch (mode)
        {
            case Mode.Real:
                machine.SetUpReal();
                return;
            case Mode.Protected:
                machine.SetUpProtected();
                return;
            case Mode.Vm86:
                machine.SetUpVm86();
                return;
            case Mode.Paged:
                machine.SetUpProtected();
                machine.EnablePaging();
                break;
            case Mode.Long:
                machine.SetUpLong();
                break;
        }

        // The tables lie in reach of the code; some pages move, some are read-only, some absent.
        for (ulong page = 0x30; page < 0x100; page += 7)
            machine.MapPage(page << 12, ((page * 5) & 0x7F) << 12, page % 3 * 2);
        machine.Cpu.FlushTlb();
    }

    private static void Fill(TestMachine machine, int seed)
    {
        var random = new Random(seed);
        random.NextBytes(machine.Ram);

        // Prefixes, moves, arithmetic, strings and short jumps are likelier than in noise.
        ReadOnlySpan<byte> likely = [0x66, 0xF3, 0x26, 0x2E, 0x40, 0x89, 0x8B, 0x01, 0x29, 0x31, 0xA4, 0xA5, 0xAA, 0xAB, 0x74, 0x75, 0xEB, 0xE2, 0x50, 0x58, 0xC3, 0x90, 0xFB, 0x9C, 0xCD];
        for (int i = 0; i < 0x20000; i++)
        {
            if (random.Next(3) != 0)
                machine.Ram[(int)TestMachine.CodeAt + i] = likely[random.Next(likely.Length)];
        }
        for (int vector = 0; vector < 256; vector++)
            machine.SetVector(vector, 0x1000, (ushort)(vector * 131));
    }
}
