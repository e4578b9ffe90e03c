using Farm.Assist.Cpu;
using Farm.Assist.Monitor;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Backends.Tests;

// The assist around the backend's processor.
public abstract unsafe partial class BackendTests
{
    public static TheoryData<AssistStrength> Assisted => [AssistStrength.Vm86, AssistStrength.Full];

    private static void Counting(Bed bed, int vector)
    {
        bed.Put(vector * 4, 0x1000_0800, 4);
        bed.Assemble(Bed.CodeAt + 0x800, 0x800, 16, c =>
        {
            c.inc(__word_ptr.cs[0x900]);
            c.iret();
        }, halt: false);
    }

    [Theory]
    [MemberData(nameof(Assisted))]
    public void Each_trap_is_carried_out(AssistStrength strength)
    {
        using var bed = NewBed(strength);
        Counting(bed, 0x21);
        bed.Put(GdtrAt, 0x1F | ((ulong)GdtAt << 16), 6);
        bed.Program(c =>
        {
            c.xor(ax, ax);
            c.mov(ds, ax);
            c.mov(ss, ax);
            c.mov(sp, 0x7000);
            c.@int(0x21); // INT
            c.pushf();
            c.pop(bx);
            c.mov(__word_ptr[0x600], bx);
            c.lgdt(__[GdtrAt]); // tables
            c.sgdt(__[0x610]);
            c.wbinvd();
            c.mov(eax, cr0); // MOV CR
            c.mov(__dword_ptr[0x604], eax);
            c.clts();
            c.mov(eax, dr7);
            c.mov(__dword_ptr[0x618], eax);
            c.mov(dx, 0x3F8);
            c.mov(al, 0x41);
            c.@out(dx, al); // ports are the guest's own
            c.@in(al, dx);
            c.mov(__byte_ptr[0x630], al);
            c.mov(ecx, 0x10); // MSR
            c.rdmsr();
            c.mov(__word_ptr[0x602], 0x600D);
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((0x600D, 1), (bed.Word(0x602), bed.Word(0x10900)));
        Assert.Equal(0u, bed.Dword(0x604) & 1);
        Assert.Equal((0x1F, (uint)GdtAt), (bed.Word(0x610), bed.Dword(0x612) & 0xFFFFFF));
        Assert.Equal(0x11, bed.Word(0x630) & 0xFF);
        Assert.Contains(bed.PortWrites, write => write == (0x3F8, 0x41u, 1));
        if (strength == AssistStrength.Vm86)
            Assert.Superset(new HashSet<string> { "lgdt", "wbinvd", "mov" }, bed.Assist.Statistics.TrapsByMnemonic.Select(trap => trap.Key).ToHashSet());
    }

    [Theory]
    [MemberData(nameof(Assisted))]
    public void An_interrupt_reaches_the_guests_own_vector(AssistStrength strength)
    {
        using var bed = NewBed(strength);
        Counting(bed, 0x08);
        bed.OnWrite = (port, _) =>
        {
            if (port == 0x80)
                bed.Interrupt(0x08);
        };
        bed.Program(c =>
        {
            c.xor(ax, ax);
            c.mov(ds, ax);
            c.mov(ss, ax);
            c.mov(sp, 0x7000);
            c.sti();
            c.@out(0x80, al);
            c.nop();
            c.nop();
            c.cli();
            c.mov(ax, __word_ptr.cs[0x900]);
            c.mov(__word_ptr[0x600], ax);
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(1, bed.Word(0x600));
    }

    [Theory]
    [MemberData(nameof(Assisted))]
    public void Hlt_under_the_assist_is_woken_by_an_interrupt(AssistStrength strength)
    {
        using var bed = NewBed(strength);
        Counting(bed, 0x08);
        bed.Program(c =>
        {
            c.xor(ax, ax);
            c.mov(ds, ax);
            c.mov(ss, ax);
            c.mov(sp, 0x7000);
            c.sti();
            c.hlt();
            c.mov(__word_ptr[0x600], 0x55AA);
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(0, bed.Word(0x600));
        bed.Interrupt(0x08);
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((0x55AA, 1), (bed.Word(0x600), bed.Word(0x10900)));
    }

    [Theory]
    [MemberData(nameof(Assisted))]
    public void The_guest_goes_to_protected_mode_and_back(AssistStrength strength)
    {
        using var bed = NewBed(strength);
        ToFlat(bed, c =>
        {
            c.mov(__dword_ptr[0x200100], 0x12345678);
            c.mov(ax, Data16);
            c.mov(ds, ax);
            c.mov(es, ax);
            c.mov(fs, ax);
            c.mov(gs, ax);
            c.mov(ss, ax);
            c.AddInstruction(Instruction.CreateBranch(Code.Jmp_ptr1632, Code16, 0x4000));
        }, halt: false);
        bed.Assemble(Bed.CodeAt + 0x4000, 0x4000, 16, c =>
        {
            c.mov(eax, cr0);
            c.and(al, 0xFE);
            c.mov(cr0, eax);
            c.AddInstruction(Instruction.CreateBranch(Code.Jmp_ptr1616, 0x1000, 0x4100));
        }, halt: false);
        bed.Assemble(Bed.CodeAt + 0x4100, 0x4100, 16, c =>
        {
            c.xor(ax, ax);
            c.mov(ds, ax);
            c.mov(ss, ax);
            c.mov(sp, 0x7000);
            c.@out(0x80, al);
            c.mov(__word_ptr[0x600], cs);
            c.mov(eax, cr0);
            c.mov(__dword_ptr[0x604], eax);
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((0x12345678u, 0x1000, 0u), (bed.Dword(0x200100), bed.Word(0x600), bed.Dword(0x604) & 1));
        Assert.Equal((1, 1), (bed.Assist.Statistics.ToProtected, bed.Assist.Statistics.ToReal));
        Assert.Equal(bed.Hypervisor.Capabilities.InterceptsCr0 ? 0 : 1, bed.Assist.Statistics.LateToReal);
    }

    [Fact]
    public void Code_that_the_guest_changes_under_the_assist_is_seen()
    {
        using var bed = NewBed(AssistStrength.Vm86);
        bed.Program(c =>
        {
            var loop = c.CreateLabel();
            c.xor(ax, ax);
            c.mov(ds, ax);
            c.mov(ss, ax);
            c.mov(sp, 0x7000);
            c.mov(cx, 3);
            c.Label(ref loop);
            c.mov(__byte_ptr.cs[0x301], cl); // the immediate of the INT below
            c.call((ulong)0x300);
            c.loop(loop);
        });
        // INT n; RET
        bed.Memory.Write(Bed.CodeAt + 0x300, [0xCD, 0x40, 0xC3]);
        for (int i = 1; i <= 3; i++)
        {
            int vector = i;
            bed.Put(vector * 4, 0x1000_0000u + (0x400u + ((uint)vector * 0x10)), 4);
            bed.Assemble(Bed.CodeAt + 0x400 + ((uint)vector * 0x10), 0x400 + ((uint)vector * 0x10), 16, c =>
            {
                c.inc(__byte_ptr[0x600 + vector]);
                c.iret();
            }, halt: false);
        }
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((1, 1, 1), (bed.Ram[0x601], bed.Ram[0x602], bed.Ram[0x603]));
    }
}
