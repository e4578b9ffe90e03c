using Farm.Machine.Bus;
using Farm.Machine.Devices.Acpi;
using Farm.Machine.Devices.Chipset;
using Farm.Machine.Devices.Ide;
using Farm.Machine.Devices.Pci;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Devices;

public class PciTests
{
    private const ulong LowMemory = 64ul << 20;
    private readonly VirtualClock _clock = new();
    private readonly PortBus _ports;
    private readonly MmioBus _mmio;
    private readonly SystemControl _system = new();
    private readonly List<string> _requests = [];
    private readonly List<PamRegion> _pam = [];
    private readonly List<bool> _smram = [];
    private readonly bool[] _irq = new bool[16];
    private readonly FakeMemory _memory = new(1 << 20);
    private readonly PciBus _pci;
    private readonly BusMasterIde _ide;

    public PciTests()
    {
        var events = new EventLog();
        _ports = new PortBus(events);
        _mmio = new MmioBus(events);
        _system.ResetRequested = (kind, source) => _requests.Add($"{kind} {source}");
        _system.PowerOffRequested = source => _requests.Add(source);
        var hub = new IrqHub((irq, level) => _irq[irq] = level);
        _pci = new PciBus(_ports, _mmio, _system, LowMemory);
        _ports.Map(_pci);
        var piix3 = new Piix3(hub);
        _pci.RouteInterrupts(piix3.ConnectPin);
        _pci.Add(0, 0, new I440Fx(LowMemory) { PamChanged = _pam.Add, SmramShown = _smram.Add });
        _pci.Add(1, 0, piix3);
        _ide = new BusMasterIde(_memory);
        _pci.Add(1, 1, _ide);
        var pm = new Piix4PowerManagement(_clock, hub.Connect(9), _system, _ports);
        _pci.Add(1, 3, pm);
        _ports.Map(pm);
        _pci.Add(3, 0, new TestCard());
        _pam.Clear();
    }

    [Theory]
    [InlineData(0, 0, 0x12378086u, 0x060000u)]
    [InlineData(1, 0, 0x70008086u, 0x060100u)]
    [InlineData(1, 1, 0x70108086u, 0x010180u)]
    [InlineData(1, 3, 0x71138086u, 0x068000u)]
    public void Chipset_functions_are_found_by_mechanism_1(int slot, int function, uint id, uint classCode)
    {
        Assert.Equal(id, Read(slot, function, 0));
        Assert.Equal(classCode, Read(slot, function, 8) >> 8);
        Assert.Empty(_ports.Conflicts);
    }

    [Fact]
    public void Absent_function_and_other_buses_read_as_ones()
    {
        Assert.Equal(uint.MaxValue, Read(7, 0, 0));
        _ports.Write(0xCF8, 0x80010000, 4);
        Assert.Equal(uint.MaxValue, _ports.Read(0xCFC, 4));
        _ports.Write(0xCF8, 0, 4);
        Assert.Equal(uint.MaxValue, _ports.Read(0xCFC, 4));
    }

    [Fact]
    public void Multi_function_bit_is_on_the_bridge_only()
    {
        Assert.Equal(0x80u, Read(1, 0, 0x0C) >> 16 & 0xFF);
        Assert.Equal(0x00u, Read(3, 0, 0x0C) >> 16 & 0xFF);
    }

    [Fact]
    public void Host_bridge_carries_the_subsystem_that_SeaBIOS_looks_for_only_when_asked()
    {
        Assert.Equal(0u, Read(0, 0, 0x2C));
        _pci.Add(0, 1, new I440Fx(LowMemory, qemuSubsystem: true));
        Assert.Equal(0x11001AF4u, Read(0, 1, 0x2C));
    }

    [Fact]
    public void Byte_accesses_reach_bytes_of_the_register()
    {
        Select(0, 0, 0x58);
        _ports.Write(0xCFE, 0x33, 1);
        Assert.Equal(0x33u, _ports.Read(0xCFE, 1));
        Assert.Equal(0x0033u, _ports.Read(0xCFE, 2));
    }

