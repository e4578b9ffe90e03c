using System.Buffers.Binary;
using System.Text;
using Farm.Machine.Bus;

namespace Farm.Machine.Devices.FirmwareConfig;

/// <summary>
/// The fw_cfg device (QEMU docs/specs/fw_cfg): selector 510h, data 511h, and the DMA interface at 514h. Items are read-only; a guest
/// write changes nothing.
/// </summary>
public sealed class FwCfg : IPortDevice
{
    public const ushort Signature = 0x0000;
    public const ushort Id = 0x0001;
    public const ushort Uuid = 0x0002;
    public const ushort RamSize = 0x0003;
    public const ushort NoGraphic = 0x0004;
    public const ushort ProcessorCount = 0x0005;
    public const ushort BootMenu = 0x000E;
    public const ushort MaximumProcessors = 0x000F;
    public const ushort FileDirectory = 0x0019;
    public const ushort FirstFile = 0x0020;
    public const ushort AcpiTables = 0x8000;
    public const ushort SmbiosEntries = 0x8001;
    public const ushort IrqZeroOverride = 0x8002;
    public const ushort E820Table = 0x8003;

    private const int NameLength = 56;
    private const int DirectoryEntrySize = 64;
    private const uint FeatureTraditional = 1;
    private const uint FeatureDma = 2;
    private const int MaximumDma = 16 << 20;

    /// <summary>"QEMU CFG", what the DMA address register reads as.</summary>
    private const ulong DmaSignature = 0x51454D5520434647;

    private readonly Dictionary<ushort, byte[]> _items = [];
    private readonly List<(string Name, ushort Key, int Size)> _files = [];
    private readonly IGuestMemory _memory;
    private byte[] _selected = [];
    private int _offset;
    private ulong _dmaAddress;

    public FwCfg(IGuestMemory memory)
    {
        _memory = memory;
        _items[Signature] = "QEMU"u8.ToArray();
        Set(Id, FeatureTraditional | FeatureDma);
        _items[FileDirectory] = [];
        BuildDirectory();
    }

    public string Name => "fw_cfg";

    public IReadOnlyList<PortRange> Ports { get; } = [new(0x510, 1, 2), new(0x511, 1), new(0x514, 8, 4)];

    public IReadOnlyList<string> Files => [.. _files.Select(file => file.Name)];

    public void Reset()
    {
        _selected = [];
        _offset = 0;
        _dmaAddress = 0;
    }

    public void Set(ushort key, ReadOnlySpan<byte> value) => _items[key] = value.ToArray();

    /// <summary>A little-endian 16-bit item.</summary>
    public void Set(ushort key, ushort value)
    {
        var bytes = new byte[2];
        BinaryPrimitives.WriteUInt16LittleEndian(bytes, value);
        _items[key] = bytes;
    }

    public void Set(ushort key, uint value)
    {
        var bytes = new byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
        _items[key] = bytes;
    }

    public void Set(ushort key, ulong value)
    {
        var bytes = new byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        _items[key] = bytes;
    }

    /// <summary>Adds or replaces a named file; the directory is sorted by name, as firmware may rely on.</summary>
    public void AddFile(string name, ReadOnlySpan<byte> content)
    {
        if (Encoding.ASCII.GetByteCount(name) >= NameLength)
            throw new ArgumentException($"fw_cfg file name '{name}' is longer than {NameLength - 1} characters.", nameof(name));
        int index = _files.FindIndex(file => file.Name == name);
        ushort key = index >= 0 ? _files[index].Key : (ushort)(FirstFile + _files.Count);
        if (index >= 0)
            _files[index] = (name, key, content.Length);
        else
            _files.Add((name, key, content.Length));
        _items[key] = content.ToArray();
        BuildDirectory();
    }

    /// <summary>SeaBIOS's boot order: device paths, most wanted first.</summary>
    public void SetBootOrder(IEnumerable<string> devicePaths) =>
        AddFile("bootorder", Encoding.ASCII.GetBytes(string.Join('\n', devicePaths) + "\0"));

