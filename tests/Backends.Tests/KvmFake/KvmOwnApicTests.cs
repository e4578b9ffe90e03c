using Farm.Assist.Cpu;
using Farm.Assist.Monitor;
using Farm.Firmware;
using Farm.Machine;
using Farm.Machine.Devices.Apic;
using Farm.Machine.Devices.Chipset;
using Farm.Machine.Hypervisors;
using Farm.Machine.Hypervisors.Kvm;
using Farm.Machine.Hypervisors.Kvm.Native;
using Tmds.Linux;

namespace Farm.Backends.Tests.KvmFake;

/// <summary>What the backend asks of a kernel that has the local APICs, call by call, and what it makes of rare answers.</summary>
public sealed unsafe class KvmOwnApicTests : IDisposable
{
    private const int Prodded = 8 << 8;

    private readonly FakeKernel _kernel = new();

    public KvmOwnApicTests() => Assert.SkipUnless(OperatingSystem.IsLinux() && Environment.Is64BitProcess, "KVM's kernel interface is that of Linux on x86-64.");

    public void Dispose() => _kernel.Dispose();

    [Fact]
    public void The_kernel_has_the_local_APICs_and_the_inputs_of_one_IOAPIC()
    {
        using var bed = NewBed();
        var enabled = _kernel.Enabled.Single(static enabled => enabled.Cap == (uint)KvmCap.SplitIrqchip);
        Assert.Equal(24ul, enabled.Args[0]);
    }

    [Theory]
    [InlineData(1, AssistStrength.Native, false, "host-skip")]
    [InlineData(1, AssistStrength.Vm86, false, "host-skip")]
    [InlineData(2, AssistStrength.Native, true, "host")]
    public void A_machine_has_the_kernels_where_it_has_several_processors(int vcpus, AssistStrength strength, bool kernels, string mode)
    {
        _kernel.TscOffset = 5;
        using var machine = Build(new MachineOptions { Vcpus = vcpus, Assist = strength });
        Assert.Equal(kernels, _kernel.Enabled.Any(static enabled => enabled.Cap == (uint)KvmCap.SplitIrqchip));
        Assert.Equal((mode, kernels ? 0 : 1), (machine.Time.Mode, machine.Parts.Interrupts.LocalApics.Count));
    }

    [Fact]
    public void A_level_triggered_input_of_the_machines_IOAPIC_goes_all_the_way()
    {
        using var machine = Build(new MachineOptions { Vcpus = 2, Assist = AssistStrength.Native });
        var ioApic = machine.Parts.Interrupts.IoApic!;
        void Write(byte register, uint value)
        {
            ioApic.WriteMmio(IoApic.DefaultBase, register, 4);
            ioApic.WriteMmio(IoApic.DefaultBase + 0x10, value, 4);
        }
        Write(0x10 + (2 * 11) + 1, 0x01000000);
        Write(0x10 + (2 * 11), 0xA051);
        var route = Assert.Single(_kernel.Routes[^1]);
        Assert.Equal((11u, 0xFEE01000u, 0xC051u), (route.Gsi, route.AddressLow, route.Data));
        ioApic.SetInput(11, true);
        Assert.Single(_kernel.Messages);
        // The line is still up at its end: it comes again.
        machine.Parts.Partition.LocalApics!.Ended!(0x51);
        Assert.Equal([0xC051u, 0xC051u], _kernel.Messages.Select(static message => message.Data));
        ioApic.SetInput(11, false);
        machine.Parts.Partition.LocalApics.Ended(0x51);
        Assert.Equal(2, _kernel.Messages.Count);
        machine.Reset(ResetKind.Hard);
        Assert.Empty(_kernel.Routes[^1]);
    }

    [Theory]
    [InlineData(DeliveryMode.Fixed, 0x31, 2, false, true, 0xFEE02000u, 0xC031u)]
    [InlineData(DeliveryMode.LowestPriority, 0x41, 0x0F, true, false, 0xFEE0F004u, 0x4141u)]
    [InlineData(DeliveryMode.Nmi, 0, 0xFF, false, false, 0xFEEFF000u, 0x4400u)]
    [InlineData(DeliveryMode.Init, 0, 1, false, false, 0xFEE01000u, 0x4500u)]
    [InlineData(DeliveryMode.Startup, 9, 1, false, false, 0xFEE01000u, 0x4609u)]
    public void A_message_goes_as_an_MSI(DeliveryMode mode, int vector, int destination, bool logical, bool level, uint address, uint data)
    {
        using var bed = NewBed();
        Assert.True(bed.LocalApics!.Send(new ApicMessage(mode, (byte)vector, (byte)destination, logical, level)));
        Assert.Equal((address, 0u, data, 0u), (_kernel.Messages[0].AddressLow, _kernel.Messages[0].AddressHigh, _kernel.Messages[0].Data, _kernel.Messages[0].Flags));
    }