    [Fact]
    public void PAM_registers_switch_each_region_between_ROM_and_shadow()
    {
        Select(0, 0, 0x58);
        _ports.Write(0xCFD, 0x30, 1); // 59h: F0000h
        Assert.Equal([new PamRegion(0xF0000, 0x10000, true, true)], _pam);
        _pam.Clear();
        Select(0, 0, 0x5C);
        _ports.Write(0xCFC, 0x12, 1); // 5Ch: D0000h write only, D4000h read only
        Assert.Equal([new PamRegion(0xD0000, 0x4000, false, true), new PamRegion(0xD4000, 0x4000, true, false)], _pam);
        _pam.Clear();
        Select(0, 0, 0x5C);
        _ports.Write(0xCFF, 0xFF, 1); // 5Fh: E8000h and EC000h, reserved bits ignored
        Assert.Equal([new PamRegion(0xE8000, 0x4000, true, true), new PamRegion(0xEC000, 0x4000, true, true)], _pam);
    }

    [Fact]
    public void Reset_closes_every_PAM_region()
    {
        _pci.Reset();
        Assert.Equal(13, _pam.Count);
        Assert.All(_pam, region => Assert.False(region.ReadRam || region.WriteRam));
        Assert.Equal(0x40000u, (uint)_pam.Sum(region => region.Length));
    }

    [Fact]
    public void SMRAM_opens_and_is_locked_until_reset()
    {
        _smram.Clear();
        Write8(0, 0, 0x72, 0x4A);
        Assert.Equal([true], _smram);
        Write8(0, 0, 0x72, 0x1A);
        Assert.Equal([true, false], _smram);
        Write8(0, 0, 0x72, 0x4A);
        Assert.Equal([true, false], _smram);
        _pci.Reset();
        Write8(0, 0, 0x72, 0x4A);
        Assert.True(_smram[^1]);
    }

    [Fact]
    public void CF9h_resets_hard_or_soft_on_a_rising_bit()
    {
        _ports.Write(0xCF9, 0x02, 1);
        Assert.Empty(_requests);
        _ports.Write(0xCF9, 0x06, 1);
        _ports.Write(0xCF9, 0x00, 1);
        _ports.Write(0xCF9, 0x04, 1);
        Assert.Equal(["Hard port CF9h", "Processor port CF9h"], _requests);
    }

    [Fact]
    public void BARs_are_sized_placed_and_moved()
    {
        Write32(3, 0, 0x10, uint.MaxValue);
        Assert.Equal(0xFFFFFFE1u, Read(3, 0, 0x10));
        Write32(3, 0, 0x14, uint.MaxValue);
        Assert.Equal(0xFFFF0000u, Read(3, 0, 0x14));
        Write32(3, 0, 0x10, 0xC000);
        Write32(3, 0, 0x14, 0xE0000000);
        Assert.Equal(0xFFFFu, _ports.Read(0xC004, 2));
        Write32(3, 0, 0x04, 0x0003);
        Assert.Equal(0x4u, _ports.Read(0xC004, 1));
        Assert.Equal(0x1234u, (uint)_mmio.Read(0xE0001234, 2));
        Write32(3, 0, 0x10, 0xD000);
        Assert.Equal(0xFFu, _ports.Read(0xC004, 1));
        Assert.Equal(0x1Fu, _ports.Read(0xD01F, 1));
        _pci.Reset();
        Assert.Equal(0xFFu, _ports.Read(0xD01F, 1));
        Assert.Equal(0xFFFFul, _mmio.Read(0xE0001234, 2));
    }

