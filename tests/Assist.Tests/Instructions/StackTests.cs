using Farm.Assist.Cpu;
using Farm.Assist.Tests.SystemLevel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.Instructions;

public sealed unsafe class StackTests : IDisposable
{
    /// <summary>A page that tests make read-only or absent; the one below stays.</summary>
    private const int Page = 0x41000;

    private readonly ProtectedMachine _machine = new();

    public void Dispose() => _machine.Dispose();

    [Fact]
    public void Push_esp_stores_the_value_from_before()
    {
        _machine.Code(32, a => a.push(esp));
        _machine.Step();
        Assert.Equal(ProtectedMachine.Stack0 - 4u, _machine.Esp);
        Assert.Equal((uint)ProtectedMachine.Stack0, _machine.Read32(ProtectedMachine.Stack0 - 4));
    }

    [Fact]
    public void Pop_esp_keeps_the_popped_value()
    {
        _machine.Write32(ProtectedMachine.Stack0, 0x12345678);
        _machine.Code(32, a => a.pop(esp));
        _machine.Step();
        Assert.Equal(0x12345678u, _machine.Esp);
    }

    [Fact]
    public void Pop_to_memory_addresses_with_the_incremented_esp()
    {
        _machine.Write32(ProtectedMachine.Stack0, 0xCAFEF00D);
        _machine.Code(32, a => a.pop(__dword_ptr[esp + 8]));
        _machine.Step();
        Assert.Equal(ProtectedMachine.Stack0 + 4u, _machine.Esp);
        Assert.Equal(0xCAFEF00Du, _machine.Read32(ProtectedMachine.Stack0 + 12));
    }

    [Fact]
    public void Pop_to_memory_that_faults_leaves_esp()
    {
        _machine.EnablePaging();
        _machine.Protect(Page, 5);
        _machine.Write32(ProtectedMachine.Stack0, 1);
        _machine.Code(32, a => a.pop(__dword_ptr[Page]));
        Assert.Equal(3u, _machine.StepToFault(Vectors.PF));
        Assert.Equal(ProtectedMachine.Stack0 - 16u, _machine.Esp);
        Assert.Equal(0u, _machine.Read32(Page));
    }

    [Fact]
    public void Pushad_that_faults_halfway_stores_nothing()
    {
        // The handler runs on ring 0's stack.
        _machine.EnablePaging();
        _machine.Ring(3);
        _machine.Protect(Page - 0x1000, 5);
        _machine.Esp = Page + 8;
        _machine.State->Gpr[0] = 0x11111111;
        _machine.State->Gpr[1] = 0x22222222;
        _machine.Code(32, a => a.pushad());
        _machine.StepToFault(Vectors.PF);
        Assert.Equal(0ul, _machine.Read64(Page));
        Assert.Equal(Page + 8u, _machine.Read32((int)_machine.Esp + 16));
    }

    [Fact]
    public void Popad_that_faults_halfway_loads_nothing()
    {
        _machine.EnablePaging();
        _machine.Ring(3);
        _machine.Protect(Page, 0);
        _machine.Esp = Page - 8;
        _machine.Write64(Page - 8, 0x1111111122222222);
        _machine.State->Gpr[7] = 7;
        _machine.Code(32, a => a.popad());
        _machine.StepToFault(Vectors.PF);
        Assert.Equal(7ul, _machine.State->Gpr[7]);
        Assert.Equal(Page - 8u, _machine.Read32((int)_machine.Esp + 16));
    }

    [Fact]
    public void Popad_skips_the_stored_esp()
    {
        for (int i = 0; i < 8; i++)
            _machine.Write32(ProtectedMachine.Stack0 + (i * 4), 100u + (uint)i);
        _machine.Code(32, a => a.popad());
        _machine.Step();
        ulong[] loaded = [107, 106, 105, 104, ProtectedMachine.Stack0 + 32, 102, 101, 100];
        Assert.Equal(loaded, new ReadOnlySpan<ulong>(_machine.State->Gpr, 8).ToArray());
    }

