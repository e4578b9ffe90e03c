using Farm.Assist.Cpu;
using Iced.Intel;
using static Farm.Assist.Tests.SystemLevel.ProtectedMachine;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.SystemLevel;

public sealed unsafe class FarTransferTests : IDisposable
{
    private const uint Target = 0x30000;
    private readonly ProtectedMachine _machine = new();

    public void Dispose() => _machine.Dispose();

    private void Jump(int selector, uint offset = Target) =>
        _machine.Code([0xEA, .. BitConverter.GetBytes(offset), .. BitConverter.GetBytes((ushort)selector)]);

    private void Call(int selector, uint offset = Target) =>
        _machine.Code([0x9A, .. BitConverter.GetBytes(offset), .. BitConverter.GetBytes((ushort)selector)]);

    [Fact]
    public void Jump_to_code_of_the_same_ring_loads_cs_and_eip()
    {
        _machine.Describe(Free, 0x100, 0xFFFFF, 0x409A);
        Jump(Free | 0, 0x20);
        _machine.Step();
        Assert.Equal(0x20u, _machine.Eip);
        Assert.Equal(Free, _machine.State->Cs.Selector);
        Assert.Equal(0x100u, _machine.State->Cs.Base);
        Assert.Equal(0x9B, _machine.AccessByte(Free));
    }

    [Fact]
    public void Jump_to_conforming_code_keeps_the_privilege()
    {
        _machine.Ring(3);
        Jump(Conforming0);
        _machine.Step();
        Assert.Equal(Target, _machine.Eip);
        Assert.Equal(Conforming0 | 3, _machine.State->Cs.Selector);
        Assert.Equal(3, _machine.Cpu.Cpl);
    }

    [Theory]
    [InlineData(0, 0, 0u)] // null
    [InlineData(0, 0x100, 0x100u)] // beyond the limit
    [InlineData(0, Data0, (uint)Data0)] // data
    [InlineData(0, LdtSelector, (uint)LdtSelector)] // a system segment
    [InlineData(0, Code0 | 1, (uint)Code0)] // RPL above CPL
    [InlineData(0, Code1, (uint)Code1 & ~3u)] // an outer ring
    [InlineData(3, Code0, (uint)Code0)] // an inner ring
    [InlineData(0, Tss0, (uint)Tss0)] // a busy task
    public void Jump_to_what_cannot_be_entered_raises_gp(int cpl, int selector, uint error)
    {
        _machine.Ring(cpl);
        Jump(selector);
        Assert.Equal(error, _machine.StepToFault(Vectors.GP));
    }

    [Fact]
    public void Jump_beyond_the_code_limit_raises_gp_0()
    {
        _machine.Describe(Free, 0, 0xFFF, 0x409A);
        Jump(Free, 0x1000);
        Assert.Equal(0u, _machine.StepToFault(Vectors.GP));
    }

    [Fact]
    public void Jump_to_absent_code_raises_np()
    {
        _machine.Describe(Free, 0, 0xFFFFF, 0x401A);
        Jump(Free);
        Assert.Equal((uint)Free, _machine.StepToFault(Vectors.NP));
    }

    [Fact]
    public void Call_pushes_cs_and_eip()
    {
        Call(Code0);
        _machine.Step();
        Assert.Equal((uint)Stack0 - 8, _machine.Esp);
        Assert.Equal((uint)Origin + 7, _machine.Read32(Stack0 - 8));
        Assert.Equal((uint)Code0, _machine.Read32(Stack0 - 4));
        Assert.Equal(Target, _machine.Eip);
    }

    [Fact]
    public void Call_without_room_on_the_stack_changes_nothing()
    {
        _machine.Describe(Free, 0, 0x7FFF, 0x4093);
        _machine.Put(Seg.Ss, Free);
        _machine.Esp = 0x8004;
        _machine.Write32(0x8000, 0x55555555);
        _machine.IdtGate(Vectors.SS, Tss0, 0, 0x85);
        Call(Code0);
        _machine.Step();

        // #SS's task gate leads to a busy TSS: #GP, whose handler cannot push either: the whole ends in a double fault's #SS.
        Assert.Equal(0x55555555u, _machine.Read32(0x8000));
        Assert.Equal(Activity.Shutdown, _machine.State->Activity);
        Assert.Equal((uint)Origin, _machine.Eip);
        Assert.Equal(0x8004u, _machine.Esp);
    }

