using Farm.Assist.Monitor;
using Farm.Assist.Reports;
using Farm.Firmware;
using Farm.Machine;
using Farm.Machine.Boot;
using Farm.Machine.Hypervisors;
using Farm.Machine.Hypervisors.Kvm;
using Farm.Machine.Hypervisors.Kvm.Native;
using Tmds.Linux;

namespace Farm.Backends.Tests.KvmFake;

/// <summary>What the run loop makes of the exits that a healthy guest on a healthy kernel never shows.</summary>
public sealed unsafe class KvmExitTests : IDisposable
{
    private readonly FakeKernel _kernel = new();

    public KvmExitTests() => Assert.SkipUnless(OperatingSystem.IsLinux() && Environment.Is64BitProcess, "KVM's kernel interface is that of Linux on x86-64.");

    public void Dispose() => _kernel.Dispose();

    [Fact]
    public void An_entry_that_a_signal_or_the_kernel_put_off_is_tried_again()
    {
        _kernel.Run(LibC.EINTR).Run(LibC.EAGAIN).Run(LibC.EINTR).Run(KvmExit.Intr).Run(KvmExit.IrqWindowOpen);
        using var bed = NewBed();
        Assert.Equal(VcpuExitReason.Shutdown, bed.Vcpu.Run(0).Reason);
        Assert.Equal(6, _kernel.Entries);
    }

    [Fact]
    public void A_kick_ends_the_run_and_counts_once()
    {
        using var bed = NewBed();
        var vcpu = bed.Vcpu;
        _kernel.Run((_, _) =>
        {
            vcpu.Kick();
            return -LibC.EINTR;
        });
        Assert.Equal(VcpuExitReason.Kicked, vcpu.Run(0).Reason);
        Assert.Equal(VcpuExitReason.Shutdown, vcpu.Run(0).Reason);
    }

    /// <summary>Between a guest's traps it fires on the way most of the time: put off each time, what is due would wait for milliseconds.</summary>
    [Fact]
    public void A_timer_that_fires_on_the_way_to_a_run_is_put_off_once_only()
    {
        using var bed = NewBed();
        var vcpu = bed.Vcpu;
        var pending = new List<bool>();
        KvmRun* page = null;
        for (int i = 0; i < 3; i++)
        {
            _kernel.Run((run, _) =>
            {
                page = run;
                pending.Add((run->Head & KickSignal.FromTimer << 8) != 0);
                if (!pending[^1])
                    vcpu.Kick();
                return -LibC.EINTR;
            });
        }
        vcpu.KickAfter(60_000_000_000);
        Assert.Equal(VcpuExitReason.Kicked, vcpu.Run(0).Reason);
        page->Head |= KickSignal.FromTimer << 8;
        Assert.Equal(VcpuExitReason.Kicked, vcpu.Run(0).Reason);
        vcpu.KickAfter(60_000_000_000);
        page->Head |= KickSignal.FromTimer << 8;
        Assert.Equal(VcpuExitReason.Kicked, vcpu.Run(0).Reason);
        Assert.Equal([false, true, false], pending);
    }

    /// <summary>Round the ring several times, with writes of any length.</summary>
    [Fact]
    public void Writes_that_the_kernel_queued_come_before_the_access_that_ended_the_run()
    {
        using var bed = NewBed();
        for (int run = 0; run < 4; run++)
        {
            int first = run * 100;
            _kernel.Run((page, kernel) =>
            {
                for (int i = 0; i < 100; i++)
                    kernel.QueueWrite(0xA0000 + (ulong)(first + i), 0x8877665544332211, (uint)(i % 8) + 1);
                page->ExitReason = KvmExit.Io;
                (page->IoDirection, page->IoSize, page->IoPort, page->IoCount, page->IoDataOffset) = (1, 1, 0x80, 1, 4096);
                return 0;
            });
        }
        Assert.Equal(VcpuExitReason.Shutdown, bed.Vcpu.Run(0).Reason);
        Assert.Equal((0xA0000ul, 0x18000u), (_kernel.Zone!.Value.Addr, _kernel.Zone.Value.Size));
        Assert.Equal(4, bed.PortWrites.Count);
        int[] pieces = [1, 1, 2, 1, 2, 2, 3, 1];
        var starts = bed.MmioWrites.Where(static write => (write.Value & 0xFF) == 0x11).Select(static write => (int)(write.Address - 0xA0000));
        Assert.Equal(Enumerable.Range(0, 400), starts);
        Assert.Equal(Enumerable.Range(0, 400).Sum(i => pieces[i % 100 % 8]), bed.MmioWrites.Count);
        Assert.Equal([(0xA0006, 0x44332211, 4), (0xA000A, 0x6655, 2), (0xA000C, 0x77, 1)], bed.MmioWrites.SkipWhile(static write => write.Address != 0xA0006 || write.Size != 4).Take(3));
        // The port's turn came after its hundred.
        Assert.Equal(('o', 0x80ul), bed.Accesses[Enumerable.Range(0, 100).Sum(i => pieces[i % 8])]);
        Assert.Equal(('o', 0x80ul), bed.Accesses[^1]);
    }

