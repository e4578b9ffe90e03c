namespace Farm.Machine.Devices.Vga;

/// <summary>
/// Draws what a VGA shows: text with the fonts of plane 2, planar, CGA, 256-colour and packed modes at their logical resolution (a
/// doubled scan line is drawn once). The cursor and blinking characters are drawn in their visible phase, so a picture depends on
/// the adapter's state only.
/// </summary>
internal static class ScreenRenderer
{
    private const uint Black = 0xFF000000;

    /// <summary>Width and height of what <see cref="Render"/> draws.</summary>
    public static (int Width, int Height) SizeOf(VgaDevice vga)
    {
        if (vga.Linear is { } mode)
            return (mode.Width, mode.Height);
        var view = new CrtcView(vga.Crtc);
        if (!((GraphicsMiscellaneous)vga.Graphics[(int)GraphicsRegister.Miscellaneous]).HasFlag(GraphicsMiscellaneous.Graphics))
            return TextRenderer.SizeOf(vga, view);
        bool packed256 = ((GraphicsMode)vga.Graphics[(int)GraphicsRegister.Mode]).HasFlag(GraphicsMode.Shift256);
        return (view.Columns * (packed256 ? 4 : 8), (view.Lines + view.Repeat - 1) / view.Repeat);
    }

    public static RgbaImage Render(VgaDevice vga)
    {
        if (vga.Linear is { } mode)
            return RenderLinear(vga, mode);
        var reader = new ScreenReader(vga);
        var view = new CrtcView(vga.Crtc);
        if (!reader.IsGraphics)
            return TextRenderer.Render(vga, view, reader.Blanked);
        var shift = (GraphicsMode)vga.Graphics[(int)GraphicsRegister.Mode];
        bool packed256 = shift.HasFlag(GraphicsMode.Shift256);
        int dotsPerClock = packed256 ? 4 : 8;
        var (width, height) = SizeOf(vga);
        var pixels = new uint[width * height];
        if (reader.Blanked)
        {
            Array.Fill(pixels, Black);
            return new RgbaImage(width, height, pixels);
        }
        var colors = packed256 ? DacColors(vga) : PaletteColors(vga);
        var attributes = (AttributeMode)vga.Attribute[(int)AttributeRegister.ModeControl];
        int panning = vga.Attribute[(int)AttributeRegister.HorizontalPelPanning] & 7;
        uint planeEnable = vga.Attribute[(int)AttributeRegister.ColorPlaneEnable] & 0xFu;
        Span<byte> dots = stackalloc byte[8];
        foreach (var line in view)
        {
            if (line.Line % view.Repeat != 0)
                continue;
            bool still = line.BelowSplit && attributes.HasFlag(AttributeMode.PanningCompatibility);
            int skip = still ? 0 : packed256 ? panning >> 1 : panning;
            var row = pixels.AsSpan(line.Line / view.Repeat * width, width);
            for (int x = -skip, clock = 0; x < width; clock++)
            {
                uint data = vga.Fetch(view.Translate(line.Counter + (uint)(clock >> view.CountShift), line.RowScan));
                Shift(shift, data, planeEnable, dots);
                for (int dot = 0; dot < dotsPerClock; dot++, x++)
                {
                    if (x >= 0 && x < width)
                        row[x] = colors[dots[dot]];
                }
            }
        }
        return new RgbaImage(width, height, pixels);
    }

    /// <summary>The 256 colours of the DAC under the pixel mask.</summary>
    public static uint[] DacColors(VgaDevice vga)
    {
        var colors = new uint[256];
        for (int i = 0; i < colors.Length; i++)
            colors[i] = vga.Dac.Color(i & vga.Dac.PixelMask);
        return colors;
    }

