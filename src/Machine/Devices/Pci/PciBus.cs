using Farm.Machine.Bus;
using Farm.Machine.Devices.Chipset;

namespace Farm.Machine.Devices.Pci;

/// <summary>
/// PCI bus 0 behind configuration mechanism 1 (PCI Local Bus Specification 2.1, 3.7.4.1), and the reset control register CF9h
/// of the PIIX3 that lies inside its address register.
/// </summary>
public sealed class PciBus : IPortDevice
{
    /// <summary>End of the memory that base address registers may decode: the IOAPIC begins there.</summary>
    public const ulong MemoryWindowEnd = 0xFEC0_0000;

    private const int Slots = 32;
    private const int Functions = 8;
    private const uint Enable = 0x8000_0000;

    private readonly PciDevice?[] _devices = new PciDevice?[Slots * Functions];
    private readonly SystemControl _system;
    private Func<int, int, InterruptLine>? _interruptRouter;
    private uint _address;
    private ResetControl _resetControl;

    /// <param name="memoryWindowStart">First address above the RAM below 4 GiB.</param>
    public PciBus(PortBus ports, MmioBus memory, SystemControl system, ulong memoryWindowStart)
    {
        Ports = ports;
        Memory = memory;
        _system = system;
        MemoryWindowStart = memoryWindowStart;
    }

    public string Name => "PCI";

    public ulong MemoryWindowStart { get; }

    IReadOnlyList<PortRange> IPortDevice.Ports { get; } = [new(0xCF8, 8, 4)];

    internal PortBus Ports { get; }

    internal MmioBus Memory { get; }

    /// <summary>Where interrupt pins go: slot and pin (1 = INTA#) to a new line. Set before functions with a pin are added.</summary>
    public void RouteInterrupts(Func<int, int, InterruptLine> router) => _interruptRouter = router;

    /// <summary>Puts a function into a slot.</summary>
    public void Add(int slot, int function, PciDevice device)
    {
        int index = slot * Functions + function;
        if (_devices[index] is { } present)
            throw new InvalidOperationException($"PCI {slot:X2}.{function} is taken by {present.Name}; {device.Name} cannot go there.");
        _devices[index] = device;
        if (device.InterruptPin != 0 && _interruptRouter is not null)
            device.Interrupt = _interruptRouter(slot, device.InterruptPin);
        device.Attach(this);
    }

    /// <summary>The function at a place, or null.</summary>
    public PciDevice? At(int slot, int function) => _devices[slot * Functions + function];

    public void Reset()
    {
        _address = 0;
        _resetControl = 0;
        foreach (var device in _devices)
            device?.Reset();
    }

    public uint ReadPort(ushort port, int size)
    {
        if (port >= 0xCFC)
            return Selected() is { } device ? device.ReadConfig(Register(port), size) : uint.MaxValue;
        if (port == 0xCF8 && size == 4)
            return _address;
        return port == 0xCF9 && size == 1 ? (uint)_resetControl : uint.MaxValue;
    }

    public void WritePort(ushort port, uint value, int size)
    {
        if (port >= 0xCFC)
            Selected()?.WriteConfig(Register(port), value, size);
        else if (port == 0xCF8 && size == 4)
            _address = value & 0x80FF_FFFC;
        else if (port == 0xCF9 && size == 1)
            WriteResetControl((ResetControl)value);
    }

    private int Register(ushort port) => (int)(_address & 0xFC) | port & 3;

    private PciDevice? Selected()
    {
        bool onBus0 = (_address & 0x00FF_0000) == 0;
        return (_address & Enable) != 0 && onBus0 ? _devices[_address >> 8 & 0xFF] : null;
    }

    private void WriteResetControl(ResetControl value)
    {
        bool rises = (value & ~_resetControl & ResetControl.ResetCpu) != 0;
        _resetControl = value & (ResetControl.SystemReset | ResetControl.ResetCpu);
        if (!rises)
            return;
        var kind = (value & ResetControl.SystemReset) != 0 ? ResetKind.Hard : ResetKind.Processor;
        _resetControl &= ~ResetControl.ResetCpu;
        _system.RequestReset(kind, "port CF9h");
    }

    [Flags]
    private enum ResetControl : byte
    {
        SystemReset = 0x02,
        ResetCpu = 0x04,
    }
}
