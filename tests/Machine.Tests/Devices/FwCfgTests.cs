using System.Buffers.Binary;
using System.Text;
using Farm.Machine.Bus;
using Farm.Machine.Devices.FirmwareConfig;

namespace Farm.Machine.Tests.Devices;

public class FwCfgTests
{
    private readonly FakeMemory _memory = new(1 << 20);
    private readonly PortBus _ports = new(new EventLog());
    private readonly FwCfg _cfg;

    public FwCfgTests()
    {
        _cfg = new FwCfg(_memory);
        _ports.Map(_cfg);
    }

    [Fact]
    public void Signature_and_features_are_found()
    {
        Assert.Equal("QEMU", Encoding.ASCII.GetString(Item(FwCfg.Signature, 4)));
        Assert.Equal([3, 0, 0, 0], Item(FwCfg.Id, 4));
        Assert.Equal(0x554D4551u, _ports.Read(0x514, 4));
        Assert.Equal(0x47464320u, _ports.Read(0x518, 4));
    }

    [Fact]
    public void Directory_lists_files_big_endian_and_sorted()
    {
        _cfg.AddFile("z/last", [1, 2, 3]);
        _cfg.SetBootOrder(["/pci@i0cf8/ide@1,1/drive@0/disk@0"]);
        byte[] directory = Item(FwCfg.FileDirectory, 4 + 2 * 64);
        Assert.Equal(2u, BinaryPrimitives.ReadUInt32BigEndian(directory));
        Assert.Equal("bootorder", Encoding.ASCII.GetString(directory, 12, 56).TrimEnd('\0'));
        Assert.Equal("z/last", Encoding.ASCII.GetString(directory, 76, 56).TrimEnd('\0'));
        Assert.Equal(3u, BinaryPrimitives.ReadUInt32BigEndian(directory.AsSpan(68)));
        ushort key = BinaryPrimitives.ReadUInt16BigEndian(directory.AsSpan(72));
        Assert.Equal([1, 2, 3, 0, 0], Item(key, 5));
    }

    [Fact]
    public void DMA_selects_and_reads_an_item_in_one_go()
    {
        _cfg.Set(FwCfg.RamSize, 0x1122334455667788ul);
        Dma(control: (uint)FwCfg.RamSize << 16 | 0x0A, length: 12, address: 0x2000);
        Assert.Equal(0u, BinaryPrimitives.ReadUInt32BigEndian(_memory.Bytes.AsSpan(0x1000)));
        Assert.Equal(0x1122334455667788ul, BinaryPrimitives.ReadUInt64LittleEndian(_memory.Bytes.AsSpan(0x2000)));
        Assert.Equal(0u, BinaryPrimitives.ReadUInt32LittleEndian(_memory.Bytes.AsSpan(0x2008)));
    }

    [Fact]
    public void DMA_skip_moves_on_and_write_is_refused()
    {
        _cfg.AddFile("etc/test", "abcdef"u8);
        Dma(FwCfg.FirstFile << 16 | 0x08u, 0, 0);
        Dma(0x04, 3, 0);
        Assert.Equal((byte)'d', _ports.Read(0x511, 1));
        Dma(0x10, 1, 0x2000);
        Assert.Equal(1u, BinaryPrimitives.ReadUInt32BigEndian(_memory.Bytes.AsSpan(0x1000)));
    }

    [Theory]
    [InlineData(uint.MaxValue, 0x2000ul)]
    [InlineData(64u, ulong.MaxValue - 8)]
    [InlineData(64u, 0xFFFF0ul)]
    public void Hostile_DMA_ends_with_the_error_bit(uint length, ulong address)
    {
        Dma(0x02, length, address);
        Assert.Equal(1u, BinaryPrimitives.ReadUInt32BigEndian(_memory.Bytes.AsSpan(0x1000)));
    }

    [Fact]
    public void E820_entries_are_twenty_bytes_each()
    {
        _cfg.SetE820([(0, 0x9FC00, 1), (0x100000, 0x3F00000, 1)]);
        byte[] map = Item(FwCfg.FirstFile, 40);
        Assert.Equal(0x9FC00ul, BinaryPrimitives.ReadUInt64LittleEndian(map.AsSpan(8)));
        Assert.Equal(0x100000ul, BinaryPrimitives.ReadUInt64LittleEndian(map.AsSpan(20)));
    }

    private byte[] Item(ushort key, int count)
    {
        _ports.Write(0x510, key, 2);
        return [.. Enumerable.Range(0, count).Select(_ => (byte)_ports.Read(0x511, 1))];
    }

    private void Dma(uint control, uint length, ulong address)
    {
        const uint access = 0x1000;
        BinaryPrimitives.WriteUInt32BigEndian(_memory.Bytes.AsSpan((int)access), control);
        BinaryPrimitives.WriteUInt32BigEndian(_memory.Bytes.AsSpan((int)access + 4), length);
        BinaryPrimitives.WriteUInt64BigEndian(_memory.Bytes.AsSpan((int)access + 8), address);
        _ports.Write(0x514, 0, 4);
        _ports.Write(0x518, BinaryPrimitives.ReverseEndianness(access), 4);
    }
}
