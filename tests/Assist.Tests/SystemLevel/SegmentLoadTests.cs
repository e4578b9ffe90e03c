using Farm.Assist.Cpu;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.SystemLevel;

public sealed unsafe class SegmentLoadTests : IDisposable
{
    private readonly ProtectedMachine _machine = new();

    public void Dispose() => _machine.Dispose();

    private uint LoadFault(byte vector, AssemblerRegisterSegment segment, int selector)
    {
        _machine.State->Gpr[0] = (uint)selector;
        _machine.Code(32, a => a.mov(segment, eax));
        SegmentCache before = _machine.Cpu.Segment((Seg)((int)(Register)segment - (int)Register.ES));
        uint error = _machine.StepToFault(vector);
        Assert.Equal(before.Selector, _machine.Cpu.Segment((Seg)((int)(Register)segment - (int)Register.ES)).Selector);
        return error;
    }

    private void Load(AssemblerRegisterSegment segment, int selector)
    {
        _machine.State->Gpr[0] = (uint)selector;
        _machine.Code(32, a => a.mov(segment, eax));
        uint start = _machine.Eip;
        _machine.Step();
        Assert.Equal(start + 2, _machine.Eip);
    }

    [Fact]
    public void Null_data_selector_loads_and_its_use_faults()
    {
        Load(ds, 3);
        Assert.Equal(3, _machine.State->Ds.Selector);
        _machine.Code(32, a => a.verr(__word_ptr[0x5000]));
        Assert.Equal(0u, _machine.StepToFault(Vectors.GP));
    }

    [Fact]
    public void Null_stack_selector_is_refused() => Assert.Equal(0u, LoadFault(Vectors.GP, ss, 0));

    [Theory]
    [InlineData(ProtectedMachine.GdtLimit + 1, 0x100u)]
    [InlineData(0xFFFB, 0xFFF8u)]
    [InlineData(0x0C, 0x0Cu)]
    public void Selector_outside_its_table_names_itself(int selector, uint error)
    {
        Assert.Equal(error, LoadFault(Vectors.GP, es, selector));
    }

    [Fact]
    public void Descriptor_must_lie_wholly_within_the_limit()
    {
        _machine.Describe(ProtectedMachine.Free, 0, 0xFFFF, 0x93);
        _machine.State->Gdtr.Limit = ProtectedMachine.Free + 6;
        Assert.Equal((uint)ProtectedMachine.Free, LoadFault(Vectors.GP, es, ProtectedMachine.Free));
    }

    [Theory]
    [InlineData(0x99u)] // execute-only code
    [InlineData(0x89u)] // a TSS
    [InlineData(0x8Cu)] // a call gate
    [InlineData(0x82u)] // an LDT
    public void Data_register_takes_only_what_can_be_read(uint access)
    {
        _machine.Describe(ProtectedMachine.Free, 0, 0xFFFF, access);
        Assert.Equal((uint)ProtectedMachine.Free, LoadFault(Vectors.GP, gs, ProtectedMachine.Free));
    }

    [Theory]
    [InlineData(0x93u, 0)]
    [InlineData(0x91u, 0)]
    [InlineData(0x9Bu, 0)]
    [InlineData(0x9Fu, 3)] // conforming code: any privilege
    [InlineData(0xF3u, 3)]
    [InlineData(0xB3u, 1)]
    public void Data_register_takes_readable_segments_of_its_ring(uint access, int rpl)
    {
        _machine.Describe(ProtectedMachine.Free, 0x12345678, 0xFFFF, access);
        Load(fs, ProtectedMachine.Free | rpl);
        Assert.Equal(0x12345678u, _machine.State->Fs.Base);
        Assert.Equal(0xFFFFu, _machine.State->Fs.Limit);
        Assert.Equal(access, _machine.State->Fs.Access);
    }

