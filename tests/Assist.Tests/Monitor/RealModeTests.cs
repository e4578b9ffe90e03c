using Farm.Assist.Cpu;
using Farm.Assist.Monitor;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.Monitor;

/// <summary>Real-mode code behaves the same whatever runs it.</summary>
public sealed unsafe class RealModeTests
{
    private static readonly CpuModel WithoutVme = CpuModel.I486 with { Features = CpuFeatures.Fpu };

    public static TheoryData<AssistStrength> Strengths => [AssistStrength.Vm86, AssistStrength.Full, AssistStrength.Native];

    [Theory]
    [MemberData(nameof(Strengths))]
    public void The_guest_starts_as_after_reset(AssistStrength strength)
    {
        using var bed = new AssistBed(strength);
        bed.Program(_ => { });

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal(AssistBed.CodeSegment, bed.Guest->Cs.Selector);
        Assert.Equal(1u, bed.Guest->Rip);
        Assert.Equal(CpuModel.P3.Signature, bed.Guest->Gpr[2]);
        Assert.Equal(0u, bed.Guest->Gpr[0] | bed.Guest->Gpr[1] | bed.Guest->Gpr[3] | bed.Guest->Gpr[4]);
        Assert.Equal(0, bed.Guest->Ds.Selector | bed.Guest->Es.Selector | bed.Guest->Ss.Selector);
        Assert.Equal(0u, bed.Guest->Cr0 & ControlRegisters.Cr0PE);
        Assert.Equal(0u, bed.Guest->Rflags & Eflags.VM);
    }

    [Fact]
    public void Under_the_assist_the_processor_executes_nothing_in_real_mode()
    {
        using var bed = new AssistBed();
        bed.Handler(0x21);
        bed.Program(c =>
        {
            c.@int(0x21);
            c.sti();
            c.cli();
        });

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal(0, bed.RealModeRuns);
        Assert.Equal(1, bed.Count(0x21));
        Assert.Equal([new("hlt", 1)], bed.Assist.Statistics.TrapsByMnemonic);
    }

    [Theory]
    [MemberData(nameof(Strengths))]
    public void Software_interrupts_go_through_the_vector_table(AssistStrength strength)
    {
        using var bed = new AssistBed(strength);
        foreach (int vector in new[] { 3, 4, 8, 0xD, 0x10, 0x13, 0x20, 0x21, 0xFE, 0xFF })
            bed.Handler(vector);
        bed.Program(Interrupts);

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal([2, 1, 1, 1, 1, 1, 1, 1, 1, 1], new[] { 3, 4, 8, 0xD, 0x10, 0x13, 0x20, 0x21, 0xFE, 0xFF }.Select(bed.Count));
    }

    [Fact]
    public void Without_VME_software_interrupts_reach_the_same_handlers()
    {
        using var bed = new AssistBed(AssistStrength.Vm86, WithoutVme);
        foreach (int vector in new[] { 3, 4, 8, 0xD, 0x10, 0x13, 0x20, 0x21, 0xFE, 0xFF })
            bed.Handler(vector);
        bed.Program(Interrupts);

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal([2, 1, 1, 1, 1, 1, 1, 1, 1, 1], new[] { 3, 4, 8, 0xD, 0x10, 0x13, 0x20, 0x21, 0xFE, 0xFF }.Select(bed.Count));
        Assert.Equal(0u, bed.State->Cr4 & ControlRegisters.Cr4VME);
        Assert.True(bed.Assist.ResidentReflections >= 5);
    }

