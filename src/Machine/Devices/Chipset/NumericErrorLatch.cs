using Farm.Machine.Bus;

namespace Farm.Machine.Devices.Chipset;

/// <summary>
/// What an AT puts between the processor's FERR# and IRQ 13 (82371SB data sheet, "coprocessor error"): FERR# sets the interrupt; a
/// write to port F0h takes it back and asserts IGNNE#, so that the handler may use the FPU, until FERR# goes.
/// </summary>
public sealed class NumericErrorLatch(InterruptLine irq) : IPortDevice
{
    private bool _ferr;

    public string Name => "coprocessor error";

    public IReadOnlyList<PortRange> Ports { get; } = [new(0xF0, 1)];

    /// <summary>Level of IGNNE#.</summary>
    public bool IgnoreNumericError { get; private set; }

    public void Reset()
    {
        _ferr = false;
        IgnoreNumericError = false;
        irq.Lower();
    }

    /// <summary>Level of the processor's FERR#.</summary>
    public void SetFerr(bool level)
    {
        if (level == _ferr)
            return;
        _ferr = level;
        if (level)
            irq.Raise();
        else
            IgnoreNumericError = false;
    }

    public uint ReadPort(ushort port, int size) => 0xFF;

    public void WritePort(ushort port, uint value, int size)
    {
        irq.Lower();
        IgnoreNumericError = _ferr;
    }
}