    [Theory]
    [InlineData(0, 0x93u, 3)] // RPL 3 on a ring 0 segment
    [InlineData(3, 0x93u, 0)] // CPL 3 on a ring 0 segment
    [InlineData(3, 0xB3u, 1)]
    public void Data_register_refuses_more_privileged_segments(int cpl, uint access, int rpl)
    {
        _machine.Describe(ProtectedMachine.Free, 0, 0xFFFF, access);
        _machine.Ring(cpl);
        Assert.Equal((uint)ProtectedMachine.Free, LoadFault(Vectors.GP, ds, ProtectedMachine.Free | rpl));
    }

    [Fact]
    public void Absent_data_segment_raises_np_and_absent_stack_ss()
    {
        _machine.Describe(ProtectedMachine.Free, 0, 0xFFFF, 0x13);
        Assert.Equal((uint)ProtectedMachine.Free, LoadFault(Vectors.NP, ds, ProtectedMachine.Free));
        _machine.Ring(0);
        Assert.Equal((uint)ProtectedMachine.Free, LoadFault(Vectors.SS, ss, ProtectedMachine.Free));
    }

    [Theory]
    [InlineData(0x93u, 1)] // RPL
    [InlineData(0xB3u, 0)] // DPL
    [InlineData(0x91u, 0)] // read-only
    [InlineData(0x9Bu, 0)] // code
    public void Stack_register_takes_only_writable_data_of_exactly_its_ring(uint access, int rpl)
    {
        _machine.Describe(ProtectedMachine.Free, 0, 0xFFFF, access);
        Assert.Equal((uint)ProtectedMachine.Free, LoadFault(Vectors.GP, ss, ProtectedMachine.Free | rpl));
    }

    [Fact]
    public void Loading_sets_the_accessed_bit_in_memory()
    {
        _machine.Describe(ProtectedMachine.Free, 0, 0xFFFF, 0x92);
        Load(es, ProtectedMachine.Free);
        Assert.Equal(0x93, _machine.AccessByte(ProtectedMachine.Free));
        Assert.Equal(0x93u, _machine.State->Es.Access);
    }

    [Fact]
    public void Accessed_bit_on_a_read_only_page_faults_and_loads_nothing()
    {
        _machine.EnablePaging();
        _machine.Describe(ProtectedMachine.Free, 0, 0xFFFF, 0x92);
        _machine.Protect(ProtectedMachine.Gdt, 5);
        Assert.Equal(3u, LoadFault(Vectors.PF, es, ProtectedMachine.Free));
        Assert.Equal((ulong)ProtectedMachine.Gdt + ProtectedMachine.Free + 5, _machine.State->Cr2);
    }

    [Fact]
    public void Descriptor_fetch_from_ring_3_is_a_supervisor_access()
    {
        _machine.EnablePaging();
        _machine.Protect(ProtectedMachine.Gdt, 3);
        _machine.Ring(3);
        Load(es, ProtectedMachine.Data3);
    }

    [Fact]
    public void Local_descriptor_table_serves_selectors_with_TI()
    {
        _machine.State->Gpr[0] = ProtectedMachine.LdtSelector;
        _machine.Code(32, a => a.lldt(ax));
        _machine.Step();
        _machine.Describe(0x0C, 0x4000, 0xFF, 0x93);
        Load(ds, 0x0C);
        Assert.Equal(0x4000u, _machine.State->Ds.Base);
        Assert.Equal(0x44u, LoadFault(Vectors.GP, ds, 0x47));
    }

    [Fact]
    public void Mov_to_cs_is_undefined()
    {
        _machine.Code(0x8E, 0xC8);
        _machine.StepToFault(Vectors.UD);
    }

    [Fact]
    public void Lds_that_faults_leaves_the_general_register_alone()
    {
        _machine.Write32(0x5000, 0x11112222);
        _machine.Write16(0x5004, 0xFFF8);
        _machine.State->Gpr[3] = 7;
        _machine.Code(32, a => a.lds(ebx, __fword_ptr[0x5000]));
        Assert.Equal(0xFFF8u, _machine.StepToFault(Vectors.GP));
        Assert.Equal(7u, _machine.State->Gpr[3]);
    }

