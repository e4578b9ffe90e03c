using Farm.Machine.Bus;

namespace Farm.Machine.Devices.Pic;

/// <summary>
/// The two 8259A of a PC/AT, the second on input 2 of the first, with the edge/level control registers 4D0h/4D1h of the PIIX3
/// (data sheet 290550, 2.5.12).
/// </summary>
public sealed class Pic8259Pair : IPortDevice
{
    private const int CascadeInput = 2;
    private readonly Pic8259 _master;
    private readonly Pic8259 _slave;

    /// <param name="intr">INT of the first chip: INTR of the processor, or LINT0.</param>
    public Pic8259Pair(InterruptLine intr)
    {
        _master = new Pic8259(0xF8, intr.Set) { CascadeInputs = 1 << CascadeInput };
        _slave = new Pic8259(0xDE, level => _master.SetInput(CascadeInput, level));
        Reset();
    }

    public string Name => "8259A";

    public IReadOnlyList<PortRange> Ports { get; } = [new(0x20, 2), new(0xA0, 2), new(0x4D0, 2)];

    /// <summary>ICW2 of the first chip: vector of IRQ 0.</summary>
    public byte MasterVectorBase => _master.VectorBase;

    /// <summary>ICW2 of the second chip: vector of IRQ 8.</summary>
    public byte SlaveVectorBase => _slave.VectorBase;

    /// <summary>Requests of IRQ 0-15.</summary>
    public ushort Requests => (ushort)(_master.Irr | _slave.Irr << 8);

    /// <summary>Interrupts in service, IRQ 0-15.</summary>
    public ushort InService => (ushort)(_master.Isr | _slave.Isr << 8);

    /// <summary>OCW1 of both chips, IRQ 0-15.</summary>
    public ushort Masked => (ushort)(_master.Imr | _slave.Imr << 8);

    /// <summary>Inputs programmed as level-triggered in ELCR.</summary>
    public ushort LevelTriggered => (ushort)(_master.Elcr | _slave.Elcr << 8);

    public void Reset()
    {
        _slave.Reset();
        _master.Reset();
    }

    /// <summary>Level of the pin of IRQ 0-15 (2 is the cascade and ignored).</summary>
    public void SetInput(int irq, bool level)
    {
        if ((uint)irq > 15 || irq == CascadeInput)
            return;
        (irq < 8 ? _master : _slave).SetInput(irq & 7, level);
    }

    /// <summary>INTA: the vector for the processor; IRQ 7's or 15's when the request went away (spurious).</summary>
    public byte Acknowledge()
    {
        int input = _master.Acknowledge();
        if (input != CascadeInput)
            return (byte)(_master.VectorBase + input);
        return (byte)(_slave.VectorBase + _slave.Acknowledge());
    }

    public uint ReadPort(ushort port, int size) => port switch
    {
        0x20 => _master.ReadCommand(),
        0x21 => _master.ReadMask(),
        0xA0 => _slave.ReadCommand(),
        0xA1 => _slave.ReadMask(),
        0x4D0 => _master.ReadElcr(),
        0x4D1 => _slave.ReadElcr(),
        _ => 0xFF,
    };

    public void WritePort(ushort port, uint value, int size)
    {
        switch (port)
        {
            case 0x20: _master.WriteCommand((byte)value); break;
            case 0x21: _master.WriteMask((byte)value); break;
            case 0xA0: _slave.WriteCommand((byte)value); break;
            case 0xA1: _slave.WriteMask((byte)value); break;
            case 0x4D0: _master.WriteElcr((byte)value); break;
            case 0x4D1: _slave.WriteElcr((byte)value); break;
        }
    }

    public override string ToString() => $"master {_master}; slave {_slave}";
}
