using Farm.Machine.Bus;
using Farm.Machine.Time;

namespace Farm.Machine.Devices.Vga.Cirrus;

/// <summary>
/// The Cirrus Logic CL-GD5446 with 4 MiB (Technical Reference Manual, November 1996): the VGA, packed-pixel modes of 8 to 32 bits,
/// banked and linear access, BitBLT engine, hardware cursor, hidden DAC register, registers in memory space.
/// </summary>
public sealed class CirrusVga : VgaDevice
{
    public const int VideoMemory = 4 << 20;

    private const byte Identification = 0xB8;
    private const byte Unlocked = 0x12;
    private const byte Locked = 0x0F;
    private const int HiddenDacReads = 4;
    private const uint MmioOffset = 0x18000;
    private const uint MmioSize = 0x100;

    /// <summary>The graphics register behind each byte of the memory-mapped BitBLT registers; 0xFF where there is none.</summary>
    private static readonly byte[] MmioRegisters = BuildMmioMap();

    private readonly CirrusBlitter _blitter = new();
    private readonly Dac _cursorColors = new();
    private int _hiddenDacReads;
    private byte _hiddenDac;
    private int _cursorX;
    private int _cursorY;
    private bool _direct = true;

    public CirrusVga(IVirtualClock clock, InterruptLine? verticalInterrupt = null)
        : base(clock, verticalInterrupt, VideoMemory)
    {
    }

    public override string Name => "Cirrus VGA";

    public override IReadOnlyList<PortRange> Ports { get; } = [new(0x3B4, 2), new(0x3BA, 1), new(0x3C0, 16), new(0x3D4, 2), new(0x3DA, 1)];

    public override bool LinearDirect => _direct;

    public override LinearMode? Linear
    {
        get
        {
            if (!Extended.HasFlag(ExtendedMode.Packed))
                return null;
            var view = new CrtcView(Crtc);
            byte display = Crtc[CirrusCrtc.ExtendedDisplay];
            int height = (Crtc[CirrusCrtc.MiscellaneousControl] & 1) != 0 ? view.Lines * 2 : view.Lines;
            uint start = view.Start | (display & 0x01u) << 16 | (display & 0x0Cu) << 15 | (Crtc[CirrusCrtc.Overlay] & 0x80u) << 12;
            uint stride = (Crtc[(int)CrtcRegister.Offset] | (display & 0x10u) << 4) * 8;
            return new LinearMode(view.Columns * 8, height, BitsPerPixel, start * 4, stride);
        }
    }

    protected override uint? PlainText => null;

    private ExtendedMode Extended => (ExtendedMode)Sequencer[CirrusSequencer.ExtendedMode];

    private ModeExtensions Extensions => (ModeExtensions)Graphics[CirrusGraphics.ModeExtensions];

    private CirrusConfiguration Configuration => (CirrusConfiguration)Sequencer[CirrusSequencer.Configuration];

    private CursorAttributes Cursor => (CursorAttributes)Sequencer[CirrusSequencer.CursorAttributes];

    private Dac SelectedDac => Cursor.HasFlag(CursorAttributes.ExtendedColors) ? _cursorColors : Dac;

    private int BitsPerPixel => (Extended & ExtendedMode.PixelMask) switch
    {
        ExtendedMode.Pixel16 or ExtendedMode.Pixel16DoubleClock => (_hiddenDac & 0xF) == 1 ? 16 : 15,
        ExtendedMode.Pixel24 => 24,
        ExtendedMode.Pixel32 => 32,
        _ => 8,
    };

    public override void Reset()
    {
        base.Reset();
        _blitter.Reset();
        _cursorColors.Reset();
        _hiddenDacReads = _hiddenDac = 0;
        _cursorX = _cursorY = 0;
        SetSequencer(CirrusSequencer.Unlock, Locked);
        SetSequencer(CirrusSequencer.DramControl, 0x98); // 64-bit memory, 2 MiB banks
        SetSequencer(CirrusSequencer.Scratch3, 0x04); // 4 MiB
        SetSequencer(CirrusSequencer.Configuration, (byte)CirrusConfiguration.BusPci);
        SetSequencer(CirrusSequencer.Last, 0x2D);
        SetGraphics(0x18, 0x0F);
        LinearAccessMayChange();
    }

