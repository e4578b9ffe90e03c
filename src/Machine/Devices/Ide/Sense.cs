namespace Farm.Machine.Devices.Ide;

/// <summary>Sense key, additional sense code and qualifier (MMC-3, annex A), and the sector at fault where one is.</summary>
internal readonly record struct Sense(byte Key, byte Code, byte Qualifier = 0, uint? Sector = null)
{
    public static Sense None { get; } = new(0, 0);

    public static Sense MediumNotPresentTrayClosed { get; } = new(2, 0x3A, 1);

    public static Sense MediumNotPresentTrayOpen { get; } = new(2, 0x3A, 2);

    public static Sense UnrecoveredReadError { get; } = new(3, 0x11);

    public static Sense InvalidOpcode { get; } = new(5, 0x20);

    public static Sense AddressOutOfRange { get; } = new(5, 0x21);

    public static Sense InvalidField { get; } = new(5, 0x24);

    public static Sense SavingNotSupported { get; } = new(5, 0x39);

    public static Sense RemovalPrevented { get; } = new(5, 0x53, 2);

    public static Sense IllegalModeForTrack { get; } = new(5, 0x64);

    public static Sense MediumMayHaveChanged { get; } = new(6, 0x28);
}

/// <summary>Packet commands (MMC-3, clause 6; SFF-8020i).</summary>
internal enum PacketCommand : byte
{
    TestUnitReady = 0x00,
    RezeroUnit = 0x01,
    RequestSense = 0x03,
    Inquiry = 0x12,
    ModeSelect6 = 0x15,
    ModeSense6 = 0x1A,
    StartStopUnit = 0x1B,
    PreventAllowMediumRemoval = 0x1E,
    ReadCapacity = 0x25,
    Read10 = 0x28,
    Seek = 0x2B,
    Verify = 0x2F,
    SynchronizeCache = 0x35,
    ReadSubchannel = 0x42,
    ReadToc = 0x43,
    ReadHeader = 0x44,
    PlayAudio10 = 0x45,
    GetConfiguration = 0x46,
    PlayAudioMsf = 0x47,
    GetEventStatusNotification = 0x4A,
    PauseResume = 0x4B,
    StopPlayScan = 0x4E,
    ReadDiscInformation = 0x51,
    ReadTrackInformation = 0x52,
    ModeSelect10 = 0x55,
    ModeSense10 = 0x5A,
    Read12 = 0xA8,
    ReadDvdStructure = 0xAD,
    ReadCdMsf = 0xB9,
    SetCdSpeed = 0xBB,
    MechanismStatus = 0xBD,
    ReadCd = 0xBE,
}
