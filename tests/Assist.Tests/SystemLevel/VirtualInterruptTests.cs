using Farm.Assist.Cpu;
using static Farm.Assist.Tests.SystemLevel.ProtectedMachine;

namespace Farm.Assist.Tests.SystemLevel;

/// <summary>CLI, STI, PUSHF, POPF, IRET and INT n under IOPL, VME and PVI; the I/O permission map.</summary>
public sealed unsafe class VirtualInterruptTests : IDisposable
{
    private readonly ProtectedMachine _machine = new();

    public void Dispose() => _machine.Dispose();

    private void Vme(int iopl)
    {
        _machine.EnterVirtual8086(iopl);
        _machine.State->Cr4 = ControlRegisters.Cr4VME;
    }

    [Theory]
    [InlineData(0xFA)]
    [InlineData(0xFB)]
    [InlineData(0x9C)]
    [InlineData(0x9D)]
    [InlineData(0xCF)]
    public void Sensitive_instructions_fault_in_virtual_8086_mode_below_IOPL_3(int opcode)
    {
        _machine.EnterVirtual8086(0);
        _machine.Code((byte)opcode);
        Assert.Equal(0u, _machine.StepToFault(Vectors.GP));
    }

    [Fact]
    public void Sensitive_instructions_act_on_VIF_with_VME()
    {
        Vme(0);
        _machine.Code(0xFB, 0x9C, 0xFA, 0x9C);
        _machine.Step();
        Assert.Equal(Eflags.VIF, _machine.Flags & (Eflags.VIF | Eflags.IF));
        _machine.Step();
        Assert.Equal(0x3202, _machine.Read16(0x90FE));
        _machine.Step();
        Assert.Equal(0u, _machine.Flags & (Eflags.VIF | Eflags.IF));
        _machine.Step();
        Assert.Equal(0x3002, _machine.Read16(0x90FC));
    }

    [Fact]
    public void Sti_faults_while_a_virtual_interrupt_is_pending()
    {
        Vme(0);
        _machine.State->Rflags |= Eflags.VIP;
        _machine.Code(0xFB);
        Assert.Equal(0u, _machine.StepToFault(Vectors.GP));
    }

    [Theory]
    [InlineData(0x0202, 0u, true)]
    [InlineData(0x0002, Eflags.VIP, true)]
    [InlineData(0x0202, Eflags.VIP, false)]
    [InlineData(0x0102, 0u, false)]
    public void Popf_loads_VIF_or_faults(int image, uint flags, bool loads)
    {
        Vme(0);
        _machine.State->Rflags |= flags;
        _machine.Write16(0x9100, image);
        _machine.Code(0x9D);
        if (!loads)
        {
            Assert.Equal(0u, _machine.StepToFault(Vectors.GP));
            return;
        }
        _machine.Step();
        Assert.Equal(0x102u, _machine.Esp);
        Assert.Equal((image & 0x200) != 0, (_machine.Flags & Eflags.VIF) != 0);
        Assert.Equal(0u, _machine.Flags & Eflags.IF);
    }

    [Fact]
    public void Iret_loads_VIF()
    {
        Vme(1);
        _machine.Write16(0x9100, 0x10);
        _machine.Write16(0x9102, 0x3000);
        _machine.Write16(0x9104, 0x7202);
        _machine.Code(0xCF);
        _machine.Step();
        Assert.Equal(0x10u, _machine.Eip);
        Assert.Equal(2 | Eflags.VM | 0x1000 | Eflags.VIF | Eflags.NT, _machine.Flags);
    }

    [Theory]
    [InlineData(0, 0x3202, Eflags.IF)] // VIF and IOPL 3 are what the handler's frame shows
    [InlineData(3, 0x3002 | 0x200, 0u)]
    public void Int_n_goes_to_the_programs_own_vector_when_its_bit_is_clear(int iopl, int pushed, uint left)
    {
        Vme(iopl);
        _machine.State->Rflags |= Eflags.IF | Eflags.VIF;
        _machine.Write32(0x40 * 4, 0x30000123);
        _machine.Code(0xCD, 0x40);
        _machine.Step();
        Assert.Equal(0x123u, _machine.Eip);
        Assert.Equal(0x30000u, _machine.State->Cs.Base);
        Assert.Equal(pushed, _machine.Read16(0x90FE));
        Assert.Equal(2, _machine.Read16(0x90FA));
        Assert.Equal(left, _machine.Flags & Eflags.IF);
        Assert.Equal(iopl < 3 ? 0u : Eflags.VIF, _machine.Flags & Eflags.VIF);
        Assert.Equal(Eflags.VM, _machine.Flags & Eflags.VM);
    }

    [Theory]
    [InlineData(0, false)]
    [InlineData(3, true)]
    public void Int_n_goes_to_the_monitor_when_its_bit_is_set(int iopl, bool allowed)
    {
        Vme(iopl);
        _machine.Write8(Tss + 0x68 + 8, 1);
        _machine.IdtGate(0x40, Code0, 0x30000, 0xEE);
        _machine.Code(0xCD, 0x40);
        if (!allowed)
        {
            Assert.Equal(0u, _machine.StepToFault(Vectors.GP));
            return;
        }
        _machine.Step();
        Assert.Equal(0x30000u, _machine.Eip);
    }

