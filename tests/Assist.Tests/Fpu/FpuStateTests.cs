using Farm.Assist.Cpu;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.Fpu;

/// <summary>Words, environment, saved states, availability and pending exceptions.</summary>
public sealed unsafe class FpuStateTests : IDisposable
{
    private const uint Handler = 0x20000, Data = 0x5000;
    private readonly TestMachine _machine = new();

    public FpuStateTests() => _machine.SetUpProtected();

    public void Dispose() => _machine.Dispose();

    private CpuState* State => _machine.State;

    private void Fault(byte vector, params byte[] code)
    {
        _machine.SetGate(vector, Handler);
        _machine.Load(TestMachine.CodeAt, code);
        State->Rip = TestMachine.CodeAt;
        _machine.Cpu.StepOne();
        Assert.Equal(Handler, State->Rip);
    }

    private ulong Step(Action<Assembler> code, int count = 1)
    {
        State->Rip = TestMachine.CodeAt - State->Cs.Base;
        ulong end = _machine.Assemble(code);
        for (int i = 0; i < count; i++)
            _machine.Cpu.StepOne();
        return end;
    }

    [Fact]
    public void Probe_of_the_oldest_programs_finds_a_coprocessor()
    {
        State->FpuControl = 0x40;
        State->FpuStatus = 0x5A5A;
        _machine.Write(Data, (ushort)0x5A5A);
        Step(a =>
        {
            a.fninit();
            a.fnstsw(__word_ptr[Data]);
            a.fnstcw(__word_ptr[Data + 2]);
        }, 3);
        Assert.Equal(0, _machine.Read16(Data));
        Assert.Equal(0x37F, _machine.Read16(Data + 2));
    }

    [Theory]
    [InlineData(ControlRegisters.Cr0EM)]
    [InlineData(ControlRegisters.Cr0TS)]
    public void Escape_without_a_coprocessor_raises_nm(uint bit)
    {
        State->Cr0 |= bit;
        Fault(Vectors.NM, 0xDB, 0xE3);
    }

    [Theory]
    [InlineData(ControlRegisters.Cr0TS, false)]
    [InlineData(ControlRegisters.Cr0EM, false)]
    [InlineData(ControlRegisters.Cr0MP, false)]
    [InlineData(ControlRegisters.Cr0MP | ControlRegisters.Cr0TS, true)]
    public void Wait_raises_nm_only_with_MP_and_TS(uint bits, bool faults)
    {
        State->Cr0 |= bits;
        if (faults)
        {
            Fault(Vectors.NM, 0x9B);
            return;
        }
        ulong end = Step(a => a.wait());
        Assert.Equal(end, State->Rip);
    }

    [Fact]
    public void Pending_exception_raises_mf_at_the_next_waiting_instruction_only()
    {
        State->Cr0 |= ControlRegisters.Cr0NE;
        State->FpuControl = 0x37B;
        ulong end = Step(a =>
        {
            a.fld1();
            a.fldz();
            a.fdivp(st1, st0);
            a.fnstsw(ax);
        }, 4);
        Assert.Equal(end, State->Rip);
        Assert.Equal(0x8084, (int)State->Gpr[0] & 0x80FF);
        Fault(Vectors.MF, 0xD9, 0xE8);
        Assert.Equal(TestMachine.CodeAt, _machine.Read32(State->Gpr[4]));
        Step(a => a.fnclex());
        end = Step(a => a.fld1());
        Assert.Equal(end, State->Rip);
    }

    [Fact]
    public void Without_NE_the_processor_waits_for_the_interrupt_that_FERR_brings()
    {
        State->FpuControl = 0x37B;
        State->FpuStatus = 0x8084;
        State->Rflags |= Eflags.IF;
        _machine.SetGate(0x75, Handler);
        _machine.InterruptVector = 0x75;
        Step(a => a.fld1(), 3);
        Assert.Equal(TestMachine.CodeAt, State->Rip);
        Assert.True(_machine.NumericError);
        Assert.Equal(0xFFFF, State->FpuTag);

        _machine.Cpu.InterruptLine = true;
        _machine.Assemble(a => a.fnclex(), Handler);
        _machine.Cpu.StepOne();
        Assert.Equal(Handler + 2, State->Rip);
        Assert.Equal(TestMachine.CodeAt, _machine.Read32(State->Gpr[4]));
        Assert.False(_machine.NumericError);
    }

    [Fact]
    public void IGNNE_lets_instructions_pass()
    {
        State->FpuControl = 0x37B;
        State->FpuStatus = 0x8084;
        _machine.IgnoreNumericError = true;
        ulong end = Step(a => a.fld1());
        Assert.Equal(end, State->Rip);
    }

    [Fact]
    public void Loading_a_mask_off_makes_a_recorded_exception_pending_and_masking_clears_it()
    {
        State->FpuStatus = 4;
        _machine.Write(Data, (ushort)0x37B);
        Step(a => a.fldcw(__word_ptr[Data]));
        Assert.Equal(0x8084, State->FpuStatus);
        State->Cr0 |= ControlRegisters.Cr0NE;
        Step(a => a.fnstenv(__[Data]));
        Assert.Equal(4, State->FpuStatus);
        Assert.Equal(0x37F, State->FpuControl);
        Assert.Equal(0xFFFF8084u, _machine.Read32(Data + 4));
    }

