namespace Farm.Machine.Devices.Ide;

/// <summary>Status and Alternate Status (ATA/ATAPI-6, 7.15).</summary>
[Flags]
public enum AtaStatus : byte
{
    None = 0,

    /// <summary>ERR; CHK for packet commands.</summary>
    ERR = 0x01,
    IDX = 0x02,
    CORR = 0x04,
    DRQ = 0x08,

    /// <summary>DSC: seek complete; SERV for packet devices.</summary>
    DSC = 0x10,
    DF = 0x20,
    DRDY = 0x40,
    BSY = 0x80,
}

/// <summary>Error register of a disk (ATA/ATAPI-6, 7.9).</summary>
[Flags]
public enum AtaError : byte
{
    None = 0,
    AMNF = 0x01,
    NM = 0x02,
    ABRT = 0x04,
    MCR = 0x08,
    IDNF = 0x10,
    MC = 0x20,
    UNC = 0x40,
    ICRC = 0x80,
}

/// <summary>Device Control register (ATA/ATAPI-6, 7.7).</summary>
[Flags]
public enum AtaDeviceControl : byte
{
    None = 0,
    NIEN = 0x02,
    SRST = 0x04,
    HOB = 0x80,
}

/// <summary>Interrupt Reason: the Sector Count register of a packet device (ATA/ATAPI-6, 9.6).</summary>
[Flags]
public enum AtapiReason : byte
{
    None = 0,

    /// <summary>C/D: the transfer is a command packet, or status.</summary>
    CD = 0x01,

    /// <summary>I/O: the transfer is to the host.</summary>
    IO = 0x02,
}

/// <summary>Command codes (ATA/ATAPI-6, table 9.2 and annex).</summary>
public enum AtaCommand : byte
{
    Nop = 0x00,
    DeviceReset = 0x08,
    Recalibrate = 0x10,
    ReadSectors = 0x20,
    ReadSectorsNoRetry = 0x21,
    ReadSectorsExt = 0x24,
    ReadDmaExt = 0x25,
    ReadNativeMaxAddressExt = 0x27,
    ReadMultipleExt = 0x29,
    WriteSectors = 0x30,
    WriteSectorsNoRetry = 0x31,
    WriteSectorsExt = 0x34,
    WriteDmaExt = 0x35,
    WriteMultipleExt = 0x39,
    WriteVerify = 0x3C,
    WriteDmaFuaExt = 0x3D,
    ReadVerifySectors = 0x40,
    ReadVerifySectorsNoRetry = 0x41,
    ReadVerifySectorsExt = 0x42,
    Seek = 0x70,
    ExecuteDeviceDiagnostic = 0x90,
    InitializeDeviceParameters = 0x91,
    StandbyImmediateOld = 0x94,
    IdleImmediateOld = 0x95,
    StandbyOld = 0x96,
    IdleOld = 0x97,
    CheckPowerModeOld = 0x98,
    SleepOld = 0x99,
    Packet = 0xA0,
    IdentifyPacketDevice = 0xA1,
    Service = 0xA2,
    Smart = 0xB0,
    ReadMultiple = 0xC4,
    WriteMultiple = 0xC5,
    SetMultipleMode = 0xC6,
    ReadDma = 0xC8,
    ReadDmaNoRetry = 0xC9,
    WriteDma = 0xCA,
    WriteDmaNoRetry = 0xCB,
    WriteMultipleFuaExt = 0xCE,
    StandbyImmediate = 0xE0,
    IdleImmediate = 0xE1,
    Standby = 0xE2,
    Idle = 0xE3,
    ReadBuffer = 0xE4,
    CheckPowerMode = 0xE5,
    Sleep = 0xE6,
    FlushCache = 0xE7,
    WriteBuffer = 0xE8,
    FlushCacheExt = 0xEA,
    IdentifyDevice = 0xEC,
    SetFeatures = 0xEF,
    ReadNativeMaxAddress = 0xF8,
}
