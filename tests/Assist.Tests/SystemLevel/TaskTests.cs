using Farm.Assist.Cpu;
using static Farm.Assist.Tests.SystemLevel.ProtectedMachine;

namespace Farm.Assist.Tests.SystemLevel;

public sealed unsafe class TaskTests : IDisposable
{
    private const uint Target = 0x30000;
    private const int Task = 0x7000, TaskStack = 0x7800;
    private readonly ProtectedMachine _machine = new();

    public TaskTests()
    {
        _machine.Describe(Free, Task, 0x67, 0x89);
        Task32(Code0, Data0);
        for (int i = 0; i < 8; i++)
            _machine.State->Gpr[i] = i == 4 ? Stack0 : 0x100u + (uint)i;
    }

    public void Dispose() => _machine.Dispose();

    private void Task32(int code, int data, uint flags = 2)
    {
        _machine.Write32(Task + 0x20, Target);
        _machine.Write32(Task + 0x24, flags);
        for (int i = 0; i < 8; i++)
            _machine.Write32(Task + 0x28 + (i * 4), i == 4 ? TaskStack : 0xA0u + (uint)i);
        for (int i = 0; i < 6; i++)
            _machine.Write32(Task + 0x48 + (i * 4), (uint)(i == 1 ? code : data));
        _machine.Write32(Task + 0x60, 0);
    }

    private void Jump(int selector) => _machine.Code([0xEA, 0, 0, 0, 0, .. BitConverter.GetBytes((ushort)selector)]);

    private void Call(int selector) => _machine.Code([0x9A, 0, 0, 0, 0, .. BitConverter.GetBytes((ushort)selector)]);

    [Fact]
    public void Jump_saves_the_old_task_and_loads_the_new_one()
    {
        _machine.State->Rflags |= Eflags.IF;
        _machine.State->Dr[7] = 0x455;
        Jump(Free);
        _machine.Step();
        Assert.Equal(Target, _machine.Eip);
        Assert.Equal((uint)TaskStack, _machine.Esp);
        Assert.Equal(0xA3u, _machine.State->Gpr[3]);
        Assert.Equal(2u, _machine.Flags);
        Assert.Equal(Free, _machine.State->Tr.Selector);
        Assert.Equal(0x8Bu, _machine.State->Tr.Access);
        Assert.Equal((ulong)Task, _machine.State->Tr.Base);
        Assert.Equal(0x8B, _machine.AccessByte(Free));
        Assert.Equal(0x89, _machine.AccessByte(Tss0));
        Assert.NotEqual(0u, _machine.State->Cr0 & ControlRegisters.Cr0TS);
        Assert.Equal(0x400u, _machine.State->Dr[7]);
        Assert.Equal((uint)Origin + 7, _machine.Read32(Tss + 0x20));
        Assert.Equal(2 | Eflags.IF, _machine.Read32(Tss + 0x24));
        Assert.Equal(0x103u, _machine.Read32(Tss + 0x28 + 12));
        Assert.Equal(Code0, _machine.Read16(Tss + 0x4C));
        Assert.Equal(Data0, _machine.Read16(Tss + 0x5C));
        Assert.Equal(0, _machine.Read16(Task));
    }

    [Fact]
    public void Call_nests_and_iret_returns()
    {
        Call(Free);
        _machine.Step();
        Assert.Equal(2 | Eflags.NT, _machine.Flags);
        Assert.Equal(Tss0, _machine.Read16(Task));
        Assert.Equal(0x8B, _machine.AccessByte(Free));
        Assert.Equal(0x8B, _machine.AccessByte(Tss0));

        _machine.Code(0xCF);
        _machine.Step();
        Assert.Equal((uint)Origin + 7, _machine.Eip);
        Assert.Equal(Tss0, _machine.State->Tr.Selector);
        Assert.Equal(0x89, _machine.AccessByte(Free));
        Assert.Equal(0x8B, _machine.AccessByte(Tss0));
        Assert.Equal(2u, _machine.Flags);
        Assert.Equal(2u, _machine.Read32(Task + 0x24));
        Assert.Equal(Target + 1, _machine.Read32(Task + 0x20));
        Assert.Equal(0x105u, _machine.State->Gpr[5]);
    }

