using Farm.Assist.Cpu;

namespace Farm.Assist.Tests.Cpu;

public unsafe class PagingTests
{
    private const uint Present = 1, Write = 2, User = 4, Reserved = 8, Fetch = 16;
    private const ulong Accessed = 0x20, Dirty = 0x40, Large = 0x80, Global = 0x100, NoExecute = 1ul << 63;
    private const ulong Page = 0x40000;

    public enum Mode
    {
        Narrow,
        Pae,
        Long,
    }

    private static TestMachine Build(Mode mode, int cpl = 0, CpuModel? model = null)
    {
        var machine = new TestMachine(model);
        if (mode == Mode.Long)
        {
            machine.SetUpLong(cpl);
            return machine;
        }
        machine.SetUpProtected(cpl: cpl);
        machine.State->Cr4 |= mode == Mode.Pae ? ControlRegisters.Cr4PAE : ControlRegisters.Cr4PSE;
        machine.EnablePaging();
        return machine;
    }

    private static uint Fault(TestMachine machine, Action action, ulong cr2)
    {
        GuestFault fault = Assert.Throws<GuestFault>(action);
        Assert.Equal(Vectors.PF, fault.Vector);
        Assert.Equal(cr2, machine.State->Cr2);
        return fault.ErrorCode;
    }

    [Theory]
    [InlineData(Mode.Narrow)]
    [InlineData(Mode.Pae)]
    [InlineData(Mode.Long)]
    public void Accessed_and_dirty_bits_appear_in_memory_with_the_access_that_needs_them(Mode mode)
    {
        using TestMachine machine = Build(mode);
        ulong entry = machine.EntryAddress(Page);
        Assert.Equal(0ul, machine.ReadEntry(entry) & (Accessed | Dirty));
        machine.Cpu.Read<byte>(Seg.Ds, Page);
        Assert.Equal(Accessed, machine.ReadEntry(entry) & (Accessed | Dirty));
        machine.Cpu.Write<byte>(Seg.Ds, Page, 1);
        Assert.Equal(Accessed | Dirty, machine.ReadEntry(entry) & (Accessed | Dirty));
    }

    [Theory]
    [InlineData(Mode.Narrow)]
    [InlineData(Mode.Pae)]
    [InlineData(Mode.Long)]
    public void Error_codes_tell_presence_write_and_privilege(Mode mode)
    {
        using TestMachine machine = Build(mode, cpl: 3);
        X86Cpu cpu = machine.Cpu;
        machine.MapPage(Page, Page, 0);
        Assert.Equal(User, Fault(machine, () => cpu.Read<byte>(Seg.Ds, Page + 5), Page + 5));
        Assert.Equal(User | Write, Fault(machine, () => cpu.Write<byte>(Seg.Ds, Page, 0), Page));
        machine.MapPage(Page, Page, 5);
        cpu.Read<byte>(Seg.Ds, Page);
        Assert.Equal(Present | User | Write, Fault(machine, () => cpu.Write<byte>(Seg.Ds, Page, 0), Page));
        machine.MapPage(Page, Page, 3);
        cpu.FlushTlb();
        Assert.Equal(Present | User, Fault(machine, () => cpu.Read<byte>(Seg.Ds, Page), Page));
        Assert.Equal(0, cpu.ReadLinear<byte>(Page));
        Assert.Equal(Present | User, Fault(machine, () => cpu.ReadLinear<byte>(Page, supervisor: false), Page));
    }

    [Theory]
    [InlineData(Mode.Narrow)]
    [InlineData(Mode.Pae)]
    [InlineData(Mode.Long)]
    public void Write_protect_binds_the_supervisor(Mode mode)
    {
        using TestMachine machine = Build(mode);
        X86Cpu cpu = machine.Cpu;
        machine.MapPage(Page, Page, 1);
        Assert.Equal(Present | Write, Fault(machine, () => cpu.Write<byte>(Seg.Ds, Page, 0), Page));
        machine.State->Cr0 &= ~(ulong)ControlRegisters.Cr0WP;
        cpu.FlushTlb();
        cpu.Write<byte>(Seg.Ds, Page, 7);
        Assert.Equal(7, machine.Ram[(int)Page]);
    }

