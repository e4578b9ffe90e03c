using Farm.Assist.Cpu;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.Cpu;

public unsafe class DebugTests
{
    private const uint Exact = 0x400;

    /// <summary>Real mode with a #DB handler that HLTs.</summary>
    private static TestMachine Build()
    {
        var machine = new TestMachine();
        machine.SetVector(1, 0x2000, 0);
        machine.Load(0x20000, 0xF4);
        return machine;
    }

    private static ushort ReturnIp(TestMachine machine) => machine.Read16(machine.State->Gpr[4]);

    [Fact]
    public void An_instruction_breakpoint_faults_before_the_instruction_and_RF_lets_it_pass()
    {
        using TestMachine machine = Build();
        machine.State->Dr[1] = TestMachine.CodeAt + 2;
        machine.State->Dr[7] = Exact | 4;
        machine.Assemble(a =>
        {
            a.inc(ax);
            a.inc(ax);
            a.inc(bx);
            a.inc(bx);
        });
        Assert.Equal(StopReason.Halted, machine.Cpu.Run(100));
        Assert.Equal(2, ReturnIp(machine));
        Assert.Equal(2ul, machine.State->Gpr[0]);
        Assert.Equal(0ul, machine.State->Gpr[3]);
        Assert.Equal(2ul, machine.State->Dr[6] & 0xF);

        machine.State->Activity = Activity.Active;
        machine.State->Cs = SegmentCache.RealMode(0x1000, code: true);
        machine.State->Rip = 2;
        machine.State->Rflags |= Eflags.RF;
        machine.Cpu.Run(2);
        Assert.Equal(2ul, machine.State->Gpr[3]);
        Assert.Equal(0ul, machine.State->Rflags & Eflags.RF);
    }

    [Theory]
    [InlineData(1, true, true)]
    [InlineData(1, false, false)]
    [InlineData(3, true, true)]
    [InlineData(3, false, true)]
    public void A_data_breakpoint_traps_after_the_access_of_its_kind(int kind, bool write, bool hit)
    {
        using TestMachine machine = Build();
        machine.State->Dr[0] = 0x5002;
        machine.State->Dr[7] = Exact | 2 | ((uint)kind << 16) | (1u << 18);
        machine.Assemble(a =>
        {
            if (write)
                a.mov(__byte_ptr[0x5003], al);
            else
                a.mov(al, __byte_ptr[0x5003]);
            a.mov(__byte_ptr[0x5001], al);
            a.mov(__byte_ptr[0x5004], al);
            a.hlt();
        });
        Assert.Equal(StopReason.Halted, machine.Cpu.Run(100));
        Assert.Equal(hit ? 0x2000 : 0x1000, machine.State->Cs.Selector);
        Assert.Equal(hit ? 1ul : 0, machine.State->Dr[6] & 0xF);
        if (hit)
            Assert.Equal(3, ReturnIp(machine));
    }

    [Fact]
    public void A_stack_push_and_the_second_operand_of_a_string_move_are_data_too()
    {
        using TestMachine machine = Build();
        machine.State->Dr[2] = 0x8FFC;
        machine.State->Dr[7] = Exact | 0x20 | (1u << 24) | (3u << 26);
        machine.Assemble(a =>
        {
            a.push(ax);
            a.push(ax);
            a.push(ax);
        });
        machine.Cpu.Run(100);
        Assert.Equal(1, ReturnIp(machine));
        Assert.Equal(4ul, machine.State->Dr[6] & 0xF);

        using TestMachine strings = Build();
        strings.State->Dr[3] = 0x6004;
        strings.State->Dr[7] = Exact | 0x80 | (1u << 28);
        strings.State->Gpr[1] = 100;
        strings.State->Gpr[6] = 0x5000;
        strings.State->Gpr[7] = 0x6000;
        strings.Assemble(a => a.rep.movsb());
        strings.Cpu.Run(100);

        // The trap comes between two iterations.
        Assert.Equal(95ul, strings.State->Gpr[1]);
        Assert.Equal(0, ReturnIp(strings));
    }

