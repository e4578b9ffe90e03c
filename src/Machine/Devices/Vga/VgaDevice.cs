using Farm.Machine.Bus;
using Farm.Machine.Time;

namespace Farm.Machine.Devices.Vga;

/// <summary>
/// The IBM VGA with the Bochs VBE extension: ports 3B4h-3DAh, 1CEh-1D0h and the window A0000h-BFFFFh. Video memory is native
/// memory that the machine may map as RAM for the linear framebuffer. Nothing that a guest writes makes an access fail or leaves
/// video memory. Reading the screen: <see cref="ScreenReader"/>.
/// </summary>
public unsafe class VgaDevice : IPortDevice, IMmioDevice, IDisposable
{
    public const ulong WindowBase = 0xA0000;
    public const int WindowSize = 0x20000;
    public const int DefaultVideoMemory = 16 << 20;

    private const ushort MonochromeCrtcIndex = 0x3B4;
    private const ushort MonochromeStatus = 0x3BA;
    private const ushort ColorCrtcIndex = 0x3D4;
    private const ushort ColorStatus = 0x3DA;

    private readonly IVirtualClock _clock;
    private readonly InterruptLine _verticalInterrupt;
    private readonly IClockTimer _retraceTimer;
    private readonly byte[] _sequencer = new byte[256];
    private readonly byte[] _crtc = new byte[256];
    private readonly byte[] _graphics = new byte[256];
    private readonly byte[] _attribute = new byte[32];
    private readonly BochsDispi _dispi;
    private readonly PlanarMemory _memory;
    private MiscellaneousOutput _output;
    private byte _featureControl;
    private byte _subsystemEnable;
    private byte _sequencerIndex;
    private byte _crtcIndex;
    private byte _graphicsIndex;
    private byte _attributeIndex;
    private bool _attributeData;
    private bool _packedWindow;
    private bool _verticalPending;
    private ulong _generation;
    private RetraceTiming _timing;
    private bool _timingStale = true;
    private TextWindow? _text;
    private uint _mappedAt;
    private int _windowAccesses;

    /// <param name="verticalInterrupt">IRQ 2/9 on a PC; most adapters leave it unconnected.</param>
    /// <param name="videoMemory">Bytes, a power of two of at least 256 KiB.</param>
    public VgaDevice(IVirtualClock clock, InterruptLine? verticalInterrupt = null, int videoMemory = DefaultVideoMemory)
    {
        _clock = clock;
        _verticalInterrupt = verticalInterrupt ?? InterruptLine.Unconnected;
        _retraceTimer = clock.CreateTimer("VGA vertical retrace", OnRetrace);
        _dispi = new BochsDispi(videoMemory);
        _memory = new PlanarMemory(videoMemory);
        LinearStores = new LinearStores(_memory.Bytes, videoMemory);
        Reset();
    }

    public virtual string Name => "VGA";

    public virtual IReadOnlyList<PortRange> Ports { get; } =
    [
        new(0x1CE, 3, 2), new(MonochromeCrtcIndex, 2), new(MonochromeStatus, 1), new(0x3C0, 16), new(ColorCrtcIndex, 2), new(ColorStatus, 1),
    ];

    /// <summary>Video memory, page-aligned, for mapping as the linear framebuffer; valid until <see cref="Dispose()"/>.</summary>
    public byte* Vram => _memory.Bytes;

    public int VramSize => _memory.Size;

    public Dac Dac { get; } = new();

    public MiscellaneousOutput Output => _output;

    public ReadOnlySpan<byte> Sequencer => _sequencer;

    public ReadOnlySpan<byte> Crtc => _crtc;

    public ReadOnlySpan<byte> Graphics => _graphics;

    public ReadOnlySpan<byte> Attribute => _attribute;

    /// <summary>Attribute index bit 5: while clear the screen shows only the overscan colour.</summary>
    public bool PaletteAddressSource => (_attributeIndex & 0x20) != 0;

    /// <summary>
    /// Changes whenever a write through ports or the VGA window may have changed the screen. Writes through the linear framebuffer are
    /// not seen here; <see cref="ScreenReader.Stamp"/> covers them.
    /// </summary>
    public ulong Generation => _generation + _memory.Generation;

    /// <summary>The packed mode that overrides the CRTC, if any.</summary>
    public virtual LinearMode? Linear => _dispi.Enabled ? _dispi.Mode : null;

