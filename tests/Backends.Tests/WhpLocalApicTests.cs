using Farm.Backends.Tests.WhpStandIn;
using Farm.Machine.Devices.Apic;
using Farm.Machine.Hypervisors;
using Farm.Machine.Hypervisors.Whp.Native;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Backends.Tests;

/// <summary>The platform's own local APIC on WHP, over the stand-in.</summary>
public sealed unsafe class WhpLocalApicTests : IDisposable
{
    private const VcpuExitReason Halted = VcpuExitReason.Halted;
    private const uint Apic = 0xFEE00000, FlatCode = 0x12000, Handler = 0x13000;

    public void Dispose() => Assert.Empty(StandInHost.Complaints);

    [Fact]
    public void They_are_offered_where_the_platform_has_them_and_tells_what_must_be_known()
    {
        Assert.True(StandInLibrary.NewHypervisor().Capabilities.OwnLocalApics);
        StandInHost.Current = new StandInHost { Features = 0 };
        Assert.False(StandInLibrary.NewHypervisor().Capabilities.OwnLocalApics);
        StandInHost.Current = new StandInHost { ExtendedExits = WhvBits.ExitsX64Cpuid };
        var without = StandInLibrary.NewHypervisor();
        Assert.False(without.Capabilities.OwnLocalApics);
        Assert.Throws<HostException>(() => new Bed(without, localApics: true));
    }

    [Fact]
    public void A_message_reaches_the_guest_and_the_end_of_a_level_triggered_interrupt_comes_back()
    {
        using var bed = NewBed();
        var ended = new List<byte>();
        bed.LocalApics!.Ended = ended.Add;
        EnterFlat(bed, c =>
        {
            Enable(c);
            c.@out(0x80, al);
            c.sti();
            Wait(c, 2);
        }, c =>
        {
            c.inc(__dword_ptr[0x600]);
            c.mov(__dword_ptr[Apic + 0xB0], 0);
            c.iretd();
        }, 0x31, 0x41);
        bed.OnWrite = (_, _) =>
        {
            Assert.True(bed.LocalApics.Send(new ApicMessage(DeliveryMode.Fixed, 0x31, 0, Logical: false, Level: true)));
            Assert.True(bed.LocalApics.Send(new ApicMessage(DeliveryMode.LowestPriority, 0x41, 0xFF, Logical: false, Level: false)));
        };
        Assert.Equal(Halted, bed.Run());
        Assert.Equal([0x31], ended);
        Assert.Equal(1, Exits[WhvRunVpExitReason.X64ApicEoi]);
    }

    [Fact]
    public void What_no_local_APIC_takes_nobody_accepts()
    {
        using var bed = NewBed();
        Assert.False(bed.LocalApics!.Send(new ApicMessage(DeliveryMode.Fixed, 0x08, 0, Logical: false, Level: false)));
        Assert.False(bed.LocalApics.Send(new ApicMessage(DeliveryMode.Fixed, 0x31, 7, Logical: false, Level: false)));
        Assert.False(bed.LocalApics.Send(new ApicMessage(DeliveryMode.Smi, 0, 0, Logical: false, Level: false)));
    }