    [Fact]
    public void Call_whose_second_push_faults_writes_nothing()
    {
        _machine.EnablePaging();
        _machine.Protect(0x7000, 0);
        _machine.Esp = 0x8004;
        _machine.Write32(0x8000, 0x55555555);
        _machine.Describe(Free, Tss, TssLimit, 0x8B);
        Call(Code0);
        _machine.IdtGate(Vectors.PF, Code0, (uint)Handler(Vectors.PF), 0x8E);
        _machine.Step();
        Assert.Equal(Activity.Shutdown, _machine.State->Activity);
        Assert.Equal(0x55555555u, _machine.Read32(0x8000));
        Assert.Equal(0x8004u, _machine.Esp);
    }

    [Fact]
    public void Call_gate_to_an_inner_ring_switches_stacks_and_copies_parameters()
    {
        _machine.GdtGate(Free, Code0, Target, 0xEC, 3);
        _machine.Ring(3);
        _machine.Write32(Stack3, 0x11);
        _machine.Write32(Stack3 + 4, 0x22);
        _machine.Write32(Stack3 + 8, 0x33);
        Call(Free | 3, 0xDEADBEEF);
        _machine.Step();
        Assert.Equal(Target, _machine.Eip);
        Assert.Equal(Code0, _machine.State->Cs.Selector);
        Assert.Equal(Data0, _machine.State->Ss.Selector);
        Assert.Equal(0, _machine.Cpu.Cpl);
        Assert.Equal((uint)Stack0 - 28, _machine.Esp);
        uint[] frame = [Origin + 7, Code3, 0x11, 0x22, 0x33, Stack3, Data3];
        for (int i = 0; i < frame.Length; i++)
            Assert.Equal(frame[i], _machine.Read32(Stack0 - 28 + (i * 4)));

        _machine.Code(32, a => a.retf(12));
        _machine.Step();
        Assert.Equal((uint)Origin + 7, _machine.Eip);
        Assert.Equal(Code3, _machine.State->Cs.Selector);
        Assert.Equal(Data3, _machine.State->Ss.Selector);
        Assert.Equal((uint)Stack3 + 12, _machine.Esp);
        Assert.Equal(3, _machine.Cpu.Cpl);
    }

    [Fact]
    public void Call_gate_286_pushes_words()
    {
        _machine.GdtGate(Free, Code0, Target & 0xFFFF, 0xE4, 2);
        _machine.Ring(3);
        _machine.Write32(Stack3, 0x22221111);
        Call(Free | 3);
        _machine.Step();
        Assert.Equal((uint)Stack0 - 12, _machine.Esp);
        ushort[] frame = [(ushort)((Origin + 7) & 0xFFFF), Code3, 0x1111, 0x2222, Stack3, Data3];
        for (int i = 0; i < frame.Length; i++)
            Assert.Equal(frame[i], _machine.Read16(Stack0 - 12 + (i * 2)));
    }

    [Fact]
    public void Call_gate_to_the_same_ring_or_conforming_code_keeps_the_stack()
    {
        _machine.GdtGate(Free, Conforming0, Target, 0xEC, 3);
        _machine.Ring(3);
        Call(Free | 3);
        _machine.Step();
        Assert.Equal((uint)Stack3 - 8, _machine.Esp);
        Assert.Equal(3, _machine.Cpu.Cpl);
        Assert.Equal(Conforming0 | 3, _machine.State->Cs.Selector);
    }

    [Fact]
    public void Jump_through_a_call_gate_may_not_change_the_ring()
    {
        _machine.GdtGate(Free, Code0, Target, 0xEC);
        _machine.Ring(3);
        Jump(Free | 3);
        Assert.Equal((uint)Code0, _machine.StepToFault(Vectors.GP));
        _machine.Ring(0);
        Jump(Free, 0xFFFFFFFF);
        _machine.Step();
        Assert.Equal(Target, _machine.Eip);
    }

