using Farm.Assist.Cpu;
using static Farm.Assist.Tests.SystemLevel.ProtectedMachine;

namespace Farm.Assist.Tests.SystemLevel;

public sealed unsafe class IretTests : IDisposable
{
    private const uint Target = 0x30000;
    private const uint Everything = 0x3F7FD7 & ~Eflags.VM & ~Eflags.NT;
    private readonly ProtectedMachine _machine = new();

    public void Dispose() => _machine.Dispose();

    private void Frame(params uint[] values)
    {
        for (int i = 0; i < values.Length; i++)
            _machine.Write32((int)(_machine.State->Ss.Base + _machine.Esp) + (i * 4), values[i]);
    }

    private void Frame16(params ushort[] values)
    {
        for (int i = 0; i < values.Length; i++)
            _machine.Write16((int)(_machine.State->Ss.Base + _machine.Esp) + (i * 2), values[i]);
    }

    [Fact]
    public void Ring_0_loads_every_flag()
    {
        Frame(Target, Code0, Everything);
        _machine.Code(0xCF);
        _machine.Step();
        Assert.Equal(Target, _machine.Eip);
        Assert.Equal(Everything, _machine.Flags);
        Assert.Equal((uint)Stack0 + 12, _machine.Esp);
    }

    [Theory]
    [InlineData(0, 0u)]
    [InlineData(3, Eflags.IF)]
    public void Ring_3_keeps_IOPL_and_IF_by_IOPL(int iopl, uint loaded)
    {
        _machine.Ring(3);
        _machine.State->Rflags |= (uint)(iopl << 12);
        Frame(Target, Code3, Everything ^ (uint)(3 - iopl << 12) ^ 0x3000);
        _machine.Code(0xCF);
        _machine.Step();
        Assert.Equal((uint)(iopl << 12), _machine.Flags & 0x3000);
        Assert.Equal(loaded, _machine.Flags & Eflags.IF);
        Assert.Equal(0u, _machine.Flags & (Eflags.VIF | Eflags.VIP));
        Assert.Equal(Eflags.AC | Eflags.ID, _machine.Flags & (Eflags.AC | Eflags.ID));
    }

    [Fact]
    public void Word_return_leaves_the_upper_flags()
    {
        _machine.State->Rflags |= Eflags.ID;
        Frame16((ushort)0x4321, Code0, 0x3002);
        _machine.Code(0x66, 0xCF);
        _machine.Step();
        Assert.Equal(0x4321u, _machine.Eip);
        Assert.Equal(Eflags.ID | 0x3002, _machine.Flags);
    }

    [Fact]
    public void Outer_return_uses_the_old_privilege_for_the_flags()
    {
        Frame(Target, Code3, Everything, Stack3, Data3);
        _machine.Code(0xCF);
        _machine.Step();
        Assert.Equal(Everything, _machine.Flags);
        Assert.Equal(3, _machine.Cpu.Cpl);
        Assert.Equal((uint)Stack3, _machine.Esp);
        Assert.True(_machine.State->Ds.Unusable);
    }

    [Fact]
    public void Return_to_a_16_bit_stack_keeps_the_upper_half_of_ESP()
    {
        _machine.Describe(Free, 0, 0xFFFF, 0xF3);
        _machine.Put(Seg.Ss, Data0);
        _machine.Esp = 0x50000;
        Frame(Target, Code3, 2, 0x12345678, Free | 3);
        _machine.Code(0xCF);
        _machine.Step();
        Assert.Equal(0x55678u, _machine.Esp);
    }

    [Theory]
    [InlineData(0, Data3, Vectors.GP, 0u)]
    [InlineData(Code3, Data0, Vectors.GP, (uint)Data0)]
    [InlineData(Code3, 0, Vectors.GP, 0u)]
    [InlineData(Code1, Data3, Vectors.GP, (uint)Data3 & ~3u)]
    public void Bad_outer_return_changes_nothing(int code, int stack, byte vector, uint error)
    {
        Frame(Target, (uint)code, Everything, Stack3, (uint)stack);
        _machine.Code(0xCF);
        Assert.Equal(error, _machine.StepToFault(vector));
        Assert.Equal(2 | Eflags.RF, _machine.Read32(Stack0 - 4));
        Assert.Equal((uint)Stack0 - 16, _machine.Esp);
    }

    [Fact]
    public void Return_beyond_the_limit_raises_gp_0()
    {
        _machine.Describe(Free, 0, 0xFFF, 0x409B);
        Frame(0x1000, Free, 2);
        _machine.Code(0xCF);
        Assert.Equal(0u, _machine.StepToFault(Vectors.GP));
    }

    [Fact]
    public void VM_in_the_image_counts_only_in_ring_0()
    {
        _machine.Ring(3);
        Frame(Target, Code3, 2 | Eflags.VM);
        _machine.Code(0xCF);
        _machine.Step();
        Assert.Equal(0u, _machine.Flags & Eflags.VM);
        Assert.Equal(Target, _machine.Eip);
    }

    [Fact]
    public void Return_to_virtual_8086_beyond_64K_raises_gp_0()
    {
        Frame(0x10000, 0x1000, 2 | Eflags.VM, 0, 0, 0, 0, 0, 0);
        _machine.Code(0xCF);
        Assert.Equal(0u, _machine.StepToFault(Vectors.GP));
        Assert.Equal(0u, _machine.Flags & Eflags.VM);
    }

    [Fact]
    public void Real_mode_return_loads_IOPL_but_not_the_virtual_flags()
    {
        _machine.EnterReal();
        Frame(0x123, 0x3000, Everything | Eflags.NT);
        _machine.Code(0x66, 0xCF);
        _machine.Step();
        Assert.Equal(0x123u, _machine.Eip);
        Assert.Equal(0x30000u, _machine.State->Cs.Base);
        Assert.Equal((Everything | Eflags.NT) & ~(Eflags.VIF | Eflags.VIP), _machine.Flags);
    }

    [Fact]
    public void Virtual_8086_return_with_IOPL_3_keeps_IOPL()
    {
        _machine.EnterVirtual8086(3);
        Frame16(0x123, 0x3000, 0x0202);
        _machine.Code(0xCF);
        _machine.Step();
        Assert.Equal(0x123u, _machine.Eip);
        Assert.Equal(2 | Eflags.VM | 0x3000 | Eflags.IF, _machine.Flags);
    }

    [Fact]
    public void Virtual_8086_return_needs_IOPL_3()
    {
        _machine.EnterVirtual8086(2);
        Frame16(0x123, 0x3000, 0x0202);
        _machine.Code(0xCF);
        Assert.Equal(0u, _machine.StepToFault(Vectors.GP));
    }

    [Fact]
    public void Return_ends_the_blocking_of_NMIs()
    {
        _machine.State->NmiBlocked = 1;
        Frame(Target, Code0, 2);
        _machine.Code(0xCF);
        _machine.Step();
        Assert.Equal(0, _machine.State->NmiBlocked);
    }
}
