namespace Farm.Machine.Devices.Nics.Ne2000;

/// <summary>Command register, offset 0 of every page (DP8390D data sheet, 10.3).</summary>
[Flags]
public enum Dp8390Command : byte
{
    Stop = 0x01,
    Start = 0x02,
    TransmitPacket = 0x04,
    RemoteRead = 0x08,
    RemoteWrite = 0x10,
    SendPacket = 0x18,
    RemoteAbort = 0x20,
    RemoteMask = 0x38,
    PageMask = 0xC0,
}

/// <summary>ISR and IMR.</summary>
[Flags]
public enum Dp8390Interrupt : byte
{
    PacketReceived = 0x01,
    PacketTransmitted = 0x02,
    ReceiveError = 0x04,
    TransmitError = 0x08,
    OverwriteWarning = 0x10,
    CounterOverflow = 0x20,
    RemoteDmaComplete = 0x40,
    ResetStatus = 0x80,
}

/// <summary>DCR.</summary>
[Flags]
public enum Dp8390DataConfiguration : byte
{
    WordTransfer = 0x01,
    ByteOrder = 0x02,
    LongAddress = 0x04,

    /// <summary>LS: clear selects loopback.</summary>
    NormalOperation = 0x08,
    AutoInitialize = 0x10,
}

/// <summary>RCR.</summary>
[Flags]
public enum Dp8390ReceiveConfiguration : byte
{
    SaveErrors = 0x01,
    AcceptRunts = 0x02,
    AcceptBroadcast = 0x04,
    AcceptMulticast = 0x08,
    Promiscuous = 0x10,
    Monitor = 0x20,
}

/// <summary>TCR.</summary>
[Flags]
public enum Dp8390TransmitConfiguration : byte
{
    InhibitCrc = 0x01,
    LoopbackMask = 0x06,
}

/// <summary>TSR.</summary>
[Flags]
public enum Dp8390TransmitStatus : byte
{
    Transmitted = 0x01,
    Aborted = 0x08,
    CarrierSenseLost = 0x10,
}

/// <summary>RSR, and the first byte of a received packet.</summary>
[Flags]
public enum Dp8390ReceiveStatus : byte
{
    PacketReceived = 0x01,
    MissedPacket = 0x10,
    PhysicalAddressMissed = 0x20,
    ReceiverDisabled = 0x40,
}
