namespace Farm.Machine.Devices.Vga;

/// <summary>Indices of the sequencer (ports 3C4h/3C5h), IBM VGA Technical Reference.</summary>
public enum SequencerRegister : byte
{
    Reset = 0,
    ClockingMode = 1,
    MapMask = 2,
    CharacterMapSelect = 3,
    MemoryMode = 4,
}

/// <summary>Indices of the CRT controller (ports 3B4h/3B5h or 3D4h/3D5h).</summary>
public enum CrtcRegister : byte
{
    HorizontalTotal = 0x00,
    HorizontalDisplayEnd = 0x01,
    StartHorizontalBlanking = 0x02,
    EndHorizontalBlanking = 0x03,
    StartHorizontalRetrace = 0x04,
    EndHorizontalRetrace = 0x05,
    VerticalTotal = 0x06,
    Overflow = 0x07,
    PresetRowScan = 0x08,
    MaximumScanLine = 0x09,
    CursorStart = 0x0A,
    CursorEnd = 0x0B,
    StartAddressHigh = 0x0C,
    StartAddressLow = 0x0D,
    CursorLocationHigh = 0x0E,
    CursorLocationLow = 0x0F,
    VerticalRetraceStart = 0x10,
    VerticalRetraceEnd = 0x11,
    VerticalDisplayEnd = 0x12,
    Offset = 0x13,
    UnderlineLocation = 0x14,
    StartVerticalBlanking = 0x15,
    EndVerticalBlanking = 0x16,
    ModeControl = 0x17,
    LineCompare = 0x18,

    /// <summary>Read-only: the latch of the plane chosen by Read Map Select (undocumented by IBM, present on every VGA).</summary>
    MemoryLatch = 0x22,

    /// <summary>Read-only: bit 7 is the attribute controller's flip-flop.</summary>
    AttributeToggle = 0x24,
}

/// <summary>Indices of the graphics controller (ports 3CEh/3CFh).</summary>
public enum GraphicsRegister : byte
{
    SetReset = 0,
    EnableSetReset = 1,
    ColorCompare = 2,
    DataRotate = 3,
    ReadMapSelect = 4,
    Mode = 5,
    Miscellaneous = 6,
    ColorDontCare = 7,
    BitMask = 8,
}

/// <summary>Indices of the attribute controller (port 3C0h/3C1h); 00h-0Fh are the palette.</summary>
public enum AttributeRegister : byte
{
    Palette0 = 0x00,
    ModeControl = 0x10,
    OverscanColor = 0x11,
    ColorPlaneEnable = 0x12,
    HorizontalPelPanning = 0x13,
    ColorSelect = 0x14,
}

/// <summary>Miscellaneous Output, written at 3C2h, read at 3CCh.</summary>
[Flags]
public enum MiscellaneousOutput : byte
{
    None = 0,

    /// <summary>Set: CRTC at 3D4h and status at 3DAh (colour); clear: 3B4h and 3BAh (monochrome).</summary>
    ColorAddress = 0x01,
    EnableRam = 0x02,
    Clock28MHz = 0x04,
    ClockExternal = 0x08,
    OddEvenPage = 0x20,
    NegativeHorizontalSync = 0x40,
    NegativeVerticalSync = 0x80,
}

/// <summary>Sequencer 01h.</summary>
[Flags]
public enum ClockingMode : byte
{
    None = 0,
    EightDotCharacters = 0x01,
    ShiftLoad16 = 0x04,
    DotClockHalved = 0x08,
    ShiftLoad32 = 0x10,
    ScreenOff = 0x20,
}

/// <summary>Sequencer 04h.</summary>
[Flags]
public enum SequencerMemoryMode : byte
{
    None = 0,
    ExtendedMemory = 0x02,

    /// <summary>Set: every plane at every address; clear: even addresses reach planes 0 and 2, odd ones 1 and 3.</summary>
    OddEvenDisable = 0x04,
    Chain4 = 0x08,
}

/// <summary>Graphics controller 05h; the low two bits are the write mode.</summary>
[Flags]
public enum GraphicsMode : byte
{
    None = 0,
    WriteModeMask = 0x03,
    ReadModeCompare = 0x08,
    OddEvenRead = 0x10,
    ShiftInterleave = 0x20,
    Shift256 = 0x40,
}

/// <summary>Graphics controller 06h; bits 2 and 3 choose the memory window.</summary>
[Flags]
public enum GraphicsMiscellaneous : byte
{
    None = 0,
    Graphics = 0x01,
    ChainOddEven = 0x02,
    MemoryMapMask = 0x0C,
}

/// <summary>Attribute controller 10h.</summary>
[Flags]
public enum AttributeMode : byte
{
    None = 0,
    Graphics = 0x01,
    Monochrome = 0x02,
    LineGraphics = 0x04,
    Blink = 0x08,

    /// <summary>Pel panning stops at the line compare: the lower part of a split screen does not pan.</summary>
    PanningCompatibility = 0x20,
    PixelClockHalved = 0x40,

    /// <summary>Palette bits 5 and 4 come from Color Select.</summary>
    PaletteBits54Select = 0x80,
}

/// <summary>CRTC 17h.</summary>
[Flags]
public enum CrtcMode : byte
{
    None = 0,

    /// <summary>Clear: row scan bit 0 replaces address bit 13 (CGA interleave).</summary>
    AddressBit13 = 0x01,

    /// <summary>Clear: row scan bit 1 replaces address bit 14 (Hercules interleave).</summary>
    AddressBit14 = 0x02,
    HorizontalRetraceSelect = 0x04,
    CountByTwo = 0x08,
    AddressWrap15 = 0x20,
    ByteMode = 0x40,
    SyncEnable = 0x80,
}

/// <summary>Input Status 1, read at 3DAh or 3BAh.</summary>
[Flags]
public enum InputStatus1 : byte
{
    None = 0,

    /// <summary>Horizontal or vertical blanking is going on.</summary>
    DisplayDisabled = 0x01,
    VerticalRetrace = 0x08,
}

/// <summary>Input Status 0, read at 3C2h.</summary>
[Flags]
public enum InputStatus0 : byte
{
    None = 0,
    SwitchSense = 0x10,
    VerticalInterruptPending = 0x80,
}