    [Fact]
    public void Task_286_carries_words()
    {
        _machine.Describe(Free, Task, 0x2B, 0x81);
        _machine.Write16(Task + 0x0E, 0x1234);
        _machine.Write16(Task + 0x10, 2);
        for (int i = 0; i < 8; i++)
            _machine.Write16(Task + 0x12 + (i * 2), 0xB0 + i);
        ushort[] segments = [Data0, Code0, Data0, Data0];
        for (int i = 0; i < 4; i++)
            _machine.Write16(Task + 0x22 + (i * 2), segments[i]);
        Jump(Free);
        _machine.Step();
        Assert.Equal(0x1234u, _machine.Eip);
        Assert.Equal(0xFFFF00B0u, _machine.State->Gpr[0]);
        Assert.True(_machine.State->Fs.Unusable);
        Assert.Equal(0x83, _machine.AccessByte(Free));
        _machine.Describe(Tss0, Tss, TssLimit, 0x89);
        Jump(Tss0);
        _machine.Step();
        Assert.Equal(0x1234 + 7, _machine.Read16(Task + 0x0E));
        Assert.Equal(0xB3, _machine.Read16(Task + 0x12 + 6));
    }

    [Fact]
    public void Task_gate_serves_jumps_calls_and_interrupts()
    {
        _machine.GdtGate(Free2, Free, 0, 0xE5);
        _machine.Ring(3);
        Call(Free2 | 3);
        _machine.Step();
        Assert.Equal(Target, _machine.Eip);
        Assert.Equal(0, _machine.Cpu.Cpl);
        _machine.Code(0xCF);
        _machine.Step();
        Assert.Equal(3, _machine.Cpu.Cpl);

        _machine.IdtGate(0x40, Free, 0, 0xE5);
        _machine.Code(0xCD, 0x40);
        _machine.Step();
        Assert.Equal(Target + 1, _machine.Eip);
        Assert.Equal((uint)TaskStack, _machine.Esp);
        Assert.Equal((uint)Origin + 9, _machine.Read32(Tss + 0x20));
    }

    [Fact]
    public void Fault_through_a_task_gate_pushes_its_error_code_on_the_new_stack_and_saves_RF()
    {
        _machine.IdtGate(Vectors.GP, Free, 0, 0x85);
        _machine.State->Gpr[0] = 0x100;
        _machine.Code(0x8E, 0xD8);
        _machine.Step();
        Assert.Equal(Target, _machine.Eip);
        Assert.Equal((uint)TaskStack - 4, _machine.Esp);
        Assert.Equal(0x100u, _machine.Read32(TaskStack - 4));
        Assert.Equal((uint)Origin, _machine.Read32(Tss + 0x20));
        Assert.Equal(2 | Eflags.RF, _machine.Read32(Tss + 0x24));
    }

    [Fact]
    public void Double_fault_reaches_its_task_even_with_no_stack()
    {
        _machine.IdtGate(Vectors.DF, Free, 0, 0x85);
        _machine.Put(Seg.Ss, Data16);
        _machine.Esp = 1;
        _machine.Code(0xCD, 0x40);
        _machine.Step();
        Assert.Equal(Target, _machine.Eip);
        Assert.Equal(1u, _machine.Read32(Tss + 0x28 + 16));
    }

    [Theory]
    [InlineData(0x66u, 0x89u, Vectors.TS, (uint)Free)] // too short
    [InlineData(0x67u, 0x09u, Vectors.NP, (uint)Free)]
    [InlineData(0x67u, 0x8Bu, Vectors.GP, (uint)Free)] // busy
    public void Bad_task_is_refused_in_the_old_one(uint limit, uint access, byte vector, uint error)
    {
        _machine.Describe(Free, Task, limit, access);
        Jump(Free);
        Assert.Equal(error, _machine.StepToFault(vector));
        Assert.Equal(Tss0, _machine.State->Tr.Selector);
        Assert.Equal(0x8B, _machine.AccessByte(Tss0));
    }

    [Fact]
    public void Page_fault_on_the_new_TSS_happens_in_the_old_task()
    {
        _machine.EnablePaging();
        _machine.Describe(Free, 0x50000, 0x67, 0x89);
        _machine.Protect(0x50000, 0);
        Jump(Free);
        Assert.Equal(0u, _machine.StepToFault(Vectors.PF));
        Assert.Equal(Tss0, _machine.State->Tr.Selector);
        Assert.Equal(0x8B, _machine.AccessByte(Tss0));
        Assert.Equal(0x89, _machine.AccessByte(Free));
        Assert.Equal(0u, _machine.Read32(Tss + 0x20));
    }