    public override uint ReadPort(ushort port, int size)
    {
        if (port == 0x3C6)
        {
            if (_hiddenDacReads < HiddenDacReads)
            {
                _hiddenDacReads++;
                return Dac.PixelMask;
            }
            _hiddenDacReads = 0;
            return _hiddenDac;
        }
        if (port is 0x3C7 or 0x3C8 or 0x3C9)
            _hiddenDacReads = 0;
        return port switch
        {
            0x3C7 => SelectedDac.State,
            0x3C8 => SelectedDac.WriteIndex,
            0x3C9 => SelectedDac.ReadData(),
            _ => base.ReadPort(port, size),
        };
    }

    public override void WritePort(ushort port, uint value, int size)
    {
        if (port is >= 0x3C6 and <= 0x3C9)
        {
            bool hidden = port == 0x3C6 && _hiddenDacReads == HiddenDacReads;
            _hiddenDacReads = 0;
            if (hidden)
            {
                _hiddenDac = (byte)value;
                DisplayChanged();
                return;
            }
            if (Cursor.HasFlag(CursorAttributes.ExtendedColors) && port != 0x3C6)
            {
                WriteCursorColor(port, (byte)value);
                return;
            }
        }
        base.WritePort(port, value, size);
    }

    public override byte ReadLinear(uint offset)
    {
        if (offset >= VideoMemory)
            return 0xFF;
        return InLinearRegisters(offset) ? ReadRegister(offset & 0xFF) : Memory.ReadLinear(ScaleAddress(offset));
    }

    public override void WriteLinear(uint offset, byte value)
    {
        if (_blitter.WantsCpuData)
            Feed(value);
        else if (InLinearRegisters(offset))
            WriteRegister(offset & 0xFF, value);
        else if (offset < VideoMemory)
            WritePacked(offset, value);
    }

    /// <summary>A byte of the memory-mapped BitBLT registers.</summary>
    public byte ReadRegister(uint offset)
    {
        byte index = offset < MmioSize ? MmioRegisters[offset] : (byte)0xFF;
        return index == 0xFF ? index : ReadGraphics(index);
    }

    public void WriteRegister(uint offset, byte value)
    {
        byte index = offset < MmioSize ? MmioRegisters[offset] : (byte)0xFF;
        if (index != 0xFF)
            WriteGraphics(index, value);
    }

    protected override byte ReadSequencer(byte index) => (index & 0x1F) switch
    {
        CirrusSequencer.CursorX => Sequencer[CirrusSequencer.CursorX],
        CirrusSequencer.CursorY => Sequencer[CirrusSequencer.CursorY],
        _ when index <= CirrusSequencer.Last => Sequencer[index],
        _ => 0xFF,
    };

    protected override void WriteSequencer(byte index, byte value)
    {
        switch (index & 0x1F)
        {
            case CirrusSequencer.CursorX:
                _cursorX = value << 3 | index >> 5;
                SetSequencer(CirrusSequencer.CursorX, value);
                DisplayChanged();
                return;
            case CirrusSequencer.CursorY:
                _cursorY = value << 3 | index >> 5;
                SetSequencer(CirrusSequencer.CursorY, value);
                DisplayChanged();
                return;
        }
        switch (index)
        {
            case CirrusSequencer.Unlock:
                SetSequencer(index, (value & 0x17) == Unlocked ? Unlocked : Locked);
                break;
            case CirrusSequencer.Configuration:
                SetSequencer(index, (byte)(value & ~(int)CirrusConfiguration.BusMask | Sequencer[index] & (int)CirrusConfiguration.BusMask));
                break;
            case <= CirrusSequencer.Last:
                SetSequencer(index, value);
                break;
        }
        LinearAccessMayChange();
    }

    protected override byte ReadCrtc(byte index) => index switch
    {
        >= CirrusCrtc.InterlaceEnd and <= CirrusCrtc.Overlay => Crtc[index],
        CirrusCrtc.Identification => Identification,
        _ => base.ReadCrtc(index),
    };

    protected override void WriteCrtc(byte index, byte value)
    {
        if (index is >= CirrusCrtc.InterlaceEnd and <= CirrusCrtc.Overlay)
            SetCrtc(index, value);
        else
            base.WriteCrtc(index, value);
    }

