using Farm.Assist.Cpu;
using Farm.Machine.Bus;
using Farm.Machine.Devices.Chipset;
using Farm.Machine.Devices.Pic;
using Farm.Machine.Memory;

namespace Farm.Machine;

/// <summary>A processor's way to the buses and to the interrupt controller.</summary>
internal sealed class MachineDoor(PortBus ports, MmioBus mmio, PcMemory memory, Pic8259Pair pic) : ICpuDoor
{
    private readonly ulong[] _interrupts = new ulong[16];

    /// <summary>Looked at before the bus: the monitor's private port. True when the call was taken.</summary>
    public Func<ushort, uint, bool>? PrivatePort { get; set; }

    /// <summary>The vector that the processor is to take for the guest's vector of an IRQ.</summary>
    public Func<byte, byte>? Translate { get; set; }

    /// <summary>Where FERR# goes and IGNNE# comes from.</summary>
    public NumericErrorLatch? NumericError { get; set; }

    public bool IgnoreNumericError => NumericError is { IgnoreNumericError: true };

    /// <summary>External interrupts taken, by IRQ.</summary>
    public IReadOnlyList<ulong> Interrupts => _interrupts;

    /// <summary>Their sum.</summary>
    public ulong InterruptsTaken { get; private set; }

    public ulong PortReads { get; private set; }

    public ulong PortWrites { get; private set; }

    public ulong MmioReads { get; private set; }

    public ulong MmioWrites { get; private set; }

    public uint ReadPort(ushort port, int size)
    {
        PortReads++;
        return ports.Read(port, size);
    }

    public void WritePort(ushort port, uint value, int size)
    {
        if (PrivatePort is { } call && call(port, value))
            return;
        PortWrites++;
        ports.Write(port, value, size);
    }

    public ulong ReadMmio(ulong address, int size)
    {
        MmioReads++;
        return address is >= PcMemory.ShadowStart and < PcMemory.ShadowEnd ? memory.ReadShadow(address, size) : mmio.Read(address, size);
    }

    public void WriteMmio(ulong address, ulong value, int size)
    {
        MmioWrites++;
        if (address is >= PcMemory.ShadowStart and < PcMemory.ShadowEnd)
            memory.WriteShadow(address, value, size);
        else
            mmio.Write(address, value, size);
    }

    public void SetNumericError(bool level) => NumericError?.SetFerr(level);

    public byte AcknowledgeInterrupt()
    {
        byte vector = pic.Acknowledge();
        int irq = (vector & 7) + ((vector & 0xF8) == pic.MasterVectorBase ? 0 : 8);
        _interrupts[irq]++;
        InterruptsTaken++;
        return Translate is { } translate ? translate(vector) : vector;
    }
}
