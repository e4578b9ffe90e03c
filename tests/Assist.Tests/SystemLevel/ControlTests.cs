using Farm.Assist.Cpu;
using Iced.Intel;
using static Farm.Assist.Tests.SystemLevel.ProtectedMachine;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.SystemLevel;

public sealed unsafe class ControlTests : IDisposable
{
    private const uint PE = ControlRegisters.Cr0PE, PG = ControlRegisters.Cr0PG;
    private readonly ProtectedMachine _machine = new();

    public void Dispose() => _machine.Dispose();

    [Theory]
    [InlineData(PG)] // paging without protection
    [InlineData(PE | ControlRegisters.Cr0NW)] // not write-through without cache disable
    public void Invalid_CR0_raises_gp(uint value)
    {
        _machine.State->Gpr[0] = value;
        ulong before = _machine.State->Cr0;
        _machine.Code(32, a => a.mov(cr0, eax));
        Assert.Equal(0u, _machine.StepToFault(Vectors.GP));
        Assert.Equal(before, _machine.State->Cr0);
    }

    [Fact]
    public void CR0_ignores_reserved_bits_and_keeps_ET()
    {
        _machine.State->Gpr[0] = PE | 0x100;
        _machine.Code(32, a => a.mov(cr0, eax));
        _machine.Step();
        Assert.Equal(PE | ControlRegisters.Cr0ET, _machine.State->Cr0);
    }

    [Fact]
    public void Lmsw_sets_PE_but_does_not_clear_it()
    {
        _machine.State->Gpr[0] = ControlRegisters.Cr0TS;
        _machine.Code(32, a => a.lmsw(ax));
        _machine.Step();
        Assert.Equal(PE | ControlRegisters.Cr0TS | ControlRegisters.Cr0ET, _machine.State->Cr0);
    }

    [Fact]
    public void Smsw_stores_all_of_CR0_in_a_register_and_a_word_in_memory()
    {
        _machine.EnablePaging();
        _machine.Code(32, a =>
        {
            a.smsw(eax);
            a.smsw(__word_ptr[0x5000]);
        });
        _machine.Write32(0x5000, 0xFFFFFFFF);
        _machine.Step(2);
        Assert.Equal((uint)_machine.State->Cr0, _machine.State->Gpr[0]);
        Assert.Equal(0xFFFF0011u, _machine.Read32(0x5000));
    }

    [Theory]
    [InlineData("smsw")]
    [InlineData("sgdt")]
    [InlineData("sidt")]
    [InlineData("sldt")]
    [InlineData("str")]
    public void UMIP_forbids_reading_system_registers_outside_ring_0(string mnemonic)
    {
        _machine.State->Cr4 = ControlRegisters.Cr4UMIP;
        _machine.Ring(3);
        _machine.Code(32, a =>
        {
            switch (mnemonic)
            {
                case "smsw": a.smsw(eax); break;
                case "sgdt": a.sgdt(__[0x5000]); break;
                case "sidt": a.sidt(__[0x5000]); break;
                case "sldt": a.sldt(eax); break;
                default: a.str(eax); break;
            }
        });
        Assert.Equal(0u, _machine.StepToFault(Vectors.GP));
    }

    [Fact]
    public void Lgdt_takes_24_bits_with_a_word_operand_and_sgdt_stores_32()
    {
        _machine.Write16(0x5000, 0x1234);
        _machine.Write32(0x5002, 0x87654321);
        _machine.Code(32, a =>
        {
            a.lidt(__[0x5000]);
            a.sidt(__[0x5010]);
        });
        _machine.Step(2);
        Assert.Equal(0x87654321u, _machine.State->Idtr.Base);
        Assert.Equal(0x87654321u, _machine.Read32(0x5012));
        Assert.Equal(0x1234, _machine.Read16(0x5010));
        _machine.Code(0x66, 0x0F, 0x01, 0x1D, 0x00, 0x50, 0x00, 0x00);
        _machine.Step();
        Assert.Equal(0x654321u, _machine.State->Idtr.Base);
    }

    [Theory]
    [InlineData("cr0")]
    [InlineData("dr7")]
    [InlineData("clts")]
    [InlineData("hlt")]
    [InlineData("lgdt")]
    [InlineData("invlpg")]
    [InlineData("wbinvd")]
    [InlineData("wrmsr")]
    [InlineData("lmsw")]
    public void Privileged_instructions_fault_outside_ring_0(string what)
    {
        _machine.Ring(1);
        _machine.State->Rflags |= 0x3000;
        _machine.Code(32, a =>
        {
            switch (what)
            {
                case "cr0": a.mov(eax, cr0); break;
                case "dr7": a.mov(eax, dr7); break;
                case "clts": a.clts(); break;
                case "hlt": a.hlt(); break;
                case "lgdt": a.lgdt(__[0x5000]); break;
                case "invlpg": a.invlpg(__[0x5000]); break;
                case "wbinvd": a.wbinvd(); break;
                case "wrmsr": a.wrmsr(); break;
                default: a.lmsw(ax); break;
            }
        });
        Assert.Equal(0u, _machine.StepToFault(Vectors.GP));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(8)]
    public void Control_registers_that_do_not_exist_are_undefined(int number)
    {
        _machine.Code(number == 8 ? [0xF0, 0x0F, 0x20, 0xC0] : [0x0F, 0x20, (byte)(0xC0 | (number << 3))]);
        _machine.StepToFault(Vectors.UD);
    }

