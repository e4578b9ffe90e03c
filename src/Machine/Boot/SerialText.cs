using System.Text;

namespace Farm.Machine.Boot;

/// <summary>
/// Serial output as text: carriage returns, NULs and terminal escape sequences dropped, the last 64 Ki characters kept. Positions count
/// characters from the start of the run.
/// </summary>
public sealed class SerialText
{
    public const int Kept = 64 * 1024;
    private const int MaximumSequence = 64;

    private readonly StringBuilder _text = new();
    private int _sequence;
    private bool _bracket;

    /// <summary>Position of the first character kept.</summary>
    public long Start { get; private set; }

    public long End => Start + _text.Length;

    public void Append(byte value)
    {
        if (_sequence > 0)
        {
            Escape(value);
            return;
        }
        switch (value)
        {
            case 0 or (byte)'\r':
                return;
            case 0x1B:
                _sequence = 1;
                _bracket = false;
                return;
        }
        _text.Append((char)value);
        if (_text.Length < Kept * 2)
            return;
        _text.Remove(0, Kept);
        Start += Kept;
    }

    /// <summary>The text from a position on, cut to what is kept.</summary>
    public string From(long position)
    {
        int at = (int)Math.Clamp(position - Start, 0, _text.Length);
        return _text.ToString(at, _text.Length - at);
    }

    /// <summary>ESC [ parameters final, or ESC and one character.</summary>
    private void Escape(byte value)
    {
        if (_sequence == 1 && value == (byte)'[')
        {
            _bracket = true;
            _sequence++;
            return;
        }
        bool final = !_bracket || value is >= 0x40 and <= 0x7E;
        _sequence = final || _sequence > MaximumSequence ? 0 : _sequence + 1;
    }
}
