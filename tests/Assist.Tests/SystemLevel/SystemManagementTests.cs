using Farm.Assist.Cpu;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.SystemLevel;

/// <summary>SMI, the save area and RSM (SDM vol. 3, chapter 32; AMD APM vol. 2, chapter 10).</summary>
public sealed unsafe class SystemManagementTests
{
    private const uint Smbase = 0x40000;

    private static TestMachine Machine(CpuModel model, Mode mode)
    {
        var machine = new TestMachine(model);
        switch (mode)
        {
            case Mode.Protected:
                machine.SetUpProtected();
                break;
            case Mode.Vm86:
                machine.SetUpVm86();
                break;
            case Mode.Long:
                machine.SetUpLong();
                break;
            default:
                machine.SetUpReal();
                machine.State->Ldtr.Access = 0x82;
                machine.State->Tr.Access = 0x8B;
                break;
        }
        machine.State->Smbase = Smbase;
        for (int i = 0; i < 16; i++)
        {
            if (i != 4)
                machine.State->Gpr[i] = mode == Mode.Long ? 0x1122334455667700ul + (ulong)i : i < 8 ? 0x55667700ul + (ulong)i : 0;
        }
        return machine;
    }

    /// <summary>The handler at SMBASE + 8000h: 16-bit code.</summary>
    private static void Handler(TestMachine machine, Action<Assembler> code, uint smbase = Smbase) =>
        machine.Assemble(code, smbase + 0x8000, bits: 16, ip: 0x8000);

    private static void Rsm(Assembler a) => a.rsm();

    public enum Mode
    {
        Real,
        Protected,
        Vm86,
        Long,
    }

    [Theory]
    [InlineData("pentium", Mode.Real)]
    [InlineData("p3", Mode.Protected)]
    [InlineData("p3", Mode.Vm86)]
    [InlineData("x86-64", Mode.Real)]
    [InlineData("x86-64", Mode.Protected)]
    [InlineData("x86-64", Mode.Long)]
    public void Rsm_brings_back_everything_that_the_handler_destroys(string model, Mode mode)
    {
        using TestMachine machine = Machine(CpuModel.Find(model)!, mode);
        machine.Assemble(a => a.nop());
        machine.State->Rflags |= Eflags.CF | Eflags.SF | Eflags.IF;
        machine.State->Fs.Base = 0x12340;
        machine.State->Dr[7] = 0x700;
        Handler(machine, a =>
        {
            a.xor(eax, eax);
            a.mov(ds, ax);
            a.mov(fs, ax);
            a.mov(ebx, eax);
            a.mov(esp, 0x7000);
            a.mov(dr7, eax);
            a.push(ax);
            a.rsm();
        });
        CpuState before = *machine.State;
        machine.Cpu.PendSmi();
        machine.Cpu.Run(8);
        Assert.Equal(1ul, machine.Cpu.SmiCount);
        CpuState after = *machine.State;
        (after.LazyResult, after.LazyCarries) = (before.LazyResult, before.LazyCarries);
        Assert.False(after.InSystemManagement);
        Assert.True(new ReadOnlySpan<byte>(&before, sizeof(CpuState)).SequenceEqual(new ReadOnlySpan<byte>(&after, sizeof(CpuState))));
    }

    [Fact]
    public void The_handler_begins_in_a_flat_real_mode_with_everything_off()
    {
        using TestMachine machine = Machine(CpuModel.P3, Mode.Protected);
        machine.EnablePaging();
        machine.State->Rflags |= Eflags.IF | Eflags.TF;
        machine.State->Cr0 |= ControlRegisters.Cr0TS | ControlRegisters.Cr0NE;
        Handler(machine, a => a.mov(eax, __dword_ptr[eax + 0x100000]));
        machine.Cpu.PendSmi();
        machine.Cpu.Run(0);
        machine.Cpu.StepOne();
        Assert.Equal(Smbase >> 4, machine.State->Cs.Selector);
        Assert.Equal(Smbase, machine.State->Cs.Base);
        Assert.Equal(0x8000ul, machine.State->Rip & ~0xFul);
        Assert.Equal(uint.MaxValue, machine.State->Ds.Limit);
        Assert.Equal(ControlRegisters.Cr0ET | ControlRegisters.Cr0NE | ControlRegisters.Cr0WP, (uint)machine.State->Cr0);
        Assert.Equal(0ul, machine.State->Cr4);
        Assert.Equal(2ul, machine.State->Rflags);
        Assert.Equal(0x400ul, machine.State->Dr[7]);
    }