    /// <summary>True while the linear framebuffer is plain memory that may be mapped as RAM.</summary>
    public virtual bool LinearDirect => true;

    /// <summary>Raised when <see cref="LinearDirect"/> changes.</summary>
    public event Action? LinearAccessChanged;

    /// <summary>Accesses to the window that cost about what mapping it does.</summary>
    private const int AccessesBeforeMapping = 64;

    /// <summary>
    /// Shows the window as memory: its address, length, and the host's address of its bytes, or 0 when it is the device's again. Set where
    /// each access to a device stops a processor.
    /// </summary>
    public Action<ulong, int, nint>? MapWindow { get; set; }

    protected PlanarMemory Memory => _memory;

    /// <summary>What happens to the linear framebuffer.</summary>
    internal LinearStores LinearStores { get; }

    /// <summary>Draws what the adapter lays over a packed mode's picture (a hardware cursor).</summary>
    internal virtual void DrawOverlay(Span<uint> pixels, int width, int height)
    {
    }

    /// <summary>The four planes' bytes at a plane address.</summary>
    internal uint Fetch(uint planeAddress) => _memory.Fetch(planeAddress);

    private bool ColorAddressing => (_output & MiscellaneousOutput.ColorAddress) != 0;

    public virtual void Reset()
    {
        Array.Clear(_sequencer);
        Array.Clear(_crtc);
        Array.Clear(_graphics);
        Array.Clear(_attribute);
        Dac.Reset();
        _dispi.Reset();
        _output = MiscellaneousOutput.None;
        _featureControl = _subsystemEnable = _sequencerIndex = _crtcIndex = _graphicsIndex = _attributeIndex = 0;
        _attributeData = false;
        _verticalPending = false;
        _retraceTimer.Disarm();
        _verticalInterrupt.Lower();
        DisplayChanged();
        MemoryPathChanged();
    }

    public virtual uint ReadPort(ushort port, int size) => port switch
    {
        0x1CE => _dispi.Index,
        0x1CF or 0x1D0 => _dispi.Read(),
        0x3C0 => _attributeIndex,
        0x3C1 => _attribute[_attributeIndex & 0x1F],
        0x3C2 => (byte)(InputStatus0.SwitchSense | (_verticalPending ? InputStatus0.VerticalInterruptPending : InputStatus0.None)),
        0x3C3 => _subsystemEnable,
        0x3C4 => _sequencerIndex,
        0x3C5 => ReadSequencer(_sequencerIndex),
        0x3C6 => Dac.PixelMask,
        0x3C7 => Dac.State,
        0x3C8 => Dac.WriteIndex,
        0x3C9 => Dac.ReadData(),
        0x3CA => _featureControl,
        0x3CC => (byte)_output,
        0x3CE => _graphicsIndex,
        0x3CF => ReadGraphics(_graphicsIndex),
        ColorCrtcIndex when ColorAddressing => _crtcIndex,
        ColorCrtcIndex + 1 when ColorAddressing => ReadCrtc(_crtcIndex),
        ColorStatus when ColorAddressing => ReadStatus1(),
        MonochromeCrtcIndex when !ColorAddressing => _crtcIndex,
        MonochromeCrtcIndex + 1 when !ColorAddressing => ReadCrtc(_crtcIndex),
        MonochromeStatus when !ColorAddressing => ReadStatus1(),
        _ => uint.MaxValue,
    };

    public virtual void WritePort(ushort port, uint value, int size)
    {
        byte data = (byte)value;
        switch (port)
        {
            case 0x1CE:
                _dispi.Index = (ushort)value;
                break;
            case 0x1CF or 0x1D0:
                WriteDispi((DispiRegister)_dispi.Index, size == 1 ? (ushort)(_dispi.Read() & 0xFF00 | data) : (ushort)value);
                break;
            case 0x3C0:
                WriteAttributePort(data);
                break;
            case 0x3C2:
                _output = (MiscellaneousOutput)data;
                DisplayChanged();
                MemoryPathChanged();
                break;
            case 0x3C3:
                _subsystemEnable = (byte)(data & 1);
                break;
            case 0x3C4:
                _sequencerIndex = data;
                break;
            case 0x3C5:
                WriteSequencer(_sequencerIndex, data);
                break;
            case 0x3C6:
                Dac.SetPixelMask(data);
                _generation++;
                break;
            case 0x3C7:
                Dac.SetReadIndex(data);
                break;
            case 0x3C8:
                Dac.SetWriteIndex(data);
                break;
            case 0x3C9:
                Dac.WriteData(data);
                _generation++;
                break;
            case 0x3CE:
                _graphicsIndex = data;
                break;
            case 0x3CF:
                WriteGraphics(_graphicsIndex, data);
                break;
            case ColorCrtcIndex when ColorAddressing:
            case MonochromeCrtcIndex when !ColorAddressing:
                _crtcIndex = data;
                break;
            case ColorCrtcIndex + 1 when ColorAddressing:
            case MonochromeCrtcIndex + 1 when !ColorAddressing:
                WriteCrtc(_crtcIndex, data);
                break;
            case ColorStatus when ColorAddressing:
            case MonochromeStatus when !ColorAddressing:
                _featureControl = data;
                break;
        }
    }