    /// <summary>RAM map as <c>etc/e820</c>: address, length, type (1 RAM, 2 reserved).</summary>
    public void SetE820(IEnumerable<(ulong Address, ulong Length, uint Type)> entries)
    {
        const int entrySize = 20;
        var list = entries.ToArray();
        var bytes = new byte[list.Length * entrySize];
        for (int i = 0; i < list.Length; i++)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(i * entrySize), list[i].Address);
            BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(i * entrySize + 8), list[i].Length);
            BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(i * entrySize + 16), list[i].Type);
        }
        AddFile("etc/e820", bytes);
    }

    public uint ReadPort(ushort port, int size)
    {
        switch (port)
        {
            case 0x511:
                return ReadByte();
            case >= 0x514 and <= 0x51B:
                uint value = 0;
                for (int i = 0; i < size; i++)
                    value |= (uint)(byte)(DmaSignature >> (8 * Math.Max(0, 7 - (port - 0x514 + i)))) << (8 * i);
                return value;
            default:
                return 0;
        }
    }

    public void WritePort(ushort port, uint value, int size)
    {
        switch (port)
        {
            case 0x510:
                Select((ushort)value);
                break;
            case 0x514 when size == 4:
                _dmaAddress = (ulong)BinaryPrimitives.ReverseEndianness(value) << 32;
                break;
            case 0x518 when size == 4:
                ulong address = _dmaAddress | BinaryPrimitives.ReverseEndianness(value);
                _dmaAddress = 0;
                Dma(address);
                break;
        }
    }

    private void Select(ushort key)
    {
        _offset = 0;
        // Bit 14 asks for write access, which no item grants; bit 15 selects the architecture's own items.
        _selected = _items.TryGetValue((ushort)(key & 0xBFFF), out var item) ? item : [];
    }

    private byte ReadByte() => _offset < _selected.Length ? _selected[_offset++] : (byte)0;

    /// <summary>Executes the FWCfgDmaAccess structure at <paramref name="address"/>: big-endian control, length, address.</summary>
    private void Dma(ulong address)
    {
        Span<byte> access = stackalloc byte[16];
        if (!_memory.Read(address, access))
            return;
        uint control = BinaryPrimitives.ReadUInt32BigEndian(access);
        uint length = BinaryPrimitives.ReadUInt32BigEndian(access[4..]);
        ulong target = BinaryPrimitives.ReadUInt64BigEndian(access[8..]);
        if ((control & (uint)DmaControl.Select) != 0)
            Select((ushort)(control >> 16));
        bool good = (control & (uint)DmaControl.Write) == 0;
        if (good && (control & (uint)DmaControl.Read) != 0)
            good = length <= MaximumDma && Copy(target, (int)length);
        else if (good && (control & (uint)DmaControl.Skip) != 0)
            _offset = (int)Math.Min(_selected.Length, _offset + (long)length);
        BinaryPrimitives.WriteUInt32BigEndian(access, good ? 0 : (uint)DmaControl.Error);
        _memory.Write(address, access[..4]);
    }

    private bool Copy(ulong target, int length)
    {
        int available = Math.Min(length, _selected.Length - _offset);
        bool good = _memory.Write(target, _selected.AsSpan(_offset, available));
        _offset += available;
        Span<byte> zeros = stackalloc byte[256];
        zeros.Clear();
        for (int done = available; done < length; done += zeros.Length)
            good &= _memory.Write(target + (ulong)done, zeros[..Math.Min(zeros.Length, length - done)]);
        return good;
    }

    private void BuildDirectory()
    {
        var files = _files.OrderBy(file => file.Name, StringComparer.Ordinal).ToArray();
        var directory = new byte[4 + files.Length * DirectoryEntrySize];
        BinaryPrimitives.WriteUInt32BigEndian(directory, (uint)files.Length);
        for (int i = 0; i < files.Length; i++)
        {
            var entry = directory.AsSpan(4 + i * DirectoryEntrySize, DirectoryEntrySize);
            BinaryPrimitives.WriteUInt32BigEndian(entry, (uint)files[i].Size);
            BinaryPrimitives.WriteUInt16BigEndian(entry[4..], files[i].Key);
            Encoding.ASCII.GetBytes(files[i].Name, entry[8..]);
        }
        _items[FileDirectory] = directory;
    }

    [Flags]
    private enum DmaControl : uint
    {
        Error = 0x01,
        Read = 0x02,
        Skip = 0x04,
        Select = 0x08,
        Write = 0x10,
    }
}