    protected override byte ReadGraphics(byte index) => index <= CirrusGraphics.Last ? Graphics[index] : (byte)0xFF;

    protected override void WriteGraphics(byte index, byte value)
    {
        switch (index)
        {
            case > CirrusGraphics.Last:
                return;
            case CirrusGraphics.BltStatus:
                WriteBltStatus((BltStatus)value);
                break;
            default:
                SetGraphics(index, value);
                break;
        }
        if (index == CirrusGraphics.BltDestination + 2 && ((BltStatus)Graphics[CirrusGraphics.BltStatus]).HasFlag(BltStatus.AutoStart))
            StartBlt();
        LinearAccessMayChange();
    }

    protected override byte ReadWindow(uint offset)
    {
        if (InWindowRegisters(offset))
            return ReadRegister(offset - MmioOffset);
        if (!Extended.HasFlag(ExtendedMode.Packed))
            return base.ReadWindow(offset);
        return offset < 0x10000 && BankAddress(offset) is { } address ? Memory.ReadLinear(ScaleAddress(address)) : (byte)0xFF;
    }

    protected override void WriteWindow(uint offset, byte value)
    {
        if (InWindowRegisters(offset))
            WriteRegister(offset - MmioOffset, value);
        else if (_blitter.WantsCpuData)
            Feed(value);
        else if (!Extended.HasFlag(ExtendedMode.Packed))
            base.WriteWindow(offset, value);
        else if (offset < 0x10000 && BankAddress(offset) is { } address)
            WritePacked(address, value);
    }

    /// <summary>The hardware cursor: two bits a pixel from the end of video memory (transparent, inverted, colour 0, colour 15).</summary>
    internal override void DrawOverlay(Span<uint> pixels, int width, int height)
    {
        if (!Cursor.HasFlag(CursorAttributes.Enable))
            return;
        bool large = Cursor.HasFlag(CursorAttributes.Size64);
        int size = large ? 64 : 32;
        uint pattern = VideoMemory - 0x4000 + (Sequencer[CirrusSequencer.CursorPattern] & (large ? 0x3Cu : 0x3Fu)) * 256;
        uint color0 = _cursorColors.Color(0), color15 = _cursorColors.Color(15);
        for (int y = 0; y < size && _cursorY + y < height; y++)
        {
            uint plane0 = pattern + (uint)(large ? y * 16 : y * 4);
            uint plane1 = plane0 + (large ? 8u : 128u);
            for (int x = 0; x < size && _cursorX + x < width; x++)
            {
                int bit = 7 - (x & 7);
                int value = Memory.ReadLinear(plane0 + (uint)x / 8) >> bit & 1 | (Memory.ReadLinear(plane1 + (uint)x / 8) >> bit & 1) << 1;
                ref uint pixel = ref pixels[(_cursorY + y) * width + _cursorX + x];
                pixel = value switch { 1 => pixel ^ 0x00FFFFFF, 2 => color0, 3 => color15, _ => pixel };
            }
        }
    }

    private static byte[] BuildMmioMap()
    {
        var map = new byte[MmioSize];
        Array.Fill(map, (byte)0xFF);
        byte[] low =
        [
            0x00, 0x10, 0x12, 0x14, 0x01, 0x11, 0x13, 0x15, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27,
            0x28, 0x29, 0x2A, 0xFF, 0x2C, 0x2D, 0x2E, 0x2F, 0x30, 0xFF, 0x32, 0x33, 0x34, 0x35, 0xFF, 0xFF, 0x38, 0x39,
        ];
        low.CopyTo(map, 0);
        map[0x40] = CirrusGraphics.BltStatus;
        return map;
    }

    private bool InWindowRegisters(uint offset) => offset is >= MmioOffset and < MmioOffset + MmioSize
        && (Configuration & (CirrusConfiguration.MemoryMappedIo | CirrusConfiguration.MemoryMappedInLinear)) == CirrusConfiguration.MemoryMappedIo;

    private bool LinearRegisters =>
        Configuration.HasFlag(CirrusConfiguration.MemoryMappedIo | CirrusConfiguration.MemoryMappedInLinear);

    private bool InLinearRegisters(uint offset) => LinearRegisters && offset is >= VideoMemory - MmioSize and < VideoMemory;

