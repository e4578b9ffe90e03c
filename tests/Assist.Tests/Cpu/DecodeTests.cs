using Farm.Assist.Cpu;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.Cpu;

public unsafe class DecodeTests
{
    private static (byte Vector, uint Error) FirstFault(TestMachine machine)
    {
        machine.Cpu.Run(1);
        Assert.Equal(1ul, machine.Cpu.FaultCount);
        return machine.Cpu.LastFault;
    }

    [Fact]
    public void Code_that_changes_the_next_instruction_runs_the_new_one()
    {
        using var machine = new TestMachine();
        machine.Assemble(a =>
        {
            a.mov(__byte_ptr.cs[6], 0x43);
            a.inc(ax);
            a.nop();
        });
        machine.Cpu.Run(2);
        Assert.Equal(0ul, machine.State->Gpr[0]);
        Assert.Equal(1ul, machine.State->Gpr[3]);
    }

    [Fact]
    public void A_loop_that_patches_its_own_immediate_sees_each_value()
    {
        using var machine = new TestMachine();
        machine.Assemble(a =>
        {
            Label top = a.CreateLabel();
            a.mov(cx, 50);
            a.Label(ref top);
            a.add(ax, 0x1111);
            a.inc(__word_ptr.cs[4]);
            a.dec(cx);
            a.jnz(top);
        });
        machine.Cpu.Run(201);
        int expected = Enumerable.Range(0, 50).Sum(i => 0x1111 + i);
        Assert.Equal((ushort)expected, (ushort)machine.State->Gpr[0]);
    }

    [Theory]
    [InlineData(0, 2)]
    [InlineData(1, 100)]
    public void Code_that_is_patched_is_decoded_again_only_when_its_bytes_change(int step, int least)
    {
        using var machine = new TestMachine();
        machine.State->Gpr[1] = 100;
        machine.Assemble(a =>
        {
            Label top = a.CreateLabel();
            Label patched = a.CreateLabel();
            a.Label(ref top);
            a.mov(__byte_ptr.cs[0x11], bl);
            a.add(bl, (sbyte)step);
            a.jmp(patched);
            while (a.Instructions.Count < 3 + 6)
                a.nop();
            a.Label(ref patched);
            a.mov(dl, 0x7F);
            a.add(ax, dx);
            a.dec(cx);
            a.jnz(top);
        });
        machine.State->Gpr[2] = 0;
        machine.State->Gpr[3] = 5;
        Assert.Equal(0x7F, machine.Ram[(int)TestMachine.CodeAt + 0x11]);
        machine.Cpu.Run(700);
        Assert.Equal(Enumerable.Range(0, 100).Sum(i => 5 + (i * step)), (int)machine.State->Gpr[0]);
        Assert.InRange((int)machine.Cpu.BlocksDecoded, least, least + 4);
    }

    [Fact]
    public void Code_that_another_processor_may_have_changed_is_compared_before_it_runs_again()
    {
        using var machine = new TestMachine();
        machine.Assemble(a =>
        {
            Label top = a.CreateLabel();
            a.Label(ref top);
            a.inc(ax);
            a.jmp(top);
        });
        machine.Cpu.Run(20);
        ulong decoded = machine.Cpu.BlocksDecoded;
        machine.Cpu.ForgetCode();
        machine.Cpu.Run(20);
        Assert.Equal(20ul, machine.State->Gpr[0]);
        Assert.Equal(decoded, machine.Cpu.BlocksDecoded);

        machine.Ram[(int)TestMachine.CodeAt] = 0x43; // inc bx, stored without the map's knowledge
        machine.Cpu.ForgetCode();
        Assert.Equal(Code.Inc_r16, machine.Cpu.PeekCode());
        machine.Cpu.Run(20);
        Assert.Equal(20ul, machine.State->Gpr[0]);
        Assert.Equal(10ul, machine.State->Gpr[3]);
    }

    [Fact]
    public void A_block_that_became_data_is_dropped()
    {
        using var machine = new TestMachine();
        machine.State->Gpr[1] = 1000;
        machine.Assemble(a =>
        {
            Label top = a.CreateLabel();
            Label data = a.CreateLabel();
            a.jmp(data);
            a.Label(ref top);
            a.inc(__word_ptr.cs[0x10]);
            a.dec(cx);
            a.jnz(top);
            a.hlt();
            while (a.Instructions.Count < 5 + 5)
                a.nop();
            a.Label(ref data);
            a.nop();
            a.nop();
            a.jmp(top);
        });
        machine.Cpu.Run(3 + 3000 + 1);
        Assert.Equal(0x9090 + 1000, machine.Read16(TestMachine.CodeAt + 0x10));
        Assert.Equal(1ul, machine.Cpu.BlocksInvalidated);
    }

