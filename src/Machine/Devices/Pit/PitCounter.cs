namespace Farm.Machine.Devices.Pit;

/// <summary>
/// One counter of the 8254 (Intel data sheet 231164), evaluated lazily: times are CLK pulses since power-on, and the counting
/// element is a function of the pulse at which it was loaded.
/// </summary>
internal sealed class PitCounter
{
    private const long Never = long.MaxValue;

    private PitMode _mode;
    private PitAccess _access = PitAccess.Both;
    private bool _bcd;
    private bool _gate;

    /// <summary>Count register CR as a number of pulses (0 means the largest count).</summary>
    private int _reload;
    private byte _lowByte;
    private bool _highNext;
    private bool _readHighNext;
    private int? _latchedCount;
    private byte? _latchedStatus;

    /// <summary>A count was written since the control word.</summary>
    private bool _written;

    /// <summary>The counting element holds a count that runs, or waits for its gate.</summary>
    private bool _loaded;

    /// <summary>CR was written and has not been taken over by the counting element.</summary>
    private bool _pending;

    /// <summary>Pulse at which the counting element was loaded; pauses move it.</summary>
    private long _start;
    private int _initial;

    /// <summary>Pulses counted before the gate fell; -1 while counting.</summary>
    private long _pausedAt = -1;

    /// <summary>Mode 3: which half <see cref="_start"/> began.</summary>
    private bool _highHalf = true;

    /// <summary>OUT while nothing is loaded: low in mode 0, else high.</summary>
    private bool _frozenOutput;

    public PitMode Mode => _mode;

    /// <summary>Count of a full cycle, 1 to 65536.</summary>
    public int Reload => _reload == 0 ? Modulus : _reload;

    public bool Gate => _gate;

    private int Modulus => _bcd ? 10_000 : 0x10000;

    public void Reset(bool gate)
    {
        _gate = gate;
        _mode = PitMode.InterruptOnTerminalCount;
        _access = PitAccess.Both;
        _bcd = false;
        _reload = 0;
        _highNext = _readHighNext = false;
        _latchedCount = null;
        _latchedStatus = null;
        _written = _loaded = _pending = false;
        _pausedAt = -1;
        _highHalf = true;
        _frozenOutput = false;
    }

    public void WriteControl(byte control, long now)
    {
        var access = (PitAccess)(control >> 4 & 3);
        if (access == PitAccess.CounterLatch)
        {
            _latchedCount ??= CountAt(now);
            return;
        }
        _access = access;
        int mode = control >> 1 & 7;
        _mode = (PitMode)(mode > 5 ? mode - 4 : mode);
        _bcd = (control & 1) != 0;
        _highNext = _readHighNext = false;
        _latchedCount = null;
        _latchedStatus = null;
        _written = _loaded = _pending = false;
        _pausedAt = -1;
        _highHalf = true;
        _frozenOutput = _mode != PitMode.InterruptOnTerminalCount;
        _reload = 0;
    }

    public void WriteCount(byte value, long now)
    {
        Synchronize(now);
        switch (_access)
        {
            case PitAccess.LeastSignificant:
                Load(value, now);
                break;
            case PitAccess.MostSignificant:
                Load(value << 8, now);
                break;
            case PitAccess.Both when !_highNext:
                _lowByte = value;
                _highNext = true;
                if (_mode == PitMode.InterruptOnTerminalCount)
                {
                    // The first byte stops the count and sets OUT low at once.
                    _loaded = _pending = false;
                    _frozenOutput = false;
                }
                break;
            default:
                _highNext = false;
                Load(value << 8 | _lowByte, now);
                break;
        }
    }

    public byte Read(long now)
    {
        if (_latchedStatus is { } status)
        {
            _latchedStatus = null;
            return status;
        }
        int count = _latchedCount ?? CountAt(now);
        bool high = _access == PitAccess.MostSignificant || _access == PitAccess.Both && _readHighNext;
        if (_access == PitAccess.Both)
            _readHighNext = !_readHighNext;
        if (_access != PitAccess.Both || high)
            _latchedCount = null;
        return (byte)(high ? count >> 8 : count);
    }

    public void ReadBack(PitReadBack command, long now)
    {
        if ((command & PitReadBack.NoCount) == 0)
            _latchedCount ??= CountAt(now);
        if ((command & PitReadBack.NoStatus) != 0 || _latchedStatus is not null)
            return;
        Synchronize(now);
        var status = (PitStatus)((int)_access << 4 | (int)_mode << 1);
        if (_bcd)
            status |= PitStatus.Bcd;
        if (_pending || !_written || _loaded && now < _start)
            status |= PitStatus.NullCount;
        if (OutputAt(now))
            status |= PitStatus.Output;
        _latchedStatus = (byte)status;
    }

    public void SetGate(bool level, long now)
    {
        if (level == _gate)
            return;
        Synchronize(now);
        _gate = level;
        switch (_mode)
        {
            case PitMode.InterruptOnTerminalCount or PitMode.SoftwareStrobe:
                if (!_loaded)
                    break;
                if (level)
                    Resume(now);
                else
                    Pause(now);
                break;
            case PitMode.RateGenerator or PitMode.SquareWave:
                if (level && _written)
                    Start(now + 1);
                else
                    _loaded = false;
                break;
            default:
                if (level && _written)
                    Start(now + 1);
                break;
        }
    }

