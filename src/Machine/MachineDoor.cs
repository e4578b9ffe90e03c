using Farm.Assist.Cpu;
using Farm.Machine.Bus;
using Farm.Machine.Devices.Apic;
using Farm.Machine.Devices.Chipset;
using Farm.Machine.Memory;

namespace Farm.Machine;

/// <summary>A processor's way to the buses, to its local APIC and to the interrupt controllers.</summary>
internal sealed class MachineDoor(PortBus ports, MmioBus mmio, PcMemory memory, InterruptControllers interrupts, int processor) : ICpuDoor
{
    /// <summary>Null: the model has none, or the backend brings its own.</summary>
    private readonly LocalApic? _apic = processor < interrupts.LocalApics.Count ? interrupts.LocalApics[processor] : null;

    private const int NoPort = -1;
    private int _privatePort = NoPort;
    private Func<uint, bool>? _call;

    /// <summary>The vector that the processor is to take for the guest's vector of an IRQ.</summary>
    public Func<byte, byte>? Translate { get; set; }

    /// <summary>Called for each access to a port of the ISA bus, before its device.</summary>
    public Action? BusCycle { get; set; }

    /// <summary>Called when the program asks for a key.</summary>
    public Action? Waiting { get; set; }

    /// <summary>Where FERR# goes and IGNNE# comes from.</summary>
    public NumericErrorLatch? NumericError { get; set; }

    public bool IgnoreNumericError => NumericError is { IgnoreNumericError: true };

    /// <summary>External interrupts taken.</summary>
    public ulong InterruptsTaken { get; private set; }

    public ulong PortReads { get; private set; }

    public ulong PortWrites { get; private set; }

    public ulong MmioReads { get; private set; }

    public ulong MmioWrites { get; private set; }

    /// <summary>Writes to the monitor's private port do not reach the bus where <paramref name="call"/> takes them.</summary>
    public void Divert(ushort port, Func<uint, bool> call) => (_privatePort, _call) = (port, call);

    public uint ReadPort(ushort port, int size)
    {
        PortReads++;
        if (IsIsa(port))
            BusCycle?.Invoke();
        return ports.Read(port, size);
    }

    /// <summary>The board's own devices, parallel and serial ports, floppy; not IDE and VGA, which are PCI devices.</summary>
    private static bool IsIsa(ushort port) => port is < 0x100 or (>= 0x278 and < 0x3B0 and not 0x376) or (>= 0x3F0 and < 0x400 and not 0x3F6);

    public void WritePort(ushort port, uint value, int size)
    {
        if (port == _privatePort && _call!(value))
            return;
        PortWrites++;
        if (IsIsa(port))
            BusCycle?.Invoke();
        ports.Write(port, value, size);
    }

    public ulong ReadMmio(ulong address, int size)
    {
        MmioReads++;
        if (IsLocalApic(address))
            return _apic!.ReadMmio(address, size);
        return address is >= PcMemory.ShadowStart and < PcMemory.ShadowEnd ? memory.ReadShadow(address, size) : mmio.Read(address, size);
    }

    public void WriteMmio(ulong address, ulong value, int size)
    {
        MmioWrites++;
        if (IsLocalApic(address))
            _apic!.WriteMmio(address, value, size);
        else if (address is >= PcMemory.ShadowStart and < PcMemory.ShadowEnd)
            memory.WriteShadow(address, value, size);
        else
            mmio.Write(address, value, size);
    }

    /// <summary>Called as the processor enters and leaves system management mode.</summary>
    public Action<bool>? SystemManagement { get; set; }

    public void SetSystemManagement(bool active) => SystemManagement?.Invoke(active);

    public void ProgramWaits() => Waiting?.Invoke();

    public void SetNumericError(bool level) => NumericError?.SetFerr(level);

    public byte AcknowledgeInterrupt()
    {
        InterruptsTaken++;
        byte vector = _apic?.Acknowledge() ?? interrupts.AcknowledgePic();
        return Translate is { } translate ? translate(vector) : vector;
    }

    public void SetApicBase(ulong value)
    {
        if (_apic is { } apic)
            apic.BaseMsr = value;
    }

    public byte TaskPriority
    {
        get => _apic?.TaskPriority ?? 0;
        set
        {
            if (_apic is { } apic)
                apic.TaskPriority = value;
        }
    }

    private bool IsLocalApic(ulong address) => _apic is { Enabled: true } apic && address - apic.Base < LocalApic.Length;
}