    [Theory]
    [InlineData(Mode.Narrow)]
    [InlineData(Mode.Pae)]
    [InlineData(Mode.Long)]
    public void A_store_across_pages_changes_nothing_when_the_second_faults(Mode mode)
    {
        using TestMachine machine = Build(mode);
        X86Cpu cpu = machine.Cpu;
        machine.MapPage(Page + 0x1000, Page + 0x1000, 0);
        Assert.Equal(Write, Fault(machine, () => cpu.Write(Seg.Ds, Page + 0xFFE, 0x11111111u), Page + 0x1000));
        Assert.Equal(0, machine.Read16(Page + 0xFFE));

        // The parts go to two frames that are not neighbours.
        machine.MapPage(Page + 0x1000, 0x60000, 3);
        cpu.InvalidatePage(Page + 0x1000);
        cpu.Write(Seg.Ds, Page + 0xFFE, 0x44332211u);
        Assert.Equal(0x2211, machine.Read16(Page + 0xFFE));
        Assert.Equal(0x4433, machine.Read16(0x60000));
        Assert.Equal(0x44332211u, cpu.Read<uint>(Seg.Ds, Page + 0xFFE));
    }

    [Theory]
    [InlineData(Mode.Narrow)]
    [InlineData(Mode.Pae)]
    [InlineData(Mode.Long)]
    public void Stale_translations_live_until_the_page_is_invalidated(Mode mode)
    {
        using TestMachine machine = Build(mode);
        X86Cpu cpu = machine.Cpu;
        machine.Ram[0x50000] = 5;
        machine.Ram[0x60000] = 6;
        machine.MapPage(Page, 0x50000, 3);
        Assert.Equal(5, cpu.Read<byte>(Seg.Ds, Page));
        machine.MapPage(Page, 0x60000, 3);
        Assert.Equal(5, cpu.Read<byte>(Seg.Ds, Page));
        cpu.InvalidatePage(Page);
        Assert.Equal(6, cpu.Read<byte>(Seg.Ds, Page));
    }

    [Theory]
    [InlineData(Mode.Narrow)]
    [InlineData(Mode.Pae)]
    [InlineData(Mode.Long)]
    public void Global_pages_survive_a_flush_that_keeps_them(Mode mode)
    {
        using TestMachine machine = Build(mode);
        X86Cpu cpu = machine.Cpu;
        machine.State->Cr4 |= ControlRegisters.Cr4PGE;
        machine.Ram[0x50000] = 5;
        machine.Ram[0x60000] = 6;
        machine.MapPage(Page, 0x50000, 3 | Global);
        machine.MapPage(Page + 0x1000, 0x50000, 3);
        Assert.Equal(10, cpu.Read<byte>(Seg.Ds, Page) + cpu.Read<byte>(Seg.Ds, Page + 0x1000));
        machine.MapPage(Page, 0x60000, 3 | Global);
        machine.MapPage(Page + 0x1000, 0x60000, 3);
        cpu.FlushTlb(keepGlobal: true);
        Assert.Equal(5, cpu.Read<byte>(Seg.Ds, Page));
        Assert.Equal(6, cpu.Read<byte>(Seg.Ds, Page + 0x1000));
        cpu.FlushTlb();
        Assert.Equal(6, cpu.Read<byte>(Seg.Ds, Page));
    }

    [Theory]
    [InlineData(Mode.Narrow)]
    [InlineData(Mode.Pae)]
    [InlineData(Mode.Long)]
    public void Large_pages_map_and_an_invalidation_anywhere_in_them_drops_them(Mode mode)
    {
        using TestMachine machine = Build(mode);
        X86Cpu cpu = machine.Cpu;
        ulong size = mode == Mode.Narrow ? 0x400000ul : 0x200000ul;
        ulong linear = 0x40000000;
        ulong directory = DirectoryEntry(machine, linear);
        machine.Ram[0x12345] = 1;
        machine.Ram[0x412345] = 2;
        machine.WriteEntry(directory, 3 | Large);
        if (mode == Mode.Pae)
            machine.Cpu.TryLoadPdptes(machine.State->Cr3);
        Assert.Equal(1, cpu.Read<byte>(Seg.Ds, linear + 0x12345));
        Assert.Equal(Accessed | Large | 3, machine.ReadEntry(directory));
        machine.WriteEntry(directory, 0x400000 | 3 | Large);
        cpu.InvalidatePage(linear + size - 1);
        Assert.Equal(2, cpu.Read<byte>(Seg.Ds, linear + 0x12345));
        cpu.Write<byte>(Seg.Ds, linear, 0);
        Assert.Equal(0x400000 | Accessed | Dirty | Large | 3, machine.ReadEntry(directory));
    }

