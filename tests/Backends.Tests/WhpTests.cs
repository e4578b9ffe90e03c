using System.Diagnostics;
using Farm.Assist.Cpu;
using Farm.Backends.Tests.WhpStandIn;
using Farm.Machine.Hypervisors;
using Farm.Machine.Hypervisors.Whp;
using Farm.Machine.Hypervisors.Whp.Native;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Backends.Tests;

/// <summary>What is WHP's own, over the stand-in for WinHvPlatform.dll: its errors, its awkward exits, what it leaves to us.</summary>
public sealed unsafe class WhpTests : IDisposable
{
    private const VcpuExitReason Halted = VcpuExitReason.Halted;

    public void Dispose() => Assert.Empty(StandInHost.Complaints);

    [Fact]
    public void Elsewhere_than_on_Windows_there_is_one_clear_error()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "This is Windows.");
        var backend = Machine.Hypervisors.Backends.All.Single(backend => backend.Name == "whp");
        Assert.StartsWith("WHP needs 64-bit Windows 10", backend.Unavailable, StringComparison.Ordinal);
        Assert.Equal(backend.Unavailable, Assert.Throws<HostException>(() => Machine.Hypervisors.Backends.Choose("whp")).Message);
    }

    [Fact]
    public void A_hypervisor_that_does_not_run_is_said_so()
    {
        StandInHost.Current = new StandInHost { HypervisorPresent = false };
        Assert.StartsWith("The Windows hypervisor is not running", StandInLibrary.NewHypervisor().Unavailable, StringComparison.Ordinal);
    }

    [Fact]
    public void A_platform_that_cannot_exit_on_CPUID_is_refused()
    {
        StandInHost.Current = new StandInHost { ExtendedExits = WhvBits.ExitsX64Msr };
        Assert.Contains("X64CpuidExit", StandInLibrary.NewHypervisor().Unavailable, StringComparison.Ordinal);
    }

    [Fact]
    public void More_processors_than_it_runs_are_refused() =>
        Assert.Throws<HostException>(() => StandInLibrary.NewHypervisor().CreatePartition(new PartitionOptions(2, true, CpuModel.P3)));

    [Fact]
    public void Umip_is_there_when_the_platform_has_it()
    {
        Assert.True(StandInLibrary.NewHypervisor().Capabilities.Umip);
        StandInHost.Current = new StandInHost { ProcessorFeatures = 0 };
        Assert.False(StandInLibrary.NewHypervisor().Capabilities.Umip);
    }

    [Fact]
    public void Runs_that_end_as_cancelled_by_nobody_go_on()
    {
        StandInHost.Current = new StandInHost { SpuriousCancel = 2 };
        using var bed = NewBed();
        bed.Program(c =>
        {
            for (int i = 0; i < 20; i++)
                c.@out(0x80, al);
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(20, bed.PortWrites.Count);
        Assert.True(Exits[WhvRunVpExitReason.Canceled] >= 20);
    }

    [Fact]
    public void A_kick_between_two_runs_ends_the_next_one_and_no_other()
    {
        using var bed = NewBed();
        bed.Program(static c => c.nop());
        bed.Vcpu.Kick();
        Assert.Equal(VcpuExitReason.Kicked, bed.Vcpu.Run(1).Reason);
        Assert.Equal(Halted, bed.Vcpu.Run(1).Reason);
    }

    [Fact]
    public void A_kick_from_another_thread_ends_a_run()
    {
        using var bed = NewBed();
        bed.Program(c =>
        {
            var here = c.CreateLabel();
            c.mov(al, 1);
            c.@out(0x80, al);
            c.Label(ref here);
            c.jmp(here);
        });
        Thread? thread = null;
        bed.OnWrite = (_, _) =>
        {
            thread = new Thread(bed.Vcpu.Kick);
            thread.Start();
        };
        Assert.Equal(VcpuExitReason.Kicked, bed.Vcpu.Run(1).Reason);
        thread!.Join();
    }

    [Fact]
    public void The_timer_kicks_and_never_early()
    {
        using var bed = NewBed();
        bed.Program(c =>
        {
            var here = c.CreateLabel();
            c.Label(ref here);
            c.jmp(here);
        });
        foreach (long nanoseconds in (long[])[1, 300_000, 1_700_000, 7_000_000])
        {
            long start = Stopwatch.GetTimestamp();
            bed.Vcpu.KickAfter(nanoseconds);
            Assert.Equal(VcpuExitReason.Kicked, bed.Vcpu.Run(1).Reason);
            Assert.True(Stopwatch.GetElapsedTime(start).TotalNanoseconds >= nanoseconds - 1000);
        }
    }

    [Fact]
    public void An_NMI_waits_for_the_IRET_of_the_one_before()
    {
        using var bed = NewBed();
        bed.Handler(Vectors.NMI, c =>
        {
            c.inc(__byte_ptr[0x600]);
            c.mov(al, __byte_ptr[0x600]);
            c.@out(0x80, al);
            c.@out(0x81, al);
            c.iret();
        });
        // A second one while the first is handled.
        bed.OnWrite = (port, value) =>
        {
            if (port == 0x80 && value == 1)
                bed.Vcpu.PendNmi();
        };
        bed.Program(c =>
        {
            c.nop();
            c.nop();
        });
        bed.Vcpu.PendNmi();
        Assert.Equal(Halted, bed.Run());
        Assert.Equal([(0x80, 1u, 1), (0x81, 1u, 1), (0x80, 2u, 1), (0x81, 2u, 1)], bed.PortWrites);
        Assert.True(Exits[WhvRunVpExitReason.X64InterruptWindow] >= 1);
    }

    [Fact]
    public void An_interrupt_waits_for_its_window_and_for_the_instruction_behind_STI()
    {
        using var bed = NewBed();
        bed.Handler(0x20, c =>
        {
            c.@out(0x90, al);
            c.iret();
        });
        bed.OnWrite = (port, _) =>
        {
            if (port == 0x80)
                bed.Interrupt(0x20);
        };
        bed.Program(c =>
        {
            c.@out(0x80, al);
            c.@out(0x81, al);
            c.sti();
            c.@out(0x82, al);
            c.@out(0x83, al);
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal([0x80, 0x81, 0x82, 0x90, 0x83], bed.PortWrites.Select(write => (int)write.Port));
    }

    [Fact]
    public void An_interrupt_whose_stack_lies_in_a_device_is_delivered_through_the_door()
    {
        using var bed = NewBed();
        bed.Handler(0x20, static c => c.mov(__byte_ptr[0x600], 0x77), halt: true);
        bed.OnWrite = (_, _) => bed.Interrupt(0x20);
        bed.Program(c =>
        {
            c.mov(ax, (ushort)(Bed.MmioAt >> 4));
            c.mov(ss, ax);
            c.mov(sp, 0x100);
            c.sti();
            c.nop();
            c.@out(0x80, al);
            c.nop();
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(0x77, bed.Ram[0x600]);
        Assert.Equal([Bed.MmioAt + 0xFA, Bed.MmioAt + 0xFC, Bed.MmioAt + 0xFE], bed.MmioWrites.Select(write => write.Address).Order());
    }

    [Fact]
    public void An_instruction_that_only_the_model_has_is_emulated()
    {
        StandInHost.Current = new StandInHost { Lacks = new HashSet<Code> { Code.Cmove_r16_rm16 } };
        using var bed = NewBed();
        bed.Program(c =>
        {
            c.mov(bx, 0x1234);
            c.xor(ax, ax);
            c.cmove(ax, bx);
            c.mov(__word_ptr[0x600], ax);
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(0x1234, bed.Word(0x600));
        Assert.Equal(1, Exits[WhvRunVpExitReason.Exception]);
    }

    [Fact]
    public void An_undefined_opcode_reaches_the_guests_own_vector()
    {
        using var bed = NewBed();
        Handler(bed, Vectors.UD);
        bed.Program(static c => c.ud2());
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(Vectors.UD, bed.Ram[0x600]);
        Assert.Equal(1, Exits[WhvRunVpExitReason.Exception]);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void An_MSR_of_the_model_is_there_and_an_unknown_one_faults(bool exitsOnMsrs)
    {
        // Without exits on MSRs the platform raises #GP, which is intercepted then.
        if (!exitsOnMsrs)
            StandInHost.Current = new StandInHost { ExtendedExits = WhvBits.ExitsX64Cpuid | WhvBits.ExitsException, MsrExits = null };
        using var bed = NewBed();
        Handler(bed, Vectors.GP);
        bed.Program(c =>
        {
            c.mov(ecx, 0x8B);
            c.rdmsr();
            c.mov(__dword_ptr[0x604], eax);
            c.mov(ecx, 0x12345678);
            c.rdmsr();
        });
        bed.Put(0x604, 0xFFFFFFFF, 4);
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((0u, Vectors.GP), (bed.Dword(0x604), bed.Ram[0x600]));
        Assert.Equal(2, Exits[exitsOnMsrs ? WhvRunVpExitReason.X64MsrAccess : WhvRunVpExitReason.Exception]);
    }

    [Fact]
    public void Performance_counters_that_RDPMC_would_not_read_are_not_there()
    {
        using var bed = NewBed();
        Handler(bed, Vectors.GP);
        bed.Program(c =>
        {
            c.mov(ecx, 0x186);
            c.xor(eax, eax);
            c.xor(edx, edx);
            c.wrmsr();
            c.mov(__byte_ptr[0x604], 1);
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((Vectors.GP, 0), (bed.Ram[0x600], bed.Ram[0x604]));
    }

    [Fact]
    public void CPUID_shows_the_model_not_the_host()
    {
        using var bed = NewBed();
        bed.Program(c =>
        {
            for (int i = 0; i < 3; i++)
            {
                c.mov(eax, i == 2 ? 0x40000000u : (uint)i);
                c.cpuid();
                c.mov(__dword_ptr[0x600 + (i * 16)], eax);
                c.mov(__dword_ptr[0x604 + (i * 16)], ebx);
                c.mov(__dword_ptr[0x608 + (i * 16)], ecx);
                c.mov(__dword_ptr[0x60C + (i * 16)], edx);
            }
        });
        Assert.Equal(Halted, bed.Run());
        for (int i = 0; i < 3; i++)
            Assert.Equal(CpuModel.P3.Leaf(i == 2 ? 0x40000000u : (uint)i, 36), (bed.Dword(0x600 + (i * 16)), bed.Dword(0x604 + (i * 16)), bed.Dword(0x608 + (i * 16)), bed.Dword(0x60C + (i * 16))));
    }

    [Fact]
    public void What_the_host_lacks_is_not_in_the_model()
    {
        var all = WhpCapabilities.Ask(StandInLibrary.Table());
        Assert.Equal(CpuModel.X64, all.Cut(CpuModel.X64));
        var bare = all with { ProcessorFeatures = WhvBits.ProcessorCmpxchg16b };
        Assert.Equal(CpuFeatures2.Cx16, bare.Cut(CpuModel.X64).Features2);
    }

    [Fact]
    public void A_task_switch_that_the_platform_leaves_is_done()
    {
        using var bed = NewBed();
        // The jump to the TSS itself is reported; that it is a jump to a TSS only we see.
        const int tss1 = 0x5000, tss2 = 0x5100;
        ulong[] gdt = [0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF, 0x0000890000000067 | (tss1 << 16), 0x0000890000000067 | (tss2 << 16)];
        for (int i = 0; i < gdt.Length; i++)
            bed.Put(0x3000 + (i * 8), gdt[i], 8);
        bed.Put(0x620, (ulong)((gdt.Length * 8) - 1) | (0x3000ul << 16), 6);
        foreach (var (at, value) in ((int, uint)[])[(0x20, 0x13000), (0x24, 2), (0x38, 0x7000), (0x48, 0x10), (0x4C, 8), (0x50, 0x10), (0x54, 0x10), (0x58, 0x10), (0x5C, 0x10)])
            bed.Put(tss2 + at, value, 4);
        bed.Assemble(0x13000, 0x13000, 32, static c => c.mov(__dword_ptr[0x604], 0x7A5C));
        bed.OnWrite = (_, _) => Processor.Forced.Enqueue(WhvRunVpExitReason.UnsupportedFeature);
        bed.Program(c =>
        {
            c.lgdt(__[0x620]);
            c.mov(eax, cr0);
            c.or(al, 1);
            c.mov(cr0, eax);
            c.AddInstruction(Instruction.CreateBranch(Code.Jmp_ptr1632, 8, 0x12000));
        });
        bed.Assemble(0x12000, 0x12000, 32, c =>
        {
            c.mov(ax, 0x10);
            c.mov(ds, ax);
            c.mov(es, ax);
            c.mov(ss, ax);
            c.mov(ax, 0x18);
            c.ltr(ax);
            c.@out(0x80, al);
            c.AddInstruction(Instruction.CreateBranch(Code.Jmp_ptr1632, 0x20, 0));
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((0x7A5Cu, 0x20), (bed.Dword(0x604), bed.Guest->Tr.Selector));
        Assert.Equal(1, Exits[WhvRunVpExitReason.UnsupportedFeature]);
    }

    [Theory]
    [InlineData(WhvRunVpExitReason.InvalidVpRegisterValue)]
    [InlineData(WhvRunVpExitReason.None)]
    [InlineData(WhvRunVpExitReason.X64ApicEoi)]
    [InlineData(WhvRunVpExitReason.X64ApicSmiTrap)]
    [InlineData(WhvRunVpExitReason.X64ApicInitSipiTrap)]
    [InlineData(WhvRunVpExitReason.X64ApicWriteTrap)]
    [InlineData(WhvRunVpExitReason.SynicSintDeliverable)]
    [InlineData(WhvRunVpExitReason.Hypercall)]
    [InlineData((WhvRunVpExitReason)0x3000)]
    internal void An_exit_that_nothing_asked_for_is_an_error_that_says_where(WhvRunVpExitReason reason)
    {
        using var bed = NewBed();
        Processor.Forced.Enqueue(reason);
        Assert.Contains("1000:0", Assert.Throws<HostException>(() => bed.Vcpu.Run(1)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void RDTSC_that_exits_is_answered()
    {
        using var bed = NewBed();
        bed.Program(c =>
        {
            c.rdtsc();
            c.mov(__dword_ptr[0x600], eax);
        });
        Processor.Forced.Enqueue(WhvRunVpExitReason.X64Rdtsc);
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((uint)bed.Guest->Gpr[0], bed.Dword(0x600));
    }

    [Fact]
    public void Single_step_traps_follow_instructions_that_exit()
    {
        using var bed = NewBed();
        bed.Handler(Vectors.DB, c =>
        {
            c.inc(__byte_ptr[0x600]);
            c.iret();
        });
        bed.Program(c =>
        {
            c.mov(ax, (ushort)(Bed.MmioAt >> 4));
            c.mov(es, ax);
            c.pushf();
            c.pop(ax);
            c.or(ah, 1);
            c.push(ax);
            c.popf(); // TF acts from the next instruction on
            c.@in(al, 0x80);
            c.mov(al, __byte_ptr.es[0]);
            c.cpuid();
            c.push(0x0002);
            c.popf();
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(5, bed.Ram[0x600]);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_the_platform_answers_itself_makes_no_exit(bool localApic)
    {
        using var bed = new Bed(StandInLibrary.NewHypervisor(), localApics: localApic);
        bed.Program(c =>
        {
            c.mov(eax, 0x40000100);
            c.cpuid();
            c.mov(ecx, 0x277);
            c.rdmsr();
            c.mov(__dword_ptr[0x600], eax);
            c.mov(eax, 0x01040506);
            c.wrmsr();
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((0x00070406u, 0x0007040601040506ul), (bed.Dword(0x600), bed.Vcpu.State->Pat));
        Assert.DoesNotContain(WhvRunVpExitReason.X64Cpuid, Exits.Keys);
        Assert.DoesNotContain(WhvRunVpExitReason.X64MsrAccess, Exits.Keys);
    }

    [Fact]
    public void With_paging_a_repeated_store_reaches_a_device_and_nothing_behind_it_is_interpreted()
    {
        using var bed = NewBed();
        // 4 MiB pages, the first maps itself.
        bed.Put(0x8000, 0x83, 4);
        bed.Program(c =>
        {
            c.lgdt(__[0x620]);
            c.mov(eax, 0x8000);
            c.mov(cr3, eax);
            c.mov(eax, cr4);
            c.or(al, 0x10);
            c.mov(cr4, eax);
            c.mov(eax, cr0);
            c.or(eax, unchecked((int)0x80000001));
            c.mov(cr0, eax);
            c.AddInstruction(Instruction.CreateBranch(Code.Jmp_ptr1632, 8, 0x12000));
        });
        ulong[] gdt = [0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF];
        for (int i = 0; i < gdt.Length; i++)
            bed.Put(0x3000 + (i * 8), gdt[i], 8);
        bed.Put(0x620, 23 | (0x3000ul << 16), 6);
        bed.Assemble(0x12000, 0x12000, 32, c =>
        {
            c.mov(ax, 0x10);
            c.mov(ds, ax);
            c.mov(es, ax);
            c.mov(ss, ax);
            c.mov(edi, (uint)Bed.MmioAt);
            c.mov(ecx, 5);
            c.mov(eax, 0x01020304);
            c.cld();
            c.rep.stosd();
            c.mov(ebx, __dword_ptr[Bed.MmioAt]);
            c.mov(__dword_ptr[0x604], ebx);
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(Enumerable.Range(0, 5).Select(i => (Bed.MmioAt + (ulong)(i * 4), 0x01020304ul, 4)), bed.MmioWrites);
        Assert.Equal(0x44332211u, bed.Dword(0x604));
        Assert.Equal(2, Exits[WhvRunVpExitReason.MemoryAccess]);
    }

    [Fact]
    public void Code_that_reaches_a_device_without_paging_is_carried_on_for_a_while()
    {
        using var bed = NewBed();
        bed.Program(c =>
        {
            c.mov(ax, (ushort)(Bed.MmioAt >> 4));
            c.mov(es, ax);
            for (ushort i = 0; i < 20; i++)
                c.mov(__byte_ptr.es[i], al);
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(20, bed.MmioWrites.Count);
        Assert.Equal(1, Exits[WhvRunVpExitReason.MemoryAccess]);
    }

    [Fact]
    public void CR8_and_the_task_priority_register_are_one()
    {
        using var bed = NewBed();
        bed.TaskPriority = 0x35;
        bed.Program(static c => c.nop());
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((0x30, 3ul, 0x35), (Processor.TaskPriority, bed.Vcpu.State->Cr8, bed.TaskPriority));
        // The guest wrote CR8, in 64-bit mode as it were.
        Processor.TaskPriority = 0xB0;
        bed.Vcpu.State->Rip = 0;
        bed.Vcpu.State->Activity = Farm.Assist.Cpu.Activity.Active;
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(0xB0, bed.TaskPriority);
    }

    [Fact]
    public void What_the_interpreter_lacks_too_is_an_emulation_failure()
    {
        var api = StandInLibrary.Table();
        nint created;
        Assert.Equal(0, api.CreatePartition(&created));
        nint partition = created;
        uint count = 1;
        Assert.Equal(0, api.SetPartitionProperty(partition, WhvPartitionPropertyCode.ProcessorCount, &count, 4));
        Assert.Equal(0, api.SetupPartition(partition));
        using var memory = new PhysicalMemory();
        var ranges = new GuestRanges(memory, range => api.MapGpaRange(partition, (void*)range.Host, range.Start, range.Length, WhvMapGpaRangeFlag.Read | WhvMapGpaRangeFlag.Write), _ => { }, log: null);
        byte* ram = (byte*)System.Runtime.InteropServices.NativeMemory.AlignedAlloc(4096, 4096);
        new Span<byte>(ram, 4096).Clear();
        memory.Map(0, 4096, ram, PageKind.Readable | PageKind.Writable);
        new byte[] { 0xF3, 0xA4 }.CopyTo(new Span<byte>(ram, 2)); // REP MOVSB
        using var bed = NewBed();
        using (var vcpu = new WhpVcpu(api, partition, 0, ranges, null, _ => new X86Cpu(memory, bed, CpuModel.P3, code => code == Code.Movsb_m8_m8)))
        {
            CpuState* state = vcpu.State;
            state->Rflags = 2;
            state->Cs = SegmentCache.RealMode(0, code: true);
            state->Ds = state->Ss = state->Es = SegmentCache.RealMode(0);
            state->Es = SegmentCache.RealMode((ushort)(Bed.MmioAt >> 4));
            state->Gpr[1] = 1;
            var exit = vcpu.Run(1);
            Assert.Equal(VcpuExitReason.EmulationFailure, exit.Reason);
            Assert.Equal([0xF3, 0xA4], exit.Bytes!);
            Assert.Equal(0ul, vcpu.State->Rip);
        }
        Assert.Equal(0, api.DeletePartition(partition));
        System.Runtime.InteropServices.NativeMemory.AlignedFree(ram);
    }

    [Theory]
    [InlineData(WhvBits.FeaturesLocalApicEmulation)]
    [InlineData(0)]
    public void Without_a_log_of_stores_any_page_may_have_been_stored_to(ulong features)
    {
        StandInHost.Current = new StandInHost { Features = features };
        using var bed = NewBed();
        bed.Program(static _ => { });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(ulong.MaxValue, bed.TakeStores());
        Assert.Equal(ulong.MaxValue, bed.TakeStores());
        Assert.Empty(StandInHost.Complaints);
    }

    /// <summary>Windows 11 has been seen to report a page clean that the guest had stored to.</summary>
    [Fact]
    public void The_platforms_log_is_not_believed_for_ever()
    {
        using var bed = NewBed();
        bed.Program(static _ => { });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal([15, 31, 47], Enumerable.Range(0, 48).Where(look => bed.TakeStores() != 0 && look > 0));
    }

    private static StandInProcessor Processor => StandInHost.Current.Processors[^1];

    private static Dictionary<WhvRunVpExitReason, int> Exits => Processor.Exits;

    private static Bed NewBed() => new(StandInLibrary.NewHypervisor());

    /// <summary>Stores the vector's number and halts.</summary>
    private static void Handler(Bed bed, byte vector)
    {
        bed.Handler(vector, c => c.mov(__byte_ptr[0x600], vector), halt: true);
    }
}
