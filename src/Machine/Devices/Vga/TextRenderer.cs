namespace Farm.Machine.Devices.Vga;

/// <summary>Draws alphanumeric modes: fonts of plane 2, 8- and 9-dot cells, cursor, underline, smooth scrolling and split screen.</summary>
internal static class TextRenderer
{
    private const int GlyphStride = 32;

    public static (int Width, int Height) SizeOf(VgaDevice vga, in CrtcView view) =>
        (view.Columns * CellWidth(vga), view.DoubleScan ? (view.Lines + 1) / 2 : view.Lines);

    public static RgbaImage Render(VgaDevice vga, CrtcView view, bool blanked)
    {
        int cellWidth = CellWidth(vga);
        bool eightDots = cellWidth == 8;
        var (width, height) = SizeOf(vga, view);
        int repeat = view.DoubleScan ? 2 : 1;
        var pixels = new uint[width * height];
        if (blanked)
        {
            Array.Fill(pixels, 0xFF000000);
            return new RgbaImage(width, height, pixels);
        }
        var cell = new Cell(vga, view, cellWidth);
        int panning = vga.Attribute[(int)AttributeRegister.HorizontalPelPanning] & 0xF;
        int shift = eightDots ? panning & 7 : panning >= 8 ? 0 : panning + 1;
        bool stillBelow = ((AttributeMode)vga.Attribute[(int)AttributeRegister.ModeControl]).HasFlag(AttributeMode.PanningCompatibility);
        Span<uint> dots = stackalloc uint[9];
        foreach (var line in view)
        {
            if (line.Line % repeat != 0)
                continue;
            var row = pixels.AsSpan(line.Line / repeat * width, width);
            int x = line.BelowSplit && stillBelow ? 0 : -shift;
            for (int clock = 0; x < width; clock++)
            {
                cell.Draw(line.Counter + (uint)(clock >> view.CountShift), line.RowScan, dots);
                for (int dot = 0; dot < cellWidth; dot++, x++)
                {
                    if (x >= 0 && x < width)
                        row[x] = dots[dot];
                }
            }
        }
        return new RgbaImage(width, height, pixels);
    }

    private static int CellWidth(VgaDevice vga) =>
        ((ClockingMode)vga.Sequencer[(int)SequencerRegister.ClockingMode]).HasFlag(ClockingMode.EightDotCharacters) ? 8 : 9;

    /// <summary>Plane address of a font from the three bits of Character Map Select.</summary>
    private static uint FontAddress(int select) => (uint)((select & 3) * 0x4000 + (select >> 2) * 0x2000);

    /// <summary>The attribute logic: one scan line of one character cell.</summary>
    private readonly ref struct Cell
    {
        private readonly VgaDevice _vga;
        private readonly CrtcView _view;
        private readonly int _width;
        private readonly uint[] _colors;
        private readonly bool _blink;
        private readonly bool _lineGraphics;
        private readonly uint _fontA;
        private readonly uint _fontB;
        private readonly uint _planeEnable;

        public Cell(VgaDevice vga, CrtcView view, int width)
        {
            _vga = vga;
            _view = view;
            _width = width;
            _colors = ScreenRenderer.PaletteColors(vga);
            var mode = (AttributeMode)vga.Attribute[(int)AttributeRegister.ModeControl];
            _blink = mode.HasFlag(AttributeMode.Blink);
            _lineGraphics = mode.HasFlag(AttributeMode.LineGraphics);
            int select = vga.Sequencer[(int)SequencerRegister.CharacterMapSelect];
            _fontB = FontAddress(select & 3 | select >> 2 & 4);
            _fontA = FontAddress(select >> 2 & 3 | select >> 3 & 4);
            _planeEnable = vga.Attribute[(int)AttributeRegister.ColorPlaneEnable] & 0xFu;
        }

        public void Draw(uint counter, int rowScan, Span<uint> dots)
        {
            uint data = _vga.Fetch(_view.Translate(counter, rowScan));
            uint character = data & 0xFF;
            uint attribute = data >> 8 & 0xFF;
            uint font = (attribute & 8) != 0 ? _fontA : _fontB;
            uint glyph = _vga.Fetch(font + character * GlyphStride + (uint)rowScan) >> 16 & 0xFF;
            uint foreground = attribute & 0xF;
            uint background = attribute >> 4;
            if (_blink)
                background &= 7;
            glyph <<= 1;
            if (_lineGraphics && (character & 0xE0) == 0xC0)
                glyph |= glyph >> 1 & 1;
            bool cursor = _view.CursorEnabled && (counter & 0xFFFF) == _view.CursorAddress
                && rowScan >= _view.CursorFirstLine && rowScan <= _view.CursorLastLine;
            bool underline = (attribute & 0x77) == 1 && rowScan == _view.UnderlineLine;
            if (cursor || underline)
                glyph = 0x1FF;
            uint on = _colors[foreground & _planeEnable], off = _colors[background & _planeEnable];
            for (int i = 0; i < _width; i++)
                dots[i] = (glyph >> (8 - i) & 1) != 0 ? on : off;
        }
    }
}