    /// <summary>Between two runs: maps the window of a text mode as memory when it is in use.</summary>
    public void OfferWindow()
    {
        if (_windowAccesses < AccessesBeforeMapping || MapWindow is null || _memory.Text is not null || PlainText is not { } offset)
            return;
        _memory.Text = _text ??= new TextWindow();
        _mappedAt = offset;
        MapWindow(WindowBase + offset, TextWindow.Size, (nint)_text.Bytes);
    }

    /// <summary>Before the screen is read.</summary>
    internal void Settle() => _memory.Settle();

    public virtual ulong ReadMmio(ulong address, int size)
    {
        _windowAccesses++;
        uint offset = (uint)(address - WindowBase);
        ulong value = 0;
        for (int i = 0; i < size; i++)
            value |= (ulong)ReadWindow(offset + (uint)i) << (8 * i);
        return value;
    }

    public virtual void WriteMmio(ulong address, ulong value, int size)
    {
        _windowAccesses++;
        uint offset = (uint)(address - WindowBase);
        for (int i = 0; i < size; i++)
            WriteWindow(offset + (uint)i, (byte)(value >> (8 * i)));
    }

    /// <summary>A byte of the linear framebuffer where it is not mapped as RAM; beyond video memory FFh.</summary>
    public virtual byte ReadLinear(uint offset) => offset < (uint)_memory.Size ? _memory.ReadLinear(offset) : (byte)0xFF;

    public virtual void WriteLinear(uint offset, byte value)
    {
        if (offset < (uint)_memory.Size)
            _memory.WriteLinear(offset, value);
    }

    public ushort ReadDispi(DispiRegister register) => _dispi.Read(register);

    public void WriteDispi(DispiRegister register, ushort value)
    {
        long clear = _dispi.Write(register, value);
        if (clear > 0)
            _memory.Clear(clear);
        Dac.EightBit = _dispi.EightBitDac;
        DisplayChanged();
        MemoryPathChanged();
    }

    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    protected virtual void Dispose(bool disposing)
    {
        _memory.Dispose();
        _text?.Dispose();
    }

    /// <summary>As <see cref="PlanarMemory.PlainText"/>, where nothing of the adapter's own lies between.</summary>
    protected virtual uint? PlainText => _packedWindow ? null : _memory.PlainText;

    protected virtual byte ReadSequencer(byte index) => index <= (byte)SequencerRegister.MemoryMode ? _sequencer[index] : (byte)0;

    protected virtual void WriteSequencer(byte index, byte value)
    {
        if (index > (byte)SequencerRegister.MemoryMode)
            return;
        SetSequencer(index, value);
    }

    protected virtual byte ReadCrtc(byte index) => (CrtcRegister)index switch
    {
        <= CrtcRegister.LineCompare => _crtc[index],
        CrtcRegister.MemoryLatch => (byte)(_memory.Latch >> (8 * (_graphics[(int)GraphicsRegister.ReadMapSelect] & 3))),
        CrtcRegister.AttributeToggle => _attributeData ? (byte)0x80 : (byte)0,
        _ => 0,
    };

    protected virtual void WriteCrtc(byte index, byte value)
    {
        var register = (CrtcRegister)index;
        if (register > CrtcRegister.LineCompare)
            return;
        if (register <= CrtcRegister.Overflow && (_crtc[(int)CrtcRegister.VerticalRetraceEnd] & 0x80) != 0)
        {
            if (register != CrtcRegister.Overflow)
                return;
            value = (byte)(_crtc[index] & ~0x10 | value & 0x10);
        }
        SetCrtc(index, value);
        if (register == CrtcRegister.VerticalRetraceEnd)
            VerticalInterruptControlChanged(value);
    }