    /// <summary>Level of OUT at pulse <paramref name="now"/>; not earlier than the last call that changed the counter.</summary>
    public bool OutputAt(long now)
    {
        Synchronize(now);
        if (!_loaded)
            return _frozenOutput;
        long elapsed = Elapsed(now);
        return _mode switch
        {
            PitMode.InterruptOnTerminalCount => elapsed >= _initial,
            PitMode.RetriggerableOneShot => elapsed < 0 ? _frozenOutput : elapsed >= _initial,
            PitMode.RateGenerator => elapsed < 0 || _initial == 1 || elapsed != _initial - 1,
            PitMode.SquareWave => elapsed < 0 || _highHalf,
            _ => elapsed != _initial,
        };
    }

    /// <summary>
    /// The next pulse after <paramref name="now"/> at which OUT changes. The rate generator's one low pulse counts as one change at
    /// the reload: a falling and a rising edge. <see cref="Never"/> when nothing more happens by itself.
    /// </summary>
    public long NextChange(long now)
    {
        Synchronize(now);
        if (!_loaded || _pausedAt >= 0)
            return Never;
        switch (_mode)
        {
            case PitMode.InterruptOnTerminalCount:
                return _start + _initial > now ? _start + _initial : Never;
            case PitMode.RetriggerableOneShot:
                return _start > now ? _start : _start + _initial > now ? _start + _initial : Never;
            case PitMode.RateGenerator:
                return _initial == 1 ? Never : _start + _initial;
            case PitMode.SquareWave:
                return _initial == 1 ? Never : _start + HalfLength;
            default:
                return _start + _initial > now ? _start + _initial : _start + _initial + 1 > now ? _start + _initial + 1 : Never;
        }
    }

    private int HalfLength => _highHalf ? (_initial + 1) / 2 : _initial / 2;

    private void Load(int value, long now)
    {
        _reload = _bcd ? FromBcd(value) : value;
        _written = true;
        switch (_mode)
        {
            case PitMode.InterruptOnTerminalCount:
            case PitMode.SoftwareStrobe:
                Start(now + 1);
                if (!_gate)
                    _pausedAt = 0;
                break;
            case PitMode.RateGenerator:
            case PitMode.SquareWave:
                if (_loaded)
                    _pending = true;
                else if (_gate)
                    Start(now + 1);
                break;
            default:
                _pending = true;
                break;
        }
    }

    private void Start(long pulse)
    {
        if (_mode == PitMode.RetriggerableOneShot)
            _frozenOutput = !_loaded || OutputAt(pulse - 1);
        else
            _frozenOutput = true;
        _loaded = true;
        _pending = false;
        _initial = Reload;
        _start = pulse;
        _highHalf = true;
        _pausedAt = -1;
    }

    private void Pause(long now) => _pausedAt = Math.Max(0, now - _start);

    private void Resume(long now)
    {
        if (_pausedAt < 0)
            return;
        _start = now - _pausedAt;
        _pausedAt = -1;
    }

    private long Elapsed(long now) => _pausedAt >= 0 ? _pausedAt : now - _start;

    /// <summary>Brings the periodic modes' current cycle up to <paramref name="now"/>, taking a new count at the boundary.</summary>
    private void Synchronize(long now)
    {
        if (!_loaded || _pausedAt >= 0)
            return;
        if (_mode == PitMode.RateGenerator)
        {
            if (_pending && now >= _start + _initial)
            {
                _start += _initial;
                _initial = Reload;
                _pending = false;
            }
            if (now >= _start + _initial)
                _start += (now - _start) / _initial * _initial;
        }
        else if (_mode == PitMode.SquareWave)
        {
            if (_pending && now >= _start + HalfLength)
            {
                _start += HalfLength;
                _highHalf = !_highHalf;
                _initial = Reload;
                _pending = false;
            }
            if (now >= _start + _initial)
                _start += (now - _start) / _initial * _initial;
            if (_initial > 1 && now >= _start + HalfLength)
            {
                _start += HalfLength;
                _highHalf = !_highHalf;
            }
            if (_initial > 1 && now >= _start + HalfLength)
            {
                _start += HalfLength;
                _highHalf = !_highHalf;
            }
        }
    }

    /// <summary>The counting element as it reads, in the counter's own number system.</summary>
    private int CountAt(long now)
    {
        Synchronize(now);
        long count;
        if (!_loaded)
        {
            count = _reload;
        }
        else
        {
            long elapsed = Math.Max(0, Elapsed(now));
            count = _mode == PitMode.SquareWave ? Math.Max(0, (_initial & ~1) - 2 * elapsed) : _initial - elapsed;
        }
        count %= Modulus;
        if (count < 0)
            count += Modulus;
        return _bcd ? ToBcd((int)count) : (int)count;
    }

    private static int FromBcd(int value) =>
        ((value >> 12 & 15) * 1000 + (value >> 8 & 15) * 100 + (value >> 4 & 15) * 10 + (value & 15)) % 10_000;

    private static int ToBcd(int value) =>
        value / 1000 % 10 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 | value % 10;
}
