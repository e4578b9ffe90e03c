using Farm.Machine.Devices.Apic;
using Farm.Machine.Hypervisors;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Backends.Tests;

// Two processors at once.
public abstract unsafe partial class LocalApicTests
{
    protected const uint StartAt = 0x9000, RunningAt = 0x610;
    private const uint FlatStart = 0x14000, SelectorAt = 0x614, IdAt = 0x618;

    [Fact]
    public void A_SIPI_starts_the_other_processor_in_real_mode()
    {
        using var bed = NewBed(2);
        bed.Assemble(StartAt, 0, 16, c =>
        {
            c.mov(bx, cs);
            c.xor(ax, ax);
            c.mov(ds, ax);
            c.mov(__word_ptr[SelectorAt], bx);
            c.mov(eax, 1);
            c.cpuid();
            c.mov(__dword_ptr[IdAt], ebx);
            c.@out(0x84, al);
            c.mov(__dword_ptr[RunningAt], 1);
        });
        EnterFlat(bed, c =>
        {
            Enable(c);
            StartOther(c);
            Wait(c, 1, RunningAt);
            c.mov(eax, 1);
            c.cpuid();
            c.@out(0x85, al);
        }, static c => c.iretd());
        Assert.Equal(Halted, bed.Run());
        Assert.Equal([0x84, 0x85], bed.PortWrites.Select(write => (int)write.Port));
        Assert.Equal((StartAt >> 4, 1u), (bed.Word((int)SelectorAt), bed.Dword((int)IdAt) >> 24));
        Assert.Empty(bed.OtherExits);
    }

    [Fact]
    public void Processors_interrupt_each_other_out_of_HLT()
    {
        using var bed = NewBed(2);
        OtherInFlatCode(bed);
        EnterFlat(bed, c =>
        {
            var again = c.CreateLabel();
            Enable(c);
            StartOther(c);
            Wait(c, 1, RunningAt);
            c.Label(ref again);
            c.mov(__dword_ptr[Apic + 0x310], 1 << 24);
            c.mov(__dword_ptr[Apic + 0x300], 0x4041);
            c.sti();
            c.hlt(); // the answer cannot come before
            c.cli();
            c.cmp(__dword_ptr[0x600], 20);
            c.jb(again);
        }, c =>
        {
            var first = c.CreateLabel();
            var end = c.CreateLabel();
            c.test(__byte_ptr[Apic + 0x23], 1);
            c.je(first);
            c.inc(__dword_ptr[0x604]);
            c.mov(__dword_ptr[Apic + 0xB0], 0);
            c.mov(__dword_ptr[Apic + 0x310], 0);
            c.mov(__dword_ptr[Apic + 0x300], 0x4042);
            c.jmp(end);
            c.Label(ref first);
            c.inc(__dword_ptr[0x600]);
            c.mov(__dword_ptr[Apic + 0xB0], 0);
            c.Label(ref end);
            c.iretd();
        }, 0x41, 0x42);
        // A look at a moment in which both rest is no end.
        do
        {
            Assert.Equal(Halted, bed.Run());
        }
        while (bed.Dword(0x600) < 20);
        Assert.Equal((20u, 20u), (bed.Dword(0x600), bed.Dword(0x604)));
        Assert.Empty(bed.OtherExits);
    }

