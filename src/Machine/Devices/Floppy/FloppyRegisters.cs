namespace Farm.Machine.Devices.Floppy;

/// <summary>Digital Output Register, 3F2h (82077AA, 2.1.3).</summary>
[Flags]
public enum DigitalOutput : byte
{
    None = 0,
    DriveSelect = 0x03,

    /// <summary>nRESET: the controller runs while it is set.</summary>
    NotReset = 0x04,

    /// <summary>DMA gate: enables INT and DRQ.</summary>
    DmaGate = 0x08,
    Motor0 = 0x10,
    Motor1 = 0x20,
    Motor2 = 0x40,
    Motor3 = 0x80,
}

/// <summary>Main Status Register, 3F4h (82077AA, 2.1.6).</summary>
[Flags]
public enum MainStatus : byte
{
    None = 0,
    Drive0Busy = 0x01,
    Drive1Busy = 0x02,
    Drive2Busy = 0x04,
    Drive3Busy = 0x08,
    CommandBusy = 0x10,
    NonDma = 0x20,

    /// <summary>DIO: the next byte goes to the host.</summary>
    DataToHost = 0x40,

    /// <summary>RQM: the FIFO waits for the host.</summary>
    RequestForMaster = 0x80,
}

/// <summary>Status Register 0 (82077AA, 5.2.1).</summary>
[Flags]
public enum Status0 : byte
{
    None = 0,
    DriveSelect = 0x03,
    HeadAddress = 0x04,
    EquipmentCheck = 0x10,
    SeekEnd = 0x20,
    AbnormalTermination = 0x40,
    InvalidCommand = 0x80,

    /// <summary>Ready line changed: what polling reports for each drive after a reset.</summary>
    AbnormalPolling = 0xC0,
}

/// <summary>Status Register 1.</summary>
[Flags]
public enum Status1 : byte
{
    None = 0,
    MissingAddressMark = 0x01,
    NotWritable = 0x02,
    NoData = 0x04,
    Overrun = 0x10,
    DataError = 0x20,
    EndOfCylinder = 0x80,
}

/// <summary>Status Register 2.</summary>
[Flags]
public enum Status2 : byte
{
    None = 0,
    MissingDataAddressMark = 0x01,
    BadCylinder = 0x02,
    WrongCylinder = 0x10,
    ControlMark = 0x40,
}

/// <summary>Command codes: the low five bits of the first byte (82077AA, table 5-1).</summary>
internal enum FloppyCommand : byte
{
    ReadTrack = 0x02,
    Specify = 0x03,
    SenseDriveStatus = 0x04,
    WriteData = 0x05,
    ReadData = 0x06,
    Recalibrate = 0x07,
    SenseInterruptStatus = 0x08,
    WriteDeletedData = 0x09,
    ReadId = 0x0A,
    ReadDeletedData = 0x0C,
    FormatTrack = 0x0D,
    DumpRegisters = 0x0E,
    Seek = 0x0F,
    Version = 0x10,
    PerpendicularMode = 0x12,
    Configure = 0x13,
    Lock = 0x14,
    Verify = 0x16,
}

/// <summary>How long the mechanics take, in nanoseconds of guest time. Far shorter than real ones; never zero.</summary>
public sealed record FloppyTiming
{
    public static FloppyTiming Default { get; } = new();

    /// <summary>What a 3.5" drive really needs: 3 ms a step, 11 ms a sector.</summary>
    public static FloppyTiming Real { get; } = new() { StepNs = 3_000_000, SectorNs = 11_100_000 };

    /// <summary>For each step of the head.</summary>
    public long StepNs { get; init; } = 20_000;

    /// <summary>For each sector that passes the head.</summary>
    public long SectorNs { get; init; } = 30_000;

    /// <summary>From the end of a reset to its interrupt.</summary>
    public long ResetNs { get; init; } = 30_000;

    /// <summary>How long the controller waits for a DMA channel that is not programmed before it reports an overrun.</summary>
    public long OverrunNs { get; init; } = 10_000_000;
}
