namespace Farm.Machine.Bus;

/// <summary>
/// The sixteen ISA interrupt wires. Several sources may hang on one wire (wired-OR); a wire goes to every listed sink: the inputs
/// of the 8259 pair and of the IOAPIC.
/// </summary>
public sealed class IrqHub
{
    public const int Wires = 16;

    private readonly int[] _asserted = new int[Wires];
    private readonly Action<int, bool>[] _sinks;

    /// <param name="sinks">Called with IRQ number and level at every change.</param>
    public IrqHub(params Action<int, bool>[] sinks) => _sinks = sinks;

    /// <summary>A new source on wire <paramref name="irq"/>.</summary>
    public InterruptLine Connect(int irq)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)irq, (uint)Wires, nameof(irq));
        return new InterruptLine(level => Change(irq, level));
    }

    public bool LevelOf(int irq) => _asserted[irq] > 0;

    private void Change(int irq, bool level)
    {
        _asserted[irq] += level ? 1 : -1;
        if (_asserted[irq] == (level ? 1 : 0))
        {
            foreach (var sink in _sinks)
                sink(irq, level);
        }
    }
}
