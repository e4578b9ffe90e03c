using Farm.Assist.Cpu;
using Farm.Machine.Hypervisors;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Backends.Tests;

// Interrupts, HLT, shutdown, transitions.
public abstract unsafe partial class BackendTests
{
    private const ushort Code32 = 0x08, Data32 = 0x10, Code16 = 0x18, Data16 = 0x20, Tss1 = 0x28, Tss2 = 0x30;
    private const int GdtAt = 0x3000, GdtrAt = 0x620, IdtAt = 0x4000, IdtrAt = 0x628, Tss1At = 0x5000, Tss2At = 0x5100;

    private static void Tables(Bed bed)
    {
        ulong[] gdt =
        [
            0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF, 0x00009A010000FFFF, 0x000092000000FFFF,
            0x0000890000000067 | (Tss1At << 16), 0x0000890000000067 | (Tss2At << 16),
        ];
        for (int i = 0; i < gdt.Length; i++)
            bed.Put(GdtAt + (i * 8), gdt[i], 8);
        bed.Put(GdtrAt, (ulong)((gdt.Length * 8) - 1) | ((ulong)GdtAt << 16), 6);
        bed.Put(IdtrAt, 0x7FF | ((ulong)IdtAt << 16), 6);
    }

    /// <summary>From real mode into flat 32-bit code at 12000h.</summary>
    private static void ToFlat(Bed bed, Action<Assembler> body, bool halt = true)
    {
        Tables(bed);
        bed.Program(c =>
        {
            c.cli();
            c.lgdt(__[GdtrAt]);
            c.lidt(__[IdtrAt]);
            c.mov(eax, cr0);
            c.or(al, 1);
            c.mov(cr0, eax);
            c.AddInstruction(Instruction.CreateBranch(Code.Jmp_ptr1632, Code32, 0x12000));
        });
        bed.Assemble(0x12000, 0x12000, 32, c =>
        {
            c.mov(ax, Data32);
            c.mov(ds, ax);
            c.mov(es, ax);
            c.mov(ss, ax);
            c.mov(esp, 0x200000);
            body(c);
        }, halt);
    }

    /// <summary>By less than the second within which KVM takes a write of the register for something else, and twice.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void The_time_stamp_counter_moves_on_as_it_is_told(bool looksAtState)
    {
        const ulong ticks = 1 << 28;
        using var bed = NewBed();
        if (LocalApics)
        {
            Assert.Null(bed.Vcpu.TimeStampRate);
            return;
        }
        Assert.SkipWhen(bed.Vcpu.TimeStampRate is null, "This host's time-stamp counter cannot be moved.");
        bed.Program(c =>
        {
            for (int i = 0; i < 3; i++)
            {
                c.rdtsc();
                c.mov(__dword_ptr[0x600 + (i * 8)], eax);
                c.mov(__dword_ptr[0x604 + (i * 8)], edx);
                c.@out(0x80, al);
            }
        });
        bed.OnWrite = (_, _) => bed.Vcpu.RequestStop(VcpuExitReason.Stopped);
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(VcpuExitReason.Stopped, bed.Run());
            if (looksAtState)
                _ = bed.Vcpu.State->Rip;
            bed.Vcpu.AdvanceTimeStamp(ticks);
        }
        ulong first = Counter(0x600), second = Counter(0x608), third = Counter(0x610);
        Assert.InRange(second - first, ticks, 1000 * ticks);
        Assert.InRange(third - second, ticks, 1000 * ticks);

