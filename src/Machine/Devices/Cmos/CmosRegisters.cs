namespace Farm.Machine.Devices.Cmos;

/// <summary>Addresses in the MC146818's RAM: the clock (data sheet MC146818A, figure 12), then the PC/AT's and the BIOS payloads' own use.</summary>
public static class CmosAddress
{
    public const int Seconds = 0x00;
    public const int SecondsAlarm = 0x01;
    public const int Minutes = 0x02;
    public const int MinutesAlarm = 0x03;
    public const int Hours = 0x04;
    public const int HoursAlarm = 0x05;
    public const int DayOfWeek = 0x06;
    public const int DayOfMonth = 0x07;
    public const int Month = 0x08;
    public const int Year = 0x09;
    public const int RegisterA = 0x0A;
    public const int RegisterB = 0x0B;
    public const int RegisterC = 0x0C;
    public const int RegisterD = 0x0D;
    public const int Diagnostic = 0x0E;
    public const int Shutdown = 0x0F;
    public const int FloppyTypes = 0x10;
    public const int DiskTypes = 0x12;
    public const int Equipment = 0x14;
    public const int BaseMemory = 0x15;
    public const int ExtendedMemory = 0x17;
    public const int Disk0Type = 0x19;
    public const int Disk1Type = 0x1A;
    public const int Disk0Geometry = 0x1B;
    public const int Disk1Geometry = 0x24;
    public const int SystemOperation = 0x2D;
    public const int Checksum = 0x2E;
    public const int ExtendedMemoryPost = 0x30;
    public const int Century = 0x32;
    public const int MemoryAbove16M = 0x34;
    public const int CenturyPs2 = 0x37;
    public const int BootThird = 0x38;
    public const int Translation = 0x39;
    public const int BootFirstSecond = 0x3D;
    public const int MemoryAbove4G = 0x5B;
    public const int ProcessorCount = 0x5F;
}

/// <summary>Register A: update in progress, divider DV2-DV0, rate select RS3-RS0.</summary>
[Flags]
internal enum RegisterA : byte
{
    RateMask = 0x0F,
    DividerMask = 0x70,
    Divider32768Hz = 0x20,
    UIP = 0x80,
}

[Flags]
internal enum RegisterB : byte
{
    DSE = 0x01,
    Hour24 = 0x02,
    DM = 0x04,
    SQWE = 0x08,
    UIE = 0x10,
    AIE = 0x20,
    PIE = 0x40,
    SET = 0x80,
}

[Flags]
internal enum RegisterC : byte
{
    UF = 0x10,
    AF = 0x20,
    PF = 0x40,
    IRQF = 0x80,
}
