using Farm.Machine.Bus;

namespace Farm.Machine.Devices.Pci;

/// <summary>
/// The PCI-to-ISA bridge of the 82371SB (PIIX3, data sheet 290550), 8086:7000, slot 1 function 0: routes PIRQA#-PIRQD# to the
/// ISA interrupt wires by registers 60h-63h.
/// </summary>
public sealed class Piix3 : PciDevice
{
    private const int PirqRoute = 0x60;
    private const int Pirqs = 4;
    private const byte RoutingDisabled = 0x80;

    /// <summary>ISA interrupts that a PIRQ may be routed to: 3-7, 9-12, 14, 15.</summary>
    private const ushort Routable = 0xDEF8;

    private readonly InterruptLine?[,] _wires = new InterruptLine?[Pirqs, IrqHub.Wires];
    private readonly int[] _asserted = new int[Pirqs];
    private readonly int[] _route = [-1, -1, -1, -1];
    private readonly IrqHub _irqs;

    public Piix3(IrqHub irqs)
        : base("PIIX3", 0x8086, 0x7000, 0x060100, 0x00)
    {
        _irqs = irqs;
        MultiFunction = true;
        Initial16(PciHeader.Command, 0x0007);
        Initial16(PciHeader.Status, 0x0200);
        Writable(PciHeader.Command, 0x08, 0x01);
        Writable(PciHeader.InterruptLine, 0x00);
        Initial8(0x4C, 0x4D);
        Initial8(0x4E, 0x03);
        Initial8(0x69, 0x02);
        Initial8(0x70, 0x80);
        Initial8(0x76, 0x0C);
        Initial8(0x77, 0x0C);
        Initial8(0x78, 0x02);
        Initial8(0xA0, 0x08);
        Initial8(0xA8, 0x0F);
        Writable(0x4C, 0xFF, 0x00, 0xFF, 0x07);
        for (int i = 0; i < Pirqs; i++)
        {
            Initial8(PirqRoute + i, RoutingDisabled);
            Writable(PirqRoute + i, 0x8F);
        }
        Writable(0x69, 0xFE, 0xFF);
        Writable(0x70, 0xEF, 0xEF);
        Writable(0x76, 0x8F, 0x8F);
        Writable(0x78, 0xFF, 0xFF);
        Writable(0x82, 0x0F);
        Writable(0xA0, 0x1F, 0x00, 0xFF, 0xFF);
        Writable(0xA4, 0xFF, 0xFF, 0xFF, 0xFF);
        Writable(0xA8, 0xFF);
        Writable(0xAC, 0xFF, 0x00, 0xFF);
    }

    /// <summary>A new line from interrupt pin <paramref name="pin"/> (1 = INTA#) of a slot; give it to <see cref="PciBus.RouteInterrupts"/>.</summary>
    public InterruptLine ConnectPin(int slot, int pin)
    {
        int pirq = (pin - 1 + slot - 1) & (Pirqs - 1);
        return new InterruptLine(level => Change(pirq, level));
    }

    public override void Reset()
    {
        base.Reset();
        for (int i = 0; i < Pirqs; i++)
            Apply(i);
    }

    protected override void ConfigWritten(int offset, int size)
    {
        for (int i = 0; i < Pirqs; i++)
        {
            if (offset <= PirqRoute + i && PirqRoute + i < offset + size)
                Apply(i);
        }
    }

    private void Change(int pirq, bool level)
    {
        _asserted[pirq] += level ? 1 : -1;
        Drive(pirq);
    }

    private void Apply(int pirq)
    {
        byte register = Config8(PirqRoute + pirq);
        int irq = register & 0x0F;
        int route = (register & RoutingDisabled) == 0 && (Routable >> irq & 1) != 0 ? irq : -1;
        if (route == _route[pirq])
            return;
        if (_route[pirq] >= 0)
            _wires[pirq, _route[pirq]]?.Lower();
        _route[pirq] = route;
        Drive(pirq);
    }

    private void Drive(int pirq)
    {
        int route = _route[pirq];
        if (route >= 0)
            (_wires[pirq, route] ??= _irqs.Connect(route)).Set(_asserted[pirq] > 0);
    }
}
