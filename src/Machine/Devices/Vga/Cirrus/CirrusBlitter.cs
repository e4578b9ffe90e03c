namespace Farm.Machine.Devices.Vga.Cirrus;

/// <summary>
/// The BitBLT engine of the CL-GD5446: copies, 8x8 patterns, colour expansion, solid fills, the 16 raster operations, transparency, and
/// source data from the CPU. An operation is done at once when it starts or when its last source byte has arrived. Copies to the
/// CPU are not done. Every address wraps in video memory.
/// </summary>
internal sealed class CirrusBlitter
{
    private const int PatternSize = 8;

    private readonly byte[] _row = new byte[8192 + 32];
    private int _rowLength;
    private int _filled;
    private int _rowsLeft;

    private int _widthBytes;
    private int _height;
    private int _destinationPitch;
    private int _sourcePitch;
    private uint _destination;
    private uint _source;
    private int _pixel;
    private uint _foreground;
    private uint _background;
    private uint _transparent;
    private int _leftClip;
    private byte _operation;
    private BltMode _mode;
    private BltModeExtensions _extensions;

    /// <summary>The CPU's writes to video memory are source data.</summary>
    public bool WantsCpuData => _rowsLeft > 0;

    public void Reset() => _rowsLeft = 0;

    /// <summary>Takes the operation from the graphics controller's registers. False when it waits for the CPU's data.</summary>
    public bool Start(ReadOnlySpan<byte> graphics, PlanarMemory memory)
    {
        Load(graphics);
        bool both = (_mode & (BltMode.SystemSource | BltMode.SystemDestination)) == (BltMode.SystemSource | BltMode.SystemDestination);
        if (both || _mode.HasFlag(BltMode.SystemDestination))
            return true;
        if (_mode.HasFlag(BltMode.SystemSource))
        {
            AwaitCpu();
            return false;
        }
        if (_mode.HasFlag(BltMode.PatternCopy))
            FillPattern(memory, fromCpu: false);
        else if (_mode.HasFlag(BltMode.ColorExpand))
            ExpandFromMemory(memory);
        else
            Copy(memory);
        memory.Touch();
        return true;
    }

    /// <summary>A byte of source data from the CPU. True when it was the operation's last.</summary>
    public bool Feed(byte value, PlanarMemory memory)
    {
        _row[_filled++] = value;
        if (_filled < _rowLength)
            return false;
        _filled = 0;
        if (_mode.HasFlag(BltMode.PatternCopy))
        {
            FillPattern(memory, fromCpu: true);
        }
        else
        {
            if (_mode.HasFlag(BltMode.ColorExpand))
                ExpandRow(memory, _row, _destination);
            else
                CopyRow(memory, _row, _destination);
            _destination += (uint)_destinationPitch;
        }
        _rowsLeft--;
        memory.Touch();
        return _rowsLeft == 0;
    }

    private void Load(ReadOnlySpan<byte> graphics)
    {
        _widthBytes = Word(graphics, CirrusGraphics.BltWidth, 0x1F) + 1;
        _height = Word(graphics, CirrusGraphics.BltHeight, 0x07) + 1;
        _destinationPitch = Word(graphics, CirrusGraphics.BltDestinationPitch, 0x1F);
        _sourcePitch = Word(graphics, CirrusGraphics.BltSourcePitch, 0x1F);
        _destination = (uint)(Word(graphics, CirrusGraphics.BltDestination, 0xFF) | (graphics[CirrusGraphics.BltDestination + 2] & 0x3F) << 16);
        _source = (uint)(Word(graphics, CirrusGraphics.BltSource, 0xFF) | (graphics[CirrusGraphics.BltSource + 2] & 0x3F) << 16);
        _mode = (BltMode)graphics[CirrusGraphics.BltMode];
        _extensions = (BltModeExtensions)graphics[CirrusGraphics.BltModeExtensions];
        _operation = graphics[CirrusGraphics.BltRasterOperation];
        _pixel = ((int)(_mode & BltMode.PixelWidthMask) >> 4) + 1;
        _foreground = Color(graphics, CirrusGraphics.Foreground, CirrusGraphics.Foreground1);
        _background = Color(graphics, CirrusGraphics.Background, CirrusGraphics.Background1);
        _transparent = (uint)Word(graphics, CirrusGraphics.BltTransparentColor, 0xFF);
        // At 24 bits the clip counts bytes, else pixels.
        int clip = graphics[CirrusGraphics.BltLeftClip];
        _leftClip = _pixel == 3 ? (clip & 0x1F) / 3 : clip & 7;
        _rowsLeft = 0;
    }

