using Farm.Machine.Devices.Apic;
using Farm.Machine.Hypervisors;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Backends.Tests;

/// <summary>What every backend with local APICs of its own must do: one body per behaviour, run by each backend's class.</summary>
public abstract unsafe partial class LocalApicTests
{
    protected const VcpuExitReason Halted = VcpuExitReason.Halted;
    protected const uint Apic = 0xFEE00000, FlatCode = 0x12000, Handler = 0x13000;

    /// <summary>Skips the test where the backend does not work.</summary>
    protected abstract Bed NewBed(int processors = 1);

    [Theory]
    [InlineData(0x31)]
    [InlineData(0x10)]
    [InlineData(0xFF)]
    public void A_message_reaches_the_guest_and_the_end_of_a_level_triggered_interrupt_comes_back(byte vector)
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
        }, CountAndEnd, vector, 0x41);
        var level = new ApicMessage(DeliveryMode.Fixed, vector, 0, Logical: false, Level: true);
        bed.OnWrite = (_, _) =>
        {
            bed.LocalApics.Redirect(16, level);
            Assert.True(bed.LocalApics.Send(level));
            Assert.True(bed.LocalApics.Send(new ApicMessage(DeliveryMode.LowestPriority, 0x41, 0xFF, Logical: false, Level: false)));
        };
        Assert.Equal(Halted, bed.Run());
        Assert.Equal([vector], ended);
    }

    [Fact]
    public void An_end_comes_back_for_each_level_triggered_interrupt_as_inputs_are_redirected()
    {
        using var bed = NewBed();
        var ended = new List<byte>();
        bed.LocalApics!.Ended = ended.Add;
        EnterFlat(bed, c =>
        {
            Enable(c);
            c.sti();
            for (uint i = 1; i <= 3; i++)
            {
                c.@out(0x80, al);
                Wait(c, i);
            }
        }, CountAndEnd, 0x31, 0x32, 0x33);
        bed.OnWrite = (_, _) =>
        {
            var level = new ApicMessage(DeliveryMode.Fixed, (byte)(0x31 + ended.Count), 0, Logical: false, Level: true);
            bed.LocalApics.Redirect(ended.Count == 2 ? 3 : 11, level);
            Assert.True(bed.LocalApics.Send(level));
        };
        Assert.Equal(Halted, bed.Run());
        Assert.Equal([0x31, 0x32, 0x33], ended);
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
        }, CountAndEnd, 0x32);
        do
        {
            Assert.Equal(Halted, bed.Run());
        }
        while (bed.Dword(0x600) < 3);
    }

    [Fact]
    public void A_message_ends_a_HLT_and_a_kick_does_not()
    {
        using var bed = NewBed();
        bed.TakesKicks = true;
        EnterFlat(bed, c =>
        {
            Enable(c);
            c.sti();
            c.hlt();
            c.@out(0x81, al);
        }, CountAndEnd, 0x41);
        for (int i = 0; i < 3; i++)
        {
            do
            {
                bed.Vcpu.KickAfter(2_000_000);
                Assert.Equal(VcpuExitReason.Kicked, bed.Vcpu.Run(1).Reason);
            }
            while (bed.Vcpu.State->Activity != Farm.Assist.Cpu.Activity.Halted);
        }
        Assert.Equal(0u, bed.Dword(0x600));
        Assert.True(bed.LocalApics!.Send(new ApicMessage(DeliveryMode.Fixed, 0x41, 0, Logical: false, Level: false)));
        bed.TakesKicks = false;
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((1u, 0x81), (bed.Dword(0x600), bed.PortWrites.Single().Port));
    }

    [Fact]
    public void The_8259s_interrupt_waits_until_the_guest_can_take_it() => WaitForWindow();

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
    public void A_masked_LINT0_holds_the_8259_back_until_it_is_open()
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
            c.mov(__dword_ptr[Apic + 0x350], 0x700);
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
        };
        Assert.Equal(Halted, bed.Run());
        Assert.Equal([0x80, 0x81, 0x90], bed.PortWrites.Select(write => (int)write.Port));
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
    public void Code_goes_from_a_device_to_the_local_APIC()
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
            c.@out(0x80, al);
            c.sti();
            Wait(c, 1);
        });
        // LINT0 is open again.
        bed.OnWrite = (_, _) => bed.Interrupt(0x20);
        Gate(bed, 0x20);
        bed.Put(0x628, 0x7FF | (0x4000ul << 16), 6);
        bed.Vcpu.State->Idtr = new() { Base = 0x4000, Limit = 0x7FF };
        bed.Vcpu.State->Gdtr = new() { Base = 0x3000, Limit = 23 };
        bed.Assemble(Handler, Handler, 32, CountAndEnd, halt: false);
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(0xFFu, bed.Dword(0x604));
    }

    [Fact]
    public void What_waits_in_it_is_gone_after_a_reset()
    {
        using var bed = NewBed();
        EnterFlat(bed, c =>
        {
            Enable(c);
            c.mov(__dword_ptr[Apic + 0x300], 0x44041); // to itself
        }, CountAndEnd, 0x41);
        Assert.Equal(Halted, bed.Run());
        bed.Vcpu.ForgetEvents();
        EnterFlat(bed, c =>
        {
            Enable(c);
            c.sti();
            c.nop();
            c.nop();
        }, CountAndEnd, 0x41);
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(0u, bed.Dword(0x600));
    }

    [Fact]
    public void CR8_is_the_processors_own()
    {
        using var bed = NewBed();
        bed.TaskPriority = 0x35;
        bed.Program(static c => c.nop());
        bed.Vcpu.State->Cr8 = 4;
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((4ul, 0x35), (bed.Vcpu.State->Cr8, bed.TaskPriority));
    }

    /// <summary>The 8259's interrupt comes while interrupts are off.</summary>
    protected void WaitForWindow()
    {
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

    /// <summary>Flat 32-bit code with an interrupt table that sends <paramref name="vectors"/> to one handler.</summary>
    protected static void EnterFlat(Bed bed, Action<Assembler> code, Action<Assembler> handler, params ReadOnlySpan<byte> vectors)
    {
        ulong[] gdt = [0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF];
        for (int i = 0; i < gdt.Length; i++)
            bed.Put(0x3000 + (i * 8), gdt[i], 8);
        bed.Put(0x620, 23 | (0x3000ul << 16), 6);
        bed.Put(0x628, 0x7FF | (0x4000ul << 16), 6);
        foreach (byte vector in vectors)
            Gate(bed, vector);
        bed.EnterFlat(FlatCode);
        bed.Assemble(FlatCode, FlatCode, 32, c =>
        {
            c.lgdt(__[0x620]);
            c.lidt(__[0x628]);
            code(c);
        });
        bed.Assemble(Handler, Handler, 32, handler, halt: false);
    }

    protected static void Enable(Assembler c) => c.mov(__dword_ptr[Apic + 0xF0], 0x1FF);

    /// <summary>A handler that counts at 600h.</summary>
    protected static void CountAndEnd(Assembler c)
    {
        c.inc(__dword_ptr[0x600]);
        c.mov(__dword_ptr[Apic + 0xB0], 0);
        c.iretd();
    }

    /// <summary>Until the handler has counted so far.</summary>
    protected static void Wait(Assembler c, uint count, uint at = 0x600)
    {
        var here = c.CreateLabel();
        c.Label(ref here);
        c.pause();
        c.cmp(__dword_ptr[at], count);
        c.jb(here);
    }

    protected static void InterruptAtPort80(Bed bed) => bed.OnWrite = (port, _) =>
    {
        if (port == 0x80)
            bed.Interrupt(0x20);
    };

    private static void Gate(Bed bed, byte vector) =>
        bed.Put(0x4000 + (vector * 8), (Handler & 0xFFFF) | (8ul << 16) | (0x8E00ul << 32) | ((ulong)(Handler >> 16) << 48), 8);

    private static void WaitByte(Assembler c)
    {
        var here = c.CreateLabel();
        c.Label(ref here);
        c.cmp(__byte_ptr[0x600], 0);
        c.je(here);
    }
}
