using Farm.Assist.Cpu;
using Farm.Assist.Tests.SystemLevel;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.Instructions;

/// <summary>Addressing, faults and prefixes that neither the captured tests nor the host can show.</summary>
public sealed unsafe class OperandTests : IDisposable
{
    private const int Page = 0x41000;

    private readonly ProtectedMachine _machine = new();

    public void Dispose() => _machine.Dispose();

    [Theory]
    [InlineData(-1, 0x30800 - 4, 7)]
    [InlineData(-33, 0x30800 - 8, 7)]
    [InlineData(0, 0x30800, 0)]
    [InlineData(100, 0x30800 + 12, 4)]
    [InlineData(0x8000, 0x30800 + 0x1000, 0)]
    public void Bit_offset_in_a_register_is_signed_and_reaches_beyond_the_operand(int bit, int dword, int bitOfByte)
    {
        int byteAt = dword + (bit < 0 ? 3 : 0);
        _machine.State->Gpr[0] = (uint)bit;
        _machine.Code(32, a => a.bts(__dword_ptr[0x30800], eax));
        _machine.Step();
        Assert.Equal(1 << bitOfByte, _machine.Read8(byteAt));
        Assert.Equal(0u, _machine.Flags & Eflags.CF);
    }

    [Fact]
    public void Bit_offset_in_16_bit_addressing_wraps_in_the_segment()
    {
        _machine.EnterReal();
        _machine.State->Gpr[0] = unchecked((ushort)-16);
        _machine.Code(16, a => a.btc(__word_ptr[0], ax));
        _machine.Step();
        Assert.Equal(1, _machine.Read16(0x1110 + 0xFFFE));
    }

    [Theory]
    [InlineData("cmpxchg")]
    [InlineData("cmpxchg8b")]
    [InlineData("shl by 0")]
    [InlineData("xadd")]
    [InlineData("xchg")]
    [InlineData("not")]
    [InlineData("btr")]
    public void Read_modify_write_needs_a_writable_page_even_if_nothing_changes(string instruction)
    {
        _machine.EnablePaging();
        _machine.Protect(Page, 5);
        _machine.Write64(Page, 0x1122334455667788);
        _machine.State->Gpr[0] = 1;
        _machine.State->Gpr[1] = 0;
        _machine.State->Gpr[3] = 0xFF;
        _machine.Code(32, a =>
        {
            switch (instruction)
            {
                case "cmpxchg": a.cmpxchg(__dword_ptr[Page], ebx); break;
                case "cmpxchg8b": a.cmpxchg8b(__qword_ptr[Page]); break;
                case "shl by 0": a.shl(__dword_ptr[Page], cl); break;
                case "xadd": a.xadd(__dword_ptr[Page], ebx); break;
                case "xchg": a.xchg(__dword_ptr[Page], ebx); break;
                case "not": a.not(__dword_ptr[Page]); break;
                default: a.btr(__dword_ptr[Page], ebx); break;
            }
        });
        uint flags = _machine.Flags;
        Assert.Equal(3u, _machine.StepToFault(Vectors.PF));
        Assert.Equal(1ul, _machine.State->Gpr[0]);
        Assert.Equal(0xFFul, _machine.State->Gpr[3]);
        Assert.Equal(flags, _machine.Read32((int)_machine.Esp + 12) & ~Eflags.RF);
    }

    [Theory]
    [InlineData(new byte[] { 0xF0, 0x01, 0xD8 })] // LOCK ADD EAX, EBX
    [InlineData(new byte[] { 0xF0, 0x39, 0x18 })] // LOCK CMP [EAX], EBX
    [InlineData(new byte[] { 0xF0, 0x90 })]
    [InlineData(new byte[] { 0xF0, 0xA4 })]
    [InlineData(new byte[] { 0x0F, 0x0B })] // UD2
    [InlineData(new byte[] { 0x0F, 0xB9, 0xC0 })] // UD1
    [InlineData(new byte[] { 0x0F, 0xFF, 0xC0 })] // UD0
    [InlineData(new byte[] { 0x8D, 0xC0 })] // LEA EAX, EAX
    [InlineData(new byte[] { 0x0F, 0xC7, 0xC8 })] // CMPXCHG8B EAX
    [InlineData(new byte[] { 0x8F, 0xC8 })]
    [InlineData(new byte[] { 0xC6, 0xC8, 0x00 })]
    [InlineData(new byte[] { 0xFE, 0xD0 })]
    [InlineData(new byte[] { 0xFF, 0xF8 })]
    [InlineData(new byte[] { 0x62, 0xC0 })] // BOUND EAX, EAX
    [InlineData(new byte[] { 0xF3, 0x0F, 0xB8, 0xC0 })] // POPCNT on a Pentium III
    public void Undefined_encodings_raise_ud(byte[] bytes)
    {
        using ProtectedMachine machine = new(CpuModel.P3);
        machine.Code(bytes);
        machine.StepToFault(Vectors.UD);
    }