    private static int Word(ReadOnlySpan<byte> graphics, int index, int highMask) => graphics[index] | (graphics[index + 1] & highMask) << 8;

    /// <summary>The colours' bytes lie at 0/1, 10h/11h, 12h/13h and 14h/15h.</summary>
    private static uint Color(ReadOnlySpan<byte> graphics, int low, int next) =>
        (uint)(graphics[low] | graphics[next] << 8 | graphics[next + 2] << 16 | graphics[next + 4] << 24);

    private void AwaitCpu()
    {
        _filled = 0;
        _rowsLeft = _height;
        if (_mode.HasFlag(BltMode.PatternCopy))
        {
            _rowsLeft = 1;
            _rowLength = _mode.HasFlag(BltMode.ColorExpand) ? PatternSize : PatternSize * PatternPitch;
        }
        else if (_mode.HasFlag(BltMode.ColorExpand))
        {
            _rowLength = ExpandedRowLength;
        }
        else
        {
            _rowLength = (_widthBytes + 3) & ~3;
        }
    }

    /// <summary>A row of an 8x8 pattern; rows of 24-bit pixels are padded to 32 bytes.</summary>
    private int PatternPitch => PatternSize * (_pixel == 3 ? 4 : _pixel);

    private int ExpandedRowLength
    {
        get
        {
            int pixels = _widthBytes / _pixel;
            return Math.Max(1, _extensions.HasFlag(BltModeExtensions.DwordGranularity) ? (pixels + 31) / 32 * 4 : (pixels + 7) / 8);
        }
    }

    private void Copy(PlanarMemory memory)
    {
        int step = _mode.HasFlag(BltMode.Backwards) ? -1 : 1;
        uint source = _source, destination = _destination;
        bool keyed = _mode.HasFlag(BltMode.Transparent) && _pixel <= 2;
        for (int y = 0; y < _height; y++)
        {
            if (keyed)
            {
                CopyKeyed(memory, source, destination, step);
            }
            else
            {
                for (int x = 0; x < _widthBytes; x++)
                    Combine(memory, destination + (uint)(x * step), memory.ReadLinear(source + (uint)(x * step)));
            }
            source += (uint)(_sourcePitch * step);
            destination += (uint)(_destinationPitch * step);
        }
    }

    /// <summary>Pixels whose result equals the transparent colour are left alone.</summary>
    private void CopyKeyed(PlanarMemory memory, uint source, uint destination, int step)
    {
        for (int x = 0; x + _pixel <= _widthBytes; x += _pixel)
        {
            int at = step > 0 ? x : -(x + _pixel - 1);
            uint value = 0;
            for (int i = 0; i < _pixel; i++)
                value |= (uint)Operate(memory.ReadLinear(destination + (uint)(at + i)), memory.ReadLinear(source + (uint)(at + i))) << (8 * i);
            if (value != (_transparent & (_pixel == 1 ? 0xFFu : 0xFFFFu)))
                Put(memory, destination + (uint)at, value);
        }
    }

    private void CopyRow(PlanarMemory memory, byte[] row, uint destination)
    {
        bool keyed = _mode.HasFlag(BltMode.Transparent) && _pixel <= 2;
        for (int x = 0; x < _widthBytes; x += keyed ? _pixel : 1)
        {
            if (!keyed)
            {
                Combine(memory, destination + (uint)x, row[x]);
                continue;
            }
            uint value = 0;
            for (int i = 0; i < _pixel; i++)
                value |= (uint)Operate(memory.ReadLinear(destination + (uint)(x + i)), row[x + i]) << (8 * i);
            if (value != (_transparent & (_pixel == 1 ? 0xFFu : 0xFFFFu)))
                Put(memory, destination + (uint)x, value);
        }
    }

