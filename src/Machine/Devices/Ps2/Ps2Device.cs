namespace Farm.Machine.Devices.Ps2;

/// <summary>
/// The end of a PS/2 cable: commands in, bytes out. <see cref="BytesReady"/> tells the controller that
/// <see cref="TryDequeue"/> will answer.
/// </summary>
public abstract class Ps2Device
{
    protected const byte Acknowledge = 0xFA;
    protected const byte Resend = 0xFE;
    protected const byte SelfTestPassed = 0xAA;

    /// <summary>Room for the longest answer and a few packets; more is dropped, as in the device.</summary>
    private const int Capacity = 32;

    private readonly Queue<byte> _output = new();

    internal Action? BytesReady { get; set; }

    /// <summary>No byte waits to be taken by the controller.</summary>
    public bool Drained => _output.Count == 0;

    /// <summary>The byte sent last, for the Resend command.</summary>
    protected byte LastSent { get; private set; }

    public abstract void Reset();

    /// <summary>A byte from the host: a command or its parameter.</summary>
    internal abstract void Receive(byte value);

    /// <summary>Called after the controller has handed over the last byte that waited.</summary>
    internal virtual void OutputDrained()
    {
    }

    internal bool TryDequeue(out byte value)
    {
        if (!_output.TryDequeue(out value))
            return false;
        if (value != Resend)
            LastSent = value;
        return true;
    }

    protected void ClearOutput() => _output.Clear();

    protected void Send(params ReadOnlySpan<byte> bytes)
    {
        if (_output.Count + bytes.Length > Capacity)
            return;
        foreach (byte value in bytes)
            _output.Enqueue(value);
        BytesReady?.Invoke();
    }
}
