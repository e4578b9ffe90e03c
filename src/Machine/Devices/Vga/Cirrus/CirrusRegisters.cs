namespace Farm.Machine.Devices.Vga.Cirrus;

/// <summary>The CL-GD5446's sequencer registers beyond the VGA's (CL-GD5446 Technical Reference Manual, chapter 9).</summary>
internal static class CirrusSequencer
{
    /// <summary>12h unlocks the extensions; anything else locks them and reads as 0Fh.</summary>
    public const byte Unlock = 0x06;
    public const byte ExtendedMode = 0x07;
    public const byte DramControl = 0x0F;

    /// <summary>Bits 7:5 of the index are the low bits of the position.</summary>
    public const byte CursorX = 0x10;
    public const byte CursorY = 0x11;
    public const byte CursorAttributes = 0x12;
    public const byte CursorPattern = 0x13;
    public const byte Scratch3 = 0x15;
    public const byte Configuration = 0x17;
    public const byte Last = 0x1F;
}

/// <summary>The CRTC registers beyond the VGA's.</summary>
internal static class CirrusCrtc
{
    public const byte InterlaceEnd = 0x19;
    public const byte MiscellaneousControl = 0x1A;
    public const byte ExtendedDisplay = 0x1B;
    public const byte Overlay = 0x1D;
    public const byte AttributeIndex = 0x26;
    public const byte Identification = 0x27;
}

/// <summary>The graphics controller registers beyond the VGA's.</summary>
internal static class CirrusGraphics
{
    public const byte Background = 0x00;
    public const byte Foreground = 0x01;
    public const byte Offset0 = 0x09;
    public const byte Offset1 = 0x0A;
    public const byte ModeExtensions = 0x0B;
    public const byte Background1 = 0x10;
    public const byte Foreground1 = 0x11;
    public const byte BltWidth = 0x20;
    public const byte BltHeight = 0x22;
    public const byte BltDestinationPitch = 0x24;
    public const byte BltSourcePitch = 0x26;
    public const byte BltDestination = 0x28;
    public const byte BltSource = 0x2C;
    public const byte BltLeftClip = 0x2F;
    public const byte BltMode = 0x30;
    public const byte BltStatus = 0x31;
    public const byte BltRasterOperation = 0x32;
    public const byte BltModeExtensions = 0x33;
    public const byte BltTransparentColor = 0x34;
    public const byte Last = 0x39;
}

/// <summary>SR7.</summary>
[Flags]
internal enum ExtendedMode : byte
{
    None = 0,
    Packed = 0x01,
    PixelMask = 0x0E,
    Pixel16DoubleClock = 0x02,
    Pixel24 = 0x04,
    Pixel16 = 0x06,
    Pixel32 = 0x08,
}

/// <summary>SR12.</summary>
[Flags]
internal enum CursorAttributes : byte
{
    None = 0,
    Enable = 0x01,

    /// <summary>The DAC's ports reach the cursor's colours (entries 0 and 15).</summary>
    ExtendedColors = 0x02,
    Size64 = 0x04,
}

/// <summary>SR17.</summary>
[Flags]
internal enum CirrusConfiguration : byte
{
    None = 0,
    MemoryMappedIo = 0x04,
    BusPci = 0x20,
    BusMask = 0x38,

    /// <summary>Registers at the end of the linear framebuffer; clear: at B8000h.</summary>
    MemoryMappedInLinear = 0x40,
}

/// <summary>GR0B.</summary>
[Flags]
internal enum ModeExtensions : byte
{
    None = 0,
    DualBanks = 0x01,
    By8Addressing = 0x02,
    ExtendedWriteModes = 0x04,
    EightDataLatches = 0x08,
    Enhanced16Bit = 0x10,
    Granularity16K = 0x20,
}

/// <summary>GR30.</summary>
[Flags]
internal enum BltMode : byte
{
    None = 0,
    Backwards = 0x01,
    SystemDestination = 0x02,
    SystemSource = 0x04,
    Transparent = 0x08,
    PixelWidthMask = 0x30,
    PatternCopy = 0x40,
    ColorExpand = 0x80,
}

/// <summary>GR31.</summary>
[Flags]
internal enum BltStatus : byte
{
    None = 0,
    Busy = 0x01,
    Start = 0x02,
    Reset = 0x04,
    BufferFull = 0x10,
    AutoStart = 0x80,
}

/// <summary>GR33.</summary>
[Flags]
internal enum BltModeExtensions : byte
{
    None = 0,
    DwordGranularity = 0x01,
    InvertColorExpand = 0x02,
    SolidFill = 0x04,
}
