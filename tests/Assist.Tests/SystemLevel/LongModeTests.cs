using Farm.Assist.Cpu;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.SystemLevel;

/// <summary>64-bit gates, IST, IRETQ, system calls, and what IA-32e mode takes away.</summary>
public sealed unsafe class LongModeTests : IDisposable
{
    private const ulong Handler = 0x20000, Ist = 0x7000, Rsp0 = 0x8800;
    private readonly TestMachine _machine = new();

    public LongModeTests()
    {
        _machine.SetUpLong();
        _machine.Write(TestMachine.TssAt + 4, Rsp0);
        _machine.Write(TestMachine.TssAt + 0x24, Ist + 9);
    }

    public void Dispose() => _machine.Dispose();

    private CpuState* State => _machine.State;

    private void Ring3()
    {
        _machine.SetUpLong(cpl: 3);
        _machine.Write(TestMachine.TssAt + 4, Rsp0);
    }

    [Fact]
    public void Same_ring_interrupt_aligns_the_stack_and_pushes_ss()
    {
        State->Gpr[4] = 0x8FF7;
        _machine.SetGate(0x40, Handler, TestMachine.Code64);
        ulong end = _machine.Assemble(a => a.@int(0x40));
        _machine.Cpu.StepOne();
        Assert.Equal(Handler, State->Rip);
        Assert.Equal(0x8FF0ul - 40, State->Gpr[4]);
        ulong[] frame = [end, TestMachine.Code64, 2, 0x8FF7, TestMachine.Data32];
        for (int i = 0; i < frame.Length; i++)
            Assert.Equal(frame[i], _machine.Read64(State->Gpr[4] + ((ulong)i * 8)));
        Assert.Equal(TestMachine.Data32, State->Ss.Selector);

        _machine.Assemble(a => a.iretq(), Handler);
        _machine.Cpu.StepOne();
        Assert.Equal(end, State->Rip);
        Assert.Equal(0x8FF7ul, State->Gpr[4]);
    }

    [Fact]
    public void Interrupt_from_ring_3_takes_RSP0_and_a_null_stack_segment()
    {
        Ring3();
        _machine.SetGate(0x40, Handler, TestMachine.Code64, 0xEE);
        _machine.Assemble(a => a.@int(0x40));
        _machine.Cpu.StepOne();
        Assert.Equal(Rsp0 - 40, State->Gpr[4]);
        Assert.Equal(0, State->Ss.Selector);
        Assert.Equal(0, _machine.Cpu.Cpl);
        Assert.Equal(TestMachine.UserData32, _machine.Read64(Rsp0 - 8));
        _machine.Assemble(a => a.iretq(), Handler);
        _machine.Cpu.StepOne();
        Assert.Equal(3, _machine.Cpu.Cpl);
        Assert.Equal(TestMachine.StackTop, State->Gpr[4]);
    }

    [Fact]
    public void Interrupt_stack_table_applies_in_every_ring()
    {
        _machine.SetGate(0x40, Handler, TestMachine.Code64);
        _machine.Write(TestMachine.IdtAt + (0x40 * 16) + 4, (byte)1);
        _machine.Assemble(a => a.@int(0x40));
        _machine.Cpu.StepOne();
        Assert.Equal(Ist - 40, State->Gpr[4]);
    }

    [Fact]
    public void Handler_must_be_64_bit_code()
    {
        _machine.SetGate(0x40, Handler, TestMachine.Code32);
        _machine.SetGate(Vectors.GP, Handler, TestMachine.Code64);
        _machine.Assemble(a => a.@int(0x40));
        _machine.Cpu.StepOne();
        Assert.Equal(TestMachine.Code32, _machine.Read64(State->Gpr[4]));
        Assert.Equal(TestMachine.CodeAt, _machine.Read64(State->Gpr[4] + 8));
    }

    [Fact]
    public void Fault_to_a_handler_that_is_not_canonical_becomes_gp()
    {
        _machine.SetGate(0x40, 0x0000800000000000, TestMachine.Code64);
        _machine.SetGate(Vectors.GP, Handler, TestMachine.Code64);
        _machine.Assemble(a => a.@int(0x40));
        _machine.Cpu.StepOne();
        Assert.Equal(0u, _machine.Read64(State->Gpr[4]));
        Assert.Equal(Handler, State->Rip);
    }

    [Fact]
    public void Return_with_a_null_stack_is_allowed_below_ring_3()
    {
        ulong[] frame = [Handler, TestMachine.Code64, 2, 0x7000, 0];
        for (int i = 0; i < frame.Length; i++)
            _machine.Write(TestMachine.StackTop + ((ulong)i * 8), frame[i]);
        _machine.Assemble(a => a.iretq());
        _machine.Cpu.StepOne();
        Assert.Equal(Handler, State->Rip);
        Assert.Equal(0x7000ul, State->Gpr[4]);
        Assert.True(State->Ss.Unusable);
    }

    [Fact]
    public void Return_to_compatibility_mode_and_a_far_jump_back()
    {
        ulong[] frame = [Handler, TestMachine.UserCode32, 2, 0x7000, TestMachine.UserData32];
        for (int i = 0; i < frame.Length; i++)
            _machine.Write(TestMachine.StackTop + ((ulong)i * 8), frame[i]);
        _machine.Assemble(a => a.iretq());
        _machine.Cpu.StepOne();
        Assert.False(_machine.Cpu.Mode64);
        Assert.Equal(32, _machine.Cpu.CodeBits);
        _machine.Load(Handler, 0xEA, 0, 0, 3, 0, (byte)TestMachine.UserCode64, 0);
        _machine.Cpu.StepOne();
        Assert.True(_machine.Cpu.Mode64);
        Assert.Equal(0x30000ul, State->Rip);
    }