        ulong Counter(int address) => bed.Dword(address) | ((ulong)bed.Dword(address + 4) << 32);
    }

    [Fact]
    public void An_interrupt_is_taken_in_real_mode_once_the_guest_allows_it()
    {
        using var bed = NewBed();
        bed.Handler(0x31, c =>
        {
            c.inc(__word_ptr.cs[0x200]);
            c.iret();
        });
        bed.Program(c =>
        {
            c.cli();
            c.mov(al, 1);
            c.@out(0x80, al);
            c.mov(ax, __word_ptr.cs[0x200]);
            c.mov(__word_ptr[0x600], ax);
            c.sti();
            c.nop();
            var taken = c.CreateLabel();
            c.Label(ref taken);
            c.nop();
            c.mov(ax, __word_ptr.cs[0x200]);
            if (LocalApics)
            {
                // A processor with a local APIC of its own takes the 8259's interrupt when it is next asked.
                c.or(ax, ax);
                c.je(taken);
            }
            c.mov(__word_ptr[0x602], ax);
        });
        bed.OnWrite = (_, _) => bed.Interrupt(0x31);
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((0, 1), (bed.Word(0x600), bed.Word(0x602)));
    }

    [Fact]
    public void An_interrupt_is_taken_in_protected_mode()
    {
        using var bed = NewBed();
        ToFlat(bed, c =>
        {
            c.sti();
            c.@out(0x80, al);
            c.nop();
            c.nop();
        });
        bed.Put(IdtAt + (0x40 * 8), 0x00018E0000083000, 8);
        bed.Assemble(0x13000, 0x13000, 32, c =>
        {
            c.inc(__dword_ptr[0x700]);
            c.iretd();
        }, halt: false);
        bed.OnWrite = (_, _) => bed.Interrupt(0x40);
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(1u, bed.Dword(0x700));
    }

    [Fact]
    public void Hlt_stays_until_an_interrupt_comes_and_goes_on_behind_it()
    {
        using var bed = NewBed();
        bed.Handler(0x31, c =>
        {
            c.inc(__word_ptr.cs[0x200]);
            c.iret();
        });
        bed.Program(c =>
        {
            c.sti();
            c.hlt();
            c.mov(__word_ptr[0x600], 0x55AA);
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(0, bed.Word(0x600));
        bed.Interrupt(0x31);
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((0x55AA, 1), (bed.Word(0x600), bed.Word(0x10200)));
    }

    [Fact]
    public void A_non_maskable_interrupt_wakes_a_halted_processor()
    {
        using var bed = NewBed();
        bed.Handler(2, c =>
        {
            c.inc(__word_ptr.cs[0x200]);
            c.iret();
        });
        bed.Program(c => c.nop());
        Assert.Equal(Halted, bed.Run());
        bed.Assemble((uint)(Bed.CodeAt + bed.Guest->Rip), 0, 16, c => c.mov(__word_ptr[0x600], 7));
        bed.Vcpu.PendNmi();
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((1, 7), (bed.Word(0x10200), bed.Word(0x600)));
    }

    [Fact]
    public void A_triple_fault_is_a_shutdown()
    {
        using var bed = NewBed();
        bed.Put(IdtrAt, 0, 6);
        bed.Program(c =>
        {
            c.lidt(__[IdtrAt]);
            c.int3();
        });
        Assert.Equal(VcpuExitReason.Shutdown, bed.Run());
    }

    [Fact]
    public void After_a_shutdown_a_reset_state_runs()
    {
        using var bed = NewBed();
        bed.Put(IdtrAt, 0, 6);
        bed.Program(c =>
        {
            c.lidt(__[IdtrAt]);
            c.int3();
        });
        Assert.Equal(VcpuExitReason.Shutdown, bed.Run());
        bed.EnterReal(0x1000, 0);
        bed.Program(c => c.mov(__word_ptr[0x600], 0x1234));
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(0x1234, bed.Word(0x600));
    }

    [Fact]
    public void A_kick_ends_an_endless_loop()
    {
        using var bed = NewBed();
        bed.TakesKicks = true;
        bed.Assemble(Bed.CodeAt, 0, 16, c => c.db(0xEB, 0xFE), halt: false);
        bed.Vcpu.Kick();
        Assert.Equal(VcpuExitReason.Kicked, bed.Run());
        using var timer = new Timer(_ => bed.Vcpu.Kick(), null, 50, Timeout.Infinite);
        Assert.Contains(bed.Run(), new[] { VcpuExitReason.Kicked, VcpuExitReason.Budget });
    }

    [Fact]
    public void The_state_after_a_port_access_is_behind_the_instruction()
    {
        using var bed = NewBed();
        bed.Assemble(Bed.CodeAt, 0, 16, c =>
        {
            c.@in(al, 0x60);
            c.@out(0x80, al);
            c.inc(ax);
        });
        bed.OnWrite = (_, _) => bed.Vcpu.RequestStop(VcpuExitReason.Stopped);
        Assert.Equal(VcpuExitReason.Stopped, bed.Run());
        Assert.Equal((4ul, 0x11ul), (bed.Guest->Rip, bed.Guest->Gpr[0]));
        bed.Guest->Gpr[0] = 0x100;
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(0x101ul, bed.Guest->Gpr[0]);
    }

    [Fact]
    public void Protected_mode_is_entered_and_left()
    {
        using var bed = NewBed();
        ToFlat(bed, c =>
        {
            c.mov(__dword_ptr[0x200100], 0x12345678);
            c.mov(ax, Data16);
            c.mov(ds, ax);
            c.mov(es, ax);
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
            c.mov(__word_ptr[0x600], cs);
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((0x12345678u, 0x1000), (bed.Dword(0x200100), bed.Word(0x600)));
        Assert.Equal(0ul, bed.Guest->Cr0 & ControlRegisters.Cr0PE);
    }

    [Fact]
    public void Unreal_mode_keeps_the_big_limit()
    {
        using var bed = NewBed();
        Tables(bed);
        bed.Put(0x234560, 0xCAFE, 2);
        bed.Program(c =>
        {
            c.cli();
            c.lgdt(__[GdtrAt]);
            c.mov(eax, cr0);
            c.or(al, 1);
            c.mov(cr0, eax);
            c.mov(bx, Data32);
            c.mov(fs, bx);
            c.and(al, 0xFE);
            c.mov(cr0, eax);
            c.mov(ebx, 0x234560);
            c.mov(ax, __word_ptr.fs[ebx]);
            c.mov(__word_ptr[0x600], ax);
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(0xCAFE, bed.Word(0x600));
    }

    [Fact]
    public void A_task_switch_saves_and_loads()
    {
        using var bed = NewBed();
        ToFlat(bed, c =>
        {
            c.mov(ax, Tss1);
            c.ltr(ax);
            c.mov(ecx, 0x1111);
            c.AddInstruction(Instruction.CreateBranch(Code.Jmp_ptr1632, Tss2, 0));
        });
        bed.Put(Tss2At + 0x20, 0x14000, 4);
        bed.Put(Tss2At + 0x24, 2, 4);
        bed.Put(Tss2At + 0x2C, 0x2222, 4);
        bed.Put(Tss2At + 0x38, 0x1F0000, 4);
        bed.Put(Tss2At + 0x48, Data32, 2);
        bed.Put(Tss2At + 0x4C, Code32, 2);
        bed.Put(Tss2At + 0x50, Data32, 2);
        bed.Put(Tss2At + 0x54, Data32, 2);
        bed.Assemble(0x14000, 0x14000, 32, c => c.mov(__dword_ptr[0x700], ecx));
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((0x2222u, 0x1111u), (bed.Dword(0x700), bed.Dword(Tss1At + 0x2C)));
        Assert.Equal(Tss2, bed.Guest->Tr.Selector);
    }

    [Fact]
    public void The_fpu_goes_through_the_state()
    {
        using var bed = NewBed();
        bed.Assemble(Bed.CodeAt, 0, 16, c =>
        {
            c.fninit();
            c.fld1();
            c.fldpi();
            c.@out(0x80, al);
            c.fstp(__qword_ptr[0x600]);
            c.fstp(__qword_ptr[0x608]);
        });
        bed.OnWrite = (_, _) => bed.Vcpu.RequestStop(VcpuExitReason.Stopped);
        Assert.Equal(VcpuExitReason.Stopped, bed.Run());
        CpuState* state = bed.Guest;
        Assert.Equal(6, (state->FpuStatus >> 11) & 7);
        Assert.Equal((0xC90FDAA22168C235ul, 0x4000ul), (state->Fpr[12], state->Fpr[13]));
        Assert.Equal((0x8000000000000000ul, 0x3FFFul), (state->Fpr[14], state->Fpr[15]));
        // ST(1) becomes 2.
        state->Fpr[15] = 0x4000;
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((Math.PI, 2.0), (*(double*)(bed.Ram + 0x600), *(double*)(bed.Ram + 0x608)));
    }
}
