using Farm.Assist.Cpu;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.Cpu;

/// <summary>What becomes of a fault during the delivery of another (SDM vol. 3, table 6-5).</summary>
public unsafe class EscalationTests
{
    /// <summary>Protected mode; handler of vector n HLTs at 20000h + 16n. Vectors in <paramref name="absent"/> have a gate that is not present (#NP on use).</summary>
    private static TestMachine Build(params int[] absent)
    {
        var machine = new TestMachine();
        machine.SetUpProtected();
        for (int vector = 0; vector < 32; vector++)
        {
            ulong handler = 0x20000 + ((ulong)vector * 16);
            machine.Load(handler, 0xF4);
            machine.SetGate(vector, handler, type: absent.Contains(vector) ? 0x0E : 0x8E);
        }
        return machine;
    }

    private static int Handler(TestMachine machine) => (int)(machine.State->Rip - 0x20000) / 16;

    [Fact]
    public void A_benign_first_fault_is_followed_by_the_second()
    {
        using TestMachine machine = Build(absent: Vectors.UD);
        machine.Assemble(a => a.ud2());
        Assert.Equal(StopReason.Halted, machine.Cpu.Run(100));
        Assert.Equal(Vectors.NP, Handler(machine));
        Assert.Equal((uint)((Vectors.UD * 8) | 3), machine.Read32(machine.State->Gpr[4]));
        Assert.Equal((uint)TestMachine.CodeAt, machine.Read32(machine.State->Gpr[4] + 4));
    }

    [Fact]
    public void Two_contributory_faults_make_a_double_fault_with_error_code_0()
    {
        using TestMachine machine = Build(absent: Vectors.DE);
        machine.Assemble(a => a.div(bl));
        Assert.Equal(StopReason.Halted, machine.Cpu.Run(100));
        Assert.Equal(Vectors.DF, Handler(machine));
        Assert.Equal(0u, machine.Read32(machine.State->Gpr[4]));
        Assert.Equal((uint)TestMachine.CodeAt, machine.Read32(machine.State->Gpr[4] + 4));
    }

    [Fact]
    public void A_page_fault_followed_by_a_contributory_fault_makes_a_double_fault()
    {
        using TestMachine machine = Build(absent: Vectors.PF);
        machine.EnablePaging();
        machine.MapPage(0x50000, 0, 0);
        machine.Assemble(a => a.mov(al, __byte_ptr[0x50000]));
        Assert.Equal(StopReason.Halted, machine.Cpu.Run(100));
        Assert.Equal(Vectors.DF, Handler(machine));
    }

    [Fact]
    public void A_contributory_fault_followed_by_a_page_fault_is_delivered_as_the_page_fault()
    {
        using TestMachine machine = Build();
        machine.State->Idtr.Base = 0x60FA8;
        machine.EnablePaging();

        // The gates of vectors up to #DF lie in an absent page, that of #PF behind it does not: only #PF can be delivered.
        machine.Ram.Slice((int)TestMachine.IdtAt, 0x100).CopyTo(machine.Ram[0x60FA8..]);
        machine.MapPage(0x60000, 0, 0);
        machine.Assemble(a => a.div(bl));
        Assert.Equal(StopReason.Halted, machine.Cpu.Run(100));
        Assert.Equal(Vectors.PF, Handler(machine));
        Assert.Equal(0x60FA8ul, machine.State->Cr2);
    }

    [Fact]
    public void A_fault_on_the_way_to_the_double_fault_handler_shuts_down()
    {
        using TestMachine machine = Build(Vectors.DE, Vectors.DF);
        machine.Assemble(a => a.div(bl));
        Assert.Equal(StopReason.Shutdown, machine.Cpu.Run(100));
        Assert.Equal(TestMachine.CodeAt, machine.State->Rip);
        machine.Cpu.InterruptLine = true;
        machine.Cpu.PendNmi();
        Assert.Equal(StopReason.Shutdown, machine.Cpu.Run(100));
    }

    [Fact]
    public void A_fault_in_the_delivery_of_an_external_interrupt_is_a_first_fault()
    {
        using TestMachine machine = Build();
        machine.InterruptVector = 0x30;
        machine.State->Rflags |= Eflags.IF;
        machine.Assemble(a => a.nop());
        machine.Cpu.InterruptLine = true;
        Assert.Equal(StopReason.Halted, machine.Cpu.Run(100));
        Assert.Equal(Vectors.GP, Handler(machine));
        Assert.Equal((0x30u * 8) | 3, machine.Read32(machine.State->Gpr[4]));
        Assert.Equal((uint)TestMachine.CodeAt, machine.Read32(machine.State->Gpr[4] + 4));
    }

    [Fact]
    public void A_fault_leaves_no_register_of_its_instruction_changed()
    {
        using TestMachine machine = Build();
        machine.EnablePaging();
        machine.MapPage(0x50000, 0, 0);
        machine.State->Gpr[0] = 0x1234;
        machine.State->Gpr[4] = 0x50002;
        machine.State->Rflags |= Eflags.CF;
        machine.Assemble(a => a.adc(__dword_ptr[0x50000], eax));
        machine.State->Gpr[4] = TestMachine.StackTop;
        machine.Cpu.Run(1);
        Assert.Equal(0x1234ul, machine.State->Gpr[0]);
        Assert.Equal(Eflags.CF, machine.Cpu.ArithmeticFlags);
        Assert.Equal((Vectors.PF, 2u), machine.Cpu.LastFault);
    }

    [Fact]
    public void A_repeated_move_stops_at_the_faulting_element_with_its_progress_kept()
    {
        using TestMachine machine = Build();
        machine.EnablePaging();
        machine.MapPage(0x51000, 0, 0);
        machine.State->Gpr[1] = 0x20;
        machine.State->Gpr[6] = 0x40000;
        machine.State->Gpr[7] = 0x50FF0;
        machine.Assemble(a => a.rep.movsb());
        Assert.Equal(StopReason.Halted, machine.Cpu.Run(100));
        Assert.Equal(Vectors.PF, Handler(machine));
        Assert.Equal(0x10ul, machine.State->Gpr[1]);
        Assert.Equal(0x51000ul, machine.State->Gpr[7]);
        Assert.Equal(0x40010ul, machine.State->Gpr[6]);
        Assert.Equal((uint)TestMachine.CodeAt, machine.Read32(machine.State->Gpr[4] + 4));
        Assert.NotEqual(0u, machine.Read32(machine.State->Gpr[4] + 12) & Eflags.RF);
    }
}
