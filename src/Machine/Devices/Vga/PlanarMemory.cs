using Farm.Machine.Memory;

namespace Farm.Machine.Devices.Vga;

/// <summary>
/// Video memory and the VGA's path to it: latches, write modes 0-3, read modes 0-1, odd/even and chain-4 addressing. The four
/// planes lie interleaved: one 32-bit word per plane address, plane 0 in the low byte. No guest value leads outside the memory.
/// </summary>
public sealed unsafe class PlanarMemory : IDisposable
{
    private static readonly uint[] PlaneMasks =
    [
        0x00000000, 0x000000FF, 0x0000FF00, 0x0000FFFF, 0x00FF0000, 0x00FF00FF, 0x00FFFF00, 0x00FFFFFF,
        0xFF000000, 0xFF0000FF, 0xFF00FF00, 0xFF00FFFF, 0xFFFF0000, 0xFFFF00FF, 0xFFFFFF00, 0xFFFFFFFF,
    ];

    private readonly HostMemory _allocation;
    private uint* _words;
    private uint _latch;

    private bool _enabled;
    private uint _windowBase;
    private uint _windowSize;
    private bool _chain4;
    private bool _oddEvenWrite;
    private bool _oddEvenRead;
    private bool _chainOddEven;
    private bool _wholeWindow;
    private uint _mapMask;
    private int _readMap;
    private uint _bank;
    private uint _offsetMask = 0xFFFF;

    private int _writeMode;
    private bool _plainWrite;
    private bool _compareRead;
    private uint _setReset;
    private uint _enableSetReset;
    private uint _colorCompare;
    private uint _colorDontCare;
    private int _rotate;
    private int _function;
    private uint _bitMask;
    private TextWindow? _text;
    private ulong _generation;

    /// <param name="size">Bytes, a power of two of at least 256 KiB.</param>
    public PlanarMemory(int size)
    {
        if (size < 0x40000 || !int.IsPow2(size))
            throw new ArgumentOutOfRangeException(nameof(size), $"Video memory of {size} bytes: give a power of two of at least 256 KiB.");
        Size = size;
        _allocation = new HostMemory((ulong)size);
        Bytes = _allocation.Start;
        _words = (uint*)Bytes;
    }

    public int Size { get; }

    /// <summary>All of video memory, page-aligned, for the linear framebuffer.</summary>
    public byte* Bytes { get; private set; }

    /// <summary>Counts the writes through the VGA's windows that changed something.</summary>
    public ulong Generation
    {
        get
        {
            Settle();
            return _generation;
        }
    }

    /// <summary>
    /// Offset from A0000h of the window while a text mode makes it plain memory (<see cref="TextWindow"/>): odd/even addressing on planes 0
    /// and 1, nothing that modifies data. Only the latches would show a difference. Null: it is not.
    /// </summary>
    public uint? PlainText { get; private set; }

    /// <summary>The window while a processor uses it directly.</summary>
    public TextWindow? Text
    {
        get => _text;
        set
        {
            Settle();
            value?.Load(Bytes);
            _text = value;
        }
    }

    /// <summary>Brings to video memory what a processor stored to <see cref="Text"/>.</summary>
    public void Settle()
    {
        if (_text is not null && _text.Store(Bytes))
            _generation++;
    }

    public uint Latch => _latch;

    /// <summary>The four planes' bytes at a plane address, plane 0 lowest.</summary>
    public uint Fetch(uint planeAddress) => _words[planeAddress & (uint)(Size / 4 - 1)];

    /// <summary>Takes over the registers that steer the path; called after a change of any of them.</summary>
    public void Configure(ReadOnlySpan<byte> sequencer, ReadOnlySpan<byte> graphics, MiscellaneousOutput output)
    {
        var memoryMode = (SequencerMemoryMode)sequencer[(int)SequencerRegister.MemoryMode];
        var mode = (GraphicsMode)graphics[(int)GraphicsRegister.Mode];
        var miscellaneous = (GraphicsMiscellaneous)graphics[(int)GraphicsRegister.Miscellaneous];
        _enabled = output.HasFlag(MiscellaneousOutput.EnableRam);
        (_windowBase, _windowSize) = ((int)(miscellaneous & GraphicsMiscellaneous.MemoryMapMask) >> 2) switch
        {
            0 => (0x00000u, 0x20000u),
            1 => (0x00000u, 0x10000u),
            2 => (0x10000u, 0x08000u),
            _ => (0x18000u, 0x08000u),
        };
        _wholeWindow = _windowSize == 0x20000;
        _chain4 = memoryMode.HasFlag(SequencerMemoryMode.Chain4);
        _oddEvenWrite = !_chain4 && !memoryMode.HasFlag(SequencerMemoryMode.OddEvenDisable);
        _oddEvenRead = !_chain4 && mode.HasFlag(GraphicsMode.OddEvenRead);
        _chainOddEven = !_chain4 && miscellaneous.HasFlag(GraphicsMiscellaneous.ChainOddEven);
        _mapMask = sequencer[(int)SequencerRegister.MapMask] & 0xFu;
        _readMap = graphics[(int)GraphicsRegister.ReadMapSelect] & 3;

        _writeMode = (int)(mode & GraphicsMode.WriteModeMask);
        _compareRead = mode.HasFlag(GraphicsMode.ReadModeCompare);
        _setReset = PlaneMasks[graphics[(int)GraphicsRegister.SetReset] & 0xF];
        _enableSetReset = PlaneMasks[graphics[(int)GraphicsRegister.EnableSetReset] & 0xF];
        _colorCompare = PlaneMasks[graphics[(int)GraphicsRegister.ColorCompare] & 0xF];
        _colorDontCare = PlaneMasks[graphics[(int)GraphicsRegister.ColorDontCare] & 0xF];
        _rotate = graphics[(int)GraphicsRegister.DataRotate] & 7;
        _function = (graphics[(int)GraphicsRegister.DataRotate] >> 3) & 3;
        _bitMask = graphics[(int)GraphicsRegister.BitMask] * 0x01010101u;
        _plainWrite = _writeMode == 0 && _function == 0 && _rotate == 0 && _bitMask == uint.MaxValue && _enableSetReset == 0;
        bool plain = _enabled && _windowSize == TextWindow.Size && _oddEvenWrite && _oddEvenRead && _chainOddEven && _mapMask == 3 && (_readMap & 2) == 0
            && _plainWrite && !_compareRead && _bank == 0 && _offsetMask == 0xFFFF;
        PlainText = plain ? _windowBase : null;
    }

