using Farm.Assist.Cpu;
using Farm.Assist.Tests.SystemLevel;

namespace Farm.Assist.Tests.Instructions;

/// <summary>Repeated string instructions: restart points, counting, the bulk paths against the plain meaning.</summary>
public sealed unsafe class StringTests : IDisposable
{
    private const byte Rep = 0xF3, Movsb = 0xA4, Stosb = 0xAA, Insb = 0x6C, Outsb = 0x6E, Hlt = 0xF4;
    private const int Page = 0x41000;

    private readonly TestMachine _machine = new();
    private readonly ProtectedMachine _protected = new();

    public void Dispose()
    {
        _machine.Dispose();
        _protected.Dispose();
    }

    /// <summary>Element by element, on bytes, by the pseudocode of SDM vol. 2, MOVS and STOS.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    public void Repeated_moves_and_fills_mean_the_same_as_one_by_one(int size)
    {
        const int Size = 0x30000;
        Random random = new(size);
        for (int round = 0; round < 100; round++)
        {
            bool move = random.Next(2) == 0, down = random.Next(4) == 0, wide = random.Next(2) == 0;
            _machine.SetUpProtected();
            byte[] memory = new byte[Size];
            random.NextBytes(memory);
            _machine.Load(0x20000, memory);
            uint mask = wide ? uint.MaxValue : 0xFFFF;
            _machine.State->Ds.Base = _machine.State->Es.Base = wide ? 0 : 0x28000u;
            uint si = (wide ? 0x28000u : 0) + (uint)random.Next(0x10000);
            uint di = random.Next(2) == 0 ? si + (uint)random.Next(-40, 40) : (wide ? 0x28000u : 0) + (uint)random.Next(0x10000);
            uint count = (uint)random.Next(random.Next(2) == 0 ? 20 : 0x1F00);
            uint value = (uint)random.Next();
            Load(value, count, si, di & mask, down);
            _machine.Load(TestMachine.CodeAt, [.. Prefixes(size, wide), Rep, (byte)((move ? Movsb : Stosb) | (size == 1 ? 0 : 1)), Hlt]);
            ulong started = _machine.Cpu.InstructionCount;
            Assert.Equal(StopReason.Halted, Finish(random));

            uint from = si, to = di & mask, left = count, offset = wide ? 0x20000u : 0xFFFF8000;
            Span<byte> element = BitConverter.GetBytes(value).AsSpan(0, size);
            for (; left != 0; left--)
            {
                if (move)
                    memory.AsSpan((int)(from - offset), size).CopyTo(element);
                element.CopyTo(memory.AsSpan((int)(to - offset)));
                uint stride = down ? (uint)-size : (uint)size;
                from = (from + (move ? stride : 0)) & mask;
                to = (to + stride) & mask;
            }
            Assert.Equal(Size, _machine.Ram.Slice(0x20000, Size).CommonPrefixLength(memory));
            Assert.Equal((0ul, from, to), (_machine.State->Gpr[1], (uint)_machine.State->Gpr[6], (uint)_machine.State->Gpr[7]));
            Assert.Equal(Math.Max(count, 1) + 1ul, _machine.Cpu.InstructionCount - started);
        }
    }

    [Fact]
    public void Repeat_gives_way_at_the_budget_and_goes_on()
    {
        _machine.SetUpProtected();
        Load(0x55, 1000, 0, 0x20000, down: false);
        _machine.Load(TestMachine.CodeAt, Rep, Stosb, Hlt);
        Assert.Equal(StopReason.Budget, _machine.Cpu.Run(300));
        Assert.Equal(TestMachine.CodeAt, _machine.State->Rip);
        Assert.Equal(700ul, _machine.State->Gpr[1]);
        Assert.Equal(0x20000ul + 300, _machine.State->Gpr[7]);
        Assert.Equal(StopReason.Halted, _machine.Cpu.Run(1000));
        Assert.Equal(0x20000ul + 1000, _machine.State->Gpr[7]);
    }

    [Fact]
    public void Repeat_of_zero_touches_nothing()
    {
        _protected.EnablePaging();
        _protected.Protect(Page, 0);
        _protected.State->Gpr[7] = Page;
        _protected.Code(Rep, Stosb);
        _protected.Step();
        Assert.Equal(ProtectedMachine.Origin + 2u, _protected.Eip);
    }

    [Fact]
    public void Fault_in_an_iteration_leaves_the_ones_before_and_can_be_repaired()
    {
        _protected.EnablePaging();
        _protected.Protect(Page, 0);
        _protected.State->Gpr[1] = 16;
        _protected.State->Gpr[7] = Page - 10;
        _protected.State->Gpr[0] = 0xAB;
        _protected.Code(Rep, Stosb);
        ulong started = _protected.Cpu.InstructionCount;
        _protected.Cpu.Run(11);
        Assert.Equal((uint)ProtectedMachine.Handler(Vectors.PF), _protected.Eip);
        Assert.Equal(ProtectedMachine.Origin, (int)_protected.Read32((int)_protected.Esp + 4));
        Assert.Equal(11ul, _protected.Cpu.InstructionCount - started);
        Assert.Equal(6ul, _protected.State->Gpr[1]);
        Assert.Equal((ulong)Page, _protected.State->Gpr[7]);

        _protected.Protect(Page, 7);
        _protected.Cpu.FlushTlb();
        _protected.Ring(0);
        _protected.Cpu.Run(6);
        Assert.Equal(ProtectedMachine.Origin + 2u, _protected.Eip);
        Assert.Equal(0xAB, _protected.Read8(Page + 5));
        Assert.Equal(0, _protected.Read8(Page + 6));
    }