    [Theory]
    [InlineData("486", ControlRegisters.Cr4PSE, false)]
    [InlineData("486", ControlRegisters.Cr4VME, true)]
    [InlineData("pentium", ControlRegisters.Cr4PAE, false)]
    [InlineData("p3", ControlRegisters.Cr4PAE | ControlRegisters.Cr4OSFXSR, true)]
    [InlineData("p3", 0x800000u, false)]
    public void CR4_bits_that_the_model_lacks_are_reserved(string model, uint value, bool allowed)
    {
        using var machine = new ProtectedMachine(CpuModel.Find(model));
        machine.State->Gpr[0] = value;
        machine.Code(32, a => a.mov(cr4, eax));
        if (allowed)
        {
            machine.Step();
            Assert.Equal(value, machine.State->Cr4);
        }
        else
        {
            Assert.Equal(0u, machine.StepToFault(Vectors.GP));
        }
    }

    [Fact]
    public void PAE_pointers_with_reserved_bits_fault_before_paging_is_on()
    {
        _machine.State->Cr4 = ControlRegisters.Cr4PAE;
        _machine.State->Cr3 = 0x60000;
        _machine.Write64(0x60000, 0x61000 | 1 | 2);
        _machine.State->Gpr[0] = PE | PG;
        _machine.Code(32, a => a.mov(cr0, eax));
        Assert.Equal(0u, _machine.StepToFault(Vectors.GP));
        Assert.Equal(0u, _machine.State->Cr0 & PG);
    }

    [Fact]
    public void Debug_registers_4_and_5_are_6_and_7_unless_DE()
    {
        _machine.State->Gpr[0] = 0xFFFFFFFF;
        _machine.State->Gpr[1] = 0;
        _machine.Code(0x0F, 0x23, 0xE0, 0x0F, 0x21, 0xF1);
        _machine.Step(2);
        Assert.Equal(0xFFFFEFFFu, _machine.State->Gpr[1]);
        _machine.State->Cr4 = ControlRegisters.Cr4DE;
        _machine.Code(0x0F, 0x21, 0xE0);
        _machine.StepToFault(Vectors.UD);
    }

    [Fact]
    public void General_detect_raises_a_debug_fault_once()
    {
        _machine.State->Dr[7] = 0x2400;
        _machine.Code(32, a => a.mov(dr0, eax));
        _machine.StepToFault(Vectors.DB);
        Assert.Equal(0x2000u, _machine.State->Dr[6] & 0x2000);
        Assert.Equal(0x400u, _machine.State->Dr[7]);
        Assert.Equal(0u, _machine.State->Dr[0]);
    }

    [Fact]
    public void Unknown_msr_raises_gp_and_known_ones_read_back()
    {
        _machine.State->Gpr[1] = 0x12345;
        _machine.Code(32, a => a.rdmsr());
        Assert.Equal(0u, _machine.StepToFault(Vectors.GP));
        foreach (uint index in new uint[] { 0x174, 0x175, 0x176, 0x2FF, 0x8B })
        {
            _machine.Cpu.WriteMsr(index, 0xC00);
            Assert.Equal(0xC00u, _machine.Cpu.ReadMsr(index));
        }
    }

    [Fact]
    public void Pat_and_mtrr_default_refuse_memory_types_that_do_not_exist()
    {
        Assert.Throws<GuestFault>(() => _machine.Cpu.WriteMsr(0x277, 2));
        Assert.Throws<GuestFault>(() => _machine.Cpu.WriteMsr(0x2FF, 3));
        Assert.Throws<GuestFault>(() => _machine.Cpu.WriteMsr(0x250, 7));
        Assert.Throws<GuestFault>(() => _machine.Cpu.WriteMsr(0x200, 0x100));
        Assert.Throws<GuestFault>(() => _machine.Cpu.WriteMsr(0x201, 0x400));
        Assert.Throws<GuestFault>(() => _machine.Cpu.WriteMsr(0xC0000080, 0x8000));
    }

    [Fact]
    public void Time_stamp_counts_instructions_and_can_be_written()
    {
        _machine.Cpu.WriteMsr(0x10, 1000);
        _machine.Code(0x9C, 0x9C, 0x0F, 0x31);
        _machine.Step(3);
        Assert.Equal(1002u, _machine.State->Gpr[0]);
        _machine.State->Cr4 = ControlRegisters.Cr4TSD;
        _machine.Ring(3);
        _machine.Code(0x0F, 0x31);
        Assert.Equal(0u, _machine.StepToFault(Vectors.GP));
    }