    [Fact]
    public void Data_beside_code_does_not_invalidate_it()
    {
        using var machine = new TestMachine();
        machine.State->Gpr[1] = 1000;
        machine.Assemble(a =>
        {
            Label top = a.CreateLabel();
            a.Label(ref top);
            a.inc(__word_ptr.cs[0x100]);
            a.dec(cx);
            a.jnz(top);
        });
        machine.Cpu.Run(3000);
        Assert.Equal(1000, machine.Read16(TestMachine.CodeAt + 0x100));
        Assert.Equal(0ul, machine.Cpu.BlocksInvalidated);
    }

    [Fact]
    public void A_bus_master_that_overwrites_code_is_noticed()
    {
        using var machine = new TestMachine();
        machine.Assemble(a =>
        {
            Label top = a.CreateLabel();
            a.Label(ref top);
            a.inc(ax);
            a.jmp(top);
        });
        machine.Cpu.Run(10);
        machine.Load(TestMachine.CodeAt, 0x43);
        machine.Cpu.Run(10);
        Assert.Equal(5ul, machine.State->Gpr[0]);
        Assert.Equal(5ul, machine.State->Gpr[3]);
    }

    [Fact]
    public void A_store_of_one_processor_reaches_the_decoded_code_of_another()
    {
        using var machine = new TestMachine();
        machine.Load(TestMachine.CodeAt, 0x40, 0xEB, 0xFD);
        using var other = new X86Cpu(machine.Memory, machine);
        *other.State = *machine.State;
        machine.Cpu.Write<byte>(Seg.Cs, 0x800, 0);
        machine.Cpu.Run(10);
        other.Run(10);
        other.Write<byte>(Seg.Cs, 0, 0x43);
        machine.Cpu.Run(10);
        Assert.Equal(5ul, machine.State->Gpr[0]);
        Assert.Equal(5ul, machine.State->Gpr[3]);

        // The page keeps its mark as long as one of them holds code of it.
        machine.Cpu.Write<byte>(Seg.Cs, 0, 0x42);
        other.Run(10);
        machine.Cpu.Write<byte>(Seg.Cs, 0, 0x43);
        other.Run(10);
        Assert.Equal((5ul, 5ul, 5ul), (other.State->Gpr[0], other.State->Gpr[2], other.State->Gpr[3]));
    }

    [Fact]
    public void Remapping_a_page_replaces_its_code()
    {
        using var machine = new TestMachine();
        machine.Load(0x20000, 0x43, 0xEB, 0xFD);
        machine.Load(TestMachine.CodeAt, 0x40, 0xEB, 0xFD);
        machine.Cpu.Run(10);
        machine.Memory.Map(TestMachine.CodeAt, 0x1000, machine.Memory.Host[0x20], PageKind.Readable | PageKind.Writable);
        machine.Cpu.Run(10);
        Assert.Equal(5ul, machine.State->Gpr[0]);
        Assert.Equal(5ul, machine.State->Gpr[3]);
        machine.Memory.Write(TestMachine.CodeAt, [0x42]);
        machine.Cpu.Run(10);
        Assert.Equal(5ul, machine.State->Gpr[2]);
    }

    [Fact]
    public void Code_in_mmio_is_fetched_through_the_door()
    {
        using var machine = new TestMachine(size: 0xA0000);
        byte[] code = [0xB8, 0x34, 0x12, 0x40];
        machine.OnReadMmio = (address, _) => address - 0xB0000 < 4 ? code[address - 0xB0000] : 0xF4u;
        machine.State->Cs = SegmentCache.RealMode(0xB000, code: true);
        machine.Cpu.Run(2);
        Assert.Equal(0x1235ul, machine.State->Gpr[0]);
    }

    [Theory]
    [InlineData("660FFF", Vectors.UD)]
    [InlineData("F090", Vectors.UD)]
    [InlineData("F001C0", Vectors.UD)]
    [InlineData("0FB9C0", Vectors.UD)]
    [InlineData("666666666666666666666666666690", byte.MaxValue)]
    [InlineData("66666666666666666666666666666690", Vectors.GP)]
    [InlineData("2E2E2E2E2E2E2E2E2E2E2E2EB80000000000", Vectors.GP)]
    public void Undefined_lock_and_overlong_encodings_fault(string bytes, byte vector)
    {
        using var machine = new TestMachine();
        machine.SetUpProtected();
        machine.Load(TestMachine.CodeAt, Convert.FromHexString(bytes));
        machine.Cpu.Run(1);
        if (vector == byte.MaxValue)
            Assert.Equal(0ul, machine.Cpu.FaultCount);
        else
            Assert.Equal(vector, machine.Cpu.LastFault.Vector);
    }

