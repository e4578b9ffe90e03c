namespace Farm.Machine.Devices.Uart;

/// <summary>Interrupt enable register (PC16550D data sheet, 8.7).</summary>
[Flags]
internal enum Ier : byte
{
    ERBFI = 0x01,
    ETBEI = 0x02,
    ELSI = 0x04,
    EDSSI = 0x08,
    All = 0x0F,
}

/// <summary>Interrupt identification register, table II; bit 0 clear means pending.</summary>
internal enum Iir : byte
{
    ModemStatus = 0x00,
    None = 0x01,
    TransmitterHoldingRegisterEmpty = 0x02,
    ReceivedDataAvailable = 0x04,
    ReceiverLineStatus = 0x06,
    CharacterTimeout = 0x0C,
    FifosEnabled = 0xC0,
}

[Flags]
internal enum Fcr : byte
{
    Enable = 0x01,
    ReceiverReset = 0x02,
    TransmitterReset = 0x04,
    DmaMode = 0x08,
    TriggerMask = 0xC0,
}

[Flags]
internal enum Lcr : byte
{
    WordLengthMask = 0x03,
    STB = 0x04,
    PEN = 0x08,
    SetBreak = 0x40,
    DLAB = 0x80,
}

[Flags]
internal enum Mcr : byte
{
    DTR = 0x01,
    RTS = 0x02,
    OUT1 = 0x04,
    OUT2 = 0x08,
    Loop = 0x10,
    All = 0x1F,
}

[Flags]
internal enum Lsr : byte
{
    DR = 0x01,
    OE = 0x02,
    PE = 0x04,
    FE = 0x08,
    BI = 0x10,
    THRE = 0x20,
    TEMT = 0x40,
    Errors = OE | PE | FE | BI,
}

[Flags]
public enum ModemStatus : byte
{
    None = 0,
    DCTS = 0x01,
    DDSR = 0x02,
    TERI = 0x04,
    DDCD = 0x08,
    CTS = 0x10,
    DSR = 0x20,
    RI = 0x40,
    DCD = 0x80,
}