    [Fact]
    public void A_level_triggered_interrupt_ends_at_the_processor_that_it_was_sent_to()
    {
        using var bed = NewBed(2);
        var ended = new List<(byte Vector, int Writes)>();
        bed.LocalApics!.Ended = vector => ended.Add((vector, bed.PortWrites.Count));
        OtherInFlatCode(bed);
        EnterFlat(bed, c =>
        {
            Enable(c);
            StartOther(c);
            Wait(c, 1, RunningAt);
            for (uint i = 1; i <= 2; i++)
            {
                c.@out(0x80, al);
                Wait(c, i);
            }
        }, static c =>
        {
            // Its end first: the first processor goes on as soon as it is counted.
            c.mov(__dword_ptr[Apic + 0xB0], 0);
            c.inc(__dword_ptr[0x600]);
            c.iretd();
        }, 0x51, 0x52);
        bed.OnWrite = (_, _) =>
        {
            var level = new ApicMessage(DeliveryMode.Fixed, (byte)(0x51 + ended.Count), 1, Logical: false, Level: true);
            bed.LocalApics.Redirect(9, level);
            Assert.True(bed.LocalApics.Send(level));
        };
        Assert.Equal(Halted, bed.Run());
        Assert.Equal([(0x51, 1), (0x52, 2)], ended);
    }

    [Fact]
    public void A_reset_stops_the_other_processor_until_it_is_started_again()
    {
        using var bed = NewBed(2);
        bed.Assemble(StartAt, 0, 16, c =>
        {
            var again = c.CreateLabel();
            c.xor(ax, ax);
            c.mov(ds, ax);
            c.mov(__dword_ptr[RunningAt], 1);
            c.Label(ref again);
            c.inc(__dword_ptr[0x640]);
            c.jmp(again);
        }, halt: false);
        void Start() => EnterFlat(bed, c =>
        {
            Enable(c);
            StartOther(c, twice: false);
            Wait(c, 1, RunningAt);
        }, static c => c.iretd());
        Start();
        Assert.Equal(Halted, bed.Run());
        bed.Vcpu.ForgetEvents();
        bed.Others[0].ForgetEvents();
        uint count = bed.Dword(0x640);
        bed.Put((int)RunningAt, 0, 4);
        EnterFlat(bed, c =>
        {
            c.mov(ecx, 1_000_000);
            var here = c.CreateLabel();
            c.Label(ref here);
            c.loop(here);
        }, static c => c.iretd());
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((count, 0u), (bed.Dword(0x640), bed.Dword((int)RunningAt)));
        Start();
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(1u, bed.Dword((int)RunningAt));
    }

    [Fact]
    public void The_other_processor_raises_the_8259s_line_while_the_first_executes()
    {
        using var bed = NewBed(2);
        bed.Assemble(StartAt, 0, 16, c =>
        {
            c.xor(ax, ax);
            c.mov(ds, ax);
            c.mov(__dword_ptr[RunningAt], 1);
            var wait = c.CreateLabel();
            c.Label(ref wait);
            c.pause();
            c.cmp(__dword_ptr[0x604], 1);
            c.jb(wait);
            c.@out(0x80, al);
        });
        InterruptAtPort80(bed);
        EnterFlat(bed, c =>
        {
            Enable(c);
            StartOther(c);
            Wait(c, 1, RunningAt);
            c.sti();
            c.mov(__dword_ptr[0x604], 1);
            Wait(c, 1);
        }, CountAndEnd, 0x20);
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(1u, bed.Dword(0x600));
    }

    [Fact]
    public void Memory_that_one_processor_has_remapped_is_never_missing_to_the_other()
    {
        using var bed = NewBed(2);
        bed.Assemble(StartAt, 0, 16, c =>
        {
            var again = c.CreateLabel();
            c.xor(ax, ax);
            c.mov(ds, ax);
            c.mov(__dword_ptr[RunningAt], 1);
            c.Label(ref again);
            c.inc(__dword_ptr[0x640]);
            c.jmp(again);
        }, halt: false);
        EnterFlat(bed, c =>
        {
            Enable(c);
            StartOther(c);
            Wait(c, 1, RunningAt);
            c.mov(ecx, 50);
            var again = c.CreateLabel();
            var wait = c.CreateLabel();
            c.Label(ref again);
            c.mov(eax, __dword_ptr[0x640]);
            c.@out(0x80, al);
            c.Label(ref wait);
            c.pause();
            c.cmp(eax, __dword_ptr[0x640]);
            c.je(wait);
            c.dec(ecx);
            c.jne(again);
        }, static c => c.iretd());
        // The last piece of the first megabyte's RAM comes and goes: its range is mapped anew each time, with all code in it.
        bool hidden = false;
        bed.OnWrite = (_, _) =>
        {
            hidden = !hidden;
            bed.ShowEndOfRam(!hidden);
        };
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(50, bed.PortWrites.Count);
        Assert.Empty(bed.MmioReads);
        Assert.Empty(bed.OtherExits);
    }

