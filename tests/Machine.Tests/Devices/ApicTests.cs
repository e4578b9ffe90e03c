using Farm.Machine.Bus;
using Farm.Machine.Devices.Apic;
using Farm.Machine.Devices.Pic;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Devices;

public class ApicTests
{
    private readonly VirtualClock _clock = new();
    private readonly MmioBus _mmio = new(new EventLog());
    private readonly ApicBus _bus = new();
    private readonly IoApic _io;
    private readonly Pic8259Pair _pic;
    private readonly Processor _cpu0 = new();
    private readonly Processor _cpu1 = new();
    private readonly LocalApic _apic0;
    private readonly LocalApic _apic1;
    private LocalApic _current;

    public ApicTests()
    {
        _pic = new Pic8259Pair(new InterruptLine(_bus.SetExternalInterrupt));
        _apic0 = new LocalApic(0, _bus, _clock, _cpu0, _pic.Acknowledge);
        _apic1 = new LocalApic(1, _bus, _clock, _cpu1, _pic.Acknowledge);
        _current = _apic0;
        _io = new IoApic(_bus);
        _mmio.Map(_io.Name, _io, IoApic.DefaultBase, IoApic.Length);
        Set(0xF0, 0x1FF);
        OnProcessor(1, () => Set(0xF0, 0x1FF));
    }

    [Fact]
    public void Each_processor_sees_its_own_identity()
    {
        Assert.Equal(0u, Get(0x20));
        OnProcessor(1, () => Assert.Equal(0x01000000u, Get(0x20)));
        Assert.Equal(0x00050014u, Get(0x30));
    }

    [Fact]
    public void Virtual_wire_after_reset_passes_the_8259_to_the_bootstrap_processor_only()
    {
        _apic0.Reset();
        _apic1.Reset();
        InitializePic();
        _pic.SetInput(1, true);
        Assert.True(_cpu0.Interrupt);
        Assert.False(_cpu1.Interrupt);
        Assert.Equal(0x09, _apic0.Acknowledge());
        Assert.False(_cpu0.Interrupt);
    }

    [Fact]
    public void Masked_LINT0_stops_the_8259_and_a_disabled_APIC_lets_it_through()
    {
        InitializePic();
        Set(0x350, 0x10700);
        _pic.SetInput(1, true);
        Assert.False(_cpu0.Interrupt);
        _apic0.BaseMsr = 0xFEE00000;
        Assert.True(_cpu0.Interrupt);
        Assert.Equal(0x09, _apic0.Acknowledge());
    }

    [Fact]
    public void Higher_vector_nests_and_EOI_returns_to_the_lower()
    {
        Ipi(0, 0x41);
        Assert.Equal(0x41, _apic0.Acknowledge());
        Ipi(0, 0x45); // same class: waits
        Assert.False(_cpu0.Interrupt);
        Ipi(0, 0x91);
        Assert.Equal(0x91, _apic0.Acknowledge());
        Assert.Equal(0x90u, Get(0xA0) & 0xF0);
        Assert.Equal(1u << 0x11, Get(0x140));
        Set(0xB0, 0);
        Assert.False(_cpu0.Interrupt);
        Set(0xB0, 0);
        Assert.Equal(0x45, _apic0.Acknowledge());
    }

    [Fact]
    public void Task_priority_holds_back_lower_classes()
    {
        Set(0x80, 0x50);
        Ipi(0, 0x5F);
        Assert.False(_cpu0.Interrupt);
        Assert.Equal(1u << 31, Get(0x220));
        Set(0x80, 0x40);
        Assert.True(_cpu0.Interrupt);
    }

    [Fact]
    public void Request_that_went_away_gives_the_spurious_vector()
    {
        Ipi(0, 0x50);
        Set(0x80, 0xF0);
        Assert.Equal(0xFF, _apic0.Acknowledge());
        Assert.Equal(0u, Get(0x120));
    }

    [Fact]
    public void INIT_and_SIPI_start_the_other_processor_as_the_BIOS_does_it()
    {
        Set(0x300, 0x000C4500);
        Set(0x300, 0x000C4610);
        Assert.Equal(["init", "startup 10"], _cpu1.Log);
        Assert.Empty(_cpu0.Log);
        Set(0x310, 0x01000000);
        Set(0x300, 0x0000C500);
        Set(0x300, 0x00008500); // level de-assert
        Assert.Equal(["init", "startup 10", "init"], _cpu1.Log);
    }

