using Farm.Assist.Cpu;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.Fpu;

/// <summary>Availability, alignment, the passage between x87 and MMX, and unmasked exceptions.</summary>
public sealed unsafe class SimdStateTests : IDisposable
{
    private const uint Handler = 0x20000, Data = 0x5000;
    private const uint OneSingle = 0x3F800000, MaxSingle = 0x7F7FFFFF, MinSingle = 0x00800000, ThreeSingle = 0x40400000;
    private readonly TestMachine _machine = new();

    public SimdStateTests()
    {
        _machine.SetUpProtected();
        State->Cr4 |= ControlRegisters.Cr4OSFXSR | ControlRegisters.Cr4OSXMMEXCPT;
    }

    public void Dispose() => _machine.Dispose();

    private CpuState* State => _machine.State;

    private uint* Xmm(int index) => (uint*)(State->Xmm + (index * 2));

    private ulong Step(Action<Assembler> code, int count = 1)
    {
        State->Rip = TestMachine.CodeAt;
        ulong end = _machine.Assemble(code);
        for (int i = 0; i < count; i++)
            _machine.Cpu.StepOne();
        return end;
    }

    private void Fault(byte vector, Action<Assembler> code)
    {
        _machine.SetGate(vector, Handler);
        Step(code);
        Assert.Equal(Handler, State->Rip);
    }

    [Fact]
    public void Sse_needs_OSFXSR_and_no_EM()
    {
        State->Cr4 &= ~(ulong)ControlRegisters.Cr4OSFXSR;
        Fault(Vectors.UD, a => a.addps(xmm0, xmm1));
        _machine.SetUpProtected();
        State->Cr4 |= ControlRegisters.Cr4OSFXSR;
        State->Cr0 |= ControlRegisters.Cr0EM;
        Fault(Vectors.UD, a => a.addps(xmm0, xmm1));
        State->Cr0 = (State->Cr0 & ~(ulong)ControlRegisters.Cr0EM) | ControlRegisters.Cr0TS;
        Fault(Vectors.NM, a => a.addps(xmm0, xmm1));
    }

    [Fact]
    public void Mmx_needs_no_OSFXSR_but_no_EM_and_TS()
    {
        State->Cr4 = 0;
        ulong end = Step(a => a.paddb(mm0, mm1));
        Assert.Equal(end, State->Rip);
        State->Cr0 |= ControlRegisters.Cr0TS;
        Fault(Vectors.NM, a => a.paddb(mm0, mm1));
        State->Cr0 |= ControlRegisters.Cr0EM;
        Fault(Vectors.UD, a => a.paddb(mm0, mm1));
    }

    [Fact]
    public void Mmx_waits_for_a_pending_x87_exception()
    {
        State->Cr0 |= ControlRegisters.Cr0NE;
        State->FpuStatus = 0x8084;
        Fault(Vectors.MF, a => a.emms());
    }

    [Fact]
    public void Unaligned_operand_raises_gp()
    {
        Fault(Vectors.GP, a => a.movaps(xmm0, __xmmword_ptr[Data + 8]));
        ulong end = Step(a => a.movups(xmm0, __xmmword_ptr[Data + 8]));
        Assert.Equal(end, State->Rip);
    }

    [Fact]
    public void Mmx_write_fills_the_exponent_and_marks_every_register_valid()
    {
        State->FpuStatus = 0x2800;
        State->Gpr[0] = 0x12345678;
        Step(a => a.movd(mm3, eax));
        Assert.Equal(0x12345678ul, State->Fpr[6]);
        Assert.Equal(0xFFFFul, State->Fpr[7]);
        Assert.Equal(0, State->FpuTag);
        Assert.Equal(0, State->FpuStatus & 0x3800);
        Step(a => a.emms());
        Assert.Equal(0xFFFF, State->FpuTag);
    }

    [Fact]
    public void Unmasked_exception_raises_xm_and_keeps_the_result_back()
    {
        State->Mxcsr = 0x1F80 & ~0x1000u;
        Xmm(0)[0] = OneSingle;
        Xmm(1)[0] = ThreeSingle;
        Fault(Vectors.XM, a => a.divss(xmm0, xmm1));
        Assert.Equal(OneSingle, Xmm(0)[0]);
        Assert.Equal(0x20u, State->Mxcsr & 0x3F);
        Assert.Equal(TestMachine.CodeAt, _machine.Read32(State->Gpr[4]));
    }

