using Farm.Assist.Cpu;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.SystemLevel;

/// <summary>What the processor and its local APIC tell each other: IA32_APIC_BASE, CPUID, CR8.</summary>
public sealed unsafe class LocalApicTests : IDisposable
{
    private const uint ApicBaseMsr = 0x1B;
    private readonly TestMachine _machine = new();

    public LocalApicTests()
    {
        _machine.SetUpLong();
        _machine.State->ApicBase = 0xFEE00900;
    }

    public void Dispose() => _machine.Dispose();

    [Fact]
    public void CR8_is_the_upper_half_of_the_task_priority()
    {
        _machine.TaskPriority = 0x5F;
        _machine.Run(a =>
        {
            a.mov(rbx, cr8);
            a.mov(eax, 0x0A);
            a.mov(cr8, rax);
            a.hlt();
        });
        Assert.Equal(5ul, _machine.State->Gpr[3]);
        Assert.Equal(0xA0, _machine.TaskPriority);
    }

    [Fact]
    public void CR8_refuses_reserved_bits()
    {
        _machine.TaskPriority = 0x30;
        _machine.SetGate(Vectors.GP, 0x20000, TestMachine.Code64);
        _machine.State->Gpr[0] = 0x10;
        _machine.Assemble(a => a.mov(cr8, rax));
        _machine.Cpu.StepOne();
        Assert.Equal(0x20000ul, _machine.State->Rip);
        Assert.Equal(0x30, _machine.TaskPriority);
    }

    [Fact]
    public void Disable_reaches_the_APIC_and_takes_it_out_of_CPUID_and_the_bootstrap_bit_stays()
    {
        _machine.Run(a =>
        {
            a.mov(eax, 1);
            a.cpuid();
            a.mov(esi, edx);
            a.mov(ecx, ApicBaseMsr);
            a.mov(eax, 0xFEE00000);
            a.xor(edx, edx);
            a.wrmsr();
            a.mov(eax, 1);
            a.cpuid();
            a.hlt();
        });
        Assert.NotEqual(0ul, _machine.State->Gpr[6] & (ulong)CpuFeatures.Apic);
        Assert.Equal(0ul, _machine.State->Gpr[2] & (ulong)CpuFeatures.Apic);
        Assert.Equal(0xFEE00100ul, _machine.State->ApicBase);
        Assert.Equal(0xFEE00100ul, _machine.ApicBase);
    }

    [Theory]
    [InlineData(0xFEE00A00)] // reserved bit 9
    [InlineData(0xFEE00D00)] // x2APIC mode, which no model has
    public void Reserved_bits_of_the_base_raise_gp(uint value)
    {
        _machine.SetGate(Vectors.GP, 0x20000, TestMachine.Code64);
        (_machine.State->Gpr[0], _machine.State->Gpr[1], _machine.State->Gpr[2]) = (value, ApicBaseMsr, 0);
        _machine.Assemble(a => a.wrmsr());
        _machine.Cpu.StepOne();
        Assert.Equal(0x20000ul, _machine.State->Rip);
        Assert.Equal(0xFEE00900ul, _machine.State->ApicBase);
        Assert.Equal(0ul, _machine.ApicBase);
    }

    [Fact]
    public void A_model_without_an_APIC_has_no_base_register()
    {
        using var machine = new TestMachine(CpuModel.Pentium);
        machine.SetUpProtected();
        machine.SetGate(Vectors.GP, 0x20000);
        machine.State->Gpr[1] = ApicBaseMsr;
        machine.Assemble(a => a.rdmsr());
        machine.Cpu.StepOne();
        Assert.Equal(0x20000ul, machine.State->Rip);
    }
}