    /// <summary>The 16 attribute colours through the palette, Color Select and the DAC.</summary>
    public static uint[] PaletteColors(VgaDevice vga)
    {
        var attributes = vga.Attribute;
        bool select54 = ((AttributeMode)attributes[(int)AttributeRegister.ModeControl]).HasFlag(AttributeMode.PaletteBits54Select);
        int select = attributes[(int)AttributeRegister.ColorSelect];
        var colors = new uint[16];
        for (int i = 0; i < colors.Length; i++)
        {
            int index = attributes[i] & 0x3F;
            if (select54)
                index = index & 0xF | (select & 3) << 4;
            index |= (select & 0xC) << 4;
            colors[i] = vga.Dac.Color(index & vga.Dac.PixelMask);
        }
        return colors;
    }

    /// <summary>The shift registers: one fetch of four planes becomes eight (or in 256-colour modes four) pixel values.</summary>
    private static void Shift(GraphicsMode mode, uint data, uint planeEnable, Span<byte> dots)
    {
        if (mode.HasFlag(GraphicsMode.Shift256))
        {
            for (int i = 0; i < 4; i++)
                dots[i] = (byte)(data >> (8 * i));
        }
        else if (mode.HasFlag(GraphicsMode.ShiftInterleave))
        {
            for (int i = 0; i < 8; i++)
            {
                int shift = 6 - (i & 3) * 2;
                uint half = i < 4 ? data : data >> 8;
                dots[i] = (byte)(((half >> shift & 3) | (half >> 16 >> shift & 3) << 2) & planeEnable);
            }
        }
        else
        {
            for (int i = 0; i < 8; i++)
            {
                uint bits = data >> (7 - i);
                dots[i] = (byte)((bits & 1 | bits >> 7 & 2 | bits >> 14 & 4 | bits >> 21 & 8) & planeEnable);
            }
        }
    }

    private static RgbaImage RenderLinear(VgaDevice vga, LinearMode mode)
    {
        var pixels = new uint[mode.Width * mode.Height];
        var colors = mode.BitsPerPixel == 4 ? PaletteColors(vga) : DacColors(vga);
        Span<byte> dots = stackalloc byte[8];
        for (int y = 0; y < mode.Height; y++)
        {
            uint at = mode.Start + (uint)y * mode.Stride;
            var row = pixels.AsSpan(y * mode.Width, mode.Width);
            if (mode.BitsPerPixel == 4)
            {
                for (int x = 0; x < row.Length; x++)
                {
                    if ((x & 7) == 0)
                        Shift(GraphicsMode.None, vga.Fetch(at + (uint)x / 8), 0xF, dots);
                    row[x] = colors[dots[x & 7]];
                }
            }
            else
            {
                ReadPacked(vga, mode.BitsPerPixel, at, colors, row);
            }
        }
        vga.DrawOverlay(pixels, mode.Width, mode.Height);
        return new RgbaImage(mode.Width, mode.Height, pixels);
    }

    private static unsafe void ReadPacked(VgaDevice vga, int bits, uint address, uint[] colors, Span<uint> row)
    {
        byte* vram = vga.Vram;
        uint mask = (uint)(vga.VramSize - 1);
        for (int x = 0; x < row.Length; x++)
        {
            uint x0 = address & mask, x1 = (address + 1) & mask, x2 = (address + 2) & mask;
            switch (bits)
            {
                case 8:
                    row[x] = colors[vram[x0]];
                    address++;
                    break;
                case 15 or 16:
                    row[x] = bits == 15 ? Color555((uint)(vram[x0] | vram[x1] << 8)) : Color565((uint)(vram[x0] | vram[x1] << 8));
                    address += 2;
                    break;
                default:
                    row[x] = Black | (uint)vram[x0] << 16 | (uint)vram[x1] << 8 | vram[x2];
                    address += bits == 24 ? 3u : 4u;
                    break;
            }
        }
    }

    private static uint Color555(uint value) => Black | Expand5(value >> 10) | Expand5(value >> 5) << 8 | Expand5(value) << 16;

    private static uint Color565(uint value) =>
        Black | Expand5(value >> 11) | ((value >> 5 & 0x3F) << 2 | (value >> 9 & 3)) << 8 | Expand5(value) << 16;

    private static uint Expand5(uint value) => (value & 0x1F) << 3 | (value >> 2 & 7);
}
