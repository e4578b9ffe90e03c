namespace Farm.Machine.Time;

/// <summary>
/// Tells a guest that waits for a key from one that works. A boot menu's countdown asks its BIOS for a key by the hundred thousand; on a
/// host without that pace, guest time may pass meanwhile as it does in HLT.
/// </summary>
/// <remarks>A guest cannot tell that from a slower BIOS. What asks now and then between other work, or draws between, is left alone.</remarks>
/// <param name="screen">Changes when the screen does.</param>
/// <param name="onHostTime">Work is measured in the host's time: the way out of the guest and back is in it.</param>
public sealed class KeyPolling(Func<ulong> screen, bool onHostTime = false)
{
    /// <summary>
    /// Questions in a row after which the guest is taken to wait. A DOS that reads a batch file asks at each character whether to break it off,
    /// as quickly as a menu does, and some hundred times before it draws.
    /// </summary>
    private const int Row = 1024;

    /// <summary>The same of a guest that was waiting a moment ago: a countdown draws its seconds.</summary>
    private const int RowAgain = 32;

    /// <summary>Guest time that makes a moment.</summary>
    private const long Moment = 1_500_000_000;

    /// <summary>Work between two questions in a row at most.</summary>
    private const long Apart = 200_000, ApartOnHost = 1_000_000;
    private const long Shortest = 100_000;
    private const long Longest = 10_000_000;

    private long _worked = long.MinValue / 2;
    private ulong _screen;
    private int _row;
    private long _idle;
    private long _waited = long.MinValue / 2;

    /// <summary>
    /// The guest asks, at guest time <paramref name="now"/>, after the work that <see cref="IMachineTime.Worked"/> tells. Returns how long it
    /// may be taken to be idle.
    /// </summary>
    public long Poll(long now, long worked)
    {
        ulong seen = screen();
        bool inRow = worked - _worked <= (onHostTime ? ApartOnHost : Apart) && seen == _screen;
        (_worked, _screen) = (worked, seen);
        (_row, _idle) = inRow ? (Math.Min(_row + 1, Row + 1), _idle) : (0, 0);
        if (_row <= (now - _waited <= Moment ? RowAgain : Row))
            return 0;
        _waited = now;
        _idle = Math.Clamp(2 * _idle, Shortest, Longest);
        return _idle;
    }
}
