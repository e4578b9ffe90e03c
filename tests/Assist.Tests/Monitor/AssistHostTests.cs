using Farm.Assist.Cpu;
using Farm.Assist.Monitor;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.Monitor;

/// <summary>The host half towards the machine: stops, limits, interrupts, emulation for a backend, hostile guests.</summary>
public sealed unsafe class AssistHostTests
{
    private const int GdtAt = 0x3000, GdtrAt = 0x600;

    private static AssistBed FlatBed(AssistStrength strength = AssistStrength.Vm86, CpuModel? model = null)
    {
        var bed = new AssistBed(strength, model);
        ulong[] gdt = [0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF, 0x00009A010000FFFF, 0x000092000000FFFF];
        for (int i = 0; i < gdt.Length; i++)
            bed.Write(GdtAt + (i * 8), gdt[i], 8);
        bed.Write(GdtrAt, 39 | ((ulong)GdtAt << 16), 6);
        return bed;
    }

    private static void EnterProtected(Assembler c, uint offset)
    {
        c.cli();
        c.lgdt(__[GdtrAt]);
        c.mov(eax, cr0);
        c.or(al, 1);
        c.mov(cr0, eax);
        c.AddInstruction(Instruction.CreateBranch(Code.Jmp_ptr1632, 8, offset));
    }

    [Theory]
    [InlineData(AssistStrength.Vm86)]
    [InlineData(AssistStrength.Full)]
    public void The_private_port_is_an_ordinary_port_to_ring_0_in_protected_mode(AssistStrength strength)
    {
        using var bed = FlatBed(strength);
        bed.Program(c => EnterProtected(c, 0x12000));
        bed.Assemble(0x12000, 0x12000, 32, c =>
        {
            c.mov(ax, 0x10);
            c.mov(ds, ax);
            c.mov(__byte_ptr[MonitorLayout.Slice(0) + MonitorLayout.Calling], 1);
            c.mov(dx, MonitorLayout.Port);
            for (byte call = 1; call <= 4; call++)
            {
                c.mov(al, call);
                c.@out(dx, al);
            }
        });

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal(AssistMode.Aside, bed.Assist.Mode);
        Assert.Equal([1u, 2u, 3u, 4u], bed.Writes.Where(write => write.Port == MonitorLayout.Port).Select(write => write.Value));
    }

    [Fact]
    public void A_guest_that_wrecks_the_monitor_harms_only_itself()
    {
        for (byte pattern = 0; pattern < 250; pattern += 83)
        {
            using var bed = FlatBed();
            bed.Program(c => EnterProtected(c, 0x12000));
            bed.Assemble(0x12000, 0x12000, 32, c =>
            {
                c.mov(ax, 0x10);
                c.mov(es, ax);
                c.mov(edi, MonitorLayout.Base);
                c.mov(ecx, 0x8000);
                c.mov(al, pattern);
                c.cld();
                c.rep.stosb();
                c.mov(eax, cr0);
                c.and(al, 0xFE);
                c.mov(cr0, eax);
                c.AddInstruction(Instruction.CreateBranch(Code.Jmp_ptr1632, 0x1000, 0x1100));
            });
            bed.Assemble(0x11100, 0x1100, 16, c =>
            {
                c.xor(ax, ax);
                c.mov(ss, ax);
                c.mov(ds, ax);
                c.mov(es, ax);
                c.sti();
                c.@int(0x21);
                c.ud2();
            });

            // Whatever it ends with, it ends: no exception comes out, and the run stays within its budget.
            var step = bed.Run(100_000);
            bed.Interrupt(8);
            bed.Run(100_000);

            Assert.NotEqual(AssistStep.Stopped, step);
        }
    }