    [Fact]
    public void Unmasked_exception_without_OSXMMEXCPT_is_undefined()
    {
        State->Cr4 &= ~(ulong)ControlRegisters.Cr4OSXMMEXCPT;
        State->Mxcsr = 0x1F80 & ~0x200u;
        Xmm(0)[0] = OneSingle;
        Xmm(1)[0] = 0;
        Fault(Vectors.UD, a => a.divss(xmm0, xmm1));
        Assert.Equal(4u, State->Mxcsr & 0x3F);
    }

    [Fact]
    public void Exceptions_known_before_the_computation_come_alone_from_all_lanes()
    {
        State->Mxcsr = 0x1F80 & ~0x200u;
        uint[] dividends = [OneSingle, MaxSingle, 1, OneSingle], divisors = [0, MinSingle, OneSingle, ThreeSingle];
        for (int i = 0; i < 4; i++)
        {
            Xmm(0)[i] = dividends[i];
            Xmm(1)[i] = divisors[i];
        }
        Fault(Vectors.XM, a => a.divps(xmm0, xmm1));
        Assert.Equal(6u, State->Mxcsr & 0x3F);
        Assert.Equal(OneSingle, Xmm(0)[3]);
    }

    [Fact]
    public void Exact_tiny_result_underflows_only_when_unmasked()
    {
        Xmm(0)[0] = MinSingle;
        Xmm(1)[0] = 0x3F000000;
        Step(a => a.mulss(xmm0, xmm1));
        Assert.Equal(MinSingle / 2, Xmm(0)[0]);
        Assert.Equal(0u, State->Mxcsr & 0x3F);
        State->Mxcsr = 0x1F80 & ~0x800u;
        Xmm(0)[0] = MinSingle;
        Fault(Vectors.XM, a => a.mulss(xmm0, xmm1));
        Assert.Equal(0x10u, State->Mxcsr & 0x3F);
    }

    [Fact]
    public void Ldmxcsr_refuses_reserved_bits()
    {
        _machine.Write(Data, 0x10000u);
        Fault(Vectors.GP, a => a.ldmxcsr(__dword_ptr[Data]));
        Assert.Equal(0x1F80u, State->Mxcsr);
    }

    [Fact]
    public void P3_has_no_SSE2_and_no_DAZ()
    {
        using var machine = new TestMachine(CpuModel.P3);
        machine.SetUpProtected();
        machine.State->Cr4 |= ControlRegisters.Cr4OSFXSR;
        machine.SetGate(Vectors.UD, Handler);
        machine.Assemble(a => a.addpd(xmm0, xmm1));
        machine.Cpu.StepOne();
        Assert.Equal(Handler, machine.State->Rip);
        machine.State->Rip = TestMachine.CodeAt;
        machine.SetGate(Vectors.GP, Handler + 0x100);
        machine.Write(Data, 0x1FC0u);
        machine.Assemble(a => a.ldmxcsr(__dword_ptr[Data]));
        machine.Cpu.StepOne();
        Assert.Equal(Handler + 0x100, machine.State->Rip);
    }

    [Fact]
    public void Masked_store_touches_only_the_chosen_bytes()
    {
        _machine.EnablePaging();
        _machine.MapPage(0x6000, 0, 0);
        _machine.Write(0x5FF8, 0x1111111111111111ul);
        State->Gpr[7] = 0x5FF8;
        State->Xmm[0] = 0x8877665544332211;
        State->Xmm[2] = 0x0000008000000080;
        ulong end = Step(a => a.maskmovdqu(xmm0, xmm1));
        Assert.Equal(end, State->Rip);
        Assert.Equal(0x1111115511111111ul & ~0xFFul | 0x11, _machine.Read64(0x5FF8));
        State->Xmm[3] = 0x80;
        Fault(Vectors.PF, a => a.maskmovdqu(xmm0, xmm1));
    }
}