    [Theory]
    [InlineData(Seg.Cs, 0, Vectors.TS, 0u)]
    [InlineData(Seg.Cs, Data0, Vectors.TS, (uint)Data0)]
    [InlineData(Seg.Cs, Free2, Vectors.NP, (uint)Free2)]
    [InlineData(Seg.Ss, 0, Vectors.TS, 0u)]
    [InlineData(Seg.Ss, Data3, Vectors.TS, (uint)Data3 & ~3u)]
    [InlineData(Seg.Ss, Free3, Vectors.SS, (uint)Free3)]
    [InlineData(Seg.Ds, 0x100, Vectors.TS, 0x100u)]
    [InlineData(Seg.Gs, Free3, Vectors.NP, (uint)Free3)]
    public void Bad_segment_faults_in_the_new_task(Seg seg, int selector, byte vector, uint error)
    {
        _machine.Describe(Free2, 0, uint.MaxValue, 0xC01B);
        _machine.Describe(Free3, 0, uint.MaxValue, 0xC013);
        _machine.Write32(Task + 0x48 + ((int)seg * 4), (uint)selector);

        // The handler is a task of its own: the new task may have no stack.
        const int HandlerTask = 0x78, HandlerTss = 0x7400;
        _machine.Describe(HandlerTask, HandlerTss, 0x67, 0x89);
        _machine.IdtGate(vector, HandlerTask, 0, 0x85);
        _machine.Write32(HandlerTss + 0x20, Target + 0x100);
        _machine.Write32(HandlerTss + 0x24, 2);
        _machine.Write32(HandlerTss + 0x38, 0x7700);
        for (int i = 0; i < 6; i++)
            _machine.Write32(HandlerTss + 0x48 + (i * 4), i == 1 ? (uint)Code0 : Data0);
        Jump(Free);
        _machine.Step();
        Assert.Equal(Target + 0x100, _machine.Eip);
        Assert.Equal(error, _machine.Read32((int)_machine.Esp));
        Assert.Equal(Free, _machine.Read16(HandlerTss));
        Assert.Equal(Target, _machine.Read32(Task + 0x20));
        Assert.Equal(0x89, _machine.AccessByte(Tss0));
    }

    [Fact]
    public void Bad_LDT_is_a_task_fault_of_the_new_task()
    {
        _machine.Write32(Task + 0x60, Data0);
        _machine.Describe(LdtSelector, Ldt, 0x3F, 0x82);
        Jump(Free);
        _machine.Step();
        Assert.Equal(Free, _machine.State->Tr.Selector);
    }

    [Fact]
    public void Task_brings_its_LDT_and_page_directory()
    {
        _machine.EnablePaging();
        _machine.Write32(0x62000, 0x61007);
        _machine.Write32(Task + 0x1C, 0x62000);
        _machine.Write32(Task + 0x60, LdtSelector);
        _machine.Describe(0x0C, 0x4000, 0xFF, 0x93);
        _machine.Write32(Task + 0x48 + 12, 0x0C);
        Jump(Free);
        _machine.Step();
        Assert.Equal(0x62000u, _machine.State->Cr3);
        Assert.Equal(0x4000u, _machine.State->Ds.Base);
        Assert.Equal(LdtSelector, _machine.State->Ldtr.Selector);
    }

    [Fact]
    public void Trap_bit_raises_a_debug_trap_before_the_first_instruction()
    {
        _machine.Write16(Task + 0x64, 1);
        Jump(Free);
        _machine.Step(2);
        Assert.Equal(0x8000u, (uint)_machine.State->Dr[6] & 0x8000);
        Assert.Equal(Target, _machine.Read32(TaskStack - 12));
    }

    [Fact]
    public void Virtual_8086_task_needs_no_descriptors()
    {
        Task32(0x3000, 0x40, 2 | Eflags.VM);
        _machine.Write32(Task + 0x20, 0x10);
        Jump(Free);
        _machine.Step();
        Assert.Equal(0x10u, _machine.Eip);
        Assert.Equal(0x30000u, _machine.State->Cs.Base);
        Assert.Equal(3, _machine.Cpu.Cpl);
    }

    [Fact]
    public void Return_to_a_task_that_is_not_busy_is_a_task_fault()
    {
        _machine.State->Rflags |= Eflags.NT;
        _machine.Write16(Tss, Free);
        _machine.Code(0xCF);
        Assert.Equal((uint)Free, _machine.StepToFault(Vectors.TS));
    }

    [Fact]
    public void Jump_to_a_task_from_an_outer_ring_is_refused()
    {
        _machine.Ring(3);
        Jump(Free | 3);
        Assert.Equal((uint)Free, _machine.StepToFault(Vectors.GP));
    }
}
