namespace Farm.Machine.Devices.Nics.Rtl8139;

/// <summary>Command register 37h (data sheet RTL8139C, 5.6).</summary>
[Flags]
public enum Rtl8139Command : byte
{
    BufferEmpty = 0x01,
    TransmitterEnable = 0x04,
    ReceiverEnable = 0x08,
    Reset = 0x10,
}

/// <summary>ISR and IMR, 3Eh and 3Ch.</summary>
[Flags]
public enum Rtl8139Interrupt : ushort
{
    ReceiveOk = 0x0001,
    ReceiveError = 0x0002,
    TransmitOk = 0x0004,
    TransmitError = 0x0008,
    ReceiveBufferOverflow = 0x0010,
    LinkChange = 0x0020,
    ReceiveFifoOverflow = 0x0040,
    CableLengthChange = 0x2000,
    TimeOut = 0x4000,
    SystemError = 0x8000,
    All = 0xE07F,
}

/// <summary>TSD0-3.</summary>
[Flags]
public enum Rtl8139TransmitStatus : uint
{
    SizeMask = 0x1FFF,
    Own = 0x2000,
    FifoUnderrun = 0x4000,
    Ok = 0x8000,
    EarlyThresholdMask = 0x003F_0000,
    CarrierSenseLost = 0x8000_0000,
    Aborted = 0x4000_0000,
}

/// <summary>RCR, 44h.</summary>
[Flags]
public enum Rtl8139ReceiveConfiguration : uint
{
    AcceptAllPhysical = 0x01,
    AcceptPhysicalMatch = 0x02,
    AcceptMulticast = 0x04,
    AcceptBroadcast = 0x08,
    AcceptRunts = 0x10,
    AcceptErrors = 0x20,
    NoWrap = 0x80,
    BufferLengthMask = 0x1800,
}

/// <summary>The status word before a received packet.</summary>
[Flags]
public enum Rtl8139ReceiveStatus : ushort
{
    Ok = 0x0001,
    Broadcast = 0x2000,
    PhysicalMatch = 0x4000,
    Multicast = 0x8000,
}

/// <summary>Offsets of the registers, by the double word that holds them where they are smaller.</summary>
internal static class Rtl8139Offset
{
    public const int Id = 0x00;
    public const int Multicast = 0x08;
    public const int TransmitStatus = 0x10;
    public const int TransmitAddress = 0x20;
    public const int ReceiveBuffer = 0x30;
    public const int EarlyReceiveAndCommand = 0x34;
    public const int ReadPointerAndWritePointer = 0x38;
    public const int Interrupt = 0x3C;
    public const int TransmitConfiguration = 0x40;
    public const int ReceiveConfiguration = 0x44;
    public const int Timer = 0x48;
    public const int MissedPackets = 0x4C;
    public const int EepromAndConfiguration = 0x50;
    public const int TimerInterrupt = 0x54;
    public const int MediaStatus = 0x58;
    public const int MultipleInterruptAndRevision = 0x5C;
    public const int TransmitSummaryAndBasicControl = 0x60;
    public const int BasicStatusAndAdvertisement = 0x64;
    public const int PartnerAbilityAndExpansion = 0x68;
    public const int Disconnects = 0x6C;
}
