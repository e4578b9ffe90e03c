namespace Farm.Machine.Bus;

/// <summary>A pin with a switch behind it: while that is open, the wire stays low whatever the pin does.</summary>
public sealed class SwitchedLine
{
    private readonly InterruptLine _wire;
    private bool _connected = true;

    public SwitchedLine(InterruptLine wire)
    {
        _wire = wire;
        Pin = new InterruptLine(level => _wire.Set(level && _connected));
    }

    /// <summary>What the device drives.</summary>
    public InterruptLine Pin { get; }

    public bool Connected
    {
        get => _connected;
        set
        {
            _connected = value;
            _wire.Set(Pin.Level && value);
        }
    }
}