    [Fact]
    public void Reserved_bits_fault_where_the_mode_has_them()
    {
        using (TestMachine machine = Build(Mode.Narrow, model: CpuModel.Pentium))
        {
            machine.WriteEntry(DirectoryEntry(machine, 0x40000000), 0x2000 | 3 | Large);
            Assert.Equal(Present | Reserved, Fault(machine, () => machine.Cpu.Read<byte>(Seg.Ds, 0x40000000), 0x40000000));
        }
        using (TestMachine machine = Build(Mode.Pae))
        {
            machine.MapPage(Page, Page, 3 | NoExecute);
            Assert.Equal(Present | Reserved, Fault(machine, () => machine.Cpu.Read<byte>(Seg.Ds, Page), Page));
            machine.MapPage(Page, Page | (1ul << 45), 3);
            Assert.Equal(Present | Reserved, Fault(machine, () => machine.Cpu.Read<byte>(Seg.Ds, Page), Page));
            machine.MapPage(Page, Page | (1ul << 52), 3);
            Assert.Equal(Present | Reserved, Fault(machine, () => machine.Cpu.Read<byte>(Seg.Ds, Page), Page));
        }
        using (TestMachine machine = Build(Mode.Long))
        {
            machine.MapPage(Page, Page | (1ul << 52), 3);
            machine.Cpu.Read<byte>(Seg.Ds, Page);
            machine.WriteEntry(DirectoryEntry(machine, 0x40000000), 0x2000 | 3 | Large);
            Assert.Equal(Present | Reserved, Fault(machine, () => machine.Cpu.Read<byte>(Seg.Ds, 0x40000000), 0x40000000));
        }
    }

    [Fact]
    public void Pae_directory_pointers_with_reserved_bits_are_refused()
    {
        using TestMachine machine = Build(Mode.Pae);
        ulong pointers = machine.State->Cr3;
        ulong before = machine.State->Pdpte[0];
        machine.Write(pointers, before | 2);
        Assert.False(machine.Cpu.TryLoadPdptes(pointers));
        Assert.Equal(before, machine.State->Pdpte[0]);

        // The registers, not the memory behind them, are walked.
        machine.Write(pointers, 0ul);
        machine.Cpu.FlushTlb();
        machine.Cpu.Read<byte>(Seg.Ds, Page);
        Assert.True(machine.Cpu.TryLoadPdptes(pointers));
        machine.Cpu.FlushTlb();
        Assert.Equal(0u, Fault(machine, () => machine.Cpu.Read<byte>(Seg.Ds, Page), Page));
    }

    [Fact]
    public void Fetching_from_a_no_execute_page_shows_in_the_error_code()
    {
        using TestMachine machine = Build(Mode.Long);
        machine.MapPage(TestMachine.CodeAt, TestMachine.CodeAt, 7 | NoExecute);
        machine.Cpu.FlushTlb();
        machine.Cpu.Read<byte>(Seg.Ds, TestMachine.CodeAt);
        machine.Cpu.Run(1);
        Assert.Equal(TestMachine.CodeAt, machine.State->Cr2);
        Assert.Equal(1ul, machine.Cpu.FaultCount);
        Assert.Equal((Vectors.PF, Present | Fetch), machine.Cpu.LastFault);
    }

    private static ulong DirectoryEntry(TestMachine machine, ulong linear)
    {
        // EntryAddress makes the tables above; the entry that points to the last of them is found by its value.
        ulong table = machine.EntryAddress(linear) & ~0xFFFul;
        ulong step = (machine.State->Cr4 & ControlRegisters.Cr4PAE) != 0 ? 8u : 4;
        for (ulong at = TestMachine.TablesAt; at < TestMachine.TablesAt + 0x100000; at += step)
        {
            if ((machine.ReadEntry(at) & 0x000FFFFFFFFFF000) == table && (machine.ReadEntry(at) & 1) != 0 && at != machine.EntryAddress(table))
                return at;
        }
        throw new InvalidOperationException();
    }
}
