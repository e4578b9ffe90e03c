using Farm.Assist.Cpu;

namespace Farm.Assist.Tests.Cpu;

public class MemoryTests
{
    private static (byte Vector, uint Error) Faulted(Action action)
    {
        GuestFault fault = Assert.Throws<GuestFault>(action);
        return (fault.Vector, fault.ErrorCode);
    }

    [Fact]
    public void Real_mode_word_at_FFFF_is_a_general_protection_or_stack_fault()
    {
        using var machine = new TestMachine();
        X86Cpu cpu = machine.Cpu;
        machine.Ram[0xFFFF] = 0x5A;
        Assert.Equal(0x5A, cpu.Read<byte>(Seg.Ds, 0xFFFF));
        Assert.Equal((Vectors.GP, 0u), Faulted(() => cpu.Read<ushort>(Seg.Ds, 0xFFFF)));
        Assert.Equal((Vectors.SS, 0u), Faulted(() => cpu.Write<uint>(Seg.Ss, 0xFFFD, 0)));
        Assert.Equal((Vectors.GP, 0u), Faulted(() => cpu.Read<byte>(Seg.Ds, 0x10000)));
    }

    [Fact]
    public unsafe void Real_mode_with_a_stretched_limit_reaches_all_memory()
    {
        using var machine = new TestMachine();
        machine.State->Ds.Limit = 0xFFFFFFFF;
        machine.Cpu.SegmentLoaded(Seg.Ds);
        machine.Write(0x200000, 0x12345678u);
        Assert.Equal(0x12345678u, machine.Cpu.Read<uint>(Seg.Ds, 0x200000));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public unsafe void Expand_down_segments_are_valid_above_the_limit_only(bool big)
    {
        using var machine = new TestMachine();
        machine.SetUpProtected();
        X86Cpu cpu = machine.Cpu;
        machine.State->Ds.Access = (big ? 0x4000u : 0) | 0x97;
        machine.State->Ds.Limit = 0x0FFF;
        cpu.SegmentLoaded(Seg.Ds);
        Assert.Equal((Vectors.GP, 0u), Faulted(() => cpu.Read<byte>(Seg.Ds, 0xFFF)));
        cpu.Write<byte>(Seg.Ds, 0x1000, 0x77);
        Assert.Equal(0x77, machine.Ram[0x1000]);
        cpu.Read<ushort>(Seg.Ds, 0xFFFE);
        if (big)
        {
            cpu.Read<ushort>(Seg.Ds, 0xFFFF);
            Assert.Equal((Vectors.GP, 0u), Faulted(() => cpu.Read<ushort>(Seg.Ds, 0xFFFFFFFF)));
        }
        else
        {
            Assert.Equal((Vectors.GP, 0u), Faulted(() => cpu.Read<ushort>(Seg.Ds, 0xFFFF)));
        }
    }

    [Fact]
    public unsafe void Type_and_presence_are_checked_in_protected_mode()
    {
        using var machine = new TestMachine();
        machine.SetUpProtected();
        X86Cpu cpu = machine.Cpu;
        Assert.Equal((Vectors.GP, 0u), Faulted(() => cpu.Write<byte>(Seg.Cs, 0, 0)));
        cpu.Read<byte>(Seg.Cs, 0);
        machine.State->Cs.Access = 0xC099;
        cpu.SegmentLoaded(Seg.Cs);
        Assert.Equal((Vectors.GP, 0u), Faulted(() => cpu.Read<byte>(Seg.Cs, 0)));
        machine.State->Ds.Access = 0xC091;
        cpu.SegmentLoaded(Seg.Ds);
        cpu.Read<byte>(Seg.Ds, 0);
        Assert.Equal((Vectors.GP, 0u), Faulted(() => cpu.Write<byte>(Seg.Ds, 0, 0)));
        Assert.Equal((Vectors.GP, 0u), Faulted(() => cpu.ReadRmw<byte>(Seg.Ds, 0)));
        machine.State->Es.Access = 0x10000;
        cpu.SegmentLoaded(Seg.Es);
        Assert.Equal((Vectors.GP, 0u), Faulted(() => cpu.Read<byte>(Seg.Es, 0)));
    }

    [Fact]
    public unsafe void A_base_wraps_at_four_gigabytes()
    {
        using var machine = new TestMachine();
        machine.SetUpProtected();
        machine.State->Gs.Base = 0x5000;
        machine.Cpu.SegmentLoaded(Seg.Gs);
        machine.Write(0x4FF8, 0xCAFEu);
        Assert.Equal(0xCAFEu, machine.Cpu.Read<uint>(Seg.Gs, 0xFFFFFFF8));
    }

    [Fact]
    public void Read_modify_write_stores_where_it_read_even_across_pages()
    {
        using var machine = new TestMachine();
        X86Cpu cpu = machine.Cpu;
        machine.Write(0x1FFE, 0x44332211u);
        Assert.Equal(0x44332211u, cpu.ReadRmw<uint>(Seg.Ds, 0x1FFE));
        cpu.WriteRmw(0x88776655u);
        Assert.Equal(0x88776655u, machine.Read32(0x1FFE));
        Assert.Equal(0x55, cpu.ReadRmw<byte>(Seg.Ds, 0x1FFE));
        cpu.WriteRmw((byte)0xAA);
        Assert.Equal(0xAA, machine.Ram[0x1FFE]);
    }

    [Fact]
    public unsafe void Mmio_goes_through_the_door_and_never_crosses_a_page()
    {
        using var machine = new TestMachine(size: 0x100000);
        machine.SetUpProtected();
        X86Cpu cpu = machine.Cpu;
        machine.OnReadMmio = (address, size) => address == 0x200FFE ? 0x2211u : 0x4433u;
        Assert.Equal(0x44332211u, cpu.Read<uint>(Seg.Ds, 0x200FFE));
        cpu.Write(Seg.Ds, 0x200FFF, 0xAABBCCDDu);
        Assert.All(machine.Mmio, access => Assert.True((access.Address & 0xFFF) + (ulong)access.Size <= 0x1000));
        Assert.Equal([(0x200FFFul, 0xDDul, 1, true), (0x201000ul, 0xBBCCul, 2, true), (0x201002ul, 0xAAul, 1, true)], machine.Mmio.Skip(2));
        machine.Mmio.Clear();
        cpu.Write(Seg.Ds, 0x300000, 0x1122334455667788ul);
        Assert.Equal([(0x300000ul, 0x1122334455667788ul, 8, true)], machine.Mmio);
    }

    [Fact]
    public unsafe void Stores_to_rom_reach_only_the_door()
    {
        using var machine = new TestMachine();
        machine.SetUpProtected();
        machine.Memory.Map(0x8000, 0x1000, machine.Memory.Host[8], PageKind.Readable);
        machine.Ram[0x8000] = 1;
        machine.Cpu.Write<byte>(Seg.Ds, 0x8000, 2);
        Assert.Equal(1, machine.Cpu.Read<byte>(Seg.Ds, 0x8000));
        Assert.Equal([(0x8000ul, 2ul, 1, true)], machine.Mmio);
    }

    [Fact]
    public unsafe void The_closed_A20_gate_folds_the_second_megabyte()
    {
        using var machine = new TestMachine();
        machine.SetUpProtected();
        machine.Ram[0x500] = 1;
        machine.Ram[0x100500] = 2;
        Assert.Equal(2, machine.Cpu.Read<byte>(Seg.Ds, 0x100500));
        machine.Memory.A20 = false;
        Assert.Equal(1, machine.Cpu.Read<byte>(Seg.Ds, 0x100500));
        machine.Cpu.Write<byte>(Seg.Ds, 0x100500, 3);
        Assert.Equal(3, machine.Ram[0x500]);
        machine.Memory.A20 = true;
        Assert.Equal(2, machine.Cpu.Read<byte>(Seg.Ds, 0x100500));
    }

    [Fact]
    public unsafe void Alignment_is_checked_with_AM_and_AC_at_CPL_3_only()
    {
        using var machine = new TestMachine();
        machine.SetUpProtected(cpl: 3);
        X86Cpu cpu = machine.Cpu;
        cpu.Read<uint>(Seg.Ds, 0x1001);
        machine.State->Cr0 |= ControlRegisters.Cr0AM;
        cpu.Flags |= Eflags.AC;
        cpu.ModeChanged();
        Assert.Equal((Vectors.AC, 0u), Faulted(() => cpu.Read<uint>(Seg.Ds, 0x1002)));
        Assert.Equal((Vectors.AC, 0u), Faulted(() => cpu.Write<ushort>(Seg.Ds, 0x1001, 0)));
        cpu.Read<byte>(Seg.Ds, 0x1001);
        cpu.Read<uint>(Seg.Ds, 0x1004);
        cpu.Flags &= ~Eflags.AC;
        cpu.Read<uint>(Seg.Ds, 0x1002);
    }

    [Fact]
    public unsafe void The_stack_pointer_moves_by_the_stack_size_and_only_after_the_store()
    {
        using var machine = new TestMachine();
        X86Cpu cpu = machine.Cpu;
        machine.State->Gpr[4] = 0xABCD0000;
        cpu.Push<ushort>(0x1234);
        Assert.Equal(0xABCDFFFEul, machine.State->Gpr[4]);
        Assert.Equal(0x1234, cpu.Peek<ushort>(0));
        Assert.Equal(0x1234, cpu.Pop<ushort>());
        Assert.Equal(0xABCD0000ul, machine.State->Gpr[4]);
        machine.State->Gpr[4] = 1;
        Assert.Equal((Vectors.SS, 0u), Faulted(() => cpu.Push<ushort>(0)));
        Assert.Equal(1ul, machine.State->Gpr[4]);
        machine.SetUpProtected();
        machine.State->Gpr[4] = 0x8002;
        cpu.Push(1u);
        Assert.Equal(0x7FFEul, machine.State->Gpr[4]);
        cpu.AdjustSp(-0x7FFE);
        Assert.Equal(0ul, machine.State->Gpr[4]);
    }

    [Fact]
    public unsafe void Non_canonical_addresses_fault_in_64_bit_mode()
    {
        using var machine = new TestMachine();
        machine.SetUpLong();
        X86Cpu cpu = machine.Cpu;
        Assert.Equal((Vectors.GP, 0u), Faulted(() => cpu.Read<byte>(Seg.Ds, 0x800000000000)));
        Assert.Equal((Vectors.SS, 0u), Faulted(() => cpu.Read<byte>(Seg.Ss, 0xFFFF7FFFFFFFFFFF)));
        Assert.Equal((Vectors.GP, 0u), Faulted(() => cpu.Read<ushort>(Seg.Ds, 0x7FFFFFFFFFFF)));

        // Only FS and GS have a base.
        machine.State->Ds.Base = machine.State->Fs.Base = 0x1000;
        cpu.SegmentLoaded(Seg.Ds);
        cpu.SegmentLoaded(Seg.Fs);
        machine.Ram[0x5000] = 5;
        machine.Ram[0x6000] = 6;
        Assert.Equal(5, cpu.Read<byte>(Seg.Ds, 0x5000));
        Assert.Equal(6, cpu.Read<byte>(Seg.Fs, 0x5000));
    }

    [Fact]
    public unsafe void Stores_to_logged_pages_by_processor_and_bus_master_are_told_once()
    {
        using var machine = new TestMachine();
        machine.Memory.Map(0x8000, 0x40000, machine.Memory.HostAt(0x8000), PageKind.Readable | PageKind.Writable | PageKind.Logged);
        machine.SetUpProtected();
        Assert.Equal(ulong.MaxValue, Taken());
        Assert.Equal(0ul, Taken());
        for (int i = 0; i < 3; i++)
        {
            machine.Cpu.Read<byte>(Seg.Ds, 0xA000);
            machine.Cpu.Write<byte>(Seg.Ds, 0x8001, 1);
            machine.Cpu.Write<byte>(Seg.Ds, 0x8002, 1); // straight, by the TLB
            machine.Cpu.Write<ushort>(Seg.Ds, 0xEFFF, 1);
            machine.Memory.Write(0x9000, [1]);
            Assert.Equal(3ul | 3 << 6, Taken());
            Assert.Equal(0ul, Taken());
        }

        ulong Taken()
        {
            ulong stored = 0;
            machine.Memory.TakeStores(0x8000, new Span<ulong>(ref stored));
            return stored;
        }
    }

    [Fact]
    public void Probes_fault_as_the_store_would_and_change_nothing()
    {
        using var machine = new TestMachine();
        X86Cpu cpu = machine.Cpu;
        Assert.Equal((Vectors.SS, 0u), Faulted(() => cpu.ProbeWrite(Seg.Ss, 0xFFFF, 2)));
        cpu.ProbeWrite(Seg.Ss, 0xFFFE, 2);
        cpu.ProbePush(8);
        Assert.DoesNotContain(machine.Ram[0x8000..0xA000].ToArray(), value => value != 0);
    }
}