    [Theory]
    [InlineData(0x00000000u)]
    [InlineData(0x00100000u)]
    [InlineData(0xFEC00000u)]
    [InlineData(0xFFFF0000u)]
    public void Memory_BAR_over_RAM_APICs_or_ROM_is_not_decoded(uint address)
    {
        Write32(3, 0, 0x04, 0x0003);
        Write32(3, 0, 0x14, address);
        Assert.Equal(0xFFFFul, _mmio.Read(address + 0x1234, 2));
    }

    [Fact]
    public void Expansion_ROM_needs_its_own_enable_bit()
    {
        Write32(3, 0, 0x04, 0x0002);
        Write32(3, 0, 0x30, 0xFFFFFFFE);
        Assert.Equal(0xFFFF8000u, Read(3, 0, 0x30));
        Write32(3, 0, 0x30, 0xE1000000);
        Assert.Equal(0xFFFFul, _mmio.Read(0xE1000000, 2));
        Write32(3, 0, 0x30, 0xE1000001);
        Assert.Equal(0xAA55ul, _mmio.Read(0xE1000000, 2));
    }

    [Fact]
    public void Interrupt_pins_swizzle_to_PIRQs_and_follow_the_route()
    {
        var card = _pci.At(3, 0)!;
        card.Interrupt.Raise();
        Assert.DoesNotContain(true, _irq);
        Write8(1, 0, 0x62, 11); // slot 3 INTA# is PIRQC
        Assert.True(_irq[11]);
        Write8(1, 0, 0x62, 10);
        Assert.True(_irq[10]);
        Assert.False(_irq[11]);
        Write8(1, 0, 0x62, 0x80);
        Assert.False(_irq[10]);
        Write8(1, 0, 0x62, 8); // IRQ 8 is reserved
        Assert.DoesNotContain(true, _irq);
    }

    [Fact]
    public void Bus_master_walks_the_descriptor_table_into_memory()
    {
        EnableBusMaster();
        Descriptor(0x1000, 0x8000, 512, last: false);
        Descriptor(0x1008, 0x9000, 256, last: true);
        bool started = false;
        _ide.Primary.StartSet = () => started = true;
        _ports.Write(0xC004, 0x1000, 4);
        _ports.Write(0xC002, 0x06, 1);
        _ports.Write(0xC000, 0x08, 1);
        Assert.False(started);
        _ports.Write(0xC000, 0x09, 1);
        Assert.True(started);
        Assert.Equal(0x01u, _ports.Read(0xC002, 1));
        byte[] data = [.. Enumerable.Range(0, 1024).Select(i => (byte)(i / 4))];
        Assert.Equal(768, _ide.Primary.WriteToMemory(data));
        Assert.Equal(data[..512], _memory.Bytes[0x8000..0x8200]);
        Assert.Equal(data[512..768], _memory.Bytes[0x9000..0x9100]);
        Assert.False(_ide.Primary.Started);
        var irq = new InterruptLine(static _ => { });
        _ide.Primary.Intercept(irq).Raise();
        Assert.True(irq.Level);
        Assert.Equal(0x04u, _ports.Read(0xC002, 1));
        _ports.Write(0xC002, 0x04, 1);
        Assert.Equal(0x00u, _ports.Read(0xC002, 1));
    }

    [Fact]
    public void Bus_master_of_the_wrong_direction_or_stopped_moves_nothing()
    {
        EnableBusMaster();
        Descriptor(0x1000, 0x8000, 512, last: true);
        _ports.Write(0xC00C, 0x1000, 4);
        Assert.Equal(0, _ide.Secondary.ReadFromMemory(new byte[16]));
        _ports.Write(0xC008, 0x09, 1);
        Assert.Equal(0, _ide.Secondary.ReadFromMemory(new byte[16]));
        _ports.Write(0xC008, 0x00, 1);
        _ports.Write(0xC008, 0x01, 1);
        Assert.Equal(16, _ide.Secondary.ReadFromMemory(new byte[16]));
        Assert.Equal(0x01u, _ports.Read(0xC00A, 1)); // more is left in the table
    }