    [Fact]
    public void Shorthands_and_logical_destinations_reach_the_right_processors()
    {
        Set(0x300, 0x000C0061);
        Assert.True(_cpu1.Interrupt);
        Assert.False(_cpu0.Interrupt);
        Set(0x300, 0x00040062);
        Assert.Equal(0x62, _apic0.Acknowledge());
        Set(0xD0, 0x01000000);
        OnProcessor(1, () => Set(0xD0, 0x02000000));
        Set(0x310, 0x02000000);
        Set(0x300, 0x00000873);
        Assert.Equal(0x73, _apic1.Acknowledge());
        Assert.False(_cpu0.Interrupt);
        Set(0x300, 0x00000400);
        Assert.Empty(_cpu1.Log); // physical 2 does not exist
        Set(0x310, 0xFF000000);
        Set(0x300, 0x00000400);
        Assert.Equal(["nmi"], _cpu1.Log);
        Assert.Equal(["nmi"], _cpu0.Log);
    }

    [Fact]
    public void Lowest_priority_goes_to_the_idler_processor()
    {
        Set(0x80, 0x30);
        Set(0xD0, 0x01000000);
        OnProcessor(1, () => Set(0xD0, 0x02000000));
        Set(0x310, 0x03000000);
        Set(0x300, 0x00000981);
        Assert.True(_cpu1.Interrupt);
        Assert.False(_cpu0.Interrupt);
    }

    [Fact]
    public void Cluster_model_addresses_members_of_one_cluster()
    {
        Set(0xE0, 0x0FFFFFFF);
        Set(0xD0, 0x31000000);
        OnProcessor(1, () =>
        {
            Set(0xE0, 0x0FFFFFFF);
            Set(0xD0, 0x41000000);
        });
        Set(0x310, 0x41000000);
        Set(0x300, 0x00000855);
        Assert.False(_cpu0.Interrupt);
        Assert.True(_cpu1.Interrupt);
    }

    [Fact]
    public void Illegal_vectors_are_errors_with_their_own_interrupt()
    {
        Set(0x370, 0xFE);
        Ipi(0, 0x05);
        Assert.Equal(0xFE, _apic0.Acknowledge());
        Assert.Equal(0u, Get(0x280));
        Set(0x280, 0);
        Assert.Equal(0x20u, Get(0x280));
    }

    [Fact]
    public void Timer_counts_down_once_at_the_divided_bus_clock()
    {
        Set(0x3E0, 0x03); // by 16
        Set(0x320, 0xEC);
        Set(0x380, 1000);
        _clock.AdvanceTo(80_000);
        Assert.Equal(500u, Get(0x390));
        _clock.AdvanceTo(159_999);
        Assert.False(_cpu0.Interrupt);
        _clock.AdvanceTo(160_000);
        Assert.Equal(0xEC, _apic0.Acknowledge());
        Set(0xB0, 0);
        _clock.AdvanceTo(10_000_000);
        Assert.False(_cpu0.Interrupt);
        Assert.Equal(0u, Get(0x390));
    }

    [Fact]
    public void Periodic_timer_does_not_drift_and_stops_with_count_zero()
    {
        Set(0x3E0, 0x0B); // by 1
        Set(0x320, 0x200EC);
        Set(0x380, 100_000);
        for (int i = 1; i <= 1000; i++)
        {
            _clock.AdvanceTo(i * 1_000_000L - 1);
            Assert.False(_cpu0.Interrupt);
            _clock.AdvanceTo(i * 1_000_000L);
            Assert.Equal(0xEC, _apic0.Acknowledge());
            Set(0xB0, 0);
        }
        Set(0x380, 0);
        _clock.AdvanceTo(2_000_000_000);
        Assert.False(_cpu0.Interrupt);
    }

    [Fact]
    public void Absurdly_fast_periodic_timer_costs_a_bounded_number_of_events()
    {
        Set(0x3E0, 0x0B);
        Set(0x320, 0x200EC);
        Set(0x380, 1);
        int requests = _cpu0.Changes;
        for (long time = 0; time < 1_000_000; time += 100)
        {
            _clock.AdvanceTo(time);
            if (!_cpu0.Interrupt)
                continue;
            _apic0.Acknowledge();
            Set(0xB0, 0);
        }
        Assert.InRange(_cpu0.Changes - requests, 500, 4000);
    }

    [Fact]
    public void IOAPIC_edge_input_interrupts_per_edge_and_loses_masked_edges()
    {
        Redirect(1, 0x31);
        _io.SetInput(1, true);
        Assert.Equal(0x31, _apic0.Acknowledge());
        Set(0xB0, 0);
        Assert.False(_cpu0.Interrupt);
        _io.SetInput(1, false);
        Redirect(1, 0x10031);
        _io.SetInput(1, true);
        Redirect(1, 0x31);
        Assert.False(_cpu0.Interrupt);
    }

