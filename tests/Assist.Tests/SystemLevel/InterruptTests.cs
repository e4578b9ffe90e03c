using Farm.Assist.Cpu;
using Iced.Intel;
using static Farm.Assist.Tests.SystemLevel.ProtectedMachine;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.SystemLevel;

public sealed unsafe class InterruptTests : IDisposable
{
    private const uint Target = 0x30000;
    private readonly ProtectedMachine _machine = new();

    public void Dispose() => _machine.Dispose();

    [Theory]
    [InlineData(0x8E, 0u)]
    [InlineData(0x8F, Eflags.IF)]
    public void Interrupt_gate_clears_IF_and_trap_gate_keeps_it(int type, uint flag)
    {
        _machine.State->Rflags |= Eflags.IF | Eflags.NT | Eflags.TF;
        _machine.IdtGate(0x40, Code0, Target, type);
        _machine.Code(0xCD, 0x40);
        _machine.Step();
        Assert.Equal(Target, _machine.Eip);
        Assert.Equal(flag, _machine.Flags & Eflags.IF);
        Assert.Equal(0u, _machine.Flags & (Eflags.TF | Eflags.NT));
        Assert.Equal((uint)Stack0 - 12, _machine.Esp);
        Assert.Equal((uint)Origin + 2, _machine.Read32(Stack0 - 12));
        Assert.Equal((uint)Code0, _machine.Read32(Stack0 - 8));
        Assert.Equal(2 | Eflags.IF | Eflags.NT | Eflags.TF, _machine.Read32(Stack0 - 4));
    }

    [Theory]
    [InlineData(0x86)]
    [InlineData(0x87)]
    public void Gate_286_pushes_words_and_takes_16_bits_of_the_offset(int type)
    {
        _machine.IdtGate(0x40, Code0, 0xFFFF1234, type);
        _machine.Code(0xCD, 0x40);
        _machine.Step();
        Assert.Equal(0x1234u, _machine.Eip);
        Assert.Equal((uint)Stack0 - 6, _machine.Esp);
        Assert.Equal((Origin + 2) & 0xFFFF, _machine.Read16(Stack0 - 6));
        Assert.Equal(Code0, _machine.Read16(Stack0 - 4));
    }

    [Theory]
    [InlineData(3)]
    [InlineData(1)]
    public void Gate_286_from_every_outer_ring_switches_stacks(int cpl)
    {
        _machine.IdtGate(0x40, Code0, 0x1234, 0xE6);
        _machine.Ring(cpl);
        uint esp = _machine.Esp;
        _machine.Code(0xCD, 0x40);
        _machine.Step();
        Assert.Equal(0x1234u, _machine.Eip);
        Assert.Equal((uint)Stack0 - 10, _machine.Esp);
        Assert.Equal((ushort)esp, _machine.Read16(Stack0 - 4));
        Assert.Equal(cpl == 3 ? Data3 : Data1, _machine.Read16(Stack0 - 2));
    }

    [Fact]
    public void Inner_ring_with_a_286_TSS_takes_its_16_bit_stack()
    {
        _machine.State->Tr.Access = 0x83;
        _machine.Write16(Tss + 2, 0x7000);
        _machine.Write16(Tss + 4, Data0);
        _machine.IdtGate(0x40, Code0, Target, 0xEE);
        _machine.Ring(3);
        _machine.Code(0xCD, 0x40);
        _machine.Step();
        Assert.Equal(0x7000u - 20, _machine.Esp);
    }

    [Fact]
    public void Inner_ring_frame_holds_the_outer_stack()
    {
        _machine.IdtGate(0x40, Code0, Target, 0xEE);
        _machine.Ring(3);
        _machine.Code(0xCD, 0x40);
        _machine.Step();
        uint[] frame = [Origin + 2, Code3, 2, Stack3, Data3];
        Assert.Equal((uint)Stack0 - 20, _machine.Esp);
        for (int i = 0; i < frame.Length; i++)
            Assert.Equal(frame[i], _machine.Read32(Stack0 - 20 + (i * 4)));
        Assert.Equal(0, _machine.Cpu.Cpl);
    }

    [Fact]
    public void Conforming_handler_runs_in_the_interrupted_ring()
    {
        _machine.IdtGate(0x40, Conforming0, Target, 0xEE);
        _machine.Ring(3);
        _machine.Code(0xCD, 0x40);
        _machine.Step();
        Assert.Equal(Conforming0 | 3, _machine.State->Cs.Selector);
        Assert.Equal((uint)Stack3 - 12, _machine.Esp);
    }

