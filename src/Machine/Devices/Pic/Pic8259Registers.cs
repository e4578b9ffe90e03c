namespace Farm.Machine.Devices.Pic;

/// <summary>Initialization command word 1 (8259A data sheet, figure 7).</summary>
[Flags]
internal enum Icw1 : byte
{
    IC4 = 0x01,
    SNGL = 0x02,
    ADI = 0x04,
    LTIM = 0x08,
    Select = 0x10,
}

[Flags]
internal enum Icw4 : byte
{
    Mode8086 = 0x01,
    AEOI = 0x02,
    MasterSlave = 0x04,
    BUF = 0x08,
    SFNM = 0x10,
}

/// <summary>Operation command word 2: rotate, select, end of interrupt.</summary>
[Flags]
internal enum Ocw2 : byte
{
    LevelMask = 0x07,
    EOI = 0x20,
    SL = 0x40,
    R = 0x80,
}

[Flags]
internal enum Ocw3 : byte
{
    RIS = 0x01,
    RR = 0x02,
    P = 0x04,
    Select = 0x08,
    SMM = 0x20,
    ESMM = 0x40,
}
