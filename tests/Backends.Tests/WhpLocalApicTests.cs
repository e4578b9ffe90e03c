using Farm.Backends.Tests.WhpStandIn;
using Farm.Machine.Devices.Apic;
using Farm.Machine.Hypervisors;
using Farm.Machine.Hypervisors.Whp.Native;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Backends.Tests;

/// <summary>The platform's own local APICs on WHP, over the stand-in.</summary>
public sealed unsafe class WhpLocalApicTests : LocalApicTests, IDisposable
{
    public void Dispose()
    {
        Assert.Empty(StandInHost.Complaints);
        Assert.All(StandInHost.Current.Processors, processor => Assert.DoesNotContain(WhvRunVpExitReason.X64Halt, processor.Exits.Keys));
    }

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
    public void The_8259s_interrupt_comes_on_a_platform_that_never_answers_the_notification()
    {
        // As it has been seen.
        StandInHost.Current = new StandInHost { WindowBesideApic = false };
        WaitForWindow();
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
    public void A_masked_LINT0_does_not_hold_an_ExtINT_message_back()
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
    public void Code_that_goes_from_a_device_to_the_local_APIC_is_not_interpreted_there()
    {
        Code_goes_from_a_device_to_the_local_APIC();
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
    public void CR8_is_that_of_the_platforms_APIC()
    {
        CR8_is_the_processors_own();
        Assert.Equal(0x40, StandInHost.Current.Processors[^1].TaskPriority);
    }

    protected override Bed NewBed(int processors = 1) => new(StandInLibrary.NewHypervisor(), localApics: true, processors: processors);

    private static Dictionary<WhvRunVpExitReason, int> Exits => StandInHost.Current.Processors[^1].Exits;
}
