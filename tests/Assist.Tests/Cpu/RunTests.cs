using Farm.Assist.Cpu;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.Cpu;

public unsafe class RunTests
{
    [Fact]
    public void A_budget_is_met_to_the_instruction_wherever_it_falls()
    {
        using var machine = new TestMachine();
        machine.Assemble(a =>
        {
            Label top = a.CreateLabel();
            a.Label(ref top);
            for (int i = 0; i < 7; i++)
                a.inc(ax);
            a.jmp(top);
        });
        ulong expected = 0;
        for (ulong budget = 0; budget < 40; budget++)
        {
            Assert.Equal(StopReason.Budget, machine.Cpu.Run(budget));
            expected += budget;
            Assert.Equal(expected, machine.Cpu.InstructionCount);
            Assert.Equal((expected / 8 * 7) + Math.Min(expected % 8, 7), machine.State->Gpr[0]);
        }
    }

    [Fact]
    public void The_door_sees_the_exact_instruction_count_in_port_and_memory_accesses()
    {
        using var machine = new TestMachine(size: 0xA0000);
        var seen = new List<ulong>();
        machine.OnWritePort = (_, _, _) => seen.Add(machine.Cpu.InstructionCount);
        machine.OnReadMmio = (_, _) =>
        {
            seen.Add(machine.Cpu.InstructionCount);
            return 0;
        };
        machine.Assemble(a =>
        {
            a.mov(ax, 0xA000);
            a.mov(es, ax);
            a.nop();
            a.mov(bl, __byte_ptr.es[0]);
            a.nop();
            a.@out(0x80, al);
            a.mov(bl, __byte_ptr.es[0]);
        });
        machine.Cpu.Run(7);
        Assert.Equal([3ul, 5, 6], seen);
    }

    [Fact]
    public void A_lowered_deadline_ends_the_run_after_the_instruction_that_lowered_it()
    {
        using var machine = new TestMachine(size: 0xA0000);
        machine.OnWriteMmio = (_, _, _) => machine.Cpu.Deadline = 0;
        machine.State->Es = SegmentCache.RealMode(0xA000);
        machine.Assemble(a =>
        {
            a.inc(ax);
            a.mov(__byte_ptr.es[0], al);
            for (int i = 0; i < 10; i++)
                a.inc(ax);
        });
        Assert.Equal(StopReason.Budget, machine.Cpu.Run(1000));
        Assert.Equal(2ul, machine.Cpu.InstructionCount);
        Assert.Equal(1ul, machine.State->Gpr[0]);
    }

    [Fact]
    public void Every_repetition_counts_and_the_budget_interrupts_between_two()
    {
        using var machine = new TestMachine();
        machine.State->Gpr[1] = 100;
        machine.State->Gpr[7] = 0x5000;
        machine.State->Gpr[0] = 0xAA;
        machine.Assemble(a =>
        {
            a.rep.stosb();
            a.inc(bx);
        });
        Assert.Equal(StopReason.Budget, machine.Cpu.Run(30));
        Assert.Equal(70ul, machine.State->Gpr[1]);
        Assert.Equal(0ul, machine.State->Rip);
        Assert.Equal(30ul, machine.Cpu.InstructionCount);
        Assert.Equal(StopReason.Budget, machine.Cpu.Run(71));
        Assert.Equal(101ul, machine.Cpu.InstructionCount);
        Assert.Equal(1ul, machine.State->Gpr[3]);
        Assert.Equal(0ul, machine.State->Gpr[1]);
    }

    [Fact]
    public void The_door_stops_a_run_after_the_instruction_even_in_a_repetition()
    {
        using var machine = new TestMachine();
        machine.OnWritePort = (_, value, _) =>
        {
            if (value == 3)
                machine.Cpu.RequestStop(StopReason.AssistCall);
        };
        machine.Load(0x5000, 1, 2, 3, 4, 5);
        machine.State->Gpr[1] = 5;
        machine.State->Gpr[2] = 0xE9;
        machine.State->Gpr[6] = 0x5000;
        machine.Assemble(a =>
        {
            a.rep.outsb();
            a.nop();
        });
        Assert.Equal(StopReason.AssistCall, machine.Cpu.Run(1000));
        Assert.Equal(2ul, machine.State->Gpr[1]);
        Assert.Equal(3ul, machine.Cpu.InstructionCount);
        Assert.Equal(StopReason.Budget, machine.Cpu.Run(3));
        Assert.Equal(0ul, machine.State->Gpr[1]);
        Assert.Equal([1u, 2, 3, 4, 5], machine.Ports.Select(port => port.Value));
    }