    [Fact]
    public void Descriptor_table_outside_RAM_sets_the_error_bit()
    {
        EnableBusMaster();
        _ports.Write(0xC004, 0xFFFFFFF8, 4);
        _ports.Write(0xC000, 0x09, 1);
        Assert.Equal(0, _ide.Primary.WriteToMemory(new byte[16]));
        Assert.Equal(0x02u, _ports.Read(0xC002, 1));
    }

    [Fact]
    public void PM_timer_runs_at_3_58_MHz_and_wraps_with_an_interrupt()
    {
        PlacePm();
        _clock.AdvanceTo(1_000_000_000);
        Assert.Equal(3_579_545u, _ports.Read(0xB008, 4));
        _ports.Write(0xB004, 1, 2);
        _ports.Write(0xB002, 1, 2);
        Assert.False(_irq[9]);
        _clock.AdvanceTo(2_400_000_000);
        Assert.True(_irq[9]);
        Assert.Equal(1u, _ports.Read(0xB000, 2));
        _ports.Write(0xB000, 1, 2);
        Assert.False(_irq[9]);
        _clock.AdvanceTo(4_700_000_000);
        Assert.True(_irq[9]);
        Assert.Equal((uint)(4_700_000_000L * 315 / 88_000 - 16_777_216), _ports.Read(0xB008, 4));
    }

    [Fact]
    public void S5_powers_off_and_the_SMI_command_port_switches_ACPI_mode()
    {
        PlacePm();
        _ports.Write(0xB2, 0xF1, 1);
        Assert.Equal(1u, _ports.Read(0xB004, 2));
        _ports.Write(0xB2, 0xF0, 1);
        Assert.Equal(0u, _ports.Read(0xB004, 2));
        _ports.Write(0xB004, 0x2000 | 5 << 10, 2);
        Assert.Empty(_requests);
        _ports.Write(0xB004, 0x2000, 2);
        Assert.Equal(["ACPI S5"], _requests);
        Assert.NotEqual(0u, Read(1, 3, 0x58) & 1u << 25); // no SMM: the BIOS must not wait for its handler
    }

    private void PlacePm()
    {
        Write32(1, 3, 0x40, 0xB001);
        Write8(1, 3, 0x80, 1);
    }

    private void EnableBusMaster()
    {
        Write32(1, 1, 0x20, 0xC000);
        Write32(1, 1, 0x04, 0x0005);
    }

    private void Descriptor(int at, uint address, ushort count, bool last)
    {
        BitConverter.TryWriteBytes(_memory.Bytes.AsSpan(at), address);
        BitConverter.TryWriteBytes(_memory.Bytes.AsSpan(at + 4), count | (last ? 0x80000000u : 0));
    }

    private void Select(int slot, int function, int register) =>
        _ports.Write(0xCF8, 0x80000000 | (uint)slot << 11 | (uint)function << 8 | (uint)register, 4);

    private uint Read(int slot, int function, int register)
    {
        Select(slot, function, register);
        return _ports.Read(0xCFC, 4);
    }

    private void Write32(int slot, int function, int register, uint value)
    {
        Select(slot, function, register);
        _ports.Write(0xCFC, value, 4);
    }

    private void Write8(int slot, int function, int register, byte value)
    {
        Select(slot, function, register & ~3);
        _ports.Write((ushort)(0xCFC + (register & 3)), value, 1);
    }

    private sealed class TestCard : PciDevice
    {
        public TestCard()
            : base("test card", 0x1234, 0x5678, 0x020000, 1)
        {
            AddBar(0, PciBarKind.Io, 32, width: 1);
            AddBar(1, PciBarKind.Memory, 0x10000);
            Rom = new byte[] { 0x55, 0xAA, 0x40 };
            UseInterruptPin(1);
        }

        protected internal override ulong ReadBar(int bar, ulong offset, int size) => offset;
    }
}