    [Theory]
    [InlineData(0xCD, 0x40, 0x40 * 8 + 2)]
    [InlineData(0xCC, 0x90, 3 * 8 + 2)]
    public void Software_interrupt_needs_the_gates_privilege(byte opcode, byte operand, int error)
    {
        _machine.Ring(3);
        _machine.Code(opcode, operand);
        Assert.Equal((uint)error, _machine.StepToFault(Vectors.GP));
    }

    [Fact]
    public void Int1_needs_no_privilege_and_returns_behind_itself()
    {
        _machine.Ring(3);
        _machine.Code(0xF1);
        _machine.Step();
        Assert.Equal((uint)Handler(Vectors.DB), _machine.Eip);
        Assert.Equal((uint)Origin + 1, _machine.Read32((int)_machine.Esp));
    }

    [Fact]
    public void Into_interrupts_only_on_overflow()
    {
        _machine.Code(0xCE);
        _machine.Step();
        Assert.Equal((uint)Origin + 1, _machine.Eip);
        _machine.Cpu.Flags |= Eflags.OF;
        _machine.Code(0xCE);
        _machine.Step();
        Assert.Equal((uint)Handler(Vectors.OF), _machine.Eip);
    }

    [Theory]
    [InlineData(Code0, 0x0E, Vectors.NP, 0x40u * 8 + 2)] // absent gate
    [InlineData(Code0, 0x8C, Vectors.GP, 0x40u * 8 + 2)] // a call gate in the IDT
    [InlineData(0, 0x8E, Vectors.GP, 0u)]
    [InlineData(Data0, 0x8E, Vectors.GP, (uint)Data0)]
    [InlineData(Code3, 0x8E, Vectors.GP, (uint)Code3 & ~3u)] // an outer ring
    [InlineData(0x100, 0x8E, Vectors.GP, 0x100u)]
    [InlineData(Free, 0x8E, Vectors.NP, (uint)Free)]
    [InlineData(0x100, 0x85, Vectors.GP, 0x100u)] // task gates
    [InlineData(Tss0, 0x85, Vectors.GP, (uint)Tss0)]
    [InlineData(Free2, 0x85, Vectors.NP, (uint)Free2)]
    public void Bad_gate_names_the_culprit(int selector, int type, byte vector, uint error)
    {
        _machine.Describe(Free, 0, uint.MaxValue, 0xC01B);
        _machine.Describe(Free2, 0x7000, 0x67, 0x09);
        _machine.IdtGate(0x40, selector, Target, type);
        _machine.Code(0xCD, 0x40);
        Assert.Equal(error, _machine.StepToFault(vector));
    }

    [Fact]
    public void External_interrupt_through_a_bad_gate_sets_EXT()
    {
        _machine.IdtGate(0x40, Data0, Target, 0x8E);
        _machine.State->Rflags |= Eflags.IF;
        _machine.Interrupt(0x40);
        _machine.Code(0x90);
        _machine.Step();
        Assert.Equal((uint)Handler(Vectors.GP), _machine.Eip);
        Assert.Equal((uint)Data0 | 1, _machine.Read32((int)_machine.Esp));
    }

    [Fact]
    public void Vector_beyond_the_IDT_raises_gp_with_its_index()
    {
        _machine.State->Idtr.Limit = (0x40 * 8) + 6;
        _machine.Code(0xCD, 0x40);
        Assert.Equal((0x40u * 8) + 2, _machine.StepToFault(Vectors.GP));
    }

    [Fact]
    public void Fault_pushes_RF_and_its_error_code()
    {
        _machine.State->Gpr[0] = 0x100;
        _machine.Code(32, a => a.mov(ds, eax));
        Assert.Equal(0x100u, _machine.StepToFault(Vectors.GP));
        Assert.Equal(2 | Eflags.RF, _machine.Read32(Stack0 - 4));
        Assert.Equal(0u, _machine.Flags & Eflags.RF);
    }

    // SDM vol. 3, 18.3.1.1: so that a breakpoint on the instruction does not strike again when it is resumed.
    [Fact]
    public void Interrupt_between_two_iterations_pushes_RF_and_after_the_last_does_not()
    {
        foreach (int count in new[] { 3, 1 })
        {
            using ProtectedMachine machine = new();
            machine.State->Rflags = 2 | Eflags.IF;
            machine.State->Gpr[1] = (ulong)count;
            machine.State->Gpr[7] = 0x7000;
            machine.Code(32, a => a.rep.stosb());
            machine.Step();
            machine.Interrupt(0x40);
            machine.Step();
            Assert.Equal(count == 3 ? (uint)ProtectedMachine.Origin : ProtectedMachine.Origin + 2u, machine.Read32((int)machine.Esp));
            Assert.Equal(count == 3 ? Eflags.RF : 0, machine.Read32((int)machine.Esp + 8) & Eflags.RF);
        }
    }