    [Fact]
    public void Protected_mode_cli_and_sti_act_on_VIF_with_PVI_in_ring_3_only()
    {
        _machine.State->Cr4 = ControlRegisters.Cr4PVI;
        _machine.Ring(3);
        _machine.Code(0xFB, 0xFA);
        _machine.Step();
        Assert.Equal(Eflags.VIF, _machine.Flags & (Eflags.VIF | Eflags.IF));
        _machine.Step();
        Assert.Equal(0u, _machine.Flags & Eflags.VIF);
        _machine.Ring(1);
        _machine.Code(0xFA);
        Assert.Equal(0u, _machine.StepToFault(Vectors.GP));
    }

    [Theory]
    [InlineData(0, 0, 0x3202u)]
    [InlineData(1, 1, 0x1202u)]
    [InlineData(3, 2, 0x2002u)]
    public void Popf_loads_IF_and_IOPL_by_privilege(int cpl, int iopl, uint loaded)
    {
        _machine.Ring(cpl);
        _machine.State->Rflags |= (uint)(iopl << 12) | Eflags.RF;
        _machine.Write32((int)_machine.Esp, 0x3202 | Eflags.VM | Eflags.RF | Eflags.VIF | Eflags.VIP | Eflags.ID);
        _machine.Code(0x9D);
        _machine.Step();
        Assert.Equal(loaded | Eflags.ID, _machine.Flags);
    }

    [Fact]
    public void Sti_holds_interrupts_off_for_one_instruction_and_not_when_IF_was_set()
    {
        _machine.Interrupt(0x40);
        _machine.Code(0xFB, 0x9C, 0x9C);
        _machine.Step();
        _machine.Step();
        Assert.Equal((uint)Origin + 2, _machine.Eip);
        _machine.Step();
        Assert.Equal((uint)Origin + 2, _machine.Read32((int)_machine.Esp));

        _machine.Ring(0);
        _machine.State->Rflags |= Eflags.IF;
        _machine.Code(0xFB, 0x9C);
        _machine.Step();
        _machine.Interrupt(0x40);
        _machine.Step();
        Assert.Equal((uint)Origin + 1, _machine.Read32((int)_machine.Esp));
    }

    [Fact]
    public void Mov_ss_holds_interrupts_off_for_one_instruction()
    {
        _machine.State->Rflags |= Eflags.IF;
        _machine.State->Gpr[0] = Data0;
        _machine.Code(0x8E, 0xD0, 0x9C, 0x9C);
        _machine.Step();
        _machine.Interrupt(0x40);
        _machine.Step();
        Assert.Equal((uint)Origin + 3, _machine.Eip);
        _machine.Step();
        Assert.Equal((uint)Origin + 3, _machine.Read32((int)_machine.Esp));
    }

    [Theory]
    [InlineData(0x60, 1, false)]
    [InlineData(0x60, 2, true)]
    [InlineData(0x62, 4, false)]
    [InlineData(0x5E, 4, true)]
    [InlineData(0x5D, 4, false)]
    public void Io_map_forbids_any_port_of_an_access(int port, int size, bool faults)
    {
        _machine.Ring(3);
        _machine.Write8(Tss + 0x88 + 0xC, 2);
        _machine.Cpu.ModeChanged();
        if (faults)
            Assert.Throws<GuestFault>(() => _machine.Cpu.CheckIo((ushort)port, size));
        else
            _machine.Cpu.CheckIo((ushort)port, size);
    }

    [Fact]
    public void Io_map_must_reach_one_byte_beyond_the_port()
    {
        _machine.Ring(3);
        _machine.Cpu.ModeChanged();
        _machine.State->Tr.Limit = 0x88 + 0xC;
        Assert.Throws<GuestFault>(() => _machine.Cpu.CheckIo(0x60, 1));
        _machine.State->Tr.Limit++;
        _machine.Cpu.CheckIo(0x60, 1);
    }

    [Fact]
    public void Io_goes_by_IOPL_in_protected_mode_and_by_the_map_in_virtual_8086_mode()
    {
        _machine.Write16(Tss + 0x66, 0xFFFF);
        _machine.Ring(3);
        _machine.State->Rflags |= 0x3000;
        _machine.Cpu.ModeChanged();
        _machine.Cpu.CheckIo(0x60, 1);
        _machine.EnterVirtual8086(3);
        _machine.Cpu.ModeChanged();
        Assert.Throws<GuestFault>(() => _machine.Cpu.CheckIo(0x60, 1));
    }

    [Fact]
    public void Io_needs_a_386_TSS()
    {
        _machine.Ring(3);
        _machine.Cpu.ModeChanged();
        _machine.State->Tr.Access = 0x83;
        Assert.Throws<GuestFault>(() => _machine.Cpu.CheckIo(0x60, 1));
    }
}
