using Farm.Machine.Bus;
using Farm.Machine.Devices.Acpi;
using Farm.Machine.Devices.Apic;
using Farm.Machine.Devices.Chipset;
using Farm.Machine.Devices.Cmos;
using Farm.Machine.Devices.Dma;
using Farm.Machine.Devices.FirmwareConfig;
using Farm.Machine.Devices.Hpet;
using Farm.Machine.Devices.Ide;
using Farm.Machine.Devices.Lpt;
using Farm.Machine.Devices.Nics.Ne2000;
using Farm.Machine.Devices.Nics.Rtl8139;
using Farm.Machine.Devices.Pci;
using Farm.Machine.Devices.Pic;
using Farm.Machine.Devices.Pit;
using Farm.Machine.Devices.Ps2;
using Farm.Machine.Devices.Uart;
using Farm.Machine.Devices.Virtio.Net;
using Farm.Machine.Network;
using Farm.Machine.Tests.Hostile;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Devices;

/// <summary>
/// Random port and MMIO accesses, DMA programs and descriptor tables at every platform device, those too that no machine wires yet.
/// </summary>
public class HostileGuestTests
{
    private const int RamSize = 1 << 20;
    private const ulong LowMemory = 64ul << 20;
    private const int FirstCard = 3;
    private const int Cards = 3;

    private readonly VirtualClock _clock = new();
    private readonly FakeMemory _memory = new(RamSize);
    private readonly EventLog _events = new();
    private readonly List<IDevice> _devices = [];
    private PortBus _ports = null!;
    private MmioBus _mmio = null!;
    private I8042 _i8042 = null!;
    private Uart16550 _uart = null!;
    private BusMasterIde _ide = null!;
    private I8237 _dma = null!;
    private PciBus _pci = null!;
    private LocalApic _apic = null!;
    private readonly List<EthernetCable> _cables = [];
    private long _outputs;

    [Fact]
    public void Random_accesses_never_throw_nor_grow_without_bound() => FuzzBudget.Run(2, random => new HostileGuestTests().Round(random));

    private void Round(Random random)
    {
        Build();
        ushort[] owned = [.. _ports.Mappings.Where(m => m.First is not null).SelectMany(m => Enumerable.Range(m.First!.Value, m.Count)).Select(p => (ushort)p)];
        int step = 0;
        try
        {
            for (; step < 50_000; step++)
                Step(random, owned);
        }
        catch (Exception error)
        {
            Assert.Fail($"Access {step}: {error}");
        }
        Assert.InRange(_events.Events.Count, 0, EventLog.DefaultCapacity);
        foreach (var device in _devices)
            device.Reset();
    }

    private void Step(Random random, ushort[] owned)
    {
        int size = 1 << random.Next(3);
        switch (random.Next(16))
        {
            case < 5:
                _ports.Write(owned[random.Next(owned.Length)], Value(random), size);
                break;
            case < 8:
                _ports.Read(owned[random.Next(owned.Length)], size);
                break;
            case 8:
                _ports.Write((ushort)random.Next(0x10000), Value(random), size);
                _ports.Read((ushort)random.Next(0x10000), size);
                break;
            case 9:
                _ports.Write(0xCF8, 0x80000000 | (uint)random.Next(8) << 11 | (uint)random.Next(4) << 8 | (uint)random.Next(64) << 2, 4);
                _ports.Write((ushort)(0xCFC + random.Next(4)), Value(random), size);
                break;
            case 10 or 11:
                ulong page = random.Next(6) switch { 0 => LocalApic.DefaultBase, 1 => IoApic.DefaultBase, 2 => HpetTimerBlock.DefaultBase, 3 or 4 => CardMemory(random.Next(Cards)), _ => (ulong)random.NextInt64(1L << 36) };
                ulong address = page + (ulong)random.Next(0x400) + (random.Next(3) == 0 ? 0x1000ul * (ulong)random.Next(4) : 0);
                _mmio.Write(address, Value(random) | (ulong)Value(random) << 32, 1 << random.Next(4));
                _mmio.Read(address, 1 << random.Next(4));
                break;
            case 12:
                random.NextBytes(_memory.Bytes.AsSpan(random.Next(RamSize - 64), 64));
                break;
            case 13:
                Masters(random);
                break;
            case 14:
                _clock.AdvanceTo(_clock.Now + random.Next(1_000_000));
                break;
            default:
                Inputs(random);
                break;
        }
    }

    private void Masters(Random random)
    {
        var buffer = new byte[random.Next(4096)];
        var channel = _dma.Channel(random.Next(8));
        channel.WriteToMemory(buffer, out _);
        channel.ReadFromMemory(buffer, out _);
        _ide.Primary.WriteToMemory(buffer);
        _ide.Secondary.ReadFromMemory(buffer);
    }

    private void Inputs(Random random)
    {
        switch (random.Next(8))
        {
            case 5:
                PlaceCards();
                break;
            case 6 or 7:
                var frame = new byte[random.Next(Ethernet.MaximumFrame + 2)];
                random.NextBytes(frame);
                if (random.Next(2) == 0)
                    frame.AsSpan(0, Math.Min(frame.Length, MacAddress.Length)).Fill(0xFF);
                _cables[random.Next(_cables.Count)].Deliver(frame);
                break;
            case 0:
                _i8042.Mouse.Move(random.Next(-5000, 5000), random.Next(-5000, 5000), random.Next(-99, 99), (MouseButtons)random.Next(8));
                break;
            case 1 when _i8042.Keys.Count < 100:
                _i8042.Keys.Enqueue(KeyMap.Text("fuzz\n"));
                break;
            case 2 when _uart.PendingInput < 100:
                _uart.Send("fuzz"u8);
                break;
            case 3:
                _apic.Acknowledge();
                break;
            default:
                if (random.Next(100) == 0)
                    _devices[random.Next(_devices.Count)].Reset();
                break;
        }
    }