    private static void Interrupts(Assembler c)
    {
        c.mov(ax, 0x3000);
        c.mov(ss, ax);
        c.mov(esp, 0x12340100);
        foreach (byte vector in new byte[] { 3, 4, 8, 0xD, 0x10, 0x13, 0x20, 0x21, 0xFE, 0xFF })
            c.@int(vector);
        c.int3();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void INT_16h_alone_traps_where_the_machine_wants_to_see_it(bool vme)
    {
        using var bed = new AssistBed(model: vme ? CpuModel.P3 : WithoutVme, trapsKeyQuestions: true);
        bed.Handler(0x15);
        bed.Handler(0x16);
        bed.Handler(0x17);
        bed.Program(c =>
        {
            c.@int(0x15);
            c.mov(ah, 1);
            c.@int(0x16);
            c.@int(0x16);
            c.@int(0x17);
        });

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal((1, 2, 1), (bed.Count(0x15), bed.Count(0x16), bed.Count(0x17)));
        Assert.Equal([new("int", 2), new("hlt", 1)], bed.Assist.Statistics.TrapsByMnemonic);
    }

    [Theory]
    [MemberData(nameof(Strengths))]
    public void The_stack_image_of_an_interrupt_is_that_of_real_mode(AssistStrength strength)
    {
        using var bed = new AssistBed(strength);
        bed.Handler(0x60, c =>
        {
            c.pop(bx); // IP
            c.pop(cx); // CS
            c.pop(dx); // FLAGS
            c.pushf();
            c.pop(si);
            c.mov(edi, esp);
            c.hlt();
        });
        bed.Program(c =>
        {
            c.mov(esp, 0x12340100);
            c.stc();
            c.sti();
            c.@int(0x60);
            c.nop();
        });

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal(10u, bed.Guest->Gpr[3]);
        Assert.Equal(AssistBed.CodeSegment, bed.Guest->Gpr[1]);
        Assert.Equal(Eflags.CF | Eflags.IF | 2, bed.Guest->Gpr[2] & ~Eflags.IoplMask & 0xFFF);
        Assert.Equal(0u, bed.Guest->Gpr[6] & Eflags.IF);
        Assert.Equal(0x12340100u, bed.Guest->Gpr[7]);
    }

    [Theory]
    [MemberData(nameof(Strengths))]
    public void Exceptions_reach_the_guests_own_handlers(AssistStrength strength)
    {
        using var bed = new AssistBed(strength);
        foreach ((int vector, int length) in new[] { (0, 2), (5, 4), (6, 2), (13, 3) })
        {
            bed.Handler(vector, c =>
            {
                c.inc(__word_ptr.cs[0x8000 + (vector * 2)]);
                c.push(bp);
                c.mov(bp, sp);
                c.add(__word_ptr[bp + 2], (sbyte)length);
                c.pop(bp);
                c.iret();
            });
        }
        bed.Handler(4);
        bed.Program(c =>
        {
            c.mov(sp, 0x1000);
            c.xor(bx, bx);
            c.mov(ax, 100);
            c.div(bl);
            c.mov(__word_ptr[0x600], 1);
            c.mov(__word_ptr[0x602], 2);
            c.mov(ax, 7);
            c.bound(ax, __dword_ptr[0x600]);
            c.ud2();
            c.mov(ax, __word_ptr[0xFFFF]); // a word across the limit: 3 bytes
            c.mov(al, 0x7F);
            c.add(al, 1);
            c.into();
        });

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal([1, 1, 1, 1, 1], new[] { 0, 5, 6, 13, 4 }.Select(bed.Count));
        Assert.Equal(0x1000u, bed.Guest->Gpr[4]);
    }

    [Theory]
    [MemberData(nameof(Strengths))]
    public void Single_stepping_traps_after_each_instruction(AssistStrength strength)
    {
        using var bed = new AssistBed(strength);
        bed.Handler(1);
        bed.Handler(0x21);
        bed.Program(c =>
        {
            c.mov(sp, 0x1000);
            c.pushf();
            c.pop(ax);
            c.or(ah, 1);
            c.push(ax);
            c.popf();
            c.nop(); // trap
            c.mov(eax, cr0); // trap: emulated under vm86
            c.@int(0x21); // TF is cleared, then restored by IRET: traps after the next instruction
            c.nop(); // trap
            c.and(__byte_ptr.cs[0x7FFF], 0); // trap
            c.push(2); // trap
            c.popf(); // trap: TF was set when it began
            c.nop();
        });

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal(6, bed.Count(1));
        Assert.Equal(1, bed.Count(0x21));
    }

    [Theory]
    [MemberData(nameof(Strengths))]
    public void HLT_waits_for_an_interrupt(AssistStrength strength)
    {
        using var bed = new AssistBed(strength);
        bed.Handler(8);
        bed.Program(c =>
        {
            c.mov(sp, 0x1000);
            c.sti();
            c.hlt();
            c.mov(__word_ptr[0x600], 0x1234);
            c.cli();
        });

        Assert.Equal(AssistStep.Halted, bed.Run());
        Assert.Equal(0, bed.Word(0x600));
        Assert.NotEqual(0u, bed.Guest->Rflags & Eflags.IF);
        Assert.Equal(AssistStep.Halted, bed.Run());
        Assert.Equal(0, bed.Word(0x600));

        bed.Interrupt(8);
        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal(0x1234, bed.Word(0x600));
        Assert.Equal(1, bed.Count(8));
        Assert.Equal(0u, bed.Guest->Rflags & Eflags.IF);
    }

    [Theory]
    [MemberData(nameof(Strengths))]
    public void HLT_with_interrupts_off_stays_halted(AssistStrength strength)
    {
        using var bed = new AssistBed(strength);
        bed.Program(c => c.cli());
        bed.Run();

        bed.Interrupt(8);

        Assert.Equal(AssistStep.Halted, bed.Run());
        Assert.Equal(0u, bed.Guest->Rflags & Eflags.IF);
    }

    public static TheoryData<AssistStrength, byte> InterruptVectors
    {
        get
        {
            var data = new TheoryData<AssistStrength, byte>();
            foreach (var strength in new[] { AssistStrength.Vm86, AssistStrength.Full, AssistStrength.Native })
            {
                // BIOS bases 08h and 70h, an IRQ 5 that looks like #GP, bases a guest programs itself, the monitor's own gate.
                foreach (byte vector in new byte[] { 0x08, 0x0D, 0x0C, 0x70, 0x77, 0x50, 0xB8, 0xFF })
                    data.Add(strength, vector);
            }
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(InterruptVectors))]
    public void External_interrupts_arrive_at_the_vector_the_controller_gave(AssistStrength strength, byte vector)
    {
        using var bed = new AssistBed(strength);
        bed.Handler(vector, c =>
        {
            c.pushf();
            c.pop(__word_ptr.cs[0x7000]);
            c.mov(__word_ptr.cs[0x7002], 1);
            c.iret();
        });
        bed.Program(c =>
        {
            var wait = c.CreateLabel();
            c.mov(sp, 0x1000);
            c.mov(eax, 0xDEADBEEF);
            c.sti();
            c.mov(cx, 0x2000);
            c.mov(ds, cx);
            c.Label(ref wait);
            c.cmp(__word_ptr[0x7002], 0);
            c.je(wait);
            c.pushf();
            c.pop(bx);
            c.cli();
        });
        Assert.Equal(AssistStep.Budget, bed.Run(20_000));

        bed.Interrupt(vector);

        Assert.Equal(AssistStep.Halted, bed.Run(500));
        Assert.Equal(0u, bed.Word(0x27000) & Eflags.IF);
        Assert.NotEqual(0u, bed.Guest->Gpr[3] & Eflags.IF);
        Assert.Equal(0xDEADBEEF, bed.Guest->Gpr[0]);
        Assert.Equal(0x1000u, bed.Guest->Gpr[4]);
    }

    [Theory]
    [MemberData(nameof(Strengths))]
    public void A_moved_vector_table_is_honoured(AssistStrength strength)
    {
        using var bed = new AssistBed(strength);
        foreach (int vector in new[] { 0x21, 3, 6, 9 })
            bed.Handler(vector);
        // The table at 0 leads nowhere good.
        byte[] table = bed.Ram[..0x400].ToArray();
        bed.Ram[..0x400].Clear();
        table.CopyTo(bed.Ram[0x30000..]);
        bed.Write(0x30000 + (6 * 4), 0x20000040ul + (6 * 0x40), 4);
        bed.Assemble(0x20040 + (6 * 0x40), 0x40 + (6 * 0x40), 16, c =>
        {
            c.inc(__word_ptr.cs[0x8000 + 12]);
            c.push(bp);
            c.mov(bp, sp);
            c.add(__word_ptr[bp + 2], 2);
            c.pop(bp);
            c.iret();
        }, halt: false);
        bed.Write(0x600, 0x3FF | (0x30000ul << 16), 6);
        bed.Program(c =>
        {
            c.mov(sp, 0x1000);
            c.lidt(__[0x600]);
            c.@int(0x21);
            c.int3();
            c.ud2();
            c.sti();
            c.hlt();
            c.cli();
            c.sidt(__[0x610]);
        });
        Assert.Equal(AssistStep.Halted, bed.Run());
        bed.Interrupt(9);

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal([1, 1, 1, 1], new[] { 0x21, 3, 6, 9 }.Select(bed.Count));
        Assert.Equal(0x3FF, bed.Word(0x610));
        Assert.Equal(0x30000u, bed.Dword(0x612) & 0xFFFFFF);
    }

    [Theory]
    [MemberData(nameof(Strengths))]
    public void A_vector_beyond_the_tables_limit_is_a_triple_fault_when_nothing_handles_it(AssistStrength strength)
    {
        using var bed = new AssistBed(strength);
        bed.Program(c =>
        {
            c.mov(sp, 0x1000);
            c.lidt(__[0x600]);
            c.int3();
        });

        Assert.Equal(AssistStep.Shutdown, bed.Run());
    }

    [Theory]
    [MemberData(nameof(Strengths))]
    public void A_stack_that_wraps_takes_interrupt_frames(AssistStrength strength)
    {
        using var bed = new AssistBed(strength);
        bed.Handler(0x21);
        bed.Handler(6, c =>
        {
            c.inc(__word_ptr.cs[0x8000 + 12]);
            c.mov(bp, sp);
            c.add(__word_ptr[bp], 2);
            c.iret();
        });
        bed.Program(c =>
        {
            c.mov(ax, 0x3000);
            c.mov(ss, ax);
            c.mov(sp, 2);
            c.@int(0x21);
            c.ud2();
            c.mov(bx, sp);
        });

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal(1, bed.Count(0x21));
        Assert.Equal(1, bed.Count(6));
        Assert.Equal(2u, bed.Guest->Gpr[3]);
    }

    [Theory]
    [MemberData(nameof(Strengths))]
    public void The_guest_sees_its_own_registers_and_tables(AssistStrength strength)
    {
        using var bed = new AssistBed(strength);
        bed.Write(0x600, 0x1234 | (0x56789Aul << 16), 6);
        bed.Program(c =>
        {
            c.lgdt(__[0x600]);
            c.smsw(bx);
            c.mov(ecx, cr0);
            c.mov(edx, cr4);
            c.sgdt(__[0x610]);
            c.sidt(__[0x618]);
            c.pushfd();
            c.pop(esi);
            c.mov(edi, 0x11223344);
            c.mov(dr1, edi);
            c.mov(eax, dr1);
        });

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal(0u, bed.Guest->Gpr[3] & 1);
        Assert.Equal(0u, bed.Guest->Gpr[1] & ControlRegisters.Cr0PE);
        Assert.Equal(0u, bed.Guest->Gpr[2]);
        Assert.Equal(0u, bed.Guest->Gpr[6] & Eflags.VM);
        Assert.Equal(0x11223344u, bed.Guest->Gpr[0]);
        Assert.Equal(0x1234, bed.Word(0x610));
        Assert.Equal(0x56789Au, bed.Dword(0x612) & 0xFFFFFF);
        Assert.Equal(0xFFFF, bed.Word(0x618));
        Assert.Equal(0u, bed.Dword(0x61A));
    }

    [Theory]
    [MemberData(nameof(Strengths))]
    public void Task_switched_makes_FPU_instructions_trap_to_vector_7(AssistStrength strength)
    {
        using var bed = new AssistBed(strength);
        bed.Handler(7, c =>
        {
            c.inc(__word_ptr.cs[0x8000 + 14]);
            c.clts();
            c.iret();
        });
        bed.Program(c =>
        {
            c.mov(sp, 0x1000);
            c.mov(eax, cr0);
            c.or(al, 8);
            c.mov(cr0, eax);
            c.fnop();
            c.fnop();
        });

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal(1, bed.Count(7));
    }

    [Fact]
    public void The_private_port_is_an_ordinary_port_to_the_guest()
    {
        using var bed = new AssistBed();
        bed.Program(c =>
        {
            c.mov(dx, MonitorLayout.Port);
            c.mov(al, (byte)MonitorCall.Trap);
            c.@out(dx, al);
            c.mov(ax, 0x0102);
            c.@out(dx, ax);
            c.@in(al, dx);
            c.mov(bl, al);
            c.dec(dx);
            c.mov(ax, 0x0304);
            c.@out(dx, ax);
        });

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal([(MonitorLayout.Port, 2u), (MonitorLayout.Port, 0x102u), ((ushort)(MonitorLayout.Port - 1), 0x304u)], bed.Writes);
        Assert.Equal(0xFFu, bed.Guest->Gpr[3] & 0xFF);
    }

    [Fact]
    public void Other_ports_are_reached_without_a_trap()
    {
        using var bed = new AssistBed();
        bed.Program(c =>
        {
            c.mov(al, 7);
            c.@out(0x80, al);
            c.@in(al, 0x60);
        });

        bed.Run();

        Assert.Equal([((ushort)0x80, 7u)], bed.Writes);
        Assert.Equal(0x5Au, bed.Guest->Gpr[0] & 0xFF);
        Assert.Equal(1, bed.Assist.Statistics.Traps);
    }

    [Theory]
    [InlineData(AssistStrength.Vm86, AssistStep.Unsupported)]
    [InlineData(AssistStrength.Full, AssistStep.Halted)]
    [InlineData(AssistStrength.Native, AssistStep.Halted)]
    public void A_refused_instruction_is_unsupported_under_vm86_only(AssistStrength strength, AssistStep expected)
    {
        using var bed = new AssistBed(strength, refused: new HashSet<Code> { Code.Invd });
        bed.Program(c =>
        {
            c.mov(eax, 0x12345678);
            c.invd();
        });

        Assert.Equal(expected, bed.Run());

        if (expected == AssistStep.Unsupported)
        {
            var unsupported = bed.Assist.Unsupported!;
            Assert.Equal([0x0F, 0x08], unsupported.Bytes);
            Assert.Equal(0x10006u, unsupported.Linear);
            Assert.Equal(Code.Invd, unsupported.Code);
            Assert.True(unsupported.Refused);
            Assert.Equal(6u, bed.Guest->Rip);
            Assert.Equal(0x12345678u, bed.Guest->Gpr[0]);
            Assert.Equal(AssistStep.Unsupported, bed.Run());
        }
    }

    [Theory]
    [InlineData(null)]
    [InlineData((byte)0x30)]
    public void A_processor_starts_again_by_INIT_or_SIPI(byte? vector)
    {
        foreach (var strength in new[] { AssistStrength.Vm86, AssistStrength.Full, AssistStrength.Native })
        {
            using var bed = new AssistBed(strength);
            bed.Program(c =>
            {
                c.inc(__word_ptr[0x600]);
                c.lidt(__[0x610]);
                c.mov(ax, 0x1234);
                c.mov(ds, ax);
            });
            bed.Assemble(0x30000, 0, 16, c => c.mov(__word_ptr[0x602], 1));
            Assert.Equal(AssistStep.Halted, bed.Run());

            bed.Assist.Start(vector);

            Assert.Equal(AssistStep.Halted, bed.Run());
            Assert.Equal(vector is null ? 2 : 1, bed.Word(0x600));
            Assert.Equal(vector is null ? 0 : 1, bed.Word(0x602));
            Assert.Equal(vector is null ? AssistBed.CodeSegment : (ushort)0x3000, bed.Guest->Cs.Selector);
        }
    }
}
