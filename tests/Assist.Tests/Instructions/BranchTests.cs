using Farm.Assist.Cpu;
using Farm.Assist.Tests.SystemLevel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.Instructions;

public sealed unsafe class BranchTests : IDisposable
{
    private const uint Limit = ProtectedMachine.Origin + 0xFFF;

    private readonly ProtectedMachine _machine = new();

    public void Dispose() => _machine.Dispose();

    [Theory]
    [InlineData("jmp")]
    [InlineData("je")]
    [InlineData("call")]
    [InlineData("jmp eax")]
    [InlineData("call eax")]
    [InlineData("call mem")]
    [InlineData("ret")]
    [InlineData("ret 8")]
    [InlineData("loop")]
    [InlineData("jecxz")]
    public void Branch_beyond_the_limit_faults_at_itself_with_nothing_changed(string branch)
    {
        _machine.Describe(ProtectedMachine.Free, 0, Limit, 0x409B);
        _machine.Put(Seg.Cs, ProtectedMachine.Free);
        _machine.State->Rip = Limit - 0x10;
        _machine.State->Rflags |= Eflags.ZF;
        _machine.State->Gpr[0] = Limit + 1;
        _machine.State->Gpr[1] = branch == "jecxz" ? 0u : 5;
        _machine.Write32(ProtectedMachine.Stack0, Limit + 1);
        _machine.Write32(0x5000, Limit + 1);
        _machine.Code(32, a =>
        {
            switch (branch)
            {
                case "jmp": a.jmp(Limit + 1); break;
                case "je": a.je(Limit + 1); break;
                case "call": a.call(Limit + 1); break;
                case "jmp eax": a.jmp(eax); break;
                case "call eax": a.call(eax); break;
                case "call mem": a.call(__dword_ptr[0x5000]); break;
                case "ret": a.ret(); break;
                case "ret 8": a.ret(8); break;
                case "loop": a.loop(Limit + 1); break;
                default: a.jecxz(Limit + 1); break;
            }
        });
        Assert.Equal(0u, _machine.StepToFault(Vectors.GP));
        Assert.Equal(ProtectedMachine.Stack0 - 16u, _machine.Esp);
        Assert.Equal(branch == "jecxz" ? 0u : 5, _machine.State->Gpr[1]);
    }

    [Fact]
    public void Operand_size_of_16_bits_cuts_eip()
    {
        _machine.Code(0x66, 0xEB, 0x10);
        _machine.Step();
        Assert.Equal((ProtectedMachine.Origin + 0x13u) & 0xFFFF, _machine.Eip);
    }

    [Fact]
    public void Call_that_cannot_push_does_not_branch()
    {
        _machine.EnablePaging();
        _machine.Ring(3);
        _machine.Protect(0x41000, 5);
        _machine.Esp = 0x41800;
        _machine.Code(32, a => a.call(ProtectedMachine.Origin + 0x100));
        Assert.Equal(7u, _machine.StepToFault(Vectors.PF));
    }

    [Theory]
    [InlineData(false, 0x10001u, 0x10000u, true)]
    [InlineData(true, 0x10001u, 0x10000u, false)]
    [InlineData(true, 0x30000u, 0x3FFFFu, true)]
    public void Loop_counts_in_the_register_of_the_address_size(bool prefix67, uint before, uint after, bool taken)
    {
        _machine.State->Gpr[1] = before;
        byte[] loop = [0xE2, 0x10];
        _machine.Code(prefix67 ? [0x67, .. loop] : loop);
        _machine.Step();
        Assert.Equal(after, _machine.State->Gpr[1]);
        Assert.Equal(ProtectedMachine.Origin + (prefix67 ? 3u : 2) + (taken ? 0x10u : 0), _machine.Eip);
    }

    [Fact]
    public void Jcxz_tests_the_register_of_the_address_size()
    {
        _machine.State->Gpr[1] = 0x10000;
        _machine.Code(0xE3, 0x10, 0x67, 0xE3, 0x10);
        _machine.Step();
        Assert.Equal(ProtectedMachine.Origin + 2u, _machine.Eip);
        _machine.Step();
        Assert.Equal(ProtectedMachine.Origin + 0x15u, _machine.Eip);
    }
}
