namespace Farm.Machine.Devices.Vga;

/// <summary>
/// Where the beam is at a moment of guest time, from the CRTC's timing registers and the dot clock. Registers that describe no
/// plausible frame (outside 20 to 200 Hz) give the timing of 720x400 at 70 Hz, so that a guest that waits for retrace gets one.
/// </summary>
public readonly struct RetraceTiming
{
    private const long MinimumFrame = 5_000_000;
    private const long MaximumFrame = 50_000_000;

    private readonly long _frame;
    private readonly int _horizontalTotal;
    private readonly int _horizontalDisplay;
    private readonly int _verticalTotal;
    private readonly int _verticalDisplay;
    private readonly int _retraceStart;
    private readonly int _retraceEnd;

    public RetraceTiming(ReadOnlySpan<byte> crtc, ClockingMode clocking, MiscellaneousOutput output)
    {
        int overflow = crtc[(int)CrtcRegister.Overflow];
        int characterDots = clocking.HasFlag(ClockingMode.EightDotCharacters) ? 8 : 9;
        long dotClock = output.HasFlag(MiscellaneousOutput.Clock28MHz) ? 28_322_000 : 25_175_000;
        if (clocking.HasFlag(ClockingMode.DotClockHalved))
            dotClock /= 2;
        _horizontalTotal = crtc[(int)CrtcRegister.HorizontalTotal] + 5;
        _horizontalDisplay = crtc[(int)CrtcRegister.HorizontalDisplayEnd] + 1;
        _verticalTotal = (crtc[(int)CrtcRegister.VerticalTotal] | (overflow & 0x01) << 8 | (overflow & 0x20) << 4) + 2;
        _verticalDisplay = (crtc[(int)CrtcRegister.VerticalDisplayEnd] | (overflow & 0x02) << 7 | (overflow & 0x40) << 3) + 1;
        _retraceStart = crtc[(int)CrtcRegister.VerticalRetraceStart] | (overflow & 0x04) << 6 | (overflow & 0x80) << 2;
        _frame = (long)_horizontalTotal * characterDots * _verticalTotal * 1_000_000_000 / dotClock;
        if (_frame is < MinimumFrame or > MaximumFrame)
        {
            (_horizontalTotal, _horizontalDisplay) = (100, 80);
            (_verticalTotal, _verticalDisplay, _retraceStart) = (449, 400, 412);
            _frame = 14_268_000;
        }
        _retraceStart = Math.Min(_retraceStart, _verticalTotal - 2);
        int length = ((crtc[(int)CrtcRegister.VerticalRetraceEnd] & 0xF) - _retraceStart) & 0xF;
        _retraceEnd = Math.Min(_retraceStart + Math.Max(length, 1), _verticalTotal);
    }

    /// <summary>Nanoseconds per frame.</summary>
    public long Frame => _frame;

    public InputStatus1 StatusAt(long now)
    {
        long position = now % _frame * _verticalTotal;
        int line = (int)(position / _frame);
        int character = (int)(position % _frame * _horizontalTotal / _frame);
        var status = InputStatus1.None;
        if (line >= _verticalDisplay || character >= _horizontalDisplay)
            status |= InputStatus1.DisplayDisabled;
        if (line >= _retraceStart && line < _retraceEnd)
            status |= InputStatus1.VerticalRetrace;
        return status;
    }

    /// <summary>The first start of vertical retrace after <paramref name="now"/>.</summary>
    public long NextRetrace(long now)
    {
        long start = (_frame * _retraceStart + _verticalTotal - 1) / _verticalTotal;
        long next = now - now % _frame + start;
        return next > now ? next : next + _frame;
    }
}