    [Theory]
    [InlineData(AssistStrength.Vm86)]
    [InlineData(AssistStrength.Full)]
    [InlineData(AssistStrength.Native)]
    public void A_data_breakpoint_traps_and_may_lie_on_the_stack(AssistStrength strength)
    {
        using var bed = new AssistBed(strength);
        bed.Handler(1);
        bed.Handler(6, c =>
        {
            c.mov(bp, sp);
            c.add(__word_ptr[bp], 2);
            c.iret();
        });
        bed.Program(c =>
        {
            c.mov(sp, 0x1000);
            c.mov(eax, 0x700);
            c.mov(dr0, eax);
            c.mov(eax, 0xFFC); // where an exception's CS goes
            c.mov(dr1, eax);
            c.mov(eax, 0x00550405); // both: writes of 2 bytes
            c.mov(dr7, eax);
            c.mov(__word_ptr[0x700], ax); // trap
            c.ud2(); // pushes over the second one: no trap is due for that, or one after it
            c.xor(eax, eax);
            c.mov(dr7, eax);
            c.inc(bx);
        });

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.True(bed.Count(1) >= 1);
        Assert.Equal(1u, bed.Guest->Gpr[3]);
    }

    [Fact]
    public void A_non_maskable_interrupt_reaches_vector_2_whoever_has_the_guest()
    {
        foreach (var strength in new[] { AssistStrength.Vm86, AssistStrength.Full, AssistStrength.Native })
        {
            using var bed = new AssistBed(strength);
            bed.Handler(2);
            bed.OnWrite = (_, _) =>
            {
                if (!bed.Assist.PendNmi())
                    bed.Cpu.PendNmi();
            };
            bed.Program(c =>
            {
                c.mov(sp, 0x1000);
                c.cli();
                c.@out(0x70, al);
                c.inc(bx);
            });

            Assert.Equal(AssistStep.Halted, bed.Run());

            Assert.Equal(1, bed.Count(2));
            Assert.Equal(1u, bed.Guest->Gpr[3]);
        }
    }

    [Fact]
    public void FPU_and_SSE_registers_go_along_through_every_transition()
    {
        using var bed = FlatBed(model: CpuModel.P4);
        bed.Write(0x620, BitConverter.DoubleToUInt64Bits(1234.5), 8);
        bed.Program(c =>
        {
            c.mov(eax, cr4);
            c.or(ax, 0x200);
            c.mov(cr4, eax); // OSFXSR
            c.fninit();
            c.fld(__qword_ptr[0x620]);
            c.mov(eax, 0xCAFE1234);
            c.movd(xmm5, eax);
            EnterProtected(c, 0x12000);
        });
        bed.Assemble(0x12000, 0x12000, 32, c =>
        {
            c.mov(ax, 0x10);
            c.mov(ds, ax);
            c.fld1();
            c.faddp(st1, st0);
            c.movd(ebx, xmm5);
            c.AddInstruction(Instruction.CreateBranch(Code.Jmp_ptr1632, 0x18, 0x1000));
        });
        bed.Assemble(0x11000, 0x1000, 16, c =>
        {
            c.mov(ax, 0x20);
            c.mov(ds, ax);
            c.mov(ss, ax);
            c.mov(es, ax);
            c.mov(eax, cr0);
            c.and(al, 0xFE);
            c.mov(cr0, eax);
            c.AddInstruction(Instruction.CreateBranch(Code.Jmp_ptr1616, 0x1000, 0x1100));
        });
        bed.Assemble(0x11100, 0x1100, 16, c =>
        {
            c.xor(ax, ax);
            c.mov(ds, ax);
            c.mov(ss, ax);
            c.mov(es, ax);
            c.mov(ecx, cr4); // a trap in between
            c.fstp(__qword_ptr[0x628]);
            c.movd(edx, xmm5);
        });

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal(1235.5, BitConverter.UInt64BitsToDouble(bed.Dword(0x628) | ((ulong)bed.Dword(0x62C) << 32)));
        Assert.Equal(0xCAFE1234u, bed.Guest->Gpr[3]);
        Assert.Equal(0xCAFE1234u, bed.Guest->Gpr[2]);
        Assert.Equal(0x200u, bed.Guest->Gpr[1]);
    }