    [Theory]
    [InlineData(DeliveryMode.Fixed, 0x0F)]
    [InlineData(DeliveryMode.LowestPriority, 0)]
    [InlineData(DeliveryMode.Smi, 0)]
    [InlineData(DeliveryMode.Reserved, 0x31)]
    [InlineData(DeliveryMode.ExtInt, 0x31)]
    public void A_message_that_is_none_the_kernel_does_not_see(DeliveryMode mode, int vector)
    {
        using var bed = NewBed();
        Assert.False(bed.LocalApics!.Send(new ApicMessage(mode, (byte)vector, 0, Logical: false, Level: false)));
        Assert.Empty(_kernel.Messages);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)] // EPERM: no processor was meant
    [InlineData(-22)]
    public void Nobody_accepts_what_the_kernel_does_not_deliver(int answer)
    {
        using var bed = NewBed();
        _kernel.Accepts = answer;
        Assert.False(bed.LocalApics!.Send(new ApicMessage(DeliveryMode.Fixed, 0x31, 0, Logical: false, Level: false)));
    }

    [Fact]
    public void The_routing_table_follows_the_level_triggered_inputs()
    {
        using var bed = NewBed();
        var apics = bed.LocalApics!;
        var disk = new ApicMessage(DeliveryMode.Fixed, 0x51, 1, Logical: false, Level: true);
        var network = new ApicMessage(DeliveryMode.LowestPriority, 0x61, 3, Logical: true, Level: true);
        apics.Redirect(2, null); // edge-triggered, as after a reset
        Assert.Empty(_kernel.Routes);
        apics.Redirect(11, disk);
        apics.Redirect(11, disk);
        apics.Redirect(10, network);
        apics.Redirect(11, null);
        apics.Redirect(10, null);
        Assert.Equal(
            ["B FEE01000 C051", "A FEE03004 C161 B FEE01000 C051", "A FEE03004 C161", ""],
            _kernel.Routes.Select(static table => string.Join(' ', table.Select(static route => $"{route.Gsi:X} {route.AddressLow:X} {route.Data:X}"))));
        Assert.All(_kernel.Routes.SelectMany(static table => table), static route => Assert.Equal((2u, 0u, 0u), (route.Type, route.Flags, route.AddressHigh)));
    }

    [Fact]
    public void A_table_that_the_kernel_refuses_is_named()
    {
        using var bed = NewBed();
        _kernel.Failures[KvmIoctl.SetGsiRouting] = LibC.ENOMEM;
        var error = Assert.Throws<HostException>(() => bed.LocalApics!.Redirect(1, new ApicMessage(DeliveryMode.Fixed, 0x51, 1, Logical: false, Level: true)));
        Assert.Contains("KVM: KVM_SET_GSI_ROUTING failed: errno 12 (", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_end_of_an_interrupt_is_passed_on_and_the_guest_goes_on()
    {
        using var bed = NewBed();
        var ended = new List<byte>();
        bed.LocalApics!.Ended = ended.Add;
        foreach (byte vector in new byte[] { 0x51, 0xFF })
        {
            _kernel.Run((run, _) =>
            {
                run->ExitReason = KvmExit.IoapicEoi;
                run->EoiVector = vector;
                return 0;
            });
        }
        Assert.Equal(VcpuExitReason.Shutdown, bed.Vcpu.Run(0).Reason);
        Assert.Equal([0x51, 0xFF], ended);
    }

    [Fact]
    public void An_end_that_nobody_asked_for_with_the_machines_own_local_APIC()
    {
        _kernel.Run(KvmExit.IoapicEoi);
        using var bed = new Bed(new KvmHypervisor(_kernel));
        Assert.Contains("KVM: exit 26", Assert.Throws<HostException>(() => bed.Vcpu.Run(0)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void CR8_and_the_base_address_stay_the_kernels()
    {
        using var bed = NewBed();
        bed.TaskPriority = 0x37;
        ulong offered = 99;
        _kernel.Run((run, _) =>
        {
            offered = run->Cr8;
            run->Cr8 = 2;
            run->ApicBase = 0xFED0_0900;
            run->ExitReason = KvmExit.Shutdown;
            return 0;
        });
        Assert.Equal(VcpuExitReason.Shutdown, bed.Vcpu.Run(0).Reason);
        Assert.Equal((0ul, (byte)0x37, null), (offered, bed.TaskPriority, bed.ApicBase));
    }

    [Fact]
    public void A_line_that_rises_while_the_processor_executes_ends_its_entry_but_not_its_run()
    {
        using var bed = NewBed();
        var seen = new List<(bool Prodded, byte Window)>();
        var vectors = new List<uint>();
        void See(KvmRun* run) => seen.Add(((run->Head & Prodded) != 0, run->RequestInterruptWindow));
        _kernel.Run((run, _) =>
        {
            See(run);
            bed.Interrupt(0x31);
            See(run);
            return -LibC.EINTR;
        });
        _kernel.Run((run, kernel) =>
        {
            See(run);
            Assert.DoesNotContain((0, KvmIoctl.Interrupt), kernel.Calls);
            run->ReadyForInterruptInjection = 1;
            run->ExitReason = KvmExit.IrqWindowOpen;
            return 0;
        });
        _kernel.Run((run, kernel) =>
        {
            See(run);
            Assert.Single(kernel.Calls, (0, KvmIoctl.Interrupt));
            run->ExitReason = KvmExit.Shutdown;
            return 0;
        });
        Assert.Equal(VcpuExitReason.Shutdown, bed.Vcpu.Run(0).Reason);
        Assert.Equal([(false, 0), (true, 0), (false, 1), (false, 0)], seen);
    }

    [Fact]
    public void An_NMI_that_comes_while_the_processor_executes_is_given_by_its_own_thread()
    {
        using var bed = NewBed();
        _kernel.Run((run, kernel) =>
        {
            bed.Vcpu.PendNmi();
            // The kernel would keep the call waiting.
            Assert.DoesNotContain((0, KvmIoctl.Nmi), kernel.Calls);
            return (run->Head & Prodded) != 0 ? -LibC.EINTR : 0;
        });
        _kernel.Run((run, kernel) =>
        {
            Assert.Single(kernel.Calls, (0, KvmIoctl.Nmi));
            return -LibC.EINTR;
        });
        Assert.Equal(VcpuExitReason.Shutdown, bed.Vcpu.Run(0).Reason);
        Assert.Single(_kernel.Calls, (0, KvmIoctl.Nmi));
    }

    [Theory]
    [InlineData(KvmMpState.Runnable, Activity.Active)]
    [InlineData(KvmMpState.Halted, Activity.Halted)]
    [InlineData(KvmMpState.Uninitialized, Activity.WaitForSipi)]
    [InlineData(KvmMpState.InitReceived, Activity.WaitForSipi)]
    [InlineData(KvmMpState.SipiReceived, Activity.Active)]
    internal void The_state_shows_what_a_processor_waits_for(KvmMpState state, Activity activity)
    {
        using var bed = NewBed();
        _kernel.Run(LibC.EINTR);
        bed.Vcpu.Run(0);
        _kernel.Activity = state;
        Assert.Equal(activity, bed.Vcpu.State->Activity);
    }

    [Fact]
    public void A_reset_takes_a_waiting_INIT_before_it_stops_the_processor()
    {
        using var bed = NewBed(2);
        var other = bed.Others[0];
        _kernel.Activity = KvmMpState.Halted;
        _kernel.Calls.Clear();
        other.ForgetEvents();
        Assert.Equal([KvmIoctl.GetMpState, KvmIoctl.SetMpState, KvmIoctl.SetLapic, KvmIoctl.SetVcpuEvents], _kernel.Calls.Select(static call => call.Request));
        Assert.Equal(KvmMpState.Uninitialized, _kernel.Activity);
        Assert.Equal(13u, _kernel.Events.Flags);
        // The state of a reset does not start it.
        *other.State = default;
        _kernel.RunOther((_, _) => -LibC.EAGAIN);
        lock (other.Gate!)
            Assert.Equal(VcpuExitReason.Shutdown, other.Run(0).Reason);
        Assert.Equal(KvmMpState.Uninitialized, _kernel.Activity);
        bed.Vcpu.ForgetEvents();
        Assert.Equal(KvmMpState.Runnable, _kernel.Activity);
    }

    [Fact]
    public void What_waits_in_the_kernel_is_not_overwritten_with_the_registers()
    {
        using var bed = NewBed();
        _kernel.Run(LibC.EINTR);
        bed.Vcpu.Run(0);
        bed.Vcpu.State->Rip = 0x1234;
        ulong rip = 0;
        _kernel.Calls.Clear();
        _kernel.Run((run, _) =>
        {
            Assert.Equal((0, 0ul), (run->ImmediateExit, run->DirtyRegs));
            rip = run->Sync.Regs.Rip;
            run->ExitReason = KvmExit.Shutdown;
            return 0;
        });
        Assert.Equal(VcpuExitReason.Shutdown, bed.Vcpu.Run(0).Reason);
        Assert.Equal(0x1234ul, rip);
        // The last only asks whether it can take an interrupt.
        Assert.Equal([KvmIoctl.SetRegs, KvmIoctl.SetSregs, KvmIoctl.SetVcpuEvents, KvmIoctl.Run], _kernel.Calls.Take(4).Select(static call => call.Request));
        Assert.Equal(0u, _kernel.Events.Flags & ~KvmConstants.EventsShadow);
    }

    [Fact]
    public void All_processors_have_the_time_stamp_counter_of_the_first()
    {
        _kernel.TscOffset = 5;
        using var bed = NewBed(2);
        Assert.Equal(
            [(0, KvmIoctl.GetDeviceAttr), (1, KvmIoctl.SetDeviceAttr)],
            _kernel.Calls.Where(static call => call.Request is KvmIoctl.GetDeviceAttr or KvmIoctl.SetDeviceAttr));
        Assert.Null(bed.Vcpu.TimeStampRate);
    }

    [Fact]
    public void Nobody_executes_while_the_memory_map_changes()
    {
        using var bed = NewBed(2);
        using var inside = new ManualResetEventSlim();
        object gate = bed.Vcpu.Gate!;
        bool stopped = false, mapped = false;
        _kernel.RunOther((run, _) =>
        {
            inside.Set();
            SpinWait.SpinUntil(() => (Volatile.Read(ref run->Head) & Prodded) != 0, TimeSpan.FromMinutes(1));
            stopped = (run->Head & Prodded) != 0;
            return -LibC.EINTR;
        });
        var thread = new Thread(() =>
        {
            lock (gate)
                bed.Others[0].Run(0);
        });
        lock (gate)
        {
            // Whatever is mapped by now, the second's run maps.
            thread.Start();
            Monitor.Exit(gate);
            Assert.True(inside.Wait(TimeSpan.FromMinutes(1)));
            Monitor.Enter(gate);
            bed.ShowEndOfRam(false);
            _kernel.Run((_, kernel) =>
            {
                mapped = stopped && kernel.Guest(0, 4096).Length != 0;
                return -LibC.EINTR;
            });
            Assert.Equal(VcpuExitReason.Shutdown, bed.Vcpu.Run(0).Reason);
        }
        thread.Join();
        Assert.True(mapped);
    }

    [Fact]
    public void Another_processors_thread_sets_the_timer_of_one_that_runs()
    {
        using var bed = NewBed(2);
        object gate = bed.Vcpu.Gate!;
        _kernel.Run((run, _) =>
        {
            // As a device does that another processor touches.
            var thread = new Thread(() =>
            {
                lock (gate)
                    bed.Vcpu.KickAfter(1);
            });
            thread.Start();
            thread.Join();
            // The signal comes to this thread, the processor's own.
            SpinWait.SpinUntil(() => (Volatile.Read(ref run->Head) & (KickSignal.FromTimer << 8)) != 0, TimeSpan.FromMinutes(1));
            return -LibC.EINTR;
        });
        lock (gate)
        {
            Assert.Equal(VcpuExitReason.Kicked, bed.Vcpu.Run(0).Reason);
        }
        Assert.Equal(1, _kernel.Entries);
    }

    [Fact]
    public void A_processor_that_is_stopped_before_it_began_has_its_turn_all_the_same()
    {
        using var bed = NewBed(2);
        var other = bed.Others[0];
        int pending = -1;
        _kernel.RunOther((run, _) =>
        {
            pending = run->ImmediateExit & 1; // the timer may have fired
            SpinWait.SpinUntil(() => run->ImmediateExit != 0, TimeSpan.FromMinutes(1));
            return -LibC.EINTR;
        });
        other.Kick();
        lock (other.Gate!)
            Assert.Equal(VcpuExitReason.Kicked, other.Run(0).Reason);
        Assert.Equal(0, pending);
        // The first has to look at once at what the others did.
        _kernel.Run((run, _) => run->ImmediateExit == 1 ? -LibC.EINTR : 0);
        bed.Vcpu.Kick();
        lock (other.Gate!)
            Assert.Equal(VcpuExitReason.Kicked, bed.Vcpu.Run(0).Reason);
    }

    private PcMachine Build(MachineOptions options)
    {
        try
        {
            return MachineBuilder.Build(options, new KvmHypervisor(_kernel));
        }
        catch (FirmwareException e)
        {
            Assert.Skip(e.Message);
            throw;
        }
    }

    private Bed NewBed(int processors = 1) => new(new KvmHypervisor(_kernel), localApics: true, processors: processors);
}