    private static uint Value(Random random) => random.Next(4) switch
    {
        0 => (uint)random.Next(256),
        1 => 0,
        2 => uint.MaxValue,
        _ => (uint)random.NextInt64(1L << 32),
    };

    private void Build()
    {
        _ports = new PortBus(_events);
        _mmio = new MmioBus(_events);
        var system = new SystemControl();
        var apicBus = new ApicBus();
        var pic = new Pic8259Pair(new InterruptLine(apicBus.SetExternalInterrupt));
        _apic = new LocalApic(0, apicBus, _clock, new NoPins(), pic.Acknowledge);
        _ = new LocalApic(1, apicBus, _clock, new NoPins(), pic.Acknowledge);
        var ioApic = new IoApic(apicBus);
        var irqs = new IrqHub(pic.SetInput, ioApic.SetIsaInterrupt);
        var pit = new Pit8254(_clock, irqs.Connect(0));
        _i8042 = new I8042(_clock, irqs.Connect(1), irqs.Connect(12), system);
        _uart = new Uart16550("COM1", Uart16550.Com1, _clock, irqs.Connect(4)) { Output = _ => _outputs++ };
        var lpt = new ParallelPort("LPT1", ParallelPort.Lpt1, irqs.Connect(7)) { Output = _ => _outputs++ };
        var rtc = new Mc146818(_clock, irqs.Connect(8), new CmosSettings { LowMemory = LowMemory });
        _dma = new I8237(_memory);
        var systemPorts = new SystemPorts(pit, system) { DebugConsole = _ => _outputs++ };
        var fwCfg = new FwCfg(_memory);
        fwCfg.SetBootOrder(["/rom@genroms/vgabios.bin"]);
        var hpet = new HpetTimerBlock(_clock, ioApic.SetInput, irqs.Connect(0), irqs.Connect(8));

        _pci = new PciBus(_ports, _mmio, system, LowMemory);
        var piix3 = new Piix3(irqs);
        _pci.RouteInterrupts(piix3.ConnectPin);
        _ide = new BusMasterIde(_memory);
        var pm = new Piix4PowerManagement(_clock, irqs.Connect(9), system, _ports);
        _pci.Add(0, 0, new I440Fx(LowMemory) { PamChanged = region => _outputs += region.Length });
        _pci.Add(1, 0, piix3);
        _pci.Add(1, 1, _ide);
        _pci.Add(1, 3, pm);

        var isaCard = new Ne2000Isa(0x300, _clock, irqs.Connect(10), Cable(), MacAddress.OfCard(0));
        _pci.Add(FirstCard, 0, new Rtl8029(_clock, Cable(), MacAddress.OfCard(1)));
        _pci.Add(FirstCard + 1, 0, new Rtl8139C(_memory, _clock, Cable(), MacAddress.OfCard(2)));
        _pci.Add(FirstCard + 2, 0, new VirtioNet(_memory, Cable(), MacAddress.OfCard(3)));
        PlaceCards();

        foreach (IPortDevice device in new IPortDevice[] { isaCard, pic, pit, _i8042, _uart, lpt, rtc, _dma, systemPorts, fwCfg, _pci, pm })
        {
            _ports.Map(device);
            _devices.Add(device);
        }
        _devices.AddRange([.. apicBus.Apics, ioApic, hpet]);
        _mmio.Map(_apic.Name, _apic, LocalApic.DefaultBase, LocalApic.Length);
        _mmio.Map(ioApic.Name, ioApic, IoApic.DefaultBase, IoApic.Length);
        _mmio.Map(hpet.Name, hpet, HpetTimerBlock.DefaultBase, HpetTimerBlock.Length);
        Assert.Empty(_ports.Conflicts);
        Assert.Empty(_mmio.Conflicts);
    }

    private EthernetCable Cable()
    {
        var cable = new EthernetCable(_clock);
        _cables.Add(cable);
        return cable;
    }

    /// <summary>Gives the cards of the PCI slots their ports and memory, decoders and bus mastering on.</summary>
    private void PlaceCards()
    {
        for (int card = 0; card < Cards; card++)
        {
            var function = _pci.At(FirstCard + card, 0)!;
            function.WriteConfig(0x10, 0xC000u + ((uint)card << 8), 4);
            for (int bar = 1; bar < 6; bar++)
                function.WriteConfig(0x10 + 4 * bar, (uint)CardMemory(card), 4);
            function.WriteConfig(0x04, 0x0007, 2);
        }
    }

    private static ulong CardMemory(int card) => 0xE000_0000 + ((ulong)card << 20);

    private sealed class NoPins : ILocalApicPins
    {
        public void SetInterrupt(bool level)
        {
        }

        public void Nmi()
        {
        }

        public void Smi()
        {
        }

        public void Init()
        {
        }

        public void Startup(byte vector)
        {
        }
    }
}