    [Fact]
    public void Pop_ss_moves_the_stack_pointer_by_the_old_width()
    {
        _machine.Write32(ProtectedMachine.Stack0, ProtectedMachine.Data16);
        _machine.Code(32, a => a.pop(ss));
        _machine.Step();
        Assert.Equal(ProtectedMachine.Data16, _machine.State->Ss.Selector);
        Assert.Equal((uint)ProtectedMachine.Stack0 + 4, _machine.Esp);
    }

    [Fact]
    public void Pop_of_a_bad_selector_leaves_the_stack_pointer()
    {
        _machine.Write32(ProtectedMachine.Stack0, 0xFFF8);
        _machine.Code(32, a => a.pop(es));
        _machine.Step();
        Assert.Equal(ProtectedMachine.Handler(Vectors.GP), (int)_machine.Eip);
        Assert.Equal((uint)ProtectedMachine.Stack0 - 16, _machine.Esp);
    }

    [Fact]
    public void Unreal_mode_reaches_beyond_64K()
    {
        _machine.EnterReal();
        _machine.State->Ds.Limit = uint.MaxValue;
        _machine.State->Gpr[0] = 0x40;
        _machine.Write32(0x50400, 0xCAFE);
        _machine.Code(16, a =>
        {
            a.mov(ds, ax);
            a.les(edx, __fword_ptr[ebx + 0x50000]);
        });
        _machine.Step(2);
        Assert.Equal(0xCAFEu, _machine.State->Gpr[2]);
        Assert.Equal(uint.MaxValue, _machine.State->Ds.Limit);
        Assert.Equal(0x400u, _machine.State->Ds.Base);
    }

    [Fact]
    public void Ltr_marks_the_task_busy_and_refuses_a_busy_one()
    {
        _machine.Describe(ProtectedMachine.Free, 0x7000, 0x67, 0x89);
        _machine.State->Gpr[0] = ProtectedMachine.Free;
        _machine.Code(32, a =>
        {
            a.ltr(ax);
            a.ltr(ax);
        });
        _machine.Step();
        Assert.Equal(0x8B, _machine.AccessByte(ProtectedMachine.Free));
        Assert.Equal(0x7000u, _machine.State->Tr.Base);
        Assert.Equal((uint)ProtectedMachine.Free, _machine.StepToFault(Vectors.GP));
    }

    [Theory]
    [InlineData(0, Vectors.GP, 0u)]
    [InlineData(0x0C, Vectors.GP, 0x0Cu)]
    [InlineData(ProtectedMachine.Data0, Vectors.GP, (uint)ProtectedMachine.Data0)]
    public void Ltr_refuses_what_is_no_task(int selector, byte vector, uint error)
    {
        _machine.State->Gpr[0] = (uint)selector;
        _machine.Code(32, a => a.ltr(ax));
        Assert.Equal(error, _machine.StepToFault(vector));
    }

    [Fact]
    public void Lldt_takes_null_and_refuses_other_types()
    {
        _machine.State->Gpr[0] = 0;
        _machine.Code(32, a => a.lldt(ax));
        _machine.Step();
        Assert.True(_machine.State->Ldtr.Unusable);
        _machine.State->Gpr[0] = ProtectedMachine.Data0;
        _machine.Code(32, a => a.lldt(ax));
        Assert.Equal((uint)ProtectedMachine.Data0, _machine.StepToFault(Vectors.GP));
    }

    [Fact]
    public void Virtual_8086_load_gives_a_paragraph_of_ring_3()
    {
        _machine.EnterVirtual8086(3);
        _machine.State->Gpr[0] = 0x1234;
        _machine.Code(16, a => a.mov(fs, ax));
        _machine.Step();
        Assert.Equal(0x12340u, _machine.State->Fs.Base);
        Assert.Equal(0xFFFFu, _machine.State->Fs.Limit);
        Assert.Equal(0xF3u, _machine.State->Fs.Access);
    }
}
