namespace Farm.Machine.Devices.Pci;

/// <summary>Offsets of the type 0 configuration header (PCI Local Bus Specification 2.1, 6.1).</summary>
internal static class PciHeader
{
    public const int VendorId = 0x00;
    public const int DeviceId = 0x02;
    public const int Command = 0x04;
    public const int Status = 0x06;
    public const int RevisionId = 0x08;
    public const int ClassCode = 0x09;
    public const int CacheLineSize = 0x0C;
    public const int LatencyTimer = 0x0D;
    public const int HeaderType = 0x0E;
    public const int BaseAddress0 = 0x10;
    public const int SubsystemVendorId = 0x2C;
    public const int ExpansionRom = 0x30;
    public const int InterruptLine = 0x3C;
    public const int InterruptPin = 0x3D;
}

[Flags]
public enum PciCommand : ushort
{
    None = 0,
    IoSpace = 0x0001,
    MemorySpace = 0x0002,
    BusMaster = 0x0004,
    SpecialCycles = 0x0008,
    ParityErrorResponse = 0x0040,
    Serr = 0x0100,
}

/// <summary>What a base address register decodes.</summary>
public enum PciBarKind
{
    Io,
    Memory,
    PrefetchableMemory,
    ExpansionRom,
}