    [Theory]
    [InlineData("486", "0F42C1", true)] // CMOVB
    [InlineData("pentium", "0F42C1", true)]
    [InlineData("486", "0FC70E", true)] // CMPXCHG8B
    [InlineData("pentium", "0FC70E", false)]
    [InlineData("486", "0FC8", false)] // BSWAP
    [InlineData("486", "0FA2", false)] // CPUID
    [InlineData("486", "0F32", true)] // RDMSR
    [InlineData("486", "0F0100", false)] // SGDT
    [InlineData("486", "0F24C0", true)] // MOV from test registers
    [InlineData("pentium", "0F33", true)] // RDPMC
    [InlineData("pentium", "0F34", true)] // SYSENTER
    [InlineData("pentium", "DAC1", true)] // FCMOVB
    [InlineData("p3", "DAC1", false)]
    [InlineData("pentium", "DBF1", true)] // FCOMI
    [InlineData("p3", "DBF1", false)]
    [InlineData("pentium", "0F6FC1", true)] // MOVQ
    [InlineData("p3", "0F6FC1", false)]
    [InlineData("pentium", "0FAE06", true)] // FXSAVE
    [InlineData("p3", "0F1806", false)] // PREFETCHNTA
    [InlineData("pentium", "0F1806", true)]
    [InlineData("p3", "0FAEF0", true)] // MFENCE
    [InlineData("p4", "0FAEF0", false)]
    [InlineData("p3", "0FAEF8", false)] // SFENCE
    [InlineData("p4", "F30FB8C1", true)] // POPCNT
    [InlineData("x86-64", "F30FB8C1", false)]
    [InlineData("x86-64", "0F01F9", true)] // RDTSCP
    [InlineData("x86-64", "0FC7F0", true)] // RDRAND
    [InlineData("x86-64", "0F01C1", true)] // VMCALL
    [InlineData("x86-64", "0F05", true)] // SYSCALL outside 64-bit mode
    [InlineData("p3", "0F0B", true)] // UD2
    [InlineData("p3", "0FFFC0", true)] // UD0
    [InlineData("p3", "D6", false)] // SALC
    [InlineData("p3", "C6C801", true)] // C6 /1
    [InlineData("p3", "FEF0", true)] // FE /6
    [InlineData("p3", "FFF8", true)] // FF /7
    [InlineData("p3", "8FC8", true)] // 8F /1
    [InlineData("p3", "0FBAC001", true)] // group 8 /0
    [InlineData("p3", "C4C0", true)] // LES with a register
    [InlineData("p3", "62C0", true)] // BOUND with a register
    [InlineData("p3", "8DC0", true)] // LEA with a register
    [InlineData("p3", "FFD8", true)] // CALL far with a register
    [InlineData("p3", "8EC8", true)] // MOV CS
    [InlineData("p3", "8CF0", true)] // MOV from segment register 6
    [InlineData("p3", "0F20C8", true)] // MOV from CR1
    [InlineData("p3", "0F01E8", true)] // group 7 /5
    [InlineData("p3", "F08B06", true)] // LOCK MOV
    [InlineData("p3", "F08706", false)] // LOCK XCHG
    [InlineData("p3", "F03906", true)] // LOCK CMP
    [InlineData("p3", "F00FA306", true)] // LOCK BT
    [InlineData("p3", "F00FAB06", false)] // LOCK BTS
    [InlineData("p3", "F0A4", true)] // LOCK MOVS
    [InlineData("p3", "0F42C1", false)]
    [InlineData("486", "0F31", true)]
    [InlineData("p3", "0F58C1", false)]
    [InlineData("p3", "660F58C1", true)]
    [InlineData("p4", "660F58C1", false)]
    [InlineData("486", "0F1FC0", true)]
    [InlineData("p3", "F30F1EFA", false)]
    [InlineData("x86-64", "C5F877", true)]
    public unsafe void The_model_decides_which_opcodes_exist(string model, string bytes, bool undefined)
    {
        using var machine = new TestMachine(CpuModel.Find(model));
        machine.SetUpProtected();
        machine.Cpu.State->Cr4 |= ControlRegisters.Cr4OSFXSR;
        machine.Load(TestMachine.CodeAt, Convert.FromHexString(bytes));
        machine.Cpu.Run(1);
        Assert.Equal(undefined, machine.Cpu.LastFault.Vector == Vectors.UD);
    }

    [Fact]
    public void A_copy_of_a_model_with_other_features_knows_other_opcodes()
    {
        Assert.False(CpuModel.P3.Knows(Code.Addpd_xmm_xmmm128));
        CpuModel more = CpuModel.P3 with { Features = CpuModel.P3.Features | CpuFeatures.Sse2 };
        Assert.True(more.Knows(Code.Addpd_xmm_xmmm128));
        Assert.False(CpuModel.P3.Knows(Code.Addpd_xmm_xmmm128));
    }

