namespace Farm.Machine.Devices.Vga;

/// <summary>The CRTC's display registers, decoded: geometry, start address, split screen and address translation.</summary>
internal readonly struct CrtcView
{
    private readonly bool _byteMode;
    private readonly bool _doubleWord;
    private readonly bool _wrap15;
    private readonly bool _bit13;
    private readonly bool _bit14;

    public CrtcView(ReadOnlySpan<byte> crtc)
    {
        int overflow = crtc[(int)CrtcRegister.Overflow];
        int maximumScanLine = crtc[(int)CrtcRegister.MaximumScanLine];
        int underline = crtc[(int)CrtcRegister.UnderlineLocation];
        var mode = (CrtcMode)crtc[(int)CrtcRegister.ModeControl];
        Columns = crtc[(int)CrtcRegister.HorizontalDisplayEnd] + 1;
        Lines = (crtc[(int)CrtcRegister.VerticalDisplayEnd] | (overflow & 0x02) << 7 | (overflow & 0x40) << 3) + 1;
        RowHeight = (maximumScanLine & 0x1F) + 1;
        DoubleScan = (maximumScanLine & 0x80) != 0;
        LineCompare = crtc[(int)CrtcRegister.LineCompare] | (overflow & 0x10) << 4 | (maximumScanLine & 0x40) << 3;
        PresetRowScan = crtc[(int)CrtcRegister.PresetRowScan] & 0x1F;
        BytePanning = (crtc[(int)CrtcRegister.PresetRowScan] >> 5) & 3;
        Start = (uint)(crtc[(int)CrtcRegister.StartAddressHigh] << 8 | crtc[(int)CrtcRegister.StartAddressLow]);
        RowStride = (uint)crtc[(int)CrtcRegister.Offset] * 2;
        UnderlineLine = underline & 0x1F;
        CursorAddress = (uint)(crtc[(int)CrtcRegister.CursorLocationHigh] << 8 | crtc[(int)CrtcRegister.CursorLocationLow]);
        CursorFirstLine = crtc[(int)CrtcRegister.CursorStart] & 0x1F;
        CursorLastLine = crtc[(int)CrtcRegister.CursorEnd] & 0x1F;
        CursorEnabled = (crtc[(int)CrtcRegister.CursorStart] & 0x20) == 0 && CursorFirstLine <= CursorLastLine
            && CursorFirstLine < RowHeight;
        CountShift = (underline & 0x20) != 0 ? 2 : mode.HasFlag(CrtcMode.CountByTwo) ? 1 : 0;
        _doubleWord = (underline & 0x40) != 0;
        _byteMode = mode.HasFlag(CrtcMode.ByteMode);
        _wrap15 = mode.HasFlag(CrtcMode.AddressWrap15);
        _bit13 = mode.HasFlag(CrtcMode.AddressBit13);
        _bit14 = mode.HasFlag(CrtcMode.AddressBit14);
    }

    /// <summary>Character clocks per line.</summary>
    public int Columns { get; }

    /// <summary>Scan lines of the display area.</summary>
    public int Lines { get; }

    /// <summary>Scan lines per row of characters (Maximum Scan Line + 1).</summary>
    public int RowHeight { get; }

    public bool DoubleScan { get; }

    /// <summary>The last scan line of the upper part; below it display goes on from address 0.</summary>
    public int LineCompare { get; }

    public int PresetRowScan { get; }

    public int BytePanning { get; }

    public uint Start { get; }

    public uint RowStride { get; }

    public int UnderlineLine { get; }

    public uint CursorAddress { get; }

    public int CursorFirstLine { get; }

    public int CursorLastLine { get; }

    public bool CursorEnabled { get; }

    /// <summary>The address counter advances every 1, 2 or 4 character clocks.</summary>
    public int CountShift { get; }

    /// <summary>
    /// In graphics modes, how often a scan line is repeated: doubling, and the rows of a character where the row scan does not take
    /// part in addressing.
    /// </summary>
    public int Repeat => (DoubleScan ? 2 : 1) * (_bit13 && _bit14 ? RowHeight : 1);

    /// <summary>Plane address of a memory address counter value in byte, word or doubleword mode.</summary>
    public uint Translate(uint counter, int rowScan)
    {
        uint address = counter & 0xFFFF;
        if (_doubleWord)
            address = address << 2 | address >> 14;
        else if (!_byteMode)
            address = address << 1 | (address >> (_wrap15 ? 15 : 13)) & 1;
        if (!_bit13)
            address = address & ~0x2000u | (uint)(rowScan & 1) << 13;
        if (!_bit14)
            address = address & ~0x4000u | (uint)(rowScan & 2) << 13;
        return address & 0xFFFF;
    }

    public ScanLines GetEnumerator() => new(this);

    /// <summary>One scan line: its number, the address counter at its left edge, its line within the row, whether a row of characters begins with it, and whether it lies below the split.</summary>
    public readonly record struct ScanLine(int Line, uint Counter, int RowScan, bool NewRow, bool BelowSplit);

    /// <summary>Walks the scan lines as the CRTC does.</summary>
    public struct ScanLines(CrtcView view)
    {
        private int _line = -1;
        private uint _counter;
        private int _rowScan;
        private bool _secondHalf;
        private bool _newRow;
        private bool _below;

        public readonly ScanLine Current => new(_line, _counter, _rowScan, _newRow, _below);

        public bool MoveNext()
        {
            if (++_line >= view.Lines)
                return false;
            _newRow = false;
            if (_line == 0)
            {
                _newRow = true;
                _counter = view.Start + (uint)view.BytePanning;
                _rowScan = view.PresetRowScan;
            }
            else if (view.DoubleScan && !_secondHalf)
            {
                _secondHalf = true;
            }
            else
            {
                _secondHalf = false;
                NextRowScan();
            }
            if (_line == view.LineCompare + 1)
            {
                _counter = 0;
                _rowScan = 0;
                _newRow = true;
                _below = true;
                _secondHalf = false;
            }
            return true;
        }

        private void NextRowScan()
        {
            if (_rowScan == view.RowHeight - 1)
            {
                _rowScan = 0;
                _newRow = true;
                _counter += view.RowStride;
            }
            else
            {
                _rowScan = (_rowScan + 1) & 0x1F;
            }
        }
    }
}