    [Theory]
    [InlineData(AssistStrength.Vm86)]
    [InlineData(AssistStrength.Full)]
    public void The_door_can_stop_the_guest_after_the_instruction(AssistStrength strength)
    {
        using var bed = new AssistBed(strength);
        bed.OnWrite = (port, _) =>
        {
            if (port is 0x64 or MonitorLayout.Port)
            {
                bed.Cpu.RequestStop();
                bed.Assist.RequestStop();
            }
        };
        bed.Program(c =>
        {
            c.@out(0x64, al);
            c.inc(bx);
            c.mov(dx, MonitorLayout.Port); // emulated under vm86
            c.@out(dx, al);
            c.inc(bx);
        });

        Assert.Equal(AssistStep.Stopped, bed.Run());
        Assert.Equal((2u, 0u), (bed.Guest->Rip, bed.Guest->Gpr[3]));
        int stops = 1;
        var step = bed.Run();
        while (step == AssistStep.Stopped)
        {
            stops++;
            step = bed.Run();
        }

        Assert.Equal(AssistStep.Halted, step);
        Assert.True(stops >= 2);
        Assert.Equal(2u, bed.Guest->Gpr[3]);
    }

    [Fact]
    public void The_door_can_limit_a_run_of_the_interpreter()
    {
        using var bed = new AssistBed(AssistStrength.Full);
        bed.OnWrite = (_, _) => bed.Assist.LimitTo(10);
        bed.Program(c =>
        {
            var loop = c.CreateLabel();
            c.@out(0x80, al);
            c.Label(ref loop);
            c.inc(ebx);
            c.jmp(loop);
        });

        Assert.Equal(AssistStep.Budget, bed.Run(6_000_000));

        // The bed goes on until its own budget; the limit shows in the first return.
        using var limited = new AssistBed(AssistStrength.Full);
        limited.OnWrite = (_, _) => limited.Assist.LimitTo(10);
        limited.Program(c =>
        {
            var loop = c.CreateLabel();
            c.@out(0x80, al);
            c.Label(ref loop);
            c.inc(ebx);
            c.jmp(loop);
        });
        while (limited.Assist.Mode == AssistMode.Loading)
            limited.Step();
        Assert.Equal(AssistStep.Budget, limited.Assist.Run(1_000_000));
        Assert.InRange(limited.Guest->Gpr[3], 1u, 10u);
    }

    [Fact]
    public void A_kick_ends_the_run_and_loses_nothing()
    {
        using var bed = new AssistBed(AssistStrength.Full);
        bed.Program(c => c.mov(bx, 5));
        while (bed.Assist.Mode == AssistMode.Loading)
            bed.Step();

        bed.Assist.Kick();

        Assert.Equal(AssistStep.Kicked, bed.Run());
        Assert.Equal(AssistStep.Halted, bed.Run());
        Assert.Equal(5u, bed.Guest->Gpr[3]);
    }

    [Fact]
    public void A_kick_during_a_trap_does_not_lose_the_instruction()
    {
        using var bed = new AssistBed();
        bed.Program(c =>
        {
            c.mov(eax, cr0);
            c.mov(ebx, 0x77);
        });
        while (!bed.Assist.CallPending || bed.Assist.Mode == AssistMode.Loading)
            bed.Step();

        bed.Assist.Kick();

        Assert.Equal(AssistStep.Kicked, bed.Run());
        Assert.Equal(AssistStep.Halted, bed.Run());
        Assert.Equal(0x77u, bed.Guest->Gpr[3]);
        Assert.NotEqual(0u, bed.Guest->Gpr[0]);
    }

