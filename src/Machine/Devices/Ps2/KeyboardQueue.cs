using Farm.Machine.Time;

namespace Farm.Machine.Devices.Ps2;

/// <summary>
/// Keys that the host wants pressed, in order. The next one goes out only when the guest has read every byte of the one before
/// from port 60h, scanning is enabled, <see cref="Hold"/> allows it and <see cref="Gap"/> has passed: a slow guest loses nothing.
/// </summary>
public sealed class KeyboardQueue
{
    /// <summary>Guest time between two looks at the guest's readiness, and so the least time between two key events.</summary>
    public const long Gap = 10_000_000;

    private readonly Queue<KeyEvent> _keys = new();
    private readonly IVirtualClock _clock;
    private readonly Ps2Keyboard _keyboard;
    private readonly I8042 _controller;
    private readonly IClockTimer _timer;

    internal KeyboardQueue(IVirtualClock clock, Ps2Keyboard keyboard, I8042 controller)
    {
        _clock = clock;
        _keyboard = keyboard;
        _controller = controller;
        _timer = clock.CreateTimer("keyboard queue", _ => Deliver());
    }

    /// <summary>A further condition, for example that the BIOS keyboard buffer is empty: while it answers true, no key goes out.</summary>
    public Func<bool>? Hold { get; set; }

    /// <summary>Key events not yet sent.</summary>
    public int Count => _keys.Count;

    /// <summary>Every key has been sent and every byte of it read by the guest.</summary>
    public bool Idle => _keys.Count == 0 && _keyboard.Drained && !_controller.KeyboardBytePending;

    public void Enqueue(params IEnumerable<KeyEvent> keys)
    {
        foreach (var key in keys)
            _keys.Enqueue(key);
        if (_keys.Count > 0 && !_timer.Armed)
            _timer.Arm(_clock.Now + Gap);
    }

    public void Clear()
    {
        _keys.Clear();
        _timer.Disarm();
    }

    private void Deliver()
    {
        bool ready = _keyboard.Drained && !_controller.KeyboardBytePending && _keyboard.Scanning && _controller.KeyboardEnabled
            && Hold?.Invoke() != true;
        if (ready && _keys.TryDequeue(out var key))
            _keyboard.Press(key);
        if (_keys.Count > 0)
            _timer.Arm(_clock.Now + Gap);
    }
}
