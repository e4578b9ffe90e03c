namespace Farm.Machine.Devices.Pic;

/// <summary>
/// One 8259A (Intel data sheet 231468). As in the chip, a request that falls before it is acknowledged is forgotten in edge
/// mode too.
/// </summary>
internal sealed class Pic8259(byte levelCapable, Action<bool> outputChanged)
{
    private const byte SpuriousInput = 7;

    private byte _lines;
    private byte _edges;
    private byte _imr;
    private byte _isr;
    private byte _icw3;
    private byte _lowestPriority;
    private Icw1 _icw1;
    private Icw4 _icw4;
    private int _nextIcw;
    private bool _readIsr;
    private bool _poll;
    private bool _specialMask;
    private bool _rotateOnAutoEoi;
    private bool _output;

    /// <summary>ICW2: vector of input 0.</summary>
    public byte VectorBase { get; private set; }

    /// <summary>Edge/level control register: inputs that are level-triggered.</summary>
    public byte Elcr { get; private set; }

    /// <summary>Inputs that drive another 8259 and so stay open while in service under the special fully nested mode.</summary>
    public byte CascadeInputs { get; init; }

    public byte Irr => (byte)(_lines & (_edges | LevelTriggered));

    public byte Isr => _isr;

    public byte Imr => _imr;

    private byte LevelTriggered => (_icw1 & Icw1.LTIM) != 0 ? (byte)0xFF : Elcr;

    public void Reset()
    {
        Elcr = 0;
        VectorBase = 0;
        _edges = 0;
        Initialize(0);
        _nextIcw = 0;
        Update();
    }

    public void SetInput(int input, bool level)
    {
        byte bit = (byte)(1 << input);
        if (level == ((_lines & bit) != 0))
            return;
        if (level)
        {
            _lines |= bit;
            _edges |= bit;
        }
        else
        {
            _lines &= (byte)~bit;
            _edges &= (byte)~bit;
        }
        Update();
    }

    /// <summary>INTA cycle. Returns the input served, and 7 without setting ISR when nothing is pending.</summary>
    public int Acknowledge()
    {
        int input = Highest();
        if (input < 0)
            return SpuriousInput;
        byte bit = (byte)(1 << input);
        _edges &= (byte)~bit;
        if ((_icw4 & Icw4.AEOI) == 0)
            _isr |= bit;
        else if (_rotateOnAutoEoi)
            _lowestPriority = (byte)input;
        // INT drops between the acknowledge and the next request, which an edge-triggered cascade input has to see.
        SetOutput(false);
        Update();
        return input;
    }

    public byte ReadCommand()
    {
        if (_poll)
            return Poll();
        return _readIsr ? _isr : Irr;
    }

    public byte ReadMask() => _poll ? Poll() : _imr;

    public byte ReadElcr() => Elcr;

    public void WriteElcr(byte value)
    {
        Elcr = (byte)(value & levelCapable);
        Update();
    }

    public void WriteCommand(byte value)
    {
        if ((value & (byte)Icw1.Select) != 0)
        {
            Initialize((Icw1)value);
            _nextIcw = 2;
        }
        else if ((value & (byte)Ocw3.Select) != 0)
        {
            WriteOcw3((Ocw3)value);
        }
        else
        {
            WriteOcw2((Ocw2)value);
        }
        Update();
    }

    public void WriteMask(byte value)
    {
        switch (_nextIcw)
        {
            case 2:
                VectorBase = (byte)(value & 0xF8);
                _nextIcw = (_icw1 & Icw1.SNGL) == 0 ? 3 : (_icw1 & Icw1.IC4) != 0 ? 4 : 0;
                break;
            case 3:
                _icw3 = value;
                _nextIcw = (_icw1 & Icw1.IC4) != 0 ? 4 : 0;
                break;
            case 4:
                _icw4 = (Icw4)value;
                _nextIcw = 0;
                break;
            default:
                _imr = value;
                break;
        }
        Update();
    }

    public override string ToString() =>
        $"IRR {Irr:X2} IMR {_imr:X2} ISR {_isr:X2} lines {_lines:X2} base {VectorBase:X2} ICW3 {_icw3:X2} ELCR {Elcr:X2}";

    private void Initialize(Icw1 icw1)
    {
        _icw1 = icw1;
        _icw4 = 0;
        _imr = 0;
        _isr = 0;
        _edges = 0;
        _lowestPriority = 7;
        _readIsr = false;
        _poll = false;
        _specialMask = false;
        _rotateOnAutoEoi = false;
    }

    private void WriteOcw2(Ocw2 value)
    {
        byte level = (byte)(value & Ocw2.LevelMask);
        switch (value & (Ocw2.R | Ocw2.SL | Ocw2.EOI))
        {
            case Ocw2.EOI:
                EndOfInterrupt(HighestInService(), rotate: false);
                break;
            case Ocw2.EOI | Ocw2.SL:
                EndOfInterrupt(level, rotate: false);
                break;
            case Ocw2.R | Ocw2.EOI:
                EndOfInterrupt(HighestInService(), rotate: true);
                break;
            case Ocw2.R | Ocw2.EOI | Ocw2.SL:
                EndOfInterrupt(level, rotate: true);
                break;
            case Ocw2.R | Ocw2.SL:
                _lowestPriority = level;
                break;
            case Ocw2.R:
                _rotateOnAutoEoi = true;
                break;
            case 0:
                _rotateOnAutoEoi = false;
                break;
        }
    }

    private void WriteOcw3(Ocw3 value)
    {
        _poll = (value & Ocw3.P) != 0;
        if ((value & Ocw3.RR) != 0)
            _readIsr = (value & Ocw3.RIS) != 0;
        if ((value & Ocw3.ESMM) != 0)
            _specialMask = (value & Ocw3.SMM) != 0;
    }

    private void EndOfInterrupt(int input, bool rotate)
    {
        if (input < 0)
            return;
        _isr &= (byte)~(1 << input);
        if (rotate)
            _lowestPriority = (byte)input;
    }

    /// <summary>The poll command's read: it acknowledges, bit 7 says that there was a request.</summary>
    private byte Poll()
    {
        _poll = false;
        if (Highest() < 0)
            return 0;
        return (byte)(0x80 | Acknowledge());
    }

    /// <summary>The input that would be acknowledged now, or -1.</summary>
    private int Highest()
    {
        int requests = Irr & ~_imr;
        if (requests == 0)
            return -1;
        int blocking = _specialMask ? _isr & ~_imr : _isr;
        bool nested = (_icw4 & Icw4.SFNM) != 0;
        for (int rank = 1; rank <= 8; rank++)
        {
            int input = (_lowestPriority + rank) & 7;
            int bit = 1 << input;
            bool inService = (blocking & bit) != 0;
            if (inService && !(nested && (CascadeInputs & bit) != 0))
                return -1;
            if ((requests & bit) != 0)
                return input;
            if (inService)
                return -1;
        }
        return -1;
    }

    private int HighestInService()
    {
        // Under the special mask mode a masked in-service bit is not cleared by a non-specific EOI (data sheet, "Special mask mode").
        int candidates = _specialMask ? _isr & ~_imr : _isr;
        for (int rank = 1; rank <= 8; rank++)
        {
            int input = (_lowestPriority + rank) & 7;
            if ((candidates & (1 << input)) != 0)
                return input;
        }
        return -1;
    }

    private void Update() => SetOutput(Highest() >= 0);

    private void SetOutput(bool level)
    {
        if (level == _output)
            return;
        _output = level;
        outputChanged(level);
    }
}