    // SDM vol. 3, 18.3.1.1: a fault like others; only an instruction breakpoint leaves RF clear.
    [Fact]
    public void General_detect_pushes_RF_and_an_instruction_breakpoint_does_not()
    {
        _machine.State->Dr[7] = 0x2400;
        _machine.Code(32, a => a.mov(eax, dr6));
        _machine.StepToFault(Vectors.DB);
        Assert.Equal(Eflags.RF, _machine.Read32((int)_machine.Esp + 8) & Eflags.RF);
        Assert.Equal(0x2000ul, _machine.State->Dr[6] & 0x2000);
        Assert.Equal(0ul, _machine.State->Dr[7] & 0x2000);

        using ProtectedMachine other = new();
        other.State->Dr[0] = ProtectedMachine.Origin;
        other.State->Dr[7] = 0x402;
        other.Code(32, a => a.nop());
        other.StepToFault(Vectors.DB);
        Assert.Equal(0u, other.Read32((int)other.Esp + 8) & Eflags.RF);
    }

    [Fact]
    public void Software_interrupt_pushes_no_RF_even_right_after_a_return_that_set_it()
    {
        _machine.State->Rflags |= Eflags.RF;
        _machine.Code(0xCC);
        _machine.Step();
        Assert.Equal(2u, _machine.Read32(Stack0 - 4));
    }

    [Fact]
    public void Fault_in_the_delivery_of_a_fault_becomes_a_double_fault_with_error_0()
    {
        _machine.IdtGate(Vectors.NP, Data0, Target, 0x8E);
        _machine.Describe(Free, 0, 0xFFFF, 0x13);
        _machine.State->Gpr[0] = Free;
        _machine.Code(32, a => a.mov(ds, eax));
        Assert.Equal(0u, _machine.StepToFault(Vectors.DF));
    }

    [Fact]
    public void Fault_in_the_delivery_of_a_double_fault_shuts_down()
    {
        _machine.IdtGate(Vectors.GP, Data0, Target, 0x8E);
        _machine.IdtGate(Vectors.DF, Data0, Target, 0x8E);
        _machine.State->Gpr[0] = 0x100;
        _machine.Code(32, a => a.mov(ds, eax));
        Assert.Equal(StopReason.Shutdown, _machine.Cpu.Run(10));
        Assert.Equal((uint)Origin, _machine.Eip);
        Assert.Equal((uint)Stack0, _machine.Esp);
    }

    [Fact]
    public void Page_fault_on_the_inner_stack_leaves_the_interrupted_program_as_it_was()
    {
        _machine.EnablePaging();
        _machine.Write32(Tss + 4, 0x5000);
        _machine.Protect(0x4000, 0);
        _machine.IdtGate(0x40, Code0, Target, 0xEE);
        _machine.IdtGate(Vectors.PF, Code1 & ~3, (uint)Handler(Vectors.PF), 0x8E);
        _machine.Ring(3);
        _machine.Code(0xCD, 0x40);
        Assert.Equal(2u, _machine.StepToFault(Vectors.PF));
        Assert.Equal(0x4FFCu, _machine.State->Cr2);
        Assert.Equal((uint)Stack3, _machine.Read32(Stack1 - 8));
    }

    [Fact]
    public void Virtual_8086_interrupt_saves_and_clears_the_segments()
    {
        _machine.EnterVirtual8086(3);
        _machine.IdtGate(0x40, Code0, Target, 0xEE);
        _machine.Code(0xCD, 0x40);
        _machine.Step();
        Assert.Equal(Target, _machine.Eip);
        Assert.Equal(0u, _machine.Flags & Eflags.VM);
        uint[] frame = [2, 0x1000, 2 | Eflags.VM | 0x3000, 0x100, 0x900, 0x222, 0x111, 0x333, 0x444];
        Assert.Equal((uint)Stack0 - 36, _machine.Esp);
        for (int i = 0; i < frame.Length; i++)
            Assert.Equal(frame[i], _machine.Read32(Stack0 - 36 + (i * 4)));
        foreach (Seg seg in new[] { Seg.Ds, Seg.Es, Seg.Fs, Seg.Gs })
        {
            Assert.Equal(0, _machine.Cpu.Segment(seg).Selector);
            Assert.True(_machine.Cpu.Segment(seg).Unusable);
        }
        _machine.Code(32, a => a.iretd());
        _machine.Step();
        Assert.Equal(2u, _machine.Eip);
        Assert.Equal(2 | Eflags.VM | 0x3000, _machine.Flags);
        Assert.Equal(0x100u, _machine.Esp);
        Assert.Equal(0x9000u, _machine.State->Ss.Base);
        Assert.Equal(0x4440u, _machine.State->Gs.Base);
        Assert.Equal(0xF3u, _machine.State->Cs.Access);
    }

