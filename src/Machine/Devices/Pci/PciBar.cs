using System.Numerics;
using Farm.Machine.Bus;

namespace Farm.Machine.Devices.Pci;

/// <summary>
/// One base address register. Where the guest has enabled and placed it, accesses reach the device as offsets through
/// <see cref="PciDevice.ReadBar"/> and <see cref="PciDevice.WriteBar"/>; a device that maps memory itself listens to <see cref="Moved"/>.
/// </summary>
public sealed class PciBar : IPortDevice, IMmioDevice
{
    private readonly PciDevice _device;
    private readonly int _width;
    private PciBus? _bus;
    private PortMapping? _ports;
    private MmioMapping? _memory;

    internal PciBar(PciDevice device, int index, PciBarKind kind, uint size, int width)
    {
        if (!BitOperations.IsPow2(size) || size < (kind == PciBarKind.Io ? 4u : kind == PciBarKind.ExpansionRom ? 2048u : 16u))
            throw new ArgumentException($"{device.Name}: {size} is not a size for BAR {index} ({kind}).", nameof(size));
        _device = device;
        _width = width;
        Index = index;
        Kind = kind;
        Size = size;
    }

    /// <summary>0 to 5, 6 for the expansion ROM.</summary>
    public int Index { get; }

    public PciBarKind Kind { get; }

    public uint Size { get; }

    /// <summary>First port or address; null while not decoded.</summary>
    public ulong? Base { get; private set; }

    /// <summary>The device maps RAM or ROM pages there itself; the MMIO bus gets no range.</summary>
    public bool MappedByDevice { get; init; }

    /// <summary>Called with the new <see cref="Base"/> at every change.</summary>
    public Action<ulong?>? Moved { get; set; }

    public string Name => Kind == PciBarKind.ExpansionRom ? $"{_device.Name} ROM" : $"{_device.Name} BAR {Index}";

    IReadOnlyList<PortRange> IPortDevice.Ports => [];

    internal int ConfigOffset => Index == 6 ? PciHeader.ExpansionRom : PciHeader.BaseAddress0 + 4 * Index;

    /// <summary>Bits of the register that the guest can set.</summary>
    internal uint WritableMask => ~(Size - 1) | (Kind == PciBarKind.ExpansionRom ? 1u : 0);

    /// <summary>The type bits, which read the same whatever is written.</summary>
    internal uint TypeBits => Kind switch
    {
        PciBarKind.Io => 0x1,
        PciBarKind.PrefetchableMemory => 0x8,
        _ => 0x0,
    };

    void IDevice.Reset()
    {
    }

    uint IPortDevice.ReadPort(ushort port, int size) => (uint)_device.ReadBar(Index, port - Base.GetValueOrDefault(), size);

    void IPortDevice.WritePort(ushort port, uint value, int size) => _device.WriteBar(Index, port - Base.GetValueOrDefault(), value, size);

    ulong IMmioDevice.ReadMmio(ulong address, int size)
    {
        ulong offset = address - Base.GetValueOrDefault();
        return Kind == PciBarKind.ExpansionRom ? _device.ReadRom(offset, size) : _device.ReadBar(Index, offset, size);
    }

    void IMmioDevice.WriteMmio(ulong address, ulong value, int size)
    {
        if (Kind != PciBarKind.ExpansionRom)
            _device.WriteBar(Index, address - Base.GetValueOrDefault(), value, size);
    }

    internal void Attach(PciBus bus)
    {
        _bus = bus;
        if (Kind == PciBarKind.Io)
            _ports = bus.Ports.MapMovable(Name, this, (int)Size, _width);
        else if (!MappedByDevice)
            _memory = bus.Memory.MapMovable(Name, this, Size);
    }

    /// <summary>Moves the decoded range after the command register or this register was written.</summary>
    internal void Place(uint register, PciCommand command)
    {
        ulong? target = Decode(register, command);
        if (target == Base || _bus is null)
            return;
        if (_ports is not null)
            _bus.Ports.Move(_ports, null);
        if (_memory is not null)
            _bus.Memory.Move(_memory, null);
        Base = target;
        if (_ports is not null)
            _bus.Ports.Move(_ports, (ushort?)target);
        if (_memory is not null)
            _bus.Memory.Move(_memory, target);
        Moved?.Invoke(target);
    }

    private ulong? Decode(uint register, PciCommand command)
    {
        ulong start = register & ~(ulong)(Size - 1) & uint.MaxValue;
        if (Kind == PciBarKind.Io)
            return (command & PciCommand.IoSpace) != 0 && start != 0 && start + Size <= 0x10000 ? start : null;
        if ((command & PciCommand.MemorySpace) == 0 || Kind == PciBarKind.ExpansionRom && (register & 1) == 0)
            return null;
        // DRAM and the APIC and ROM area at the top are claimed before PCI; this also keeps the sizing pattern out.
        return _bus is not null && start >= _bus.MemoryWindowStart && start + Size <= PciBus.MemoryWindowEnd ? start : null;
    }
}