    [Theory]
    [InlineData(0x8C, Code0, Vectors.GP, (uint)Free)] // gate's DPL
    [InlineData(0x6C, Code0, Vectors.NP, (uint)Free)] // gate absent
    [InlineData(0xEC, 0, Vectors.GP, 0u)]
    [InlineData(0xEC, Data0, Vectors.GP, (uint)Data0)]
    [InlineData(0xEC, 0x100, Vectors.GP, 0x100u)]
    [InlineData(0xEC, Free2, Vectors.NP, (uint)Free2)] // code absent
    public void Call_through_a_bad_gate_names_the_culprit(int type, int selector, byte vector, uint error)
    {
        _machine.Describe(Free2, 0, uint.MaxValue, 0xC01B);
        _machine.GdtGate(Free, selector, Target, type);
        _machine.Ring(3);
        Call(Free | 3);
        Assert.Equal(error, _machine.StepToFault(vector));
    }

    [Theory]
    [InlineData(0, 0u)]
    [InlineData(0x100, 0x100u)]
    [InlineData(Data0 | 1, (uint)Data0)]
    [InlineData(Data3, (uint)Data3 & ~3u)]
    [InlineData(Code0, (uint)Code0)]
    public void Bad_inner_stack_is_a_task_fault(int selector, uint error)
    {
        _machine.GdtGate(Free, Code1 & ~3, Target, 0xEC);
        _machine.Write32(Tss + 16, (uint)selector);
        _machine.Ring(3);
        Call(Free | 3);
        Assert.Equal(error, _machine.StepToFault(Vectors.TS));
        Assert.Equal((uint)Stack0 - 24, _machine.Esp);
    }

    [Fact]
    public void Absent_inner_stack_is_a_stack_fault_and_a_short_TSS_a_task_fault()
    {
        _machine.Describe(Free2, 0, uint.MaxValue, 0xC033);
        _machine.GdtGate(Free, Code1 & ~3, Target, 0xEC);
        _machine.Write32(Tss + 16, Free2 | 1);
        _machine.Ring(3);
        Call(Free | 3);
        Assert.Equal((uint)Free2, _machine.StepToFault(Vectors.SS));

        _machine.State->Tr.Limit = 16;
        _machine.Ring(3);
        Call(Free | 3);
        Assert.Equal((uint)Tss0, _machine.StepToFault(Vectors.TS));
    }

    [Fact]
    public void Inner_stack_without_room_names_its_selector()
    {
        _machine.Describe(Free2, 0, 0x100, 0x40B3);
        _machine.GdtGate(Free, Code1 & ~3, Target, 0xEC);
        _machine.Write32(Tss + 12, 12);
        _machine.Write32(Tss + 16, Free2 | 1);
        _machine.Ring(3);
        Call(Free | 3);
        Assert.Equal((uint)Free2, _machine.StepToFault(Vectors.SS));
    }

    [Fact]
    public void Return_to_an_outer_ring_drops_inner_segments()
    {
        _machine.Put(Seg.Ds, Data0);
        _machine.Put(Seg.Es, Data3);
        _machine.Put(Seg.Fs, Conforming0);
        _machine.Write32(Stack0, Target);
        _machine.Write32(Stack0 + 4, Code3);
        _machine.Write32(Stack0 + 8, Stack3);
        _machine.Write32(Stack0 + 12, Data3);
        _machine.Code(32, a => a.retf());
        _machine.Step();
        Assert.Equal(Target, _machine.Eip);
        Assert.Equal(0, _machine.State->Ds.Selector);
        Assert.True(_machine.State->Ds.Unusable);
        Assert.Equal(Data3, _machine.State->Es.Selector);
        Assert.Equal(Conforming0, _machine.State->Fs.Selector);
    }