    [Fact]
    public void Syscall_and_sysret_carry_the_flags_in_R11()
    {
        Ring3();
        State->Star = ((ulong)TestMachine.Code32 << 32) | (0x38ul << 48);
        State->Lstar = Handler;
        State->Fmask = Eflags.IF | Eflags.TF;
        State->Rflags = 2 | Eflags.IF | Eflags.DF;
        ulong end = _machine.Assemble(a => a.syscall());
        _machine.Cpu.StepOne();
        Assert.Equal(Handler, State->Rip);
        Assert.Equal(end, State->Gpr[1]);
        Assert.Equal(2ul | Eflags.IF | Eflags.DF, State->Gpr[11]);
        Assert.Equal(2u | Eflags.DF, (uint)State->Rflags);
        Assert.Equal(TestMachine.Code32, State->Cs.Selector);
        Assert.Equal(TestMachine.Data32, State->Ss.Selector);
        Assert.Equal(0, _machine.Cpu.Cpl);
        _machine.Assemble(a => a.sysretq(), Handler);
        _machine.Cpu.StepOne();
        Assert.Equal(end, State->Rip);
        Assert.Equal(0x4B, State->Cs.Selector);
        Assert.Equal(0x43, State->Ss.Selector);
        Assert.Equal(3, _machine.Cpu.Cpl);
        Assert.Equal(2ul | Eflags.IF | Eflags.DF, State->Rflags);
    }

    [Fact]
    public void Swapgs_exchanges_the_bases()
    {
        State->KernelGsBase = 0x1234;
        State->Gs.Base = 0x5678;
        _machine.Assemble(a => a.swapgs());
        _machine.Cpu.StepOne();
        Assert.Equal(0x1234ul, State->Gs.Base);
        Assert.Equal(0x5678ul, State->KernelGsBase);
    }

    [Theory]
    [InlineData(0x85)] // task gates
    [InlineData(0x89)] // TSS
    public void Task_switches_are_gone(int access)
    {
        _machine.Write(TestMachine.GdtAt + 0x60, 0x0000000030000067ul | ((ulong)access << 40));
        _machine.SetGate(Vectors.GP, Handler, TestMachine.Code64);
        _machine.Write(0x5000, 0x0000006000000000ul);
        _machine.Load(TestMachine.CodeAt, 0xFF, 0x2C, 0x25, 0x00, 0x50, 0, 0);
        _machine.Cpu.StepOne();
        Assert.Equal(Handler, State->Rip);
    }

    [Fact]
    public void Call_gate_of_64_bits_switches_to_RSP0()
    {
        Ring3();
        _machine.Write(TestMachine.GdtAt + 0x60, (Handler & 0xFFFF) | ((ulong)TestMachine.Code64 << 16) | (0xECul << 40) | ((Handler >> 16) << 48));
        _machine.Write(TestMachine.GdtAt + 0x68, 0ul);
        _machine.Write(0x5000, 0x0000006300000000ul);
        _machine.Load(TestMachine.CodeAt, 0xFF, 0x1C, 0x25, 0x00, 0x50, 0, 0);
        _machine.Cpu.StepOne();
        Assert.Equal(Handler, State->Rip);
        Assert.Equal(Rsp0 - 32, State->Gpr[4]);
        Assert.Equal(TestMachine.CodeAt + 7, _machine.Read64(Rsp0 - 32));
        Assert.Equal(TestMachine.UserCode64, _machine.Read64(Rsp0 - 24));
        Assert.Equal(TestMachine.StackTop, _machine.Read64(Rsp0 - 16));
        Assert.Equal(0, State->Ss.Selector);
        _machine.Load(Handler, 0x48, 0xCB);
        _machine.Cpu.StepOne();
        Assert.Equal(TestMachine.CodeAt + 7, State->Rip);
        Assert.Equal(3, _machine.Cpu.Cpl);
    }

    [Fact]
    public void Long_mode_is_entered_by_paging_and_left_from_compatibility_mode_only()
    {
        State->Gpr[0] = State->Cr0 & ~(ulong)ControlRegisters.Cr0PG;
        _machine.SetGate(Vectors.GP, Handler, TestMachine.Code64);
        _machine.Assemble(a => a.mov(cr0, rax));
        _machine.Cpu.StepOne();
        Assert.Equal(Handler, State->Rip);
        Assert.True(_machine.Cpu.LongModeActive);
    }

    [Fact]
    public void Control_registers_refuse_upper_bits()
    {
        State->Gpr[0] = State->Cr0 | (1ul << 32);
        _machine.SetGate(Vectors.GP, Handler, TestMachine.Code64);
        _machine.Assemble(a => a.mov(cr0, rax));
        _machine.Cpu.StepOne();
        Assert.Equal(Handler, State->Rip);
    }

    [Fact]
    public void Ltr_reads_sixteen_bytes()
    {
        _machine.Write(TestMachine.GdtAt + 0x60, 0x0000890000000067ul);
        _machine.Write(TestMachine.GdtAt + 0x68, 0xFFFF8000ul);
        State->Gpr[0] = 0x60;
        _machine.Assemble(a => a.ltr(ax));
        _machine.Cpu.StepOne();
        Assert.Equal(0xFFFF800000000000ul, State->Tr.Base);
        Assert.Equal(0x8Bu, State->Tr.Access);
    }
}