    private void ExpandFromMemory(PlanarMemory memory)
    {
        uint source = _source, destination = _destination;
        int length = ExpandedRowLength;
        for (int y = 0; y < _height; y++)
        {
            for (int i = 0; i < length; i++)
                _row[i] = memory.ReadLinear(source + (uint)i);
            ExpandRow(memory, _row, destination);
            source += (uint)length;
            destination += (uint)_destinationPitch;
        }
    }

    /// <summary>A row of one bit per pixel, the first in bit 7, becomes foreground and background.</summary>
    private void ExpandRow(PlanarMemory memory, byte[] bits, uint destination)
    {
        for (int pixel = _leftClip; (pixel + 1) * _pixel <= _widthBytes; pixel++)
            DrawBit((bits[pixel >> 3] >> (7 - (pixel & 7)) & 1) != 0, memory, destination + (uint)(pixel * _pixel));
    }

    private void FillPattern(PlanarMemory memory, bool fromCpu)
    {
        bool expand = _mode.HasFlag(BltMode.ColorExpand);
        bool solid = expand && _extensions.HasFlag(BltModeExtensions.SolidFill) && !_mode.HasFlag(BltMode.Transparent);
        uint start = _source & ~7u;
        int patternRow = (int)(_source & 7);
        for (int y = 0; y < _height; y++)
        {
            uint line = _destination + (uint)(y * _destinationPitch);
            int row = (patternRow + y) & 7;
            for (int pixel = _leftClip; (pixel + 1) * _pixel <= _widthBytes; pixel++)
            {
                uint at = line + (uint)(pixel * _pixel);
                if (solid)
                {
                    Draw(memory, at, _foreground);
                }
                else if (expand)
                {
                    byte bits = fromCpu ? _row[row] : memory.ReadLinear(start + (uint)row);
                    DrawBit((bits >> (7 - (pixel & 7)) & 1) != 0, memory, at);
                }
                else
                {
                    int from = row * PatternPitch + (pixel & 7) * _pixel;
                    for (int i = 0; i < _pixel; i++)
                        Combine(memory, at + (uint)i, fromCpu ? _row[from + i] : memory.ReadLinear(start + (uint)(from + i)));
                }
            }
        }
    }

    private void DrawBit(bool set, PlanarMemory memory, uint address)
    {
        bool inverted = _extensions.HasFlag(BltModeExtensions.InvertColorExpand);
        if (!_mode.HasFlag(BltMode.Transparent))
            Draw(memory, address, set ? _foreground : _background);
        else if (set != inverted)
            Draw(memory, address, inverted ? _background : _foreground);
    }

    private void Draw(PlanarMemory memory, uint address, uint color)
    {
        for (int i = 0; i < _pixel; i++)
            Combine(memory, address + (uint)i, (byte)(color >> (8 * i)));
    }

    private unsafe void Combine(PlanarMemory memory, uint address, byte source)
    {
        byte* target = memory.Bytes + (address & (uint)(memory.Size - 1));
        *target = Operate(*target, source);
    }

    private unsafe void Put(PlanarMemory memory, uint address, uint value)
    {
        for (int i = 0; i < _pixel; i++)
            memory.Bytes[(address + (uint)i) & (uint)(memory.Size - 1)] = (byte)(value >> (8 * i));
    }

    /// <summary>GR32; codes that are not defined change nothing.</summary>
    private byte Operate(byte destination, byte source) => _operation switch
    {
        0x00 => 0x00,
        0x05 => (byte)(source & destination),
        0x09 => (byte)(source & ~destination),
        0x0B => (byte)~destination,
        0x0D => source,
        0x0E => 0xFF,
        0x50 => (byte)(~source & destination),
        0x59 => (byte)(source ^ destination),
        0x6D => (byte)(source | destination),
        0x90 => (byte)~(source & destination),
        0x95 => (byte)~(source ^ destination),
        0xAD => (byte)(source | ~destination),
        0xD0 => (byte)~source,
        0xD6 => (byte)(~source | destination),
        0xDA => (byte)~(source | destination),
        _ => destination,
    };
}