    [Fact]
    public void Its_timer_ends_a_HLT_that_does_not_exit()
    {
        using var bed = NewBed();
        EnterFlat(bed, c =>
        {
            Enable(c);
            c.mov(__dword_ptr[Apic + 0x3E0], 0xB);
            c.mov(__dword_ptr[Apic + 0x320], 0x20032);
            c.mov(__dword_ptr[Apic + 0x380], 500_000);
            c.sti();
            var again = c.CreateLabel();
            c.Label(ref again);
            c.hlt();
            c.cmp(__dword_ptr[0x600], 3);
            c.jb(again);
        }, c =>
        {
            c.inc(__dword_ptr[0x600]);
            c.mov(__dword_ptr[Apic + 0xB0], 0);
            c.iretd();
        }, 0x32);
        do
        {
            Assert.Equal(Halted, bed.Run());
        }
        while (bed.Dword(0x600) < 3);
        Assert.DoesNotContain(WhvRunVpExitReason.X64Halt, Exits.Keys);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void The_8259s_interrupt_waits_until_the_guest_can_take_it(bool window)
    {
        // The second case is the platform as it has been seen: it never answers the notification.
        StandInHost.Current = new StandInHost { WindowBesideApic = window };
        using var bed = NewBed();
        bed.Handler(0x20, c =>
        {
            c.@out(0x90, al);
            c.inc(__byte_ptr[0x600]);
            c.iret();
        });
        InterruptAtPort80(bed);
        bed.Program(c =>
        {
            c.@out(0x80, al);
            c.@out(0x81, al);
            c.sti();
            WaitByte(c);
            c.@out(0x82, al);
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal([0x80, 0x81, 0x90, 0x82], bed.PortWrites.Select(write => (int)write.Port));
    }

    [Fact]
    public void The_8259s_interrupt_finds_a_window_of_one_instruction()
    {
        // As BIOSes poll: a look from outside would hardly ever meet it.
        using var bed = NewBed();
        bed.Handler(0x20, c =>
        {
            c.inc(__byte_ptr[0x600]);
            c.iret();
        });
        InterruptAtPort80(bed);
        bed.Program(c =>
        {
            var poll = c.CreateLabel();
            var wait = c.CreateLabel();
            c.@out(0x80, al);
            c.Label(ref poll);
            c.mov(cx, 300);
            c.Label(ref wait);
            c.loop(wait);
            c.inc(__word_ptr[0x602]);
            c.sti();
            c.nop();
            c.cli();
            c.cmp(__byte_ptr[0x600], 0);
            c.je(poll);
            c.@out(0x81, al);
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((1, 1), (bed.Ram[0x600], bed.Word(0x602)));
        Assert.Equal([0x80, 0x81], bed.PortWrites.Select(write => (int)write.Port));
    }

    [Fact]
    public void What_stops_the_search_for_the_window_ends_the_run()
    {
        using var bed = NewBed();
        bed.OnWrite = (port, _) =>
        {
            if (port == 0x80)
                bed.Interrupt(0x20);
            else if (port == 0x81)
                bed.Vcpu.RequestStop(VcpuExitReason.Stopped);
        };
        bed.Program(c =>
        {
            c.@out(0x80, al);
            c.nop();
            c.@out(0x81, al);
        });
        Assert.Equal(VcpuExitReason.Stopped, bed.Run());
        Assert.Equal(1, Exits[WhvRunVpExitReason.X64IoPortAccess]);
    }

    [Fact]
    public void The_8259s_interrupt_ends_a_HLT()
    {
        using var bed = NewBed();
        bed.Handler(0x20, static c => c.iret());
        bed.Program(c =>
        {
            c.@out(0x80, al);
            c.sti();
            c.hlt();
            c.@out(0x81, al);
        });
        do
        {
            bed.Vcpu.KickAfter(1_000_000);
            Assert.Equal(VcpuExitReason.Kicked, bed.Vcpu.Run(1).Reason);
        }
        while (bed.Vcpu.State->Activity != Farm.Assist.Cpu.Activity.Halted);
        bed.Interrupt(0x20);
        Assert.Equal(Halted, bed.Run());
        Assert.Equal([0x80, 0x81], bed.PortWrites.Select(write => (int)write.Port));
    }

    [Fact]
    public void A_masked_LINT0_holds_the_8259_back_but_not_an_ExtINT_message()
    {
        using var bed = NewBed();
        EnterFlat(bed, c =>
        {
            Enable(c);
            c.mov(__dword_ptr[Apic + 0x350], 0x10700);
            c.@out(0x80, al);
            c.sti();
            // Long enough for the processor to be asked again.
            c.mov(ecx, 200_000);
            var here = c.CreateLabel();
            c.Label(ref here);
            c.loop(here);
            c.@out(0x81, al);
            Wait(c, 1);
        }, c =>
        {
            c.@out(0x90, al);
            c.inc(__dword_ptr[0x600]);
            c.iretd();
        }, 0x33);
        bed.OnWrite = (port, _) =>
        {
            if (port == 0x80)
                bed.Interrupt(0x33);
            else if (port == 0x81)
                Assert.True(bed.LocalApics!.Send(new ApicMessage(DeliveryMode.ExtInt, 0, 0, Logical: false, Level: false)));
        };
        Assert.Equal(Halted, bed.Run());
        Assert.Equal([0x80, 0x81, 0x90], bed.PortWrites.Select(write => (int)write.Port));
        Assert.Equal(2, Exits[WhvRunVpExitReason.X64ApicWriteTrap]);
    }

    [Fact]
    public void INIT_to_the_bootstrap_processor_is_the_machines()
    {
        using var bed = NewBed();
        int requests = 0;
        bed.LocalApics!.InitRequested = () => requests++;
        EnterFlat(bed, c =>
        {
            c.mov(__dword_ptr[Apic + 0x310], 0);
            c.mov(__dword_ptr[Apic + 0x300], 0x8500); // the de-assert form
            c.mov(__dword_ptr[Apic + 0x300], 0xC500);
        }, static c => c.iretd());
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((1, 2), (requests, Exits[WhvRunVpExitReason.X64ApicInitSipiTrap]));
    }

    [Fact]
    public void An_SMI_through_it_has_no_effect()
    {
        using var bed = NewBed();
        EnterFlat(bed, static c => c.mov(__dword_ptr[Apic + 0x300], 0x4200), static c => c.iretd());
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(1, Exits[WhvRunVpExitReason.X64ApicSmiTrap]);
    }

    [Fact]
    public void An_NMI_ends_a_HLT_with_interrupts_off()
    {
        using var bed = NewBed();
        bed.Handler(2, static c => c.mov(__byte_ptr[0x600], 0x5A), halt: true);
        bed.Program(static c => c.nop());
        Assert.Equal(Halted, bed.Run());
        bed.Vcpu.PendNmi();
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(0x5A, bed.Ram[0x600]);
    }

    [Fact]
    public void Code_that_goes_from_a_device_to_the_local_APIC_is_not_interpreted_there()
    {
        using var bed = NewBed();
        EnterFlat(bed, c =>
        {
            c.mov(__byte_ptr[(uint)Bed.MmioAt], al);
            c.mov(__dword_ptr[Apic + 0xF0], 0x1FF);
            c.mov(ebx, __dword_ptr[Apic + 0xF0]);
            c.mov(__dword_ptr[0x604], ebx);
        }, static c => c.iretd());
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(0x1FFu, bed.Dword(0x604));
        Assert.Equal([Bed.MmioAt], bed.MmioWrites.Select(write => write.Address));
        Assert.Empty(bed.MmioReads);
        Assert.Equal(1, Exits[WhvRunVpExitReason.X64ApicWriteTrap]);
    }

    [Fact]
    public void An_instruction_on_a_device_and_the_local_APIC_at_once_is_an_emulation_failure()
    {
        using var bed = NewBed();
        EnterFlat(bed, c =>
        {
            c.mov(esi, Apic + 0x30);
            c.mov(edi, (uint)Bed.MmioAt);
            c.movsd();
        }, static c => c.iretd());
        Assert.Equal(VcpuExitReason.EmulationFailure, bed.Run());
    }

    [Fact]
    public void With_the_APIC_off_or_moved_its_page_is_an_ordinary_one()
    {
        using var bed = NewBed();
        EnterFlat(bed, c =>
        {
            c.mov(ecx, 0x1B);
            c.xor(edx, edx);
            c.mov(eax, 0xFED00900);
            c.wrmsr();
            c.mov(ebx, __dword_ptr[0xFED00030]);
            c.mov(__dword_ptr[0x604], ebx);
            c.mov(ebx, __dword_ptr[Apic + 0x30]);
        }, static c => c.iretd());
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(0x14u, bed.Dword(0x604) & 0xFF);
        Assert.Equal([Apic + 0x30ul], bed.MmioReads.Select(read => read.Address));
        Assert.Equal(0xFED00900ul, bed.Vcpu.State->ApicBase);
    }

    [Fact]
    public void A_reset_puts_it_back()
    {
        using var bed = NewBed();
        EnterFlat(bed, c =>
        {
            Enable(c);
            c.mov(__dword_ptr[Apic + 0x350], 0x10700);
            c.mov(eax, __dword_ptr[Apic + 0xF0]);
            c.mov(__dword_ptr[0x604], eax);
        }, static c => c.iretd());
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(0x1FFu, bed.Dword(0x604));
        bed.Vcpu.ForgetEvents();
        bed.EnterFlat(FlatCode);
        bed.Assemble(FlatCode, FlatCode, 32, c =>
        {
            c.mov(eax, __dword_ptr[Apic + 0xF0]);
            c.mov(__dword_ptr[0x604], eax);
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(0xFFu, bed.Dword(0x604));
    }

    [Fact]
    public void CR8_is_the_processors_own()
    {
        using var bed = NewBed();
        bed.TaskPriority = 0x35;
        bed.Program(static c => c.nop());
        bed.Vcpu.State->Cr8 = 4;
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((0x40, 4ul, 0x35), (StandInHost.Current.Processors[^1].TaskPriority, bed.Vcpu.State->Cr8, bed.TaskPriority));
    }

    private static Dictionary<WhvRunVpExitReason, int> Exits => StandInHost.Current.Processors[^1].Exits;

    private static Bed NewBed() => new(StandInLibrary.NewHypervisor(), localApics: true);

    /// <summary>Flat 32-bit code with an interrupt table that sends <paramref name="vectors"/> to one handler.</summary>
    private static void EnterFlat(Bed bed, Action<Assembler> code, Action<Assembler> handler, params ReadOnlySpan<byte> vectors)
    {
        ulong[] gdt = [0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF];
        for (int i = 0; i < gdt.Length; i++)
            bed.Put(0x3000 + (i * 8), gdt[i], 8);
        bed.Put(0x620, 23 | (0x3000ul << 16), 6);
        bed.Put(0x628, 0x7FF | (0x4000ul << 16), 6);
        foreach (byte vector in vectors)
            bed.Put(0x4000 + (vector * 8), (Handler & 0xFFFF) | (8ul << 16) | (0x8E00ul << 32) | ((ulong)(Handler >> 16) << 48), 8);
        bed.EnterFlat(FlatCode);
        bed.Assemble(FlatCode, FlatCode, 32, c =>
        {
            c.lgdt(__[0x620]);
            c.lidt(__[0x628]);
            code(c);
        });
        bed.Assemble(Handler, Handler, 32, handler, halt: false);
    }

    private static void Enable(Assembler c) => c.mov(__dword_ptr[Apic + 0xF0], 0x1FF);

    /// <summary>Until the handler has counted so far.</summary>
    private static void Wait(Assembler c, uint count)
    {
        var here = c.CreateLabel();
        c.Label(ref here);
        c.cmp(__dword_ptr[0x600], count);
        c.jb(here);
    }

    private static void WaitByte(Assembler c)
    {
        var here = c.CreateLabel();
        c.Label(ref here);
        c.cmp(__byte_ptr[0x600], 0);
        c.je(here);
    }

    private static void InterruptAtPort80(Bed bed) => bed.OnWrite = (port, _) =>
    {
        if (port == 0x80)
            bed.Interrupt(0x20);
    };
}