    /// <summary>Byte address of a window offset through the bank registers, or null beyond video memory.</summary>
    private uint? BankAddress(uint offset)
    {
        var extensions = Extensions;
        int shift = extensions.HasFlag(ModeExtensions.Granularity16K) ? 14 : 12;
        bool second = extensions.HasFlag(ModeExtensions.DualBanks) && offset >= 0x8000;
        uint address = ((uint)Graphics[second ? CirrusGraphics.Offset1 : CirrusGraphics.Offset0] << shift) + (second ? offset - 0x8000 : offset);
        return address < VideoMemory ? address : null;
    }

    /// <summary>By-8 (and in enhanced 16-bit mode by-16) addressing: one address per 8 pixels.</summary>
    private uint ScaleAddress(uint address)
    {
        var extensions = Extensions;
        if (extensions.HasFlag(ModeExtensions.ExtendedWriteModes | ModeExtensions.Enhanced16Bit))
            return address << 4;
        return extensions.HasFlag(ModeExtensions.By8Addressing) ? address << 3 : address;
    }

    /// <summary>A CPU write in a packed mode; write modes 4 and 5 expand the byte's bits to eight pixels.</summary>
    private void WritePacked(uint address, byte value)
    {
        var extensions = Extensions;
        address = ScaleAddress(address);
        int mode = Graphics[(int)GraphicsRegister.Mode] & 7;
        if (!extensions.HasFlag(ModeExtensions.ExtendedWriteModes) || mode is not (4 or 5))
        {
            Memory.WriteLinear(address, value);
            return;
        }
        bool wide = extensions.HasFlag(ModeExtensions.Enhanced16Bit);
        for (int pixel = 0; pixel < 8; pixel++)
        {
            bool set = (value >> (7 - pixel) & 1) != 0;
            if (!set && mode == 4)
                continue;
            uint at = address + (uint)(wide ? pixel * 2 : pixel);
            Memory.WriteLinear(at, Graphics[set ? CirrusGraphics.Foreground : CirrusGraphics.Background]);
            if (wide)
                Memory.WriteLinear(at + 1, Graphics[set ? CirrusGraphics.Foreground1 : CirrusGraphics.Background1]);
        }
    }

    private void WriteBltStatus(BltStatus value)
    {
        var before = (BltStatus)Graphics[CirrusGraphics.BltStatus];
        SetGraphics(CirrusGraphics.BltStatus, (byte)value);
        if (before.HasFlag(BltStatus.Reset) && !value.HasFlag(BltStatus.Reset))
        {
            _blitter.Reset();
            EndBlt();
        }
        else if (!before.HasFlag(BltStatus.Start) && value.HasFlag(BltStatus.Start))
        {
            StartBlt();
        }
    }

    private void StartBlt()
    {
        if (_blitter.Start(Graphics, Memory))
            EndBlt();
        else
            SetGraphics(CirrusGraphics.BltStatus, (byte)(Graphics[CirrusGraphics.BltStatus] | (int)BltStatus.Busy));
    }

    private void Feed(byte value)
    {
        if (!_blitter.Feed(value, Memory))
            return;
        EndBlt();
        LinearAccessMayChange();
    }

    private void EndBlt() => SetGraphics(
        CirrusGraphics.BltStatus, (byte)(Graphics[CirrusGraphics.BltStatus] & ~(int)(BltStatus.Start | BltStatus.Busy | BltStatus.BufferFull)));

    private void WriteCursorColor(ushort port, byte value)
    {
        switch (port)
        {
            case 0x3C7:
                _cursorColors.SetReadIndex((byte)(value & 0xF));
                break;
            case 0x3C8:
                _cursorColors.SetWriteIndex((byte)(value & 0xF));
                break;
            default:
                _cursorColors.WriteData(value);
                DisplayChanged();
                break;
        }
    }

    private void LinearAccessMayChange()
    {
        const ModeExtensions indirect = ModeExtensions.By8Addressing | ModeExtensions.ExtendedWriteModes;
        bool direct = !_blitter.WantsCpuData && (Extensions & indirect) == 0 && !LinearRegisters;
        if (direct == _direct)
            return;
        _direct = direct;
        RaiseLinearAccessChanged();
    }
}