    [Fact]
    public void A_triple_fault_of_the_other_processor_ends_its_run_until_it_is_reset()
    {
        using var bed = NewBed(2);
        bed.OnRead = (_, _) => (uint)bed.OtherExits.Count;
        bed.Assemble(StartAt, 0, 16, c =>
        {
            c.xor(ax, ax);
            c.mov(ds, ax);
            c.mov(__dword_ptr[RunningAt], 1);
            c.cmp(__dword_ptr[0x604], 0);
            var well = c.CreateLabel();
            c.jne(well);
            c.lidt(__[0x630]); // nothing
            c.int3();
            c.Label(ref well);
            c.@out(0x84, al);
        });
        for (uint round = 0; round < 2; round++)
        {
            bed.Put(0x604, round, 4);
            bed.Put((int)RunningAt, 0, 4);
            EnterFlat(bed, c =>
            {
                Enable(c);
                StartOther(c, twice: false);
                Wait(c, 1, RunningAt);
                var wait = c.CreateLabel();
                c.Label(ref wait);
                c.@in(al, 0x70);
                c.test(al, al);
                c.je(wait);
            }, static c => c.iretd());
            bed.OnWrite = (_, _) => bed.OtherExits.Add(VcpuExitReason.Halted);
            Assert.Equal(Halted, bed.Run());
            Assert.Equal(round == 0 ? VcpuExitReason.Shutdown : VcpuExitReason.Halted, bed.OtherExits.Single());
            bed.OtherExits.Clear();
            bed.Others[0].ForgetEvents();
        }
    }

    /// <summary>INIT and SIPIs (SDM vol. 3, 9.4.4.1).</summary>
    /// <param name="twice">The second SIPI finds a processor that executes; where that stops of its own, it would still wait for it.</param>
    protected static void StartOther(Assembler c, bool twice = true)
    {
        const uint startup = 0x4600 | (StartAt >> 12);
        c.mov(__dword_ptr[Apic + 0x310], 1 << 24);
        c.mov(__dword_ptr[Apic + 0x300], 0x4500);
        c.mov(__dword_ptr[Apic + 0x300], startup);
        if (twice)
            c.mov(__dword_ptr[Apic + 0x300], startup);
    }

    /// <summary>The other processor comes to protected mode, opens to interrupts, says so at 610h and rests.</summary>
    private static void OtherInFlatCode(Bed bed)
    {
        bed.Assemble(StartAt, 0, 16, c =>
        {
            c.xor(ax, ax);
            c.mov(ds, ax);
            c.lgdt(__[0x620]);
            c.mov(eax, cr0);
            c.or(al, 1);
            c.mov(cr0, eax);
            // jmp 8:FlatStart, 32 bit
            c.db(0x66, 0xEA, unchecked((byte)FlatStart), unchecked((byte)(FlatStart >> 8)), (byte)(FlatStart >> 16), 0, 8, 0);
        }, halt: false);
        bed.Assemble(FlatStart, FlatStart, 32, c =>
        {
            var again = c.CreateLabel();
            c.mov(eax, 0x10);
            c.mov(ds, ax);
            c.mov(ss, ax);
            c.mov(esp, 0x7000);
            c.lidt(__[0x628]);
            Enable(c);
            c.mov(__dword_ptr[RunningAt], 1);
            c.Label(ref again);
            c.sti();
            c.hlt();
            c.jmp(again);
        }, halt: false);
    }
}