    // SDM vol. 3, table 32-1; APM vol. 2, table 10-1.
    [Theory]
    [InlineData("p3", 0xFEFCu, 0x20000u, 0xFEF8u, 0xFFD0u, 0xFFF0u, 0xFFF4u)]
    [InlineData("x86-64", 0xFEFCu, 0x20064u, 0xFF00u, 0xFFF8u, 0xFF78u, 0xFF70u)]
    public void The_save_area_has_the_documented_places(string model, uint revisionAt, uint revision, uint smbaseAt, uint raxAt, uint ripAt, uint flagsAt)
    {
        using TestMachine machine = Machine(CpuModel.Find(model)!, Mode.Protected);
        Handler(machine, a => a.nop());
        ulong rip = machine.State->Rip;
        machine.Cpu.PendSmi();
        machine.Cpu.StepOne();
        Assert.Equal(revision, machine.Read32(Smbase + revisionAt));
        Assert.Equal(Smbase, machine.Read32(Smbase + smbaseAt));
        Assert.Equal(0x55667700u, machine.Read32(Smbase + raxAt));
        Assert.Equal((uint)rip, machine.Read32(Smbase + ripAt));
        Assert.Equal(2u, machine.Read32(Smbase + flagsAt));
    }

    [Theory]
    [InlineData("p3", 0xFEF8)]
    [InlineData("x86-64", 0xFF00)]
    public void The_handler_moves_SMBASE_for_the_next_time(string model, int smbaseAt)
    {
        using TestMachine machine = Machine(CpuModel.Find(model)!, Mode.Real);
        machine.State->Smbase = X86Cpu.InitialSmbase;
        machine.Assemble(a =>
        {
            for (int i = 0; i < 8; i++)
                a.nop();
        });
        Handler(machine, a =>
        {
            a.mov(eax, Smbase);
            a.mov(__dword_ptr.cs[smbaseAt], eax);
            a.rsm();
        }, X86Cpu.InitialSmbase);
        Handler(machine, a =>
        {
            a.mov(__dword_ptr[0x5000], 0x1234);
            a.rsm();
        });
        machine.Cpu.PendSmi();
        machine.Cpu.Run(4);
        Assert.Equal(Smbase, machine.State->Smbase);
        machine.Cpu.PendSmi();
        machine.Cpu.Run(3);
        Assert.Equal(0x1234u, machine.Read32(0x5000));
    }

    [Fact]
    public void Rsm_is_undefined_elsewhere()
    {
        using TestMachine machine = Machine(CpuModel.P3, Mode.Protected);
        machine.Assemble(Rsm);
        machine.Cpu.StepOne();
        Assert.Equal(Vectors.UD, machine.Cpu.LastFault.Vector);
    }

    [Fact]
    public void Interrupts_and_another_smi_wait_for_rsm()
    {
        using TestMachine machine = Machine(CpuModel.P3, Mode.Real);
        machine.State->Rflags |= Eflags.IF;
        machine.SetVector(2, 0x2000, 0);
        machine.Load(0x20000, 0xF4);
        machine.SetVector(0x20, 0x2000, 0x10);
        machine.Load(0x20010, 0xF4);
        Handler(machine, a =>
        {
            a.nop();
            a.rsm();
        });
        machine.Cpu.PendSmi();
        machine.Cpu.StepOne();
        machine.Cpu.InterruptLine = true;
        machine.Cpu.PendNmi();
        machine.Cpu.PendSmi();
        machine.Cpu.StepOne();
        Assert.Equal(1ul, machine.Cpu.SmiCount);
        machine.Cpu.Run(3);
        Assert.Equal(2ul, machine.Cpu.SmiCount);
        Assert.Equal(0x20000ul, machine.State->Cs.Base);
    }

    [Fact]
    public void A_reset_forgets_what_was_latched()
    {
        using TestMachine machine = Machine(CpuModel.P3, Mode.Real);
        machine.Assemble(a => a.nop());
        machine.Cpu.PendSmi();
        machine.Cpu.PendNmi();
        machine.Cpu.ForgetEvents();
        machine.Cpu.StepOne();
        Assert.Equal(0ul, machine.Cpu.SmiCount);
        Assert.Equal(1ul, machine.State->Rip);
    }

    // SDM vol. 3, 32.10.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Halt_is_resumed_unless_the_handler_says_otherwise(bool keep)
    {
        using TestMachine machine = Machine(CpuModel.P3, Mode.Real);
        machine.State->Rflags |= Eflags.IF;
        machine.Assemble(a =>
        {
            a.hlt();
            a.mov(__word_ptr[0x5000], 1);
            a.hlt();
        });
        Handler(machine, a =>
        {
            if (!keep)
                a.mov(__word_ptr.cs[0xFF02], 0);
            a.rsm();
        });
        Assert.Equal(StopReason.Halted, machine.Cpu.Run(10));
        machine.Cpu.PendSmi();
        Assert.Equal(StopReason.Halted, machine.Cpu.Run(10));
        Assert.Equal(1ul, machine.Cpu.SmiCount);
        Assert.Equal(keep ? 0 : 1, machine.Read16(0x5000));
    }

    // SDM vol. 3, 32.3.2.
    [Fact]
    public void Rsm_to_an_impossible_state_shuts_down()
    {
        using TestMachine machine = Machine(CpuModel.P3, Mode.Real);
        Handler(machine, a =>
        {
            a.mov(__dword_ptr.cs[0xFFFC], unchecked((int)ControlRegisters.Cr0PG));
            a.rsm();
        });
        machine.Cpu.PendSmi();
        Assert.Equal(StopReason.Shutdown, machine.Cpu.Run(10));
    }
}
