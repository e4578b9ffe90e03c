using Farm.Assist.Cpu;

namespace Farm.Assist.Monitor;

/// <summary>
/// The door of a processor under an assist: the machine's own, but for the monitor's private port and the vectors of external
/// interrupts. The assist's interpreter uses the machine's door directly.
/// </summary>
public sealed class AssistDoor(ICpuDoor inner, AssistHost assist) : ICpuDoor
{
    /// <summary>Makes the processor stop after the instruction in execution; set when it is bound.</summary>
    public Action? Stop { get; set; }

    public uint ReadPort(ushort port, int size) => inner.ReadPort(port, size);

    public void WritePort(ushort port, uint value, int size)
    {
        if (port == MonitorLayout.Port && size == 1 && assist.TryCall((byte)value))
            Stop?.Invoke();
        else
            inner.WritePort(port, value, size);
    }

    public ulong ReadMmio(ulong address, int size) => inner.ReadMmio(address, size);

    public void WriteMmio(ulong address, ulong value, int size) => inner.WriteMmio(address, value, size);

    public byte AcknowledgeInterrupt() => assist.TranslateVector(inner.AcknowledgeInterrupt());
}