    [Theory]
    [InlineData(0xFFFFFFFF, 7)]
    [InlineData(3, 0xFFFFFFFF)]
    [InlineData(170, 400)]
    public void A_ring_with_places_that_it_does_not_have_leads_nowhere_else(uint first, uint last)
    {
        using var bed = NewBed();
        _kernel.Run((page, kernel) =>
        {
            new Span<byte>(kernel.Ring + 1, 4088).Fill(0xFF);
            (kernel.Ring->First, kernel.Ring->Last) = (first, last);
            page->ExitReason = KvmExit.Intr;
            return 0;
        });
        Assert.Equal(VcpuExitReason.Shutdown, bed.Vcpu.Run(0).Reason);
        Assert.InRange(bed.MmioWrites.Count, 1, 169);
        Assert.All(bed.MmioWrites, static write => Assert.Equal((ulong.MaxValue, ulong.MaxValue, 8), write));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    public void A_kernel_without_a_ring_in_the_shared_pages_ends_the_run_for_each_write(int page)
    {
        _kernel.Caps[KvmCap.CoalescedMmio] = page;
        using var bed = NewBed();
        _kernel.Run((_, kernel) =>
        {
            (kernel.Ring->First, kernel.Ring->Last) = (0, 1);
            return 0;
        });
        Assert.Equal(VcpuExitReason.Shutdown, bed.Vcpu.Run(0).Reason);
        Assert.Empty(bed.MmioWrites);
        Assert.Null(_kernel.Zone);
    }

    [Fact]
    public void The_registers_of_the_local_apic_that_the_kernel_holds_are_passed_on()
    {
        var offered = new List<ulong>();
        using var bed = NewBed();
        bed.TaskPriority = 0x37;
        _kernel.Run((run, _) =>
        {
            offered.Add(run->Cr8);
            run->Cr8 = 2;
            run->ApicBase = 0xFED0_0900;
            run->ExitReason = KvmExit.SetTpr;
            return 0;
        });
        _kernel.Run((run, _) =>
        {
            offered.Add(run->Cr8);
            run->ExitReason = KvmExit.Shutdown;
            return 0;
        });
        Assert.Equal(VcpuExitReason.Shutdown, bed.Vcpu.Run(0).Reason);
        Assert.Equal([3ul, 2ul], offered);
        Assert.Equal(0x20, bed.TaskPriority);
        Assert.Equal(0xFED0_0900ul, bed.ApicBase);
    }

    [Fact]
    public void A_call_that_signals_interrupt_is_repeated()
    {
        int left = 3;
        var file = new Stubborn(() => left-- > 0 ? -LibC.EINTR : 7);
        Assert.Equal(7, file.Call(KvmIoctl.GetRegs, 0, "KVM_GET_REGS"));
    }

    [Theory]
    [InlineData(14, "KVM: KVM_RUN failed: errno 14 (")]
    [InlineData(8, "KVM: KVM_RUN failed: errno 8 (")]
    public void An_entry_that_fails_is_the_hosts_trouble(int errno, string words)
    {
        _kernel.Run(errno);
        Fails(words);
    }

    [Fact]
    public void A_guest_that_the_processor_refuses()
    {
        _kernel.Run((run, _) =>
        {
            run->ExitReason = KvmExit.FailEntry;
            run->HardwareReason = 0x80000021;
            return 0;
        });
        Fails("KVM: the processor refused to enter the guest at 10000h, hardware reason 80000021h (it calls the guest's state invalid).");
    }

    [Theory]
    [InlineData(2u, "internal error 2 (two exceptions at once) at 10000h.")]
    [InlineData(3u, "internal error 3 (an exit in the delivery of an event) at 10000h.")]
    [InlineData(4u, "internal error 4 (an exit of the processor's that it does not know) at 10000h.")]
    [InlineData(77u, "internal error 77 (unknown) at 10000h.")]
    public void An_error_of_the_kernels_own(uint error, string words)
    {
        _kernel.Run((run, _) =>
        {
            run->ExitReason = KvmExit.InternalError;
            run->SubError = error;
            return 0;
        });
        Fails(words);
    }

    [Fact]
    public void An_exit_that_nothing_asked_for()
    {
        _kernel.Run((KvmExit)99);
        Fails("KVM: exit 99 (hardware reason 0h), which nothing asked for.");
    }

    /// <summary>The bytes of a failure; no counters of the host's kind.</summary>
    [Theory]
    [InlineData(KvmCap.ExitOnEmulationFailure, 3, true)]
    [InlineData(KvmCap.ExitOnEmulationFailure, 0, false)]
    [InlineData(KvmCap.PmuCapability, 1, true)]
    [InlineData(KvmCap.PmuCapability, 2, false)] // something else than to go without them
    [InlineData(KvmCap.PmuCapability, 0, false)]
    public void The_kernel_is_asked_for_what_it_can_give(object cap, int answer, bool asked)
    {
        _kernel.Caps[(KvmCap)cap] = answer;
        using var bed = NewBed();
        Assert.Equal(asked ? [1ul] : [], _kernel.Enabled.Where(enabled => enabled.Cap == (uint)(KvmCap)cap).Select(static enabled => enabled.Args[0]));
    }

    [Theory]
    [InlineData(3u, 1ul, 3, "0F01E0")] // data words, flags, size
    [InlineData(6u, 1ul, 200, "0F01E0000000000000000000000000")]
    [InlineData(3u, 0ul, 3, null)] // not said to be there
    [InlineData(0u, 1ul, 3, null)] // an old kernel leaves the fields alone
    public void The_bytes_of_an_emulation_failure_are_those_that_the_kernel_says_it_gave(uint count, ulong flags, int size, string? bytes)
    {
        _kernel.Run((run, _) => Failure(run, count, flags, (byte)size, 0x0F, 0x01, 0xE0));
        using var bed = NewBed();
        var exit = bed.Vcpu.Run(0);
        Assert.Equal((VcpuExitReason.EmulationFailure, bytes), (exit.Reason, exit.Bytes is null ? null : Convert.ToHexString(exit.Bytes)));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void An_instruction_that_the_kernel_cannot_emulate_is_emulated_and_the_guest_goes_on(bool withBytes)
    {
        ulong rax = 0, rip = 0;
        _kernel.Caps[KvmCap.ExitOnEmulationFailure] = withBytes ? 1 : 0;
        _kernel.Run((run, kernel) =>
        {
            EnterReal(run, kernel, 0x66, 0xB8, 0x78, 0x56, 0x34, 0x12); // mov eax, 12345678h
            return Failure(run, withBytes ? 3u : 0, 1, 6, 0x66, 0xB8, 0x78, 0x56, 0x34, 0x12);
        });
        _kernel.Run((run, _) =>
        {
            (rax, rip) = (run->Sync.Regs.Rax, run->Sync.Regs.Rip);
            run->ExitReason = KvmExit.Shutdown;
            return 0;
        });
        var report = Boot(AssistStrength.Native);
        Assert.Equal((0x12345678ul, 6ul), (rax, rip));
        Assert.Equal(BootOutcome.TripleFault, report.Outcome);
        Assert.Empty(report.UnsupportedOpcodes);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void One_that_nobody_can_emulate_is_filed_with_the_kernels_bytes(bool withBytes)
    {
        byte[] instruction = [0x0F, 0x33]; // rdpmc, which the assist refuses
        _kernel.Run((run, kernel) =>
        {
            // in the loader's flat segments
            instruction.CopyTo(kernel.Guest(Bed.CodeAt, instruction.Length));
            run->Sync.Regs.Rip = Bed.CodeAt;
            // another prefix than in memory, to tell whose bytes these are
            return Failure(run, withBytes ? 3u : 0, 1, 3, 0x2E, 0x0F, 0x33);
        });
        var report = Boot(AssistStrength.Vm86);
        Assert.True(report.Outcome == BootOutcome.UnsupportedOpcode, report.Reason);
        var opcode = Assert.Single(report.UnsupportedOpcodes);
        Assert.Equal(OpcodeReasons.Kvm, opcode.ExitReason);
        Assert.Equal(withBytes ? "2E0F33" : "0F33", opcode.Bytes);
        Assert.Equal(1, _kernel.Entries);
    }

    [Fact]
    public void The_time_stamp_counter_is_moved_by_its_offset()
    {
        _kernel.TscOffset = 5;
        using var bed = NewBed();
        Assert.Equal(4_000_000_000, bed.Vcpu.TimeStampRate?.TicksAt(2_000_000_000));
        bed.Vcpu.AdvanceTimeStamp(1000);
        Assert.Equal(1005ul, _kernel.TscOffset);
        _kernel.TscOffset = unchecked((ulong)-7); // the guest set its counter back
        bed.Vcpu.AdvanceTimeStamp(1000);
        Assert.Equal(993ul, _kernel.TscOffset);
    }

    [Fact]
    public void A_kernel_before_Linux_5_16_cannot_move_it()
    {
        using var bed = NewBed();
        Assert.Null(bed.Vcpu.TimeStampRate);
    }

    private static int Failure(KvmRun* run, uint count, ulong flags, byte size, params byte[] bytes)
    {
        run->ExitReason = KvmExit.InternalError;
        run->SubError = KvmConstants.InternalErrorEmulation;
        run->DataCount = count;
        run->EmulationFlags = flags;
        run->InstructionSize = size;
        new Span<byte>(run->InstructionBytes, 15).Clear();
        bytes.CopyTo(new Span<byte>(run->InstructionBytes, 15));
        return 0;
    }

    /// <summary>The guest has come to code of ours at 1000:0000.</summary>
    private static void EnterReal(KvmRun* run, FakeKernel kernel, params byte[] code)
    {
        code.CopyTo(kernel.Guest(Bed.CodeAt, code.Length));
        run->Sync.Sregs.Cr0 = 0x10;
        run->Sync.Sregs.Cs = new() { Selector = 0x1000, Base = Bed.CodeAt, Limit = 0xFFFF, Type = 11, S = 1, Present = 1 };
        run->Sync.Regs.Rip = 0;
    }

    private BootReport Boot(AssistStrength strength)
    {
        try
        {
            using var session = new BootSession(
                new BootRequest { Machine = new MachineOptions { Assist = strength, MemoryMiB = 16 }, Script = new GuestScript { Steps = [ScriptStep.Expect("never")] }, GuestTimeout = TimeSpan.FromMinutes(5), HostTimeout = TimeSpan.FromMinutes(5) },
                new KvmHypervisor(_kernel));
            return session.Run(TestContext.Current.CancellationToken);
        }
        catch (FirmwareException e)
        {
            Assert.Skip(e.Message);
            throw;
        }
    }

    private void Fails(string words)
    {
        using var bed = NewBed();
        Assert.Contains(words, Assert.Throws<HostException>(() => bed.Vcpu.Run(0)).Message, StringComparison.Ordinal);
    }

    private Bed NewBed() => new(new KvmHypervisor(_kernel));

    private sealed class Stubborn(Func<int> answer) : KvmFile
    {
        public override int Try(uint request, void* argument) => answer();

        public override KvmFile Of(int descriptor) => this;

        public override void* Map(nuint size, out int error)
        {
            error = 0;
            return null;
        }

        public override void Unmap(void* pages, nuint size)
        {
        }

        public override void Dispose()
        {
        }
    }
}
