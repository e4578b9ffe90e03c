namespace Farm.Machine.Bus;

/// <summary>
/// An output pin. The device sets its level; what it is wired to (an input of the 8259, of the IOAPIC, a PCI INTx#) is the
/// MachineBuilder's knowledge. Setting the present level again does nothing.
/// </summary>
public sealed class InterruptLine(Action<bool> onChange)
{
    public static InterruptLine Unconnected { get; } = new(static _ => { });

    public bool Level { get; private set; }

    public void Set(bool level)
    {
        if (level == Level)
            return;
        Level = level;
        onChange(level);
    }

    public void Raise() => Set(true);

    public void Lower() => Set(false);

    /// <summary>A rising edge for edge-triggered inputs; the line ends low.</summary>
    public void Pulse()
    {
        Set(false);
        Set(true);
        Set(false);
    }
}
