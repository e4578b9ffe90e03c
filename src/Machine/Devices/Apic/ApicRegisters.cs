namespace Farm.Machine.Devices.Apic;

/// <summary>Offsets of the local APIC's registers (Intel SDM vol. 3, table 11-1).</summary>
internal static class ApicRegister
{
    public const int Id = 0x020;
    public const int Version = 0x030;
    public const int TaskPriority = 0x080;
    public const int ArbitrationPriority = 0x090;
    public const int ProcessorPriority = 0x0A0;
    public const int Eoi = 0x0B0;
    public const int LogicalDestination = 0x0D0;
    public const int DestinationFormat = 0x0E0;
    public const int SpuriousVector = 0x0F0;
    public const int InService = 0x100;
    public const int TriggerMode = 0x180;
    public const int Request = 0x200;
    public const int ErrorStatus = 0x280;
    public const int CommandLow = 0x300;
    public const int CommandHigh = 0x310;
    public const int LvtTimer = 0x320;
    public const int LvtThermal = 0x330;
    public const int LvtPerformance = 0x340;
    public const int LvtLint0 = 0x350;
    public const int LvtLint1 = 0x360;
    public const int LvtError = 0x370;
    public const int InitialCount = 0x380;
    public const int CurrentCount = 0x390;
    public const int DivideConfiguration = 0x3E0;
}

/// <summary>Delivery mode of an interrupt message, an LVT entry or a redirection entry.</summary>
public enum DeliveryMode
{
    Fixed = 0,
    LowestPriority = 1,
    Smi = 2,
    Reserved = 3,
    Nmi = 4,
    Init = 5,
    Startup = 6,
    ExtInt = 7,
}

/// <summary>Bits of a local vector table entry.</summary>
[Flags]
internal enum Lvt : uint
{
    VectorMask = 0xFF,
    DeliveryMask = 0x700,
    DeliveryStatus = 0x1000,
    PolarityLow = 0x2000,
    RemoteIrr = 0x4000,
    Level = 0x8000,
    Masked = 0x1_0000,
    Periodic = 0x2_0000,
}

/// <summary>Error status register.</summary>
[Flags]
internal enum ApicErrors : uint
{
    SendAccept = 0x04,
    SendIllegalVector = 0x20,
    ReceiveIllegalVector = 0x40,
    IllegalRegister = 0x80,
}

/// <summary>IA32_APIC_BASE.</summary>
[Flags]
public enum ApicBase : ulong
{
    Bootstrap = 0x100,
    Enable = 0x800,
    AddressMask = 0xF_FFFF_F000,
}

/// <summary>An interrupt message on the APIC bus.</summary>
/// <param name="Destination">Physical identity or logical mask.</param>
public readonly record struct ApicMessage(DeliveryMode Mode, byte Vector, byte Destination, bool Logical, bool Level);