    protected virtual byte ReadGraphics(byte index) => index <= (byte)GraphicsRegister.BitMask ? _graphics[index] : (byte)0;

    protected virtual void WriteGraphics(byte index, byte value)
    {
        if (index > (byte)GraphicsRegister.BitMask)
            return;
        SetGraphics(index, value);
    }

    /// <summary>A byte of the window, at an offset from A0000h below 20000h.</summary>
    protected virtual byte ReadWindow(uint offset)
    {
        if (!_packedWindow)
            return _memory.Read(offset);
        return offset < 0x10000 ? _memory.ReadLinear(_dispi.BankOffset + offset) : (byte)0xFF;
    }

    protected virtual void WriteWindow(uint offset, byte value)
    {
        if (!_packedWindow)
            _memory.Write(offset, value);
        else if (offset < 0x10000)
            _memory.WriteLinear(_dispi.BankOffset + offset, value);
    }

    protected void SetSequencer(byte index, byte value)
    {
        if (_sequencer[index] == value)
            return;
        _sequencer[index] = value;
        if (index is (byte)SequencerRegister.ClockingMode or (byte)SequencerRegister.CharacterMapSelect or > (byte)SequencerRegister.MemoryMode)
            DisplayChanged();
        MemoryPathChanged();
    }

    protected void SetCrtc(byte index, byte value)
    {
        if (_crtc[index] == value)
            return;
        _crtc[index] = value;
        DisplayChanged();
    }

    protected void SetGraphics(byte index, byte value)
    {
        if (_graphics[index] == value)
            return;
        _graphics[index] = value;
        if (index is (byte)GraphicsRegister.Mode or (byte)GraphicsRegister.Miscellaneous)
            DisplayChanged();
        MemoryPathChanged();
    }

    protected void RaiseLinearAccessChanged() => LinearAccessChanged?.Invoke();

    /// <summary>Something that the screen or its timing depends on has changed.</summary>
    protected void DisplayChanged()
    {
        _generation++;
        _timingStale = true;
    }

    /// <summary>A register that steers the CPU's path to video memory has changed.</summary>
    protected virtual void MemoryPathChanged()
    {
        _packedWindow = _dispi.Packed;
        bool wide = _dispi.Enabled && !_dispi.Packed;
        _memory.SetBank(wide ? _dispi.BankOffset : 0, wide);
        _memory.Configure(_sequencer, _graphics, _output);
        if (_memory.Text is null || PlainText == _mappedAt)
            return;
        _memory.Text = null;
        _windowAccesses = 0;
        MapWindow?.Invoke(WindowBase + _mappedAt, TextWindow.Size, 0);
    }

    private void WriteAttributePort(byte data)
    {
        if (_attributeData)
        {
            int index = _attributeIndex & 0x1F;
            if (index <= (int)AttributeRegister.ColorSelect && _attribute[index] != data)
            {
                _attribute[index] = data;
                _generation++;
            }
        }
        else
        {
            if (((_attributeIndex ^ data) & 0x20) != 0)
                _generation++;
            _attributeIndex = (byte)(data & 0x3F);
        }
        _attributeData = !_attributeData;
    }

    private byte ReadStatus1()
    {
        _attributeData = false;
        return (byte)Timing().StatusAt(_clock.Now);
    }

    private ref readonly RetraceTiming Timing()
    {
        if (_timingStale)
        {
            _timing = new RetraceTiming(_crtc, (ClockingMode)_sequencer[(int)SequencerRegister.ClockingMode], _output);
            _timingStale = false;
        }
        return ref _timing;
    }

    /// <summary>Vertical Retrace End: bit 4 clear resets the interrupt, bit 5 clear lets the next retrace raise it.</summary>
    private void VerticalInterruptControlChanged(byte value)
    {
        if ((value & 0x10) == 0)
        {
            _verticalPending = false;
            _verticalInterrupt.Lower();
        }
        if ((value & 0x30) != 0x10)
            _retraceTimer.Disarm();
        else if (!_retraceTimer.Armed)
            _retraceTimer.Arm(Timing().NextRetrace(_clock.Now));
    }

    private void OnRetrace(long deadline)
    {
        _verticalPending = true;
        _verticalInterrupt.Raise();
        _retraceTimer.Arm(Timing().NextRetrace(deadline));
    }
}
