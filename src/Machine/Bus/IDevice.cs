namespace Farm.Machine.Bus;

/// <summary>A device of the PC. It knows no wall clock, no thread and no IRQ number.</summary>
public interface IDevice
{
    /// <summary>Data-sheet name, as in traces and the conflict report.</summary>
    string Name { get; }

    /// <summary>Puts every register into its power-on state.</summary>
    void Reset();
}

/// <summary>A device with registers in I/O port space.</summary>
public interface IPortDevice : IDevice
{
    /// <summary>The ranges decoded by the device; they may not overlap another device's.</summary>
    IReadOnlyList<PortRange> Ports { get; }

    /// <summary>Reads <paramref name="size"/> bytes (1, 2 or 4). The bus splits accesses wider than the range's width.</summary>
    uint ReadPort(ushort port, int size);

    void WritePort(ushort port, uint value, int size);
}

/// <summary>A device with registers or a buffer in physical memory space (in a hole of guest RAM).</summary>
public interface IMmioDevice : IDevice
{
    /// <summary>Reads <paramref name="size"/> bytes (1, 2, 4 or 8), little endian; never crosses a page.</summary>
    ulong ReadMmio(ulong address, int size);

    void WriteMmio(ulong address, ulong value, int size);
}

/// <param name="First">First port.</param>
/// <param name="Count">Number of ports.</param>
/// <param name="Width">Widest access in bytes that the device takes at once; wider ones are split by the bus, low part first.</param>
public readonly record struct PortRange(ushort First, int Count, int Width = 1);
