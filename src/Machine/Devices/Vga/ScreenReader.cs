namespace Farm.Machine.Devices.Vga;

/// <summary>Reads from a VGA what its monitor would show.</summary>
public sealed class ScreenReader(VgaDevice vga)
{
    /// <summary>More text rows or columns than any monitor showed; a hostile CRTC gets no larger screen.</summary>
    private const int MaximumColumns = 256;
    private const int MaximumRows = 128;

    /// <summary>
    /// A number that stays the same while the screen does (it may change without the screen changing). Cheap: counters, and in a packed mode,
    /// whose framebuffer the guest writes as RAM, a look at the pages that were stored to.
    /// </summary>
    public ulong Stamp()
    {
        if (vga.Linear is { BitsPerPixel: > 4 } mode)
            vga.LinearStores.Look(mode);
        return vga.Generation + vga.LinearStores.Changes;
    }

    public bool IsGraphics => vga.Linear is not null
        || ((GraphicsMiscellaneous)vga.Graphics[(int)GraphicsRegister.Miscellaneous]).HasFlag(GraphicsMiscellaneous.Graphics);

    /// <summary>True while the sequencer or the attribute controller keeps the screen dark.</summary>
    public bool Blanked => vga.Linear is null && (!vga.PaletteAddressSource
        || ((ClockingMode)vga.Sequencer[(int)SequencerRegister.ClockingMode]).HasFlag(ClockingMode.ScreenOff));

    /// <summary>
    /// The text screen from the CRTC's start address, or null in a graphics mode. While the screen is blanked its cells are still
    /// given.
    /// </summary>
    public TextScreen? ReadText()
    {
        if (IsGraphics)
            return null;
        vga.Settle();
        var view = new CrtcView(vga.Crtc);
        int columns = Math.Min(view.Columns, MaximumColumns);
        var cells = new List<ushort>(columns * 50);
        int cursor = -1;
        int rows = 0;
        int rowLines = view.RowHeight * (view.DoubleScan ? 2 : 1);
        foreach (var line in view)
        {
            bool cutOff = rows > 0 && view.Lines - line.Line < rowLines;
            if (!line.NewRow || cutOff)
                continue;
            if (rows == MaximumRows)
                break;
            rows++;
            for (int column = 0; column < columns; column++)
            {
                uint counter = line.Counter + (uint)(column >> view.CountShift);
                if (view.CursorEnabled && cursor < 0 && (counter & 0xFFFF) == view.CursorAddress)
                    cursor = cells.Count;
                cells.Add((ushort)vga.Fetch(view.Translate(counter, line.RowScan)));
            }
        }
        return new TextScreen(columns, rows, [.. cells], cursor);
    }

    /// <summary>The kind and logical size of the present mode, cheap to ask.</summary>
    public ScreenSize Size
    {
        get
        {
            var (width, height) = ScreenRenderer.SizeOf(vga);
            return new ScreenSize(IsGraphics, width, height);
        }
    }

    /// <summary>The picture that the monitor shows.</summary>
    public RgbaImage Render()
    {
        vga.Settle();
        return ScreenRenderer.Render(vga);
    }

    /// <summary>As <see cref="Screen.Hash"/> of a <see cref="Capture"/>, without drawing text.</summary>
    public ulong Hash() => StableHash.Combine(ReadText()?.Hash ?? Render().Hash, Blanked ? 1 : 0);

    /// <summary>Text and picture of this moment.</summary>
    public Screen Capture() => new(ReadText(), Render(), Blanked);
}

/// <summary>What kind of screen is shown; width and height in pixels, in text modes too.</summary>
public readonly record struct ScreenSize(bool IsGraphics, int Width, int Height);

/// <summary>One moment of the screen.</summary>
/// <param name="Text">Null in a graphics mode.</param>
/// <param name="Image">Always present; text is drawn with the font in plane 2.</param>
/// <param name="Blanked">The monitor shows nothing.</param>
public sealed record Screen(TextScreen? Text, RgbaImage Image, bool Blanked)
{
    public bool IsGraphics => Text is null;

    public int Width => Image.Width;

    public int Height => Image.Height;

    /// <summary>Of the cells in text modes, of the pixels in graphics modes.</summary>
    public ulong Hash => StableHash.Combine(Text?.Hash ?? Image.Hash, Blanked ? 1 : 0);
}
