namespace Farm.Machine.Devices.Vga;

/// <summary>The colour look-up table and its ports 3C6h-3C9h (INMOS IMSG171 and the VGA's own). Components are 6 or 8 bits wide.</summary>
public sealed class Dac
{
    private readonly byte[] _components = new byte[256 * 3];
    private int _writeIndex;
    private int _writeComponent;
    private int _readIndex;
    private int _readComponent;
    private bool _reading;

    public byte PixelMask { get; private set; } = 0xFF;

    /// <summary>Bochs VBE's 8BIT_DAC.</summary>
    public bool EightBit { get; set; }

    /// <summary>3C7h: 3 after a read index was set, 0 after a write index.</summary>
    public byte State => _reading ? (byte)3 : (byte)0;

    public byte WriteIndex => (byte)_writeIndex;

    public void Reset()
    {
        Array.Clear(_components);
        _writeIndex = _writeComponent = _readIndex = _readComponent = 0;
        _reading = false;
        EightBit = false;
        PixelMask = 0xFF;
    }

    public void SetPixelMask(byte value) => PixelMask = value;

    public void SetReadIndex(byte value)
    {
        _readIndex = value;
        _readComponent = 0;
        _reading = true;
    }

    public void SetWriteIndex(byte value)
    {
        _writeIndex = value;
        _writeComponent = 0;
        _reading = false;
    }

    public byte ReadData()
    {
        byte value = _components[_readIndex * 3 + _readComponent];
        if (++_readComponent == 3)
        {
            _readComponent = 0;
            _readIndex = (_readIndex + 1) & 0xFF;
        }
        return value;
    }

    public void WriteData(byte value)
    {
        _components[_writeIndex * 3 + _writeComponent] = EightBit ? value : (byte)(value & 0x3F);
        if (++_writeComponent == 3)
        {
            _writeComponent = 0;
            _writeIndex = (_writeIndex + 1) & 0xFF;
        }
    }

    /// <summary>The colour of an entry as bytes R, G, B, A in memory order (little-endian word).</summary>
    public uint Color(int index)
    {
        int at = (index & 0xFF) * 3;
        return Expand(_components[at]) | Expand(_components[at + 1]) << 8 | Expand(_components[at + 2]) << 16 | 0xFF000000;
    }

    private uint Expand(byte component) =>
        EightBit ? component : (uint)((component & 0x3F) << 2 | (component & 0x3F) >> 4);
}
