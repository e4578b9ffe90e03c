using System.Buffers.Binary;
using System.Numerics;
using Farm.Machine.Bus;

namespace Farm.Machine.Devices.Pci;

/// <summary>A PCI function: its configuration space with write masks, its base address registers and its interrupt pin.</summary>
public abstract class PciDevice : IDevice
{
    public const int ConfigSize = 256;

    private const int RomBar = 6;
    private const uint MinimumRom = 0x8000;

    private readonly byte[] _config = new byte[ConfigSize];
    private readonly byte[] _writable = new byte[ConfigSize];
    private readonly byte[] _clearedByOne = new byte[ConfigSize];
    private readonly byte[] _initial = new byte[ConfigSize];
    private readonly PciBar?[] _bars = new PciBar?[7];

    /// <param name="classCode">Base class, sub-class and programming interface: 24 bits.</param>
    protected PciDevice(string name, ushort vendor, ushort device, int classCode, byte revision)
    {
        Name = name;
        Initial16(PciHeader.VendorId, vendor);
        Initial16(PciHeader.DeviceId, device);
        Initial8(PciHeader.RevisionId, revision);
        Initial8(PciHeader.ClassCode, (byte)classCode);
        Initial16(PciHeader.ClassCode + 1, (ushort)(classCode >> 8));
        Writable(PciHeader.Command, 0xFF, 0x03);
        Writable(PciHeader.CacheLineSize, 0xFF, 0xFF);
        Writable(PciHeader.InterruptLine, 0xFF);
        _clearedByOne[PciHeader.Status + 1] = 0xF9;
    }

    public string Name { get; }

    /// <summary>INTx#; wired by <see cref="PciBus.Add"/> when the function has an interrupt pin.</summary>
    public InterruptLine Interrupt { get; internal set; } = InterruptLine.Unconnected;

    public PciCommand Command => (PciCommand)Config16(PciHeader.Command);

    /// <summary>1 for INTA# to 4 for INTD#, 0 for none.</summary>
    public int InterruptPin => _initial[PciHeader.InterruptPin];

    /// <summary>Bit 7 of the header type: the slot has more functions than 0.</summary>
    public bool MultiFunction
    {
        init => _initial[PciHeader.HeaderType] = (byte)(value ? 0x80 : 0);
    }

    /// <summary>The option ROM in the expansion ROM's register; empty: no ROM. Set before the function is put into its slot.</summary>
    public ReadOnlyMemory<byte> Rom
    {
        get;
        init
        {
            field = value;
            if (!value.IsEmpty)
                AddBar(RomBar, PciBarKind.ExpansionRom, Math.Max(MinimumRom, BitOperations.RoundUpToPowerOf2((uint)value.Length)));
        }
    }

    public virtual void Reset()
    {
        _initial.CopyTo(_config, 0);
        PlaceBars();
        Interrupt.Lower();
    }

    /// <summary>Reads 1, 2 or 4 bytes of configuration space; what lies beyond reads as ones.</summary>
    public virtual uint ReadConfig(int offset, int size)
    {
        uint value = 0;
        for (int i = 0; i < size; i++)
            value |= (uint)((uint)(offset + i) < ConfigSize ? _config[offset + i] : 0xFF) << (8 * i);
        return value;
    }

    public void WriteConfig(int offset, uint value, int size)
    {
        for (int i = 0; i < size && offset + i < ConfigSize; i++)
        {
            int at = offset + i;
            byte bits = (byte)(value >> (8 * i));
            int kept = _config[at] & ~_writable[at] & ~(bits & _clearedByOne[at]);
            _config[at] = (byte)(kept | bits & _writable[at]);
        }
        PlaceBars();
        ConfigWritten(offset, size);
    }

    /// <summary>An access to a base address register's range, as an offset into it.</summary>
    protected internal virtual ulong ReadBar(int bar, ulong offset, int size) => ulong.MaxValue;

    protected internal virtual void WriteBar(int bar, ulong offset, ulong value, int size)
    {
    }

    internal ulong ReadRom(ulong offset, int size)
    {
        ulong value = 0;
        for (int i = 0; i < size; i++)
            value |= (ulong)(offset + (ulong)i < (ulong)Rom.Length ? Rom.Span[(int)offset + i] : 0xFF) << (8 * i);
        return value;
    }

    internal void Attach(PciBus bus)
    {
        foreach (var bar in _bars)
            bar?.Attach(bus);
        Reset();
    }

    /// <summary>Called after configuration space changed at [<paramref name="offset"/>, +<paramref name="size"/>).</summary>
    protected virtual void ConfigWritten(int offset, int size)
    {
    }

    protected byte Config8(int offset) => _config[offset];

    protected ushort Config16(int offset) => BinaryPrimitives.ReadUInt16LittleEndian(_config.AsSpan(offset));

    protected uint Config32(int offset) => BinaryPrimitives.ReadUInt32LittleEndian(_config.AsSpan(offset));

    /// <summary>Sets a byte from the device's side, past the write mask.</summary>
    protected void SetConfig8(int offset, byte value) => _config[offset] = value;

    /// <summary>Value after reset.</summary>
    protected void Initial8(int offset, byte value) => _initial[offset] = value;

    protected void Initial16(int offset, ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(_initial.AsSpan(offset), value);

    protected void Initial32(int offset, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(_initial.AsSpan(offset), value);

    /// <summary>Bits that the guest can write, byte by byte from <paramref name="offset"/>.</summary>
    protected void Writable(int offset, params ReadOnlySpan<byte> masks) => masks.CopyTo(_writable.AsSpan(offset));

    /// <summary>The interrupt pin: 1 for INTA#.</summary>
    protected void UseInterruptPin(byte pin) => _initial[PciHeader.InterruptPin] = pin;

    /// <param name="width">Widest access to an I/O range that the device takes at once.</param>
    protected PciBar AddBar(int index, PciBarKind kind, uint size, int width = 4, bool mappedByDevice = false)
    {
        var bar = new PciBar(this, index, kind, size, width) { MappedByDevice = mappedByDevice };
        _bars[index] = bar;
        Initial32(bar.ConfigOffset, bar.TypeBits);
        BinaryPrimitives.WriteUInt32LittleEndian(_writable.AsSpan(bar.ConfigOffset), bar.WritableMask);
        return bar;
    }

    private void PlaceBars()
    {
        foreach (var bar in _bars)
            bar?.Place(Config32(bar.ConfigOffset), Command);
    }
}