    public static TheoryData<int, bool, bool> EnterForms()
    {
        TheoryData<int, bool, bool> forms = [];
        foreach (int level in (int[])[0, 1, 2, 3, 17, 31, 32, 35])
        {
            foreach (bool wideOperand in (bool[])[false, true])
            {
                foreach (bool wideStack in (bool[])[false, true])
                    forms.Add(level, wideOperand, wideStack);
            }
        }
        return forms;
    }

    /// <summary>Against the pseudocode of SDM vol. 2, ENTER, written out plainly.</summary>
    [Theory]
    [MemberData(nameof(EnterForms))]
    public void Enter_makes_the_frame_of_its_level(int level, bool wideOperand, bool wideStack)
    {
        const ushort Allocated = 0x123;
        const uint Bp = 0x7000, HighBp = 0x98760000, HighGarbage = 0xABCD0000;
        int size = wideOperand ? 4 : 2;
        if (!wideStack)
            _machine.Put(Seg.Ss, ProtectedMachine.Data16);
        for (int i = 0; i < 0x200; i++)
            _machine.Write8((int)Bp - i, i * 7);
        uint bp = wideStack ? Bp : Bp | HighBp, sp = wideStack ? 0x8000 : 0x8000 | HighGarbage;
        _machine.State->Gpr[5] = bp;
        _machine.Esp = sp;
        byte[] enter = [0xC8, Allocated & 0xFF, Allocated >> 8, (byte)level];
        _machine.Code(wideOperand ? enter : [0x66, .. enter]);

        List<uint> pushed = [bp];
        uint frame = 0x8000 - (uint)size;
        if ((level & 31) > 0)
        {
            for (int i = 1; i < (level & 31); i++)
                pushed.Add(_machine.Read32((int)Bp - (i * size)));
            pushed.Add(wideStack ? frame : frame | HighGarbage);
        }
        _machine.Step();

        for (int i = 0; i < pushed.Count; i++)
        {
            int at = 0x8000 - ((i + 1) * size);
            Assert.Equal(wideOperand ? pushed[i] : (ushort)pushed[i], wideOperand ? _machine.Read32(at) : _machine.Read16(at));
        }
        uint top = 0x8000 - (uint)(pushed.Count * size) - Allocated;
        Assert.Equal(wideStack ? top : top | HighGarbage, _machine.Esp);

        // A 16-bit operand size leaves the upper half of EBP.
        uint high = wideOperand ? _machine.Esp & 0xFFFF0000 : bp & 0xFFFF0000;
        Assert.Equal(high | frame, (uint)_machine.State->Gpr[5]);
    }

    [Fact]
    public void Enter_whose_frame_would_not_be_writable_changes_nothing()
    {
        _machine.EnablePaging();
        _machine.Ring(3);
        _machine.Protect(Page - 0x1000, 5);
        _machine.Esp = Page + 0x10;
        _machine.State->Gpr[5] = 0x7000;
        _machine.Write32(Page + 0xC, 0xCCCCCCCC);
        _machine.Code(32, a => a.enter(0x40, 2));
        _machine.StepToFault(Vectors.PF);
        Assert.Equal(0xCCCCCCCC, _machine.Read32(Page + 0xC));
        Assert.Equal(0x7000ul, _machine.State->Gpr[5]);
        Assert.Equal(Page + 0x10u, _machine.Read32((int)_machine.Esp + 16));
        Assert.Equal(Page - 0x3Cul, _machine.State->Cr2);
    }

    [Fact]
    public void Leave_that_faults_changes_no_register()
    {
        _machine.EnablePaging();
        _machine.Protect(Page, 0);
        _machine.State->Gpr[5] = Page;
        _machine.Code(32, a => a.leave());
        _machine.StepToFault(Vectors.PF);
        Assert.Equal((ulong)Page, _machine.State->Gpr[5]);
        Assert.Equal(ProtectedMachine.Stack0 - 16u, _machine.Esp);
    }

    [Fact]
    public void Stack_of_64_KiB_wraps_within_sp()
    {
        _machine.Put(Seg.Ss, ProtectedMachine.Data16);
        _machine.Esp = 0x70000;
        _machine.State->Gpr[0] = 0xBEEF;
        _machine.Code(32, a => a.push(ax));
        _machine.Step();
        Assert.Equal(0x7FFFEu, _machine.Esp);
        Assert.Equal(0xBEEF, _machine.Read16(0xFFFE));
    }
}