    [Fact]
    public void Lock_is_allowed_on_memory_destinations()
    {
        _machine.State->Gpr[0] = 0x30800;
        _machine.State->Gpr[3] = 5;
        _machine.Code(0xF0, 0x01, 0x18);
        _machine.Step();
        Assert.Equal(5u, _machine.Read32(0x30800));
    }

    [Fact]
    public void Rep_before_bsf_and_bsr_means_nothing_without_bmi()
    {
        _machine.State->Gpr[1] = 0x10;
        _machine.Code(0xF3, 0x0F, 0xBC, 0xC1, 0xF3, 0x0F, 0xBD, 0xD9);
        _machine.Step(2);
        Assert.Equal(4ul, _machine.State->Gpr[0]);
        Assert.Equal(4ul, _machine.State->Gpr[3]);
    }

    [Theory]
    [InlineData(-5, -5, 7, false)]
    [InlineData(7, -5, 7, false)]
    [InlineData(-6, -5, 7, true)]
    [InlineData(8, -5, 7, true)]
    public void Bound_is_signed_and_inclusive(int index, int lower, int upper, bool faults)
    {
        _machine.Write32(0x30800, (uint)lower);
        _machine.Write32(0x30804, (uint)upper);
        _machine.State->Gpr[0] = (uint)index;
        _machine.Code(32, a => a.bound(eax, __qword_ptr[0x30800]));
        if (faults)
        {
            _machine.StepToFault(Vectors.BR);
            return;
        }
        _machine.Step();
        Assert.Equal(ProtectedMachine.Origin + 6u, _machine.Eip);
    }

    [Fact]
    public void Effective_addresses_of_16_bits_wrap_and_default_to_the_stack_segment_for_bp()
    {
        _machine.EnterReal();
        _machine.State->Gpr[3] = 0xFFF0;
        _machine.State->Gpr[6] = 0x20;
        _machine.State->Gpr[5] = 0x40;
        _machine.Write16(0x1110 + 0x10, 0x1234);
        _machine.Write16(0x9000 + 0x42, 0x5678);
        _machine.Code(16, a =>
        {
            a.mov(ax, __word_ptr[bx + si]);
            a.mov(dx, __word_ptr[bp + 2]);
            a.lea(cx, __word_ptr[bx + si + 1]);
        });
        _machine.Step(3);
        Assert.Equal((0x1234, 0x5678, 0x11), ((ushort)_machine.State->Gpr[0], (ushort)_machine.State->Gpr[2], (ushort)_machine.State->Gpr[1]));
    }

    [Fact]
    public void Xlat_wraps_with_the_address_size_and_obeys_the_override()
    {
        _machine.EnterReal();
        _machine.State->Gpr[0] = 0x20;
        _machine.State->Gpr[3] = 0xFFF0;
        _machine.Write8(0x2220 + 0x10, 0x99);
        _machine.Code(0x26, 0xD7);
        _machine.Step();
        Assert.Equal(0x99ul, _machine.State->Gpr[0]);
    }

    [Fact]
    public void Division_error_points_at_the_instruction_and_keeps_registers()
    {
        _machine.State->Gpr[0] = 10;
        _machine.State->Gpr[2] = 3;
        _machine.State->Gpr[1] = 3;
        _machine.Code(32, a => a.div(ecx));
        _machine.StepToFault(Vectors.DE);
        Assert.Equal((10ul, 3ul), (_machine.State->Gpr[0], _machine.State->Gpr[2]));
    }

    [Fact]
    public void Aam_by_zero_is_a_division_error()
    {
        _machine.Code(0xD4, 0x00);
        _machine.StepToFault(Vectors.DE);
    }

    [Fact]
    public void Pentium_has_no_cmov()
    {
        using ProtectedMachine machine = new(CpuModel.Pentium);
        machine.Code(0x0F, 0x44, 0xC1);
        machine.StepToFault(Vectors.UD);
    }
}