    [Fact]
    public void An_instruction_that_runs_past_the_limit_faults_whole_and_its_predecessors_run()
    {
        using var machine = new TestMachine();
        machine.SetUpProtected(16);
        machine.State->Cs.Limit = 4;
        machine.Load(TestMachine.CodeAt, 0x40, 0x40, 0x40, 0xB8, 0x00, 0x00);
        machine.Cpu.Run(3);
        Assert.Equal(0ul, machine.Cpu.FaultCount);
        Assert.Equal(3ul, machine.State->Gpr[0]);
        Assert.Equal((Vectors.GP, 0u), FirstFault(machine));
    }

    [Fact]
    public void An_instruction_across_pages_faults_at_the_second_page_only_if_it_reaches_it()
    {
        using var machine = new TestMachine();
        machine.SetUpProtected();
        machine.EnablePaging();
        machine.MapPage(0x21000, 0, 0);
        machine.Load(0x20FFC, 0x40, 0x40, 0xB8, 0x11);
        machine.State->Rip = 0x20FFC;
        machine.Cpu.Run(2);
        Assert.Equal(0ul, machine.Cpu.FaultCount);
        Assert.Equal((Vectors.PF, 0u), FirstFault(machine));
        Assert.Equal(0x21000ul, machine.State->Cr2);
    }

    [Fact]
    public void The_second_page_of_a_crossing_instruction_may_move()
    {
        using var machine = new TestMachine();
        machine.SetUpProtected();
        machine.EnablePaging();
        machine.Load(0x20FFE, 0xB8, 0x11);
        machine.Load(0x21000, 0x22, 0x33, 0x44, 0xEB, 0xF9);
        machine.Load(0x30000, 0x99, 0x88, 0x77, 0xEB, 0xF9);
        machine.State->Rip = 0x20FFE;
        machine.Cpu.Run(2);
        Assert.Equal(0x44332211ul, machine.State->Gpr[0]);
        Assert.Equal(0x20FFEul, machine.State->Rip);
        machine.MapPage(0x21000, 0x30000, 7);
        machine.Cpu.InvalidatePage(0x21000);
        machine.Cpu.Run(2);
        Assert.Equal(0x77889911ul, machine.State->Gpr[0]);
    }

    [Fact]
    public void A_store_into_the_tail_of_a_crossing_instruction_is_seen()
    {
        using var machine = new TestMachine();
        machine.SetUpProtected();
        machine.Load(0x20FFE, 0xB8, 0x11, 0x22, 0x33, 0x44, 0xEB, 0xF9);
        machine.State->Rip = 0x20FFE;
        machine.Cpu.Run(2);
        machine.Cpu.Write<byte>(Seg.Ds, 0x21001, 0xEE);
        machine.Cpu.Run(1);
        Assert.Equal(0x44EE2211ul, machine.State->Gpr[0]);
    }

    [Fact]
    public void User_code_may_not_run_a_supervisor_page_that_the_supervisor_ran_before()
    {
        using var machine = new TestMachine();
        machine.SetUpProtected();
        machine.EnablePaging();
        machine.MapPage(0x20000, 0x20000, 3);
        machine.Cpu.FlushTlb();
        machine.Load(0x20000, 0x40, 0xEB, 0xFD);
        machine.State->Rip = 0x20000;
        machine.Cpu.Run(10);
        Assert.Equal(0ul, machine.Cpu.FaultCount);
        machine.State->Ss.Access |= 0x60;
        machine.State->Rip = 0x20000;
        Assert.Equal((Vectors.PF, 5u), FirstFault(machine));
    }

    [Fact]
    public void The_cache_is_bounded_and_survives_being_filled()
    {
        using var machine = new TestMachine(size: 64 << 20);
        machine.SetUpProtected();

        // A chain of jumps, each its own block, over more code than the cache holds.
        const int Step = 16, Blocks = 240_000;
        for (int i = 0; i < Blocks; i++)
        {
            int at = 0x400000 + (i * Step);
            machine.Ram[at] = 0x40;
            machine.Ram[at + 1] = 0xE9;
            BitConverter.TryWriteBytes(machine.Ram[(at + 2)..], i == Blocks - 1 ? 0x400000 - (at + 6) : Step - 6);
        }
        machine.State->Rip = 0x400000;
        machine.Cpu.Run((Blocks + 1000) * 2);
        Assert.Equal(Blocks + 1000ul, machine.State->Gpr[0]);
        Assert.Equal(0x400000ul + (1000 * Step), machine.State->Rip);
        Assert.Equal(Blocks + 1000ul, machine.Cpu.BlocksDecoded);
    }
}