    [Fact]
    public void One_instruction_is_emulated_for_a_backend_that_cannot()
    {
        using var bed = FlatBed();
        bed.Program(c => EnterProtected(c, 0x12000));
        bed.Assemble(0x12000, 0x12000, 32, c =>
        {
            c.mov(ax, 0x10);
            c.mov(ds, ax);
            c.hlt();
            c.mov(__dword_ptr[0x700], 0x12345678);
        });
        Assert.Equal(AssistStep.Halted, bed.Run());
        bed.State->Activity = Activity.Active;
        ulong rip = bed.State->Rip;

        Assert.Equal(AssistStep.RunVcpu, bed.Assist.EmulateOne());

        Assert.Equal(0x12345678u, bed.Dword(0x700));
        Assert.Equal(rip + 10, bed.State->Rip);
        Assert.Equal(1, bed.Assist.Statistics.Emulated);
        Assert.Equal(AssistStep.Halted, bed.Run());
    }

    [Fact]
    public void An_instruction_of_virtual_8086_code_is_emulated_where_it_stands()
    {
        using var bed = new AssistBed();
        bed.Handler(6, c =>
        {
            c.mov(__word_ptr[0x700], 0x66);
            c.cli();
            c.hlt();
        });
        bed.OnWrite = (port, _) => bed.Cpu.RequestStop();
        bed.Program(c =>
        {
            c.mov(sp, 0x1000);
            c.@out(0x80, al);
            c.mov(bx, 0x1234);
            c.ud2();
        });
        Assert.Equal(AssistStep.Stopped, bed.Run());
        Assert.NotEqual(0u, bed.State->Rflags & Eflags.VM);

        Assert.Equal(AssistStep.RunVcpu, bed.Assist.EmulateOne());
        Assert.Equal(0x1234u, bed.State->Gpr[3]);
        Assert.Equal(AssistStep.RunVcpu, bed.Assist.EmulateOne()); // #UD: the monitor's gate is entered

        Assert.Equal(AssistStep.Halted, bed.Run());
        Assert.Equal(0x66, bed.Word(0x700));
    }

    [Fact]
    public void Emulating_for_a_backend_reports_what_the_core_lacks()
    {
        using var bed = FlatBed();
        bed.Program(c => EnterProtected(c, 0x12000));
        bed.Assemble(0x12000, 0x12000, 32, c =>
        {
            c.hlt();
            c.rdpmc();
        });
        Assert.Equal(AssistStep.Halted, bed.Run());
        bed.State->Activity = Activity.Active;

        Assert.Equal(AssistStep.Unsupported, bed.Assist.EmulateOne());

        Assert.Equal(Code.Rdpmc, bed.Assist.Unsupported!.Code);
        Assert.Equal(0x12001u, bed.State->Rip);
    }

    [Fact]
    public void Interrupts_reach_a_guest_that_is_being_interpreted()
    {
        // FS keeps a base that virtual-8086 mode cannot hold, so the host half executes all of this.
        using var bed = FlatBed();
        bed.Handler(9);
        bed.Program(c =>
        {
            c.cli();
            c.mov(sp, 0x1000);
            c.lgdt(__[GdtrAt]);
            c.mov(eax, cr0);
            c.or(al, 1);
            c.mov(cr0, eax);
            c.mov(bx, 0x10);
            c.mov(fs, bx);
            c.and(al, 0xFE);
            c.mov(cr0, eax);
            c.sti();
            var wait = c.CreateLabel();
            c.mov(ax, 0x2000);
            c.mov(ds, ax);
            c.Label(ref wait);
            c.cmp(__word_ptr[0x8012], 0);
            c.je(wait);
            c.hlt();
            c.cli();
        });
        Assert.Equal(AssistStep.Budget, bed.Run(20_000));
        Assert.Equal(AssistMode.Interpreting, bed.Assist.Mode);

        bed.Interrupt(9);
        Assert.Equal(AssistStep.Halted, bed.Run());
        Assert.Equal(1, bed.Count(9));
        bed.Interrupt(9);
        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal(2, bed.Count(9));
        Assert.Equal(0u, bed.Guest->Rflags & Eflags.IF);
        Assert.Equal(0, bed.RealModeRuns);
    }
}