    [Fact]
    public void Environment_in_protected_mode_holds_selectors_and_offsets()
    {
        _machine.Write(Data + 0x40, 0x3F800000u);
        Step(a =>
        {
            a.fld(__dword_ptr[Data + 0x40]);
            a.fldz();
            a.fnstenv(__[Data]);
        }, 3);
        Assert.Equal(0xFFFF037Fu, _machine.Read32(Data));
        Assert.Equal(0xFFFF3000u, _machine.Read32(Data + 4));
        Assert.Equal(0xFFFF1FFFu, _machine.Read32(Data + 8));
        Assert.Equal((uint)TestMachine.CodeAt + 6, _machine.Read32(Data + 12));
        Assert.Equal(0x01EE0000u | TestMachine.Code32, _machine.Read32(Data + 16));
        Assert.Equal(Data + 0x40, _machine.Read32(Data + 20));
        Assert.Equal(0xFFFF0000u | TestMachine.Data32, _machine.Read32(Data + 24));
    }

    [Fact]
    public void Environment_in_real_mode_holds_linear_addresses_and_the_opcode()
    {
        _machine.SetUpReal();
        State->Ds = SegmentCache.RealMode(0x300);
        _machine.Write(0x3040, 0x3F800000u);
        Step(a =>
        {
            a.fld(__dword_ptr[0x40]);
            a.fldz();
            a.fnstenv(__[0]);
        }, 3);
        uint ip = (uint)TestMachine.CodeAt + 4;
        Assert.Equal(0x37F, _machine.Read16(0x3000));
        Assert.Equal(0x1FFF, _machine.Read16(0x3004));
        Assert.Equal(ip & 0xFFFF, _machine.Read16(0x3006));
        Assert.Equal(((ip >> 16) << 12) | 0x1EE, _machine.Read16(0x3008));
        Assert.Equal(0x3040, _machine.Read16(0x300A));
        Assert.Equal(0, _machine.Read16(0x300C));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Save_and_restore_carry_the_whole_unit(bool narrow)
    {
        Step(a =>
        {
            a.fldpi();
            a.fldl2e();
            a.fdecstp();
        }, 3);
        State->FpuControl = 0xC7F;
        byte[] before = new Span<byte>(State->Fpr, 128).ToArray();
        ushort tags = State->FpuTag, status = State->FpuStatus;
        byte[] prefix = narrow ? [0x66] : [];
        _machine.Load(TestMachine.CodeAt, [.. prefix, 0xDD, 0x35, 0, 0x50, 0, 0, .. prefix, 0xDD, 0x25, 0, 0x50, 0, 0]);
        State->Rip = TestMachine.CodeAt;
        _machine.Cpu.StepOne();
        Assert.Equal(0xFFFF, State->FpuTag);
        Assert.Equal(0x37F, State->FpuControl);
        new Span<byte>(State->Fpr, 128).Clear();
        _machine.Cpu.StepOne();
        Assert.Equal(tags, State->FpuTag);
        Assert.Equal(status, State->FpuStatus);
        Assert.Equal(0xC7F, State->FpuControl);
        Assert.Equal(before, new Span<byte>(State->Fpr, 128).ToArray());
    }

    [Fact]
    public void Stored_tags_tell_zero_special_and_empty()
    {
        _machine.Write(Data + 0x40, 0x7F800000u);
        Step(a =>
        {
            a.fldz();
            a.fld1();
            a.fld(__dword_ptr[Data + 0x40]);
            a.fnstenv(__[Data]);
        }, 4);
        Assert.Equal(0x4BFF, _machine.Read16(Data + 8));
    }

    [Fact]
    public void Fxsave_and_fxrstor_carry_x87_and_xmm()
    {
        State->Cr4 |= ControlRegisters.Cr4OSFXSR;
        State->Mxcsr = 0x1FA0;
        for (int i = 0; i < 16; i++)
            State->Xmm[i] = 0x1111111111111111ul * (ulong)i;
        Step(a =>
        {
            a.fldpi();
            a.fxsave(__[Data]);
        }, 2);
        Assert.Equal(0x80, _machine.Read16(Data + 4));
        Assert.Equal(0x4000, _machine.Read16(Data + 40));
        Assert.Equal(0x1FA0u, _machine.Read32(Data + 24));
        Assert.Equal(0xFFFFu, _machine.Read32(Data + 28));
        Assert.Equal(0xFFFFFFFFFFFFFFFFul, _machine.Read64(Data + 160 + 120));
        State->FpuTag = 0xFFFF;
        State->Mxcsr = 0;
        State->Xmm[15] = 0;
        Step(a => a.fxrstor(__[Data]));
        Assert.Equal(0x3FFF, State->FpuTag);
        Assert.Equal(0x1FA0u, State->Mxcsr);
        Assert.Equal(0xFFFFFFFFFFFFFFFFul, State->Xmm[15]);
    }

    [Fact]
    public void Fxsave_needs_alignment_and_fxrstor_a_valid_mxcsr()
    {
        Fault(Vectors.GP, 0x0F, 0xAE, 0x05, 0x08, 0x50, 0, 0);
        _machine.SetUpProtected();
        _machine.Write(Data + 24, 0x10000u);
        Fault(Vectors.GP, 0x0F, 0xAE, 0x0D, 0x00, 0x50, 0, 0);
    }

    [Fact]
    public void Store_to_a_bad_address_leaves_the_unit_alone()
    {
        _machine.EnablePaging();
        _machine.MapPage(0x6000, 0, 0);
        Step(a => a.fldpi());
        ushort status = State->FpuStatus, tags = State->FpuTag;
        Fault(Vectors.PF, 0xDB, 0x3D, 0xFA, 0x5F, 0, 0);
        Assert.Equal(status, State->FpuStatus);
        Assert.Equal(tags, State->FpuTag);
        Assert.Equal(0u, _machine.Read32(0x5FFA));
        Fault(Vectors.PF, 0xDD, 0x35, 0xC0, 0x5F, 0, 0);
        Assert.Equal(tags, State->FpuTag);
        Assert.Equal(0u, _machine.Read32(0x5FC0));
    }
}