    [Fact]
    public void An_io_breakpoint_needs_CR4_DE()
    {
        using TestMachine machine = Build();
        machine.State->Dr[0] = 0x80;
        machine.State->Dr[7] = Exact | 2 | (2u << 16);
        machine.Assemble(a =>
        {
            a.@out(0x80, al);
            a.mov(eax, cr4);
            a.or(eax, 8);
            a.mov(cr4, eax);
            a.@out(0x81, al);
            a.@in(al, 0x80);
            a.nop();
        });
        machine.Cpu.Run(100);
        Assert.Equal(0x2000, machine.State->Cs.Selector);
        Assert.Equal(3, machine.Ports.Count);
        Assert.Equal(1ul, machine.State->Dr[6] & 0xF);
    }

    [Fact]
    public void A_breakpoint_on_its_own_handler_uses_up_the_budget()
    {
        using TestMachine machine = Build();
        machine.State->Dr[0] = 0x20000;
        machine.State->Dr[7] = Exact | 2;
        machine.State->Cs = SegmentCache.RealMode(0x2000, code: true);
        Assert.Equal(StopReason.Budget, machine.Cpu.Run(500));
        Assert.Equal(500ul, machine.Cpu.FaultCount);
    }

    [Fact]
    public void POPF_that_sets_TF_traps_after_the_next_instruction()
    {
        using TestMachine machine = Build();
        machine.Assemble(a =>
        {
            a.push(0x102);
            a.popf();
            a.inc(ax);
            a.inc(ax);
        });
        machine.Cpu.Run(100);
        Assert.Equal(1ul, machine.State->Gpr[0]);
        Assert.Equal(0x4000ul, machine.State->Dr[6] & 0x4000);
        Assert.Equal(0ul, machine.State->Rflags & Eflags.TF);
        Assert.NotEqual(0, machine.Read16(machine.State->Gpr[4] + 4) & (int)Eflags.TF);
    }

    [Fact]
    public void Stepping_over_a_load_of_SS_traps_after_the_instruction_that_follows()
    {
        using TestMachine machine = Build();
        machine.State->Rflags |= Eflags.TF;
        machine.Assemble(a =>
        {
            a.mov(ss, bx);
            a.mov(sp, 0x4000);
            a.inc(ax);
        });
        machine.Cpu.Run(100);
        Assert.Equal(5, ReturnIp(machine));
        Assert.Equal(0x3FFAul, machine.State->Gpr[4]);
    }

    [Fact]
    public void A_repeated_instruction_traps_after_each_iteration()
    {
        using TestMachine machine = Build();
        machine.State->Rflags |= Eflags.TF;
        machine.State->Gpr[1] = 5;
        machine.State->Gpr[7] = 0x5000;
        machine.Assemble(a => a.rep.stosb());
        machine.Cpu.Run(100);
        Assert.Equal(4ul, machine.State->Gpr[1]);
        Assert.Equal(0, ReturnIp(machine));
    }

    // SDM vol. 3, 6.8.3.
    [Fact]
    public void No_breakpoint_strikes_on_the_instruction_after_a_load_of_SS()
    {
        using TestMachine machine = Build();
        machine.State->Dr[0] = TestMachine.CodeAt + 2;
        machine.State->Dr[1] = TestMachine.CodeAt + 3;
        machine.State->Dr[7] = Exact | 0xA;
        machine.Assemble(a =>
        {
            a.mov(ss, bx);
            a.inc(ax);
            a.inc(ax);
        });
        machine.Cpu.Run(100);
        Assert.Equal(3, ReturnIp(machine));
        Assert.Equal(2ul, machine.State->Dr[6] & 0xF);
    }

    // SDM vol. 3, 18.3.1.1: RF stays set between iterations.
    [Fact]
    public void A_breakpoint_on_a_repeated_instruction_strikes_before_its_first_iteration_only()
    {
        using TestMachine machine = Build();
        machine.State->Dr[0] = TestMachine.CodeAt;
        machine.State->Dr[7] = Exact | 2;
        machine.State->Gpr[1] = 5;
        machine.State->Gpr[7] = 0x5000;
        machine.Assemble(a =>
        {
            a.rep.stosb();
            a.hlt();
        });
        machine.State->Rflags |= Eflags.RF;
        Assert.Equal(StopReason.Halted, machine.Cpu.Run(100));
        Assert.Equal(0x1000, machine.State->Cs.Selector);
        Assert.Equal(0ul, machine.State->Gpr[1]);
    }
}
