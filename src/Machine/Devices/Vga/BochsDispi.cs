namespace Farm.Machine.Devices.Vga;

/// <summary>Index values of the DISPI interface (port 1CEh), Bochs VBE.</summary>
public enum DispiRegister : ushort
{
    Id = 0,
    XResolution = 1,
    YResolution = 2,
    BitsPerPixel = 3,
    Enable = 4,
    Bank = 5,
    VirtualWidth = 6,
    VirtualHeight = 7,
    XOffset = 8,
    YOffset = 9,
    VideoMemory64K = 10,
}

/// <summary>Bits of <see cref="DispiRegister.Enable"/>.</summary>
[Flags]
public enum DispiEnable : ushort
{
    None = 0,
    Enabled = 0x01,

    /// <summary>The resolution registers read as the largest supported values.</summary>
    GetCapabilities = 0x02,
    BankGranularity32K = 0x10,
    EightBitDac = 0x20,
    LinearFramebuffer = 0x40,
    NoClearMemory = 0x80,
}

/// <summary>A packed (or, at 4 bits, planar) mode that the CRTC's own registers do not describe.</summary>
/// <param name="BitsPerPixel">4 (planar), 8, 15, 16, 24 or 32.</param>
/// <param name="Start">Byte address of the first pixel (plane address at 4 bits).</param>
/// <param name="Stride">Bytes from line to line (plane bytes at 4 bits).</param>
public readonly record struct LinearMode(int Width, int Height, int BitsPerPixel, uint Start, uint Stride);

/// <summary>The Bochs VBE extension: ports 1CEh (index) and 1CFh (data), identifiers B0C0h to B0C5h.</summary>
public sealed class BochsDispi(int videoMemory)
{
    public const int MaximumWidth = 2560;
    public const int MaximumHeight = 1600;
    public const int MaximumBits = 32;
    private const ushort FirstId = 0xB0C0;
    private const ushort LastId = 0xB0C5;

    private ushort _id = LastId;
    private ushort _width;
    private ushort _height;
    private ushort _bits;
    private DispiEnable _enable;
    private ushort _bank;
    private ushort _virtualWidth;
    private ushort _xOffset;
    private ushort _yOffset;

    public ushort Index { get; set; }

    public bool Enabled => (_enable & DispiEnable.Enabled) != 0;

    public bool EightBitDac => (_enable & DispiEnable.EightBitDac) != 0;

    /// <summary>True when the 64 KiB window at A0000h shows packed pixels and not planes.</summary>
    public bool Packed => Enabled && Bits > 4;

    /// <summary>Byte offset of the window at A0000h.</summary>
    public uint BankOffset => (uint)_bank * ((_enable & DispiEnable.BankGranularity32K) != 0 ? 0x8000u : 0x10000u);

    /// <summary>The mode shown; defined while <see cref="Enabled"/>. It lies within video memory.</summary>
    public LinearMode Mode
    {
        get
        {
            uint stride = Stride;
            uint start = _yOffset * stride + (Bits == 4 ? _xOffset / 8u : (uint)(_xOffset * BytesPerPixel));
            return new LinearMode(Width, Height, Bits, start, stride);
        }
    }

    private int Bits => _bits is 4 or 8 or 15 or 16 or 24 or 32 ? _bits : 8;

    private int BytesPerPixel => (Bits + 7) / 8;

    private int Width => Math.Clamp((int)_width, 8, MaximumWidth) & (Bits == 4 ? ~7 : ~0);

    private int Height => Math.Clamp((int)_height, 1, (int)Math.Min(MaximumHeight, Math.Max(1, VirtualHeight)));

    private uint Stride
    {
        get
        {
            uint width = Math.Max(_virtualWidth, (uint)Width);
            return Bits == 4 ? width / 8 : width * (uint)BytesPerPixel;
        }
    }

    private uint VirtualHeight => Math.Min((uint)(Bits == 4 ? videoMemory / 4 : videoMemory) / Stride, ushort.MaxValue);

    public void Reset()
    {
        _id = LastId;
        _enable = DispiEnable.None;
        Index = _width = _height = _bits = _bank = _virtualWidth = _xOffset = _yOffset = 0;
    }

    public ushort Read() => Read((DispiRegister)Index);

    public ushort Read(DispiRegister register)
    {
        bool capabilities = (_enable & DispiEnable.GetCapabilities) != 0;
        return register switch
        {
            DispiRegister.Id => _id,
            DispiRegister.XResolution => capabilities ? (ushort)MaximumWidth : _width,
            DispiRegister.YResolution => capabilities ? (ushort)MaximumHeight : _height,
            DispiRegister.BitsPerPixel => capabilities ? (ushort)MaximumBits : _bits,
            DispiRegister.Enable => (ushort)_enable,
            DispiRegister.Bank => _bank,
            DispiRegister.VirtualWidth => Enabled ? (ushort)Math.Max(_virtualWidth, Width) : _virtualWidth,
            DispiRegister.VirtualHeight => (ushort)VirtualHeight,
            DispiRegister.XOffset => _xOffset,
            DispiRegister.YOffset => _yOffset,
            DispiRegister.VideoMemory64K => (ushort)(videoMemory / 0x10000),
            _ => 0,
        };
    }

    /// <summary>Returns the number of bytes of video memory to clear: enabling a mode clears what it shows.</summary>
    public long Write(DispiRegister register, ushort value)
    {
        switch (register)
        {
            case DispiRegister.Id when value is >= FirstId and <= LastId:
                _id = value;
                break;
            case DispiRegister.XResolution when value <= MaximumWidth:
                _width = value;
                break;
            case DispiRegister.YResolution when value <= MaximumHeight:
                _height = value;
                break;
            case DispiRegister.BitsPerPixel:
                _bits = value == 0 ? (ushort)8 : value;
                break;
            case DispiRegister.Bank:
                _bank = (ushort)(value & 0x1FF);
                break;
            case DispiRegister.VirtualWidth:
                _virtualWidth = value;
                break;
            case DispiRegister.XOffset:
                _xOffset = value;
                break;
            case DispiRegister.YOffset:
                _yOffset = value;
                break;
            case DispiRegister.Enable:
                return WriteEnable((DispiEnable)value);
        }
        return 0;
    }

    private long WriteEnable(DispiEnable value)
    {
        bool was = Enabled;
        _enable = value & (DispiEnable.Enabled | DispiEnable.GetCapabilities | DispiEnable.BankGranularity32K
            | DispiEnable.EightBitDac | DispiEnable.LinearFramebuffer | DispiEnable.NoClearMemory);
        if (Enabled == was)
            return 0;
        _bank = 0;
        if (!Enabled)
            return 0;
        _virtualWidth = _xOffset = _yOffset = 0;
        if (value.HasFlag(DispiEnable.NoClearMemory))
            return 0;
        return (long)Stride * Height * (Bits == 4 ? 4 : 1);
    }
}