    [Fact]
    public void Trap_flag_stops_after_every_iteration()
    {
        _protected.State->Gpr[1] = 3;
        _protected.State->Gpr[7] = 0x30800;
        _protected.State->Rflags |= Eflags.TF;
        _protected.Code(Rep, Stosb);
        _protected.Step(2);
        Assert.Equal(2ul, _protected.State->Gpr[1]);
        Assert.Equal(ProtectedMachine.Origin, (int)_protected.Read32((int)_protected.Esp));
    }

    [Fact]
    public void Interrupt_is_taken_between_iterations()
    {
        _machine.SetUpReal();
        _machine.SetVector(0x20, 0x3000, 0);
        _machine.Load(0x30000, Hlt);
        _machine.State->Rflags |= Eflags.IF;
        Load(0, 10, 0, 0x5000, down: false);
        int reads = 0;
        _machine.OnReadPort = (_, _) =>
        {
            if (++reads == 4)
                _machine.Cpu.InterruptLine = true;
            return (uint)reads;
        };
        _machine.Load(TestMachine.CodeAt, Rep, Insb, Hlt);
        Assert.Equal(StopReason.Halted, _machine.Cpu.Run(1000));
        Assert.Equal(4, reads);
        Assert.Equal(6ul, _machine.State->Gpr[1]);
        Assert.Equal(0x5004ul, _machine.State->Gpr[7]);
        Assert.Equal(0, _machine.Read16(TestMachine.StackTop - 6));
        Assert.Equal([1, 2, 3, 4, 0], _machine.Ram.Slice(0x5000, 5).ToArray());
    }

    [Fact]
    public void Ins_reads_the_port_only_when_it_can_store()
    {
        _machine.SetUpReal();
        _machine.SetVector(13, 0x3000, 0);
        _machine.Load(0x30000, Hlt);
        Load(0, 1, 0, 0xFFFF, down: false);
        _machine.Load(TestMachine.CodeAt, Insb + 1, Hlt);
        Assert.Equal(StopReason.Halted, _machine.Cpu.Run(1000));
        Assert.Equal(0x3000, _machine.State->Cs.Selector);
        Assert.Empty(_machine.Ports);
    }

    [Theory]
    [InlineData(Insb)]
    [InlineData(Outsb)]
    [InlineData((byte)0xEC)]
    [InlineData((byte)0xEE)]
    public void Port_without_permission_faults_before_anything(byte opcode)
    {
        _protected.Ring(3);
        _protected.Write8(ProtectedMachine.Tss + 0x88, 0x02);
        _protected.State->Gpr[2] = 1;
        _protected.State->Gpr[6] = _protected.State->Gpr[7] = 0x30800;
        _protected.Code(opcode);
        Assert.Equal(0u, _protected.StepToFault(Vectors.GP));
        Assert.Equal(0x30800ul, _protected.State->Gpr[6]);
        Assert.Equal(0x30800ul, _protected.State->Gpr[7]);
    }

    [Fact]
    public void Outs_and_lods_obey_a_segment_override()
    {
        _machine.SetUpReal();
        _machine.State->Gs = SegmentCache.RealMode(0x4000);
        _machine.Load(0x40010, 0x77, 0x88);
        Load(0, 0, 0x10, 0, down: false);
        _machine.State->Gpr[2] = 0x99;
        _machine.Load(TestMachine.CodeAt, 0x65, Outsb, 0x65, 0xAC, Hlt);
        _machine.Cpu.Run(100);
        Assert.Equal((0x99, 0x77u, 1, true), _machine.Ports[0]);
        Assert.Equal(0x88, (byte)_machine.State->Gpr[0]);
    }

    [Fact]
    public void Repeat_that_overwrites_itself_executes_what_it_wrote()
    {
        // REP STOSB over its own opcode with 90h: NOPs follow, then HLT.
        _machine.SetUpProtected();
        Load(0x90, 8, 0, (uint)TestMachine.CodeAt, down: false);
        _machine.Load(TestMachine.CodeAt, Rep, Stosb, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, Hlt);
        Assert.Equal(StopReason.Halted, _machine.Cpu.Run(100));
        Assert.Equal(7ul, _machine.State->Gpr[1]);
        Assert.Equal(0x90u + 6, _machine.State->Gpr[0]);
    }

    private void Load(uint ax, uint cx, uint si, uint di, bool down)
    {
        _machine.State->Gpr[0] = ax;
        _machine.State->Gpr[1] = cx;
        _machine.State->Gpr[6] = si;
        _machine.State->Gpr[7] = di;
        _machine.State->Activity = Activity.Active;
        if (down)
            _machine.State->Rflags |= Eflags.DF;
    }

    // In slices, so that the run stops in the midst of repeats.
    private StopReason Finish(Random random)
    {
        StopReason reason;
        do
            reason = _machine.Cpu.Run((ulong)random.Next(1, 3000));
        while (reason == StopReason.Budget);
        return reason;
    }

    private static byte[] Prefixes(int size, bool wide) => (size == 2, wide) switch
    {
        (true, true) => [0x66],
        (true, false) => [0x66, 0x67],
        (false, true) => [],
        _ => [0x67],
    };
}
