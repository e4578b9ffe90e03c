namespace Farm.Machine.Devices.Acpi;

/// <summary>PM1 status and enable bits (ACPI 1.0b, 4.7.3.1; PIIX4 data sheet 290562, 7.1).</summary>
[Flags]
internal enum Pm1Event : ushort
{
    Timer = 0x0001,
    BusMaster = 0x0010,
    GlobalLock = 0x0020,
    PowerButton = 0x0100,
    RealTimeClock = 0x0400,
    Wake = 0x8000,
}

[Flags]
internal enum Pm1Control : ushort
{
    SciEnable = 0x0001,
    BusMasterReload = 0x0002,
    GlobalRelease = 0x0004,
    SleepTypeMask = 0x1C00,
    SleepEnable = 0x2000,
}