    [Theory]
    [InlineData(0, Data3, Vectors.GP, 0u)]
    [InlineData(Data3, Data3, Vectors.GP, (uint)Data3 & ~3u)]
    [InlineData(Code0 | 3, Data3, Vectors.GP, (uint)Code0)] // DPL is not RPL
    [InlineData(Code3, 0, Vectors.GP, 0u)]
    [InlineData(Code3, Data0, Vectors.GP, (uint)Data0)]
    [InlineData(Code3, Code3, Vectors.GP, (uint)Code3 & ~3u)]
    [InlineData(Code3, Free2 | 3, Vectors.SS, (uint)Free2)]
    [InlineData(Free3 | 3, Data3, Vectors.NP, (uint)Free3)]
    public void Return_to_an_outer_ring_checks_everything_first(int code, int stack, byte vector, uint error)
    {
        _machine.Describe(Free2, 0, uint.MaxValue, 0xC073);
        _machine.Describe(Free3, 0, uint.MaxValue, 0xC07B);
        _machine.Write32(Stack0, Target);
        _machine.Write32(Stack0 + 4, (uint)code);
        _machine.Write32(Stack0 + 8, Stack3);
        _machine.Write32(Stack0 + 12, (uint)stack);
        _machine.Code(32, a => a.retf());
        Assert.Equal(error, _machine.StepToFault(vector));
        Assert.Equal((uint)Stack0 - 16, _machine.Esp);
        Assert.Equal(Data0, _machine.State->Ss.Selector);
    }

    [Fact]
    public void Return_to_an_inner_ring_is_refused()
    {
        _machine.Ring(3);
        _machine.Write32(Stack3, Target);
        _machine.Write32(Stack3 + 4, Code0);
        _machine.Code(32, a => a.retf());
        Assert.Equal((uint)Code0, _machine.StepToFault(Vectors.GP));
    }

    [Fact]
    public void Real_mode_transfers_set_the_base_and_nothing_else()
    {
        _machine.EnterReal();
        _machine.State->Cs.Access = 0x9B;
        _machine.Code(16, a => a.call(0x3000, 0x0123));
        _machine.Step();
        Assert.Equal(0x123u, _machine.Eip);
        Assert.Equal(0x30000u, _machine.State->Cs.Base);
        Assert.Equal(0x93u, _machine.State->Cs.Access);
        Assert.Equal(0xFCu, _machine.Esp);
        Assert.Equal(5, _machine.Read16(0x90FC));
        Assert.Equal(0x1000, _machine.Read16(0x90FE));
        _machine.Code(16, a => a.retf(2));
        _machine.Step();
        Assert.Equal(5u, _machine.Eip);
        Assert.Equal(0x102u, _machine.Esp);
    }

    [Fact]
    public void Real_mode_jump_beyond_64K_faults()
    {
        _machine.EnterReal();
        _machine.Code(0x66, 0xEA, 0, 0, 1, 0, 0, 0x30);
        _machine.Step();
        Assert.Equal(0x20000u, _machine.State->Cs.Base);
        Assert.Equal((uint)Vectors.GP * 16, _machine.Eip);
        Assert.Equal(0, _machine.Read16(0x90FA));
    }

    [Fact]
    public void Sysenter_and_sysexit_load_flat_segments()
    {
        _machine.State->SysenterCs = Code0;
        _machine.State->SysenterEip = Target;
        _machine.State->SysenterEsp = Stack0;
        _machine.Ring(3);
        _machine.State->Rflags |= Eflags.IF;
        _machine.Code(32, a => a.sysenter());
        _machine.Step();
        Assert.Equal(Target, _machine.Eip);
        Assert.Equal((uint)Stack0, _machine.Esp);
        Assert.Equal(0, _machine.Cpu.Cpl);
        Assert.Equal(Data0, _machine.State->Ss.Selector);
        Assert.Equal(0u, _machine.Flags & Eflags.IF);

        _machine.State->Gpr[1] = Stack3;
        _machine.State->Gpr[2] = Origin;
        _machine.Code(32, a => a.sysexit());
        _machine.Step();
        Assert.Equal((uint)Origin, _machine.Eip);
        Assert.Equal(3, _machine.Cpu.Cpl);
        Assert.Equal(Code0 + 16 + 3, _machine.State->Cs.Selector);
        Assert.Equal(Code0 + 24 + 3, _machine.State->Ss.Selector);
    }

    [Fact]
    public void Sysenter_without_a_selector_faults()
    {
        _machine.Code(32, a => a.sysenter());
        Assert.Equal(0u, _machine.StepToFault(Vectors.GP));
    }
}