    [Fact]
    public void A_kick_from_another_thread_stops_an_endless_loop()
    {
        using var machine = new TestMachine();
        machine.Assemble(a =>
        {
            Label top = a.CreateLabel();
            a.Label(ref top);
            a.inc(eax);
            a.jmp(top);
        });
        X86Cpu cpu = machine.Cpu;
        var kicker = new Thread(() =>
        {
            while (Volatile.Read(ref ((uint*)cpu.State->Gpr)[0]) < 1000)
                Thread.Yield();
            cpu.Kick();
        });
        kicker.Start();
        Assert.Equal(StopReason.Kicked, cpu.Run(ulong.MaxValue));
        kicker.Join();
    }

    [Fact]
    public void Halt_without_a_pending_event_stops_and_an_interrupt_resumes()
    {
        using var machine = new TestMachine();
        machine.SetVector(0x20, 0x1000, 0x100);
        machine.Assemble(a => a.mov(bx, 0x1234), TestMachine.CodeAt + 0x100);
        machine.Assemble(a =>
        {
            a.sti();
            a.hlt();
            a.nop();
        });
        Assert.Equal(StopReason.Halted, machine.Cpu.Run(100));
        Assert.Equal(2ul, machine.State->Rip);
        Assert.Equal(StopReason.Halted, machine.Cpu.Run(100));
        Assert.Equal(2ul, machine.Cpu.InstructionCount);
        machine.Cpu.InterruptLine = true;
        Assert.Equal(StopReason.Budget, machine.Cpu.Run(1));
        Assert.Equal(0x1234ul, machine.State->Gpr[3]);
        Assert.Equal(2, machine.Read16(machine.State->Gpr[4]));
    }

    [Fact]
    public void Interrupts_wait_for_the_instruction_after_STI()
    {
        using var machine = new TestMachine();
        machine.SetVector(0x20, 0x2000, 0);
        machine.Assemble(a =>
        {
            a.nop();
            a.sti();
            a.inc(ax);
            a.inc(ax);
        });
        machine.Cpu.InterruptLine = true;
        machine.Cpu.Run(4);
        Assert.Equal(1ul, machine.State->Gpr[0]);
        Assert.Equal(3, machine.Read16(machine.State->Gpr[4]));
    }

    [Fact]
    public void Interrupts_wait_for_the_instruction_after_a_load_of_SS()
    {
        using var machine = new TestMachine();
        machine.SetVector(0x20, 0x2000, 0);
        machine.State->Rflags |= Eflags.IF;
        machine.OnWritePort = (_, _, _) => machine.Cpu.InterruptLine = true;
        machine.Assemble(a =>
        {
            a.cli();
            a.@out(0x80, al);
            a.sti();
            a.mov(ss, bx);
            a.mov(sp, 0x4000);
            a.inc(ax);
        });
        machine.Cpu.Run(6);
        Assert.Equal(0x3FFAul, machine.State->Gpr[4]);
        Assert.Equal(0ul, machine.State->Gpr[0]);
    }

    [Fact]
    public void An_interrupt_raised_by_a_port_access_is_taken_at_once()
    {
        using var machine = new TestMachine();
        machine.SetVector(0x20, 0x2000, 0);
        machine.State->Rflags |= Eflags.IF;
        machine.OnWritePort = (_, _, _) => machine.Cpu.InterruptLine = true;
        ulong after = machine.Assemble(a => a.@out(0x80, al));
        machine.Assemble(a => a.inc(ax), after);
        machine.Cpu.Run(2);
        Assert.Equal(after - TestMachine.CodeAt, machine.Read16(machine.State->Gpr[4]));
        Assert.Equal(1ul, machine.Cpu.InterruptCount);
    }

    [Fact]
    public void An_nmi_is_taken_with_interrupts_off()
    {
        using var machine = new TestMachine();
        machine.SetVector(2, 0x2000, 0);
        machine.Assemble(a => a.nop(), 0x20000);
        machine.Cpu.PendNmi();
        machine.Cpu.Run(1);
        Assert.Equal(0x2000, machine.State->Cs.Selector);
        Assert.Equal(1, machine.State->NmiBlocked);
    }

    [Fact]
    public void Single_step_traps_after_each_instruction_and_not_after_INT()
    {
        using var machine = new TestMachine();
        machine.SetVector(1, 0x2000, 0);
        machine.SetVector(0x40, 0x3000, 0);
        machine.Assemble(a => a.iret(), 0x20000);
        machine.Assemble(a =>
        {
            a.nop();
            a.iret();
        }, 0x30000);
        machine.State->Rflags |= Eflags.TF;
        machine.Assemble(a =>
        {
            a.inc(ax);
            a.@int(0x40);
            a.inc(ax);
            a.inc(ax);
        });

        // INC, trap, IRET.
        machine.Cpu.Run(2);
        Assert.Equal(1ul, machine.State->Rip);
        Assert.Equal(0x4000ul, machine.State->Dr[6] & 0x4000);

        // INT, NOP, IRET without a trap; the trap comes after the instruction that IRET returns to.
        machine.Cpu.Run(3);
        Assert.Equal(3ul, machine.State->Rip);
        Assert.Equal(0x1000, machine.State->Cs.Selector);
        machine.Cpu.Run(2);
        Assert.Equal(4ul, machine.State->Rip);
        Assert.Equal(2ul, machine.State->Gpr[0]);
    }