    /// <summary>
    /// Banking of a planar mode beyond 256 KiB: <paramref name="planeBank"/> is added to each plane address, which then is not
    /// cut to 64 KiB. Zero and false for the plain VGA.
    /// </summary>
    public void SetBank(uint planeBank, bool wide)
    {
        _bank = planeBank;
        _offsetMask = wide ? (uint)(Size / 4 - 1) : 0xFFFF;
    }

    /// <summary>CPU read at <paramref name="address"/> relative to A0000h.</summary>
    public byte Read(uint address)
    {
        if (!_enabled)
            return 0xFF;
        address -= _windowBase;
        if (address >= _windowSize)
            return 0xFF;
        if (_text is not null)
            return _text.Bytes[address];
        int plane = _readMap;
        if (_chain4)
        {
            plane = (int)(address & 3);
            address &= ~3u;
        }
        else
        {
            if (_oddEvenRead)
                plane = (plane & 2) | (int)(address & 1);
            if (_chainOddEven)
                address = ReplaceBit0(address);
        }
        _latch = _words[(address + _bank) & _offsetMask];
        if (!_compareRead)
            return (byte)(_latch >> (plane * 8));
        uint difference = (_latch ^ _colorCompare) & _colorDontCare;
        return (byte)~(difference | difference >> 8 | difference >> 16 | difference >> 24);
    }

    /// <summary>CPU write at <paramref name="address"/> relative to A0000h.</summary>
    public void Write(uint address, byte value)
    {
        if (!_enabled)
            return;
        address -= _windowBase;
        if (address >= _windowSize)
            return;
        if (_text is not null)
        {
            _text.Bytes[address] = value;
            return;
        }
        uint planes = _mapMask;
        if (_chain4)
        {
            planes &= 1u << (int)(address & 3);
            address &= ~3u;
        }
        else
        {
            if (_oddEvenWrite)
                planes &= (address & 1) == 0 ? 5u : 10u;
            if (_chainOddEven)
                address = ReplaceBit0(address);
        }
        uint mask = PlaneMasks[planes];
        ref uint word = ref _words[(address + _bank) & _offsetMask];
        uint data = _plainWrite ? value * 0x01010101u : Modify(value);
        uint result = (word & ~mask) | (data & mask);
        if (result == word)
            return;
        word = result;
        _generation++;
    }

    /// <summary>Byte write into video memory as the linear framebuffer sees it.</summary>
    public void WriteLinear(uint address, byte value)
    {
        ref byte target = ref Bytes[address & (uint)(Size - 1)];
        if (target == value)
            return;
        target = value;
        _generation++;
    }

    public byte ReadLinear(uint address) => Bytes[address & (uint)(Size - 1)];

    /// <summary>Notes a change that was made through <see cref="Bytes"/>.</summary>
    public void Touch() => _generation++;

    /// <summary>Zeroes the first <paramref name="count"/> bytes.</summary>
    public void Clear(long count)
    {
        Settle();
        new Span<byte>(Bytes, (int)Math.Clamp(count, 0, Size)).Clear();
        _generation++;
    }

    public void Dispose()
    {
        _text = null;
        _allocation.Dispose();
        _words = null;
        Bytes = null;
    }

    /// <summary>Chained odd/even addressing: A0 has chosen the plane, A16 of the 128 KiB window takes its place.</summary>
    private uint ReplaceBit0(uint address) => (address & ~1u) | (_wholeWindow ? (address >> 16) & 1 : 0);

    private uint Modify(byte value)
    {
        if (_writeMode == 1)
            return _latch;
        uint bitMask = _bitMask;
        uint data;
        if (_writeMode == 2)
        {
            data = PlaneMasks[value & 0xF];
        }
        else
        {
            uint rotated = (uint)((value >> _rotate) | (value << (8 - _rotate))) & 0xFF;
            data = rotated * 0x01010101u;
            if (_writeMode == 3)
            {
                bitMask &= data;
                data = _setReset;
            }
            else
            {
                data = (data & ~_enableSetReset) | (_setReset & _enableSetReset);
            }
        }
        data = _function switch
        {
            1 => data & _latch,
            2 => data | _latch,
            3 => data ^ _latch,
            _ => data,
        };
        return (data & bitMask) | (_latch & ~bitMask);
    }
}