    [Fact]
    public void Virtual_8086_interrupt_through_a_286_gate_pushes_words()
    {
        _machine.EnterVirtual8086(3);
        _machine.IdtGate(0x40, Code0, 0x1234, 0xE6);
        _machine.Code(0xCD, 0x40);
        _machine.Step();
        Assert.Equal((uint)Stack0 - 18, _machine.Esp);
        Assert.Equal(0x444, _machine.Read16(Stack0 - 2));
    }

    [Theory]
    [InlineData(Code1)] // inner, but not ring 0
    [InlineData(Conforming0)]
    [InlineData(Code3)]
    public void Virtual_8086_interrupt_may_only_go_to_ring_0(int selector)
    {
        _machine.EnterVirtual8086(3);
        _machine.IdtGate(0x40, selector, Target, 0xEE);
        _machine.Code(0xCD, 0x40);
        Assert.Equal((uint)selector & ~3u, _machine.StepToFault(Vectors.GP));
    }

    [Fact]
    public void Virtual_8086_int_n_needs_IOPL_3_and_int3_does_not()
    {
        _machine.EnterVirtual8086(2);
        _machine.IdtGate(3, Code0, Target, 0xEE);
        _machine.IdtGate(0x40, Code0, Target, 0xEE);
        _machine.Code(0xCD, 0x40);
        Assert.Equal(0u, _machine.StepToFault(Vectors.GP));
        _machine.EnterVirtual8086(2);
        _machine.Code(0xCC);
        _machine.Step();
        Assert.Equal(Target, _machine.Eip);
    }

    [Fact]
    public void Real_mode_interrupt_goes_through_the_vector_table()
    {
        _machine.EnterReal();
        _machine.State->Rflags |= Eflags.IF | Eflags.TF | Eflags.AC | Eflags.RF;
        _machine.Code(0xCD, 0x40);
        _machine.Step();
        Assert.Equal(0x400u, _machine.Eip);
        Assert.Equal(0x20000u, _machine.State->Cs.Base);
        Assert.Equal(0xFAu, _machine.Esp);
        Assert.Equal(2, _machine.Read16(0x90FA));
        Assert.Equal(0x1000, _machine.Read16(0x90FC));
        Assert.Equal(0x302, _machine.Read16(0x90FE));
        Assert.Equal(2u, _machine.Flags);
    }

    [Fact]
    public void Real_mode_honours_a_moved_and_short_vector_table()
    {
        _machine.EnterReal();
        _machine.State->Idtr = new DescriptorTable { Base = 0x4000, Limit = 0x3F };
        _machine.Write32(0x4000 + (13 * 4), 0x20000123);
        _machine.Code(0xCD, 0x40);
        _machine.Step();
        Assert.Equal(0x123u, _machine.Eip);
        Assert.Equal(0, _machine.Read16(0x90FA));
    }

    [Fact]
    public void Real_mode_without_any_table_shuts_down()
    {
        _machine.EnterReal();
        _machine.State->Idtr.Limit = 0;
        _machine.Code(0xCD, 0x40);
        Assert.Equal(StopReason.Shutdown, _machine.Cpu.Run(10));
    }

    [Fact]
    public void Real_mode_stack_wraps_by_words_and_faults_when_a_word_would_straddle()
    {
        _machine.EnterReal();
        _machine.Esp = 2;
        _machine.Code(0xCD, 0x40);
        _machine.Step();
        Assert.Equal(0xFFFCu, _machine.Esp);
        Assert.Equal(2, _machine.Read16(0x9000 + 0xFFFC));

        _machine.EnterReal();
        _machine.Esp = 1;
        _machine.Code(0xCD, 0x40);
        Assert.Equal(StopReason.Shutdown, _machine.Cpu.Run(10));
    }
}