    [Fact]
    public void Real_mode_is_not_entered_where_it_is_not_allowed()
    {
        using var machine = new TestMachine();
        machine.SetUpProtected(16);
        machine.Cpu.RealModeAllowed = false;
        machine.Assemble(a =>
        {
            a.mov(eax, cr0);
            a.and(al, 0xFE);
            a.mov(cr0, eax);
            a.mov(ebx, 1);
        });
        Assert.Equal(StopReason.RealModeEntered, machine.Cpu.Run(100));
        Assert.Equal(3ul, machine.Cpu.InstructionCount);
        Assert.Equal(0ul, machine.State->Gpr[3]);
        Assert.Equal(StopReason.RealModeEntered, machine.Cpu.Run(100));
    }

    [Fact]
    public void A_refused_instruction_stops_before_it_with_its_address_and_bytes()
    {
        using var machine = new TestMachine(refuses: code => code == Code.Xlat_m8);
        machine.Assemble(a =>
        {
            a.nop();
            a.xlatb();
        });
        Assert.Equal(StopReason.Unsupported, machine.Cpu.Run(100));
        Assert.Equal(TestMachine.CodeAt + 1, machine.Cpu.UnsupportedAt);
        Assert.Equal(Code.Xlat_m8, machine.Cpu.UnsupportedCode);
        Assert.Equal([0xD7], machine.Cpu.UnsupportedBytes);
        Assert.Equal(1ul, machine.Cpu.InstructionCount);
        Assert.Equal(1ul, machine.State->Rip);
    }

    [Fact]
    public void A_fault_in_real_mode_returns_to_the_instruction_that_raised_it()
    {
        using var machine = new TestMachine();
        machine.SetVector(6, 0x2000, 0);
        ulong at = machine.Assemble(a => a.inc(ax));
        machine.Assemble(a => a.ud2(), at);
        machine.Assemble(a => a.nop(), 0x20000);
        machine.Cpu.Run(3);
        Assert.Equal(1, machine.Read16(machine.State->Gpr[4]));
        Assert.Equal(0x2000, machine.State->Cs.Selector);
        Assert.Equal((Vectors.UD, 0u), machine.Cpu.LastFault);
    }

    [Fact]
    public void An_unhandled_fault_of_protected_mode_ends_in_shutdown()
    {
        using var machine = new TestMachine();
        machine.SetUpProtected();
        machine.Assemble(a => a.ud2());
        Assert.Equal(StopReason.Shutdown, machine.Cpu.Run(100));
        Assert.Equal(Activity.Shutdown, machine.State->Activity);
        Assert.Equal(StopReason.Shutdown, machine.Cpu.Run(100));
    }

    [Fact]
    public void A_fault_storm_uses_up_the_budget()
    {
        using var machine = new TestMachine();
        machine.SetVector(6, 0x1000, 0);
        machine.Assemble(a => a.ud2());
        Assert.Equal(StopReason.Budget, machine.Cpu.Run(1000));
        Assert.Equal(1000ul, machine.Cpu.FaultCount);
    }

    [Fact]
    public void What_the_host_writes_into_the_state_takes_effect_at_the_next_run()
    {
        using var machine = new TestMachine();
        machine.Assemble(a =>
        {
            a.adc(ax, 0);
            a.mov(bl, __byte_ptr[0x10]);
        });
        machine.Cpu.Run(0);
        machine.State->Rflags = 2 | Eflags.CF;
        machine.State->Ds.Base = 0x50000;
        machine.Ram[0x50010] = 9;
        machine.Cpu.Run(2);
        Assert.Equal(1ul, machine.State->Gpr[0]);
        Assert.Equal(9ul, machine.State->Gpr[3]);
    }

    [Fact]
    public void The_last_branches_are_kept()
    {
        using var machine = new TestMachine();
        machine.Assemble(a =>
        {
            Label on = a.CreateLabel();
            a.nop();
            a.jmp(on);
            a.nop();
            a.Label(ref on);
            a.nop();
        });
        machine.Cpu.Run(3);
        Assert.Equal((TestMachine.CodeAt + 1, TestMachine.CodeAt + 4), machine.Cpu.LastBranches()[^1]);
    }
}