    [Fact]
    public void IOAPIC_level_input_repeats_after_EOI_until_released()
    {
        Redirect(11, 0xA000 | 0x52);
        _io.SetInput(11, true);
        Assert.Equal(0x52, _apic0.Acknowledge());
        Assert.NotEqual(0u, IoRead(0x10 + 22) & 0x4000);
        Assert.NotEqual(0u, Get(0x1A0) & 1u << 0x12);
        Set(0xB0, 0);
        Assert.Equal(0x52, _apic0.Acknowledge());
        _io.SetInput(11, false);
        Set(0xB0, 0);
        Assert.False(_cpu0.Interrupt);
        Assert.Equal(0u, IoRead(0x10 + 22) & 0x4000);
    }

    [Fact]
    public void Bus_is_told_what_the_IOAPICs_inputs_send_as_level_triggered_interrupts()
    {
        var told = new List<(int Input, ApicMessage? Message)>();
        _bus.Redirected = (input, message) => told.Add((input, message));
        Redirect(11, 0x1A052); // masked
        IoWrite(0x10 + 23, 0x01000000);
        Redirect(11, 0xA951);
        Redirect(11, 0xAC00); // NMI has no end
        Redirect(11, 0x52);
        Assert.Equal(
            [
                (11, new ApicMessage(DeliveryMode.Fixed, 0x52, 0, Logical: false, Level: true)),
                (11, new ApicMessage(DeliveryMode.Fixed, 0x52, 1, Logical: false, Level: true)),
                (11, new ApicMessage(DeliveryMode.LowestPriority, 0x51, 1, Logical: true, Level: true)),
                (11, null),
                (11, null),
            ],
            told);
        told.Clear();
        _io.Reset();
        Assert.Equal(Enumerable.Range(0, IoApic.Inputs).Select(static input => (input, (ApicMessage?)null)), told);
    }

    [Fact]
    public void IOAPIC_entry_names_its_processor()
    {
        IoWrite(0x10 + 2 * 4 + 1, 0x01000000);
        Redirect(4, 0x44);
        _io.SetInput(4, true);
        Assert.True(_cpu1.Interrupt);
        Assert.False(_cpu0.Interrupt);
    }

    [Fact]
    public void Timer_interrupt_of_the_ISA_bus_arrives_on_input_2()
    {
        var hub = new IrqHub(_pic.SetInput, _io.SetIsaInterrupt);
        Redirect(2, 0x30);
        hub.Connect(0).Raise();
        Assert.Equal(0x30, _apic0.Acknowledge());
        Assert.Equal(1, _pic.Requests);
    }

    [Fact]
    public void IOAPIC_registers_read_as_the_data_sheet_says()
    {
        IoWrite(0, 0x0F000000);
        Assert.Equal(0x0F000000u, IoRead(0));
        Assert.Equal(0x00170011u, IoRead(1));
        Assert.Equal(0x10000u, IoRead(0x10));
        IoWrite(0x10, uint.MaxValue);
        Assert.Equal(0x1AFFFu, IoRead(0x10));
        Assert.Equal(0u, IoRead(0x40));
    }

    private void InitializePic()
    {
        foreach (var (port, value) in new (ushort, byte)[] { (0x20, 0x11), (0x21, 0x08), (0x21, 0x04), (0x21, 0x01), (0x21, 0x00) })
            _pic.Out(port, value);
    }

    private void Ipi(byte destination, byte vector)
    {
        Set(0x310, (uint)destination << 24);
        Set(0x300, vector);
    }

    private uint Get(int register) => (uint)_current.ReadMmio(LocalApic.DefaultBase + (ulong)register, 4);

    private void Set(int register, uint value) => _current.WriteMmio(LocalApic.DefaultBase + (ulong)register, value, 4);

    private uint IoRead(int register)
    {
        _mmio.Write(IoApic.DefaultBase, (ulong)register, 4);
        return (uint)_mmio.Read(IoApic.DefaultBase + 0x10, 4);
    }

    private void IoWrite(int register, uint value)
    {
        _mmio.Write(IoApic.DefaultBase, (ulong)register, 4);
        _mmio.Write(IoApic.DefaultBase + 0x10, value, 4);
    }

    private void Redirect(int input, uint low) => IoWrite(0x10 + 2 * input, low);

    private void OnProcessor(int index, Action action)
    {
        _current = index == 0 ? _apic0 : _apic1;
        action();
        _current = _apic0;
    }

    private sealed class Processor : ILocalApicPins
    {
        public bool Interrupt { get; private set; }

        public int Changes { get; private set; }

        public List<string> Log { get; } = [];

        public void SetInterrupt(bool level)
        {
            Changes += level != Interrupt ? 1 : 0;
            Interrupt = level;
        }

        public void Nmi() => Log.Add("nmi");

        public void Smi() => Log.Add("smi");

        public void Init() => Log.Add("init");

        public void Startup(byte vector) => Log.Add($"startup {vector:X2}");
    }
}
