namespace Farm.Machine.Devices.Nics.Rtl8139;

/// <summary>
/// A 93C46 in its 64 x 16 organisation (Microchip data sheet DS20001749): start bit, two bits of opcode, six bits of address, then
/// sixteen bits of data, most significant first, on rising edges of the clock.
/// </summary>
public sealed class SerialEeprom
{
    public const int Words = 64;

    private const int CommandBits = 9; // start bit, opcode, address
    private const int WordBits = 16;

    private readonly ushort[] _words = new ushort[Words];
    private bool _selected;
    private bool _clock;
    private bool _writable;
    private int _address;
    private int _received;
    private uint _shift;
    private int _output;
    private int _outputBits;

    public SerialEeprom(ReadOnlySpan<ushort> content) => content.CopyTo(_words);

    /// <summary>DO; high while the chip is not selected (the pull-up) and while it is ready.</summary>
    public bool DataOut { get; private set; } = true;

    public ushort this[int word] => _words[word];

    /// <summary>Sets CS, SK and DI.</summary>
    public void Drive(bool select, bool clock, bool dataIn)
    {
        if (!select)
        {
            Deselect();
        }
        else if (clock && !_clock && _selected)
        {
            Clock(dataIn);
        }
        _selected = select;
        _clock = clock;
    }

    private void Deselect()
    {
        _received = 0;
        _shift = 0;
        _outputBits = 0;
        DataOut = true;
    }

    private void Clock(bool dataIn)
    {
        if (_outputBits > 0)
        {
            _outputBits--;
            DataOut = (_output >> _outputBits & 1) != 0;
            if (_outputBits == 0)
                NextWord();
            return;
        }
        if (_received == 0 && !dataIn)
            return; // waits for the start bit
        if (_received >= CommandBits + WordBits)
            return;
        _shift = _shift << 1 | (dataIn ? 1u : 0);
        _received++;
        if (_received == CommandBits)
            Command((int)(_shift >> 6 & 3), (int)(_shift & 0x3F));
        else if (_received == CommandBits + WordBits)
            Data((int)(_shift >> (6 + WordBits) & 3), (int)(_shift >> WordBits & 0x3F), (ushort)_shift);
    }

    private void Command(int opcode, int address)
    {
        switch (opcode)
        {
            case 2: // READ: a zero bit, then words in sequence
                DataOut = false;
                _address = address;
                _output = _words[address];
                _outputBits = WordBits;
                break;
            case 3: // ERASE
                Write(address, 0xFFFF);
                break;
            case 0 when address >> 4 == 3: // EWEN
                _writable = true;
                break;
            case 0 when address >> 4 == 0: // EWDS
                _writable = false;
                break;
            case 0 when address >> 4 == 2: // ERAL
                WriteAll(0xFFFF);
                break;
        }
    }

    private void Data(int opcode, int address, ushort value)
    {
        if (opcode == 1)
            Write(address, value);
        else if (opcode == 0 && address >> 4 == 1)
            WriteAll(value);
    }

    private void NextWord()
    {
        _address = (_address + 1) % Words;
        _output = _words[_address];
        _outputBits = WordBits;
    }

    private void Write(int address, ushort value)
    {
        if (_writable)
            _words[address] = value;
    }

    private void WriteAll(ushort value)
    {
        if (_writable)
            Array.Fill(_words, value);
    }
}