    [Theory]
    [InlineData("486")]
    [InlineData("pentium")]
    [InlineData("p3")]
    [InlineData("x86-64")]
    public void Cpuid_tells_the_model(string name)
    {
        CpuModel model = CpuModel.Find(name)!;
        using var machine = new ProtectedMachine(model);
        machine.State->Gpr[0] = 0;
        machine.Code(0x0F, 0xA2, 0x0F, 0xA2);
        machine.Step();
        Assert.Equal(model.MaxLeaf, machine.State->Gpr[0]);
        Assert.Equal(0x756E6547u, machine.State->Gpr[3]);
        machine.State->Gpr[0] = 1;
        machine.Step();
        Assert.Equal(model.Signature, machine.State->Gpr[0]);
        Assert.Equal((uint)model.Features & ~(uint)CpuFeatures.Apic, machine.State->Gpr[2]);
    }

    [Theory]
    [InlineData(0x93u, 0, true, 0x9300u)]
    [InlineData(0x40B3u, 3, false, 0u)] // RPL above DPL
    [InlineData(0x409Fu, 3, true, 0x409F00u)] // conforming
    [InlineData(0x89u, 0, true, 0x8900u)]
    [InlineData(0x8Cu, 0, true, 0x8C00u)]
    [InlineData(0x8Eu, 0, false, 0u)] // an interrupt gate has no rights to load
    [InlineData(0x80u, 0, false, 0u)]
    public void Lar_answers_in_ZF(uint access, int rpl, bool found, uint rights)
    {
        _machine.Describe(Free, 0, 0, access);
        _machine.State->Gpr[1] = (uint)(Free | rpl);
        _machine.State->Gpr[0] = 0;
        _machine.Code(32, a => a.lar(eax, ecx));
        _machine.Step();
        Assert.Equal(found, _machine.Cpu.Zf);
        Assert.Equal(rights, _machine.State->Gpr[0]);
    }

    [Fact]
    public void Lsl_scales_by_granularity_and_leaves_gates_out()
    {
        _machine.State->Gpr[1] = Code0;
        _machine.Code(32, a => a.lsl(eax, ecx));
        _machine.Step();
        Assert.Equal(0xFFFFFFFFu, _machine.State->Gpr[0]);
        _machine.GdtGate(Free, Code0, 0, 0x8C);
        _machine.State->Gpr[1] = Free;
        _machine.Code(32, a => a.lsl(eax, ecx));
        _machine.Step();
        Assert.False(_machine.Cpu.Zf);
    }

    [Theory]
    [InlineData(0x93u, true, true)]
    [InlineData(0x91u, true, false)]
    [InlineData(0x9Bu, true, false)]
    [InlineData(0x99u, false, false)]
    [InlineData(0x89u, false, false)]
    [InlineData(0x13u, true, true)] // presence is not asked
    public void Verr_and_verw_answer_in_ZF(uint access, bool readable, bool writable)
    {
        _machine.Describe(Free, 0, 0, access);
        _machine.State->Gpr[0] = Free;
        _machine.Code(32, a =>
        {
            a.verr(ax);
            a.verw(ax);
        });
        _machine.Step();
        Assert.Equal(readable, _machine.Cpu.Zf);
        _machine.Step();
        Assert.Equal(writable, _machine.Cpu.Zf);
    }

    [Fact]
    public void Arpl_raises_the_RPL()
    {
        _machine.State->Gpr[0] = 0x10;
        _machine.State->Gpr[1] = 3;
        _machine.Code(0x63, 0xC8, 0x63, 0xC8);
        _machine.Step();
        Assert.True(_machine.Cpu.Zf);
        Assert.Equal(0x13u, _machine.State->Gpr[0]);
        _machine.Step();
        Assert.False(_machine.Cpu.Zf);
    }

    [Theory]
    [InlineData(0x0F, 0x00, 0xC0)] // SLDT
    [InlineData(0x0F, 0x02, 0xC0)] // LAR
    [InlineData(0x63, 0xC0, 0x90)] // ARPL
    public void Protected_mode_instructions_are_undefined_outside_it(byte first, byte second, byte third)
    {
        _machine.EnterVirtual8086(3);
        _machine.Code(first, second, third);
        _machine.StepToFault(Vectors.UD);
    }

    [Theory]
    [InlineData(0x0F, 0xAA)] // RSM
    [InlineData(0x0F, 0x05)] // LOADALL of the 286; SYSCALL outside 64-bit mode
    [InlineData(0x0F, 0x07)] // LOADALL of the 386
    public void Undefined_opcodes_are_undefined(byte first, byte second)
    {
        _machine.Code(first, second);
        _machine.StepToFault(Vectors.UD);
    }
}
