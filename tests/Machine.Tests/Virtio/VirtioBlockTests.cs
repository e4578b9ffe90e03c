using System.Buffers.Binary;
using System.Text;
using Farm.Machine.Devices.Virtio.Block;
using Farm.Machine.Storage;
using Farm.Machine.Tests.Storage;

namespace Farm.Machine.Tests.Virtio;

public sealed class VirtioBlockTests : IDisposable
{
    private const ushort Next = 1, Writable = 2, Indirect = 4;
    private const int Header = 0x1000, Data = 0x2000, Status = 0x1800, Table = 0x8000;
    private const long Sectors = 3000;

    private readonly IBlockImage _image = TestImage.Numbered((int)Sectors);
    private readonly VirtioRig _rig;

    public VirtioBlockTests() => _rig = Rig(_image);

    public void Dispose() => _image.Dispose();

    [Fact]
    public void Says_what_it_is_in_configuration_space_and_by_capabilities()
    {
        Assert.Equal(0x10011AF4u, _rig.Device.ReadConfig(0x00, 4));
        Assert.Equal(0x0100u, _rig.Device.ReadConfig(0x0A, 2));
        Assert.Equal(0x00021AF4u, _rig.Device.ReadConfig(0x2C, 4));
        Assert.Equal(0x10u, _rig.Device.ReadConfig(0x06, 2) & 0x10);
        var types = new List<uint>();
        for (int at = (int)_rig.Device.ReadConfig(0x34, 1); at != 0; at = (int)_rig.Device.ReadConfig(at + 1, 1))
        {
            Assert.Equal(0x09u, _rig.Device.ReadConfig(at, 1));
            types.Add(_rig.Device.ReadConfig(at + 3, 1));
        }
        Assert.Equal([1u, 3, 4, 2, 5], types);
    }

    [Fact]
    public void Configuration_holds_capacity_segments_and_block_size()
    {
        Assert.Equal((ulong)Sectors, _rig.Configuration(0, 8));
        Assert.Equal(126ul, _rig.Configuration(12, 4));
        Assert.Equal(512ul, _rig.Configuration(20, 4));
        Assert.Equal((uint)Sectors, _rig.Ports.Read(VirtioRig.Legacy + 0x14, 4));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Reads_sectors_for_modern_and_legacy_drivers(bool legacy)
    {
        Start(legacy);
        Request(0, 7, 1024, write: false);
        _rig.Kick(0, legacy);
        Assert.Equal(0, _rig.Used(0));
        _rig.Run();
        Assert.Equal(1, _rig.Used(0));
        Assert.Equal((0, 1025), _rig.UsedEntry(0, 0));
        Assert.Equal(0, _rig.Memory.Bytes[Status]);
        var expected = new byte[1024];
        _image.Read(7, expected);
        Assert.Equal(expected, _rig.Memory.Bytes[Data..(Data + 1024)]);
        Assert.True(_rig.Irq);
        Assert.Equal(1, legacy ? (int)_rig.Ports.Read(VirtioRig.Legacy + 0x13, 1) : _rig.Isr());
        Assert.False(_rig.Irq);
        Assert.Equal(0, _rig.Isr());
    }

    [Fact]
    public void Writes_sectors_from_several_buffers()
    {
        Start();
        for (int i = 0; i < 1024; i++)
            _rig.Memory.Bytes[Data + i] = (byte)(i * 7);
        PutHeader(1, 5);
        _rig.Descriptor(0, 0, Header, 16, Next, 1);
        _rig.Descriptor(0, 1, Data, 100, Next, 2);
        _rig.Descriptor(0, 2, Data + 100, 924, Next, 3);
        _rig.Descriptor(0, 3, Status, 1, Writable);
        Go(0);
        Assert.Equal((0, 1), _rig.UsedEntry(0, 0));
        var stored = new byte[1024];
        _image.Read(5, stored);
        Assert.Equal(_rig.Memory.Bytes[Data..(Data + 1024)], stored);
    }

    [Fact]
    public void Takes_indirect_tables()
    {
        Start();
        PutHeader(0, 3);
        _rig.WriteDescriptor(Table, Header, 16, Next, 2);
        _rig.WriteDescriptor(Table + 32, Data, 512, Next | Writable, 1);
        _rig.WriteDescriptor(Table + 16, Status, 1, Writable);
        _rig.Descriptor(0, 4, Table, 48, Indirect);
        Go(4);
        Assert.Equal((4, 513), _rig.UsedEntry(0, 0));
        Assert.Equal(0, _rig.Memory.Bytes[Status]);
    }

    [Fact]
    public void Identifies_itself_and_flushes()
    {
        Start();
        Request(8, 0, 20, write: false);
        _rig.Kick(0);
        _rig.Run();
        Assert.Equal("FARM-virtio0", Encoding.ASCII.GetString(_rig.Memory.Bytes, Data, 20).TrimEnd('\0'));
        PutHeader(4, 0);
        _rig.Descriptor(0, 0, Header, 16, Next, 2);
        Go(0);
        Assert.Equal(0, _rig.Memory.Bytes[Status]);
    }

    [Theory]
    [InlineData(0u, 2999ul, 1024u, 1)]
    [InlineData(0u, ulong.MaxValue, 512u, 1)]
    [InlineData(0u, 0ul, 100u, 1)]
    [InlineData(1u, 3000ul, 512u, 1)]
    [InlineData(77u, 0ul, 512u, 2)]
    public void Impossible_requests_end_in_a_status(uint type, ulong sector, uint length, byte status)
    {
        Start();
        _rig.Memory.Bytes[Status] = 0xEE;
        Request(type, sector, length, write: type == 1);
        _rig.Kick(0);
        _rig.Run();
        Assert.Equal(1, _rig.Used(0));
        Assert.Equal(status, _rig.Memory.Bytes[Status]);
    }

    [Fact]
    public void A_read_only_image_says_so_and_refuses_writes()
    {
        using var readOnly = new ReadOnlyImage(_image);
        var rig = Rig(readOnly);
        Assert.NotEqual(0ul, rig.OfferedFeatures & 1 << 5);
        Assert.Equal(0ul, _rig.OfferedFeatures & 1 << 5);
    }

    public static TheoryData<string> BrokenChains => ["loop", "next beyond the table", "head beyond the table", "no status byte", "short header", "readable after writable", "indirect loop", "nested indirect", "indirect of odd size", "indirect with next", "more chains than entries", "table outside RAM"];

    [Theory]
    [MemberData(nameof(BrokenChains))]
    public void Broken_chains_need_a_reset_and_a_reset_helps(string how)
    {
        Start();
        PutHeader(0, 0);
        ushort head = 0;
        switch (how)
        {
            case "loop":
                _rig.Descriptor(0, 0, Header, 16, Next, 1);
                _rig.Descriptor(0, 1, Header, 16, Next, 0);
                break;
            case "next beyond the table":
                _rig.Descriptor(0, 0, Header, 16, Next, 16);
                break;
            case "head beyond the table":
                head = 16;
                break;
            case "no status byte":
                _rig.Descriptor(0, 0, Header, 16, 0);
                break;
            case "short header":
                _rig.Descriptor(0, 0, Header, 8, Next, 1);
                _rig.Descriptor(0, 1, Status, 1, Writable);
                break;
            case "readable after writable":
                _rig.Descriptor(0, 0, Status, 1, Next | Writable, 1);
                _rig.Descriptor(0, 1, Header, 16, 0);
                break;
            case "indirect loop":
                _rig.Descriptor(0, 0, Table, 32, Indirect);
                _rig.WriteDescriptor(Table, Header, 16, Next, 1);
                _rig.WriteDescriptor(Table + 16, Header, 16, Next, 0);
                break;
            case "nested indirect":
                _rig.Descriptor(0, 0, Table, 16, Indirect);
                _rig.WriteDescriptor(Table, Table, 16, Indirect);
                break;
            case "indirect of odd size":
                _rig.Descriptor(0, 0, Table, 17, Indirect);
                break;
            case "indirect with next":
                _rig.Descriptor(0, 0, Table, 16, Indirect | Next, 1);
                break;
            case "more chains than entries":
                for (int i = 0; i < 17; i++)
                    _rig.Offer(0, 0);
                break;
            case "table outside RAM":
                _rig.Descriptor(0, 0, 0xFFFF_FFFF_FFFF_FF00, 512, Indirect);
                break;
        }
        Go(head);
        Assert.Equal(0, _rig.Used(0));
        Assert.Equal(0x40u, _rig.Common(0x14, 1) & 0x40);
        Assert.Equal(2, _rig.Isr());
        Start();
        Assert.Equal(0x0Fu, _rig.Common(0x14, 1));
        Request(0, 1, 512, write: false);
        _rig.Kick(0);
        _rig.Run();
        Assert.Equal(0, _rig.Memory.Bytes[Status]);
    }

    [Fact]
    public void Buffers_outside_RAM_take_nothing()
    {
        Start();
        PutHeader(0, 0);
        _rig.Descriptor(0, 0, Header, 16, Next, 1);
        _rig.Descriptor(0, 1, ulong.MaxValue - 255, 512, Next | Writable, 2);
        _rig.Descriptor(0, 2, Status, 1, Writable);
        Go(0);
        Assert.Equal((0, 513), _rig.UsedEntry(0, 0));
    }

    [Fact]
    public void Huge_transfers_are_refused()
    {
        Start();
        PutHeader(0, 0);
        _rig.Descriptor(0, 0, Header, 16, Next, 1);
        _rig.Descriptor(0, 1, Data, 0xF000_0000, Next | Writable, 2);
        _rig.Descriptor(0, 2, Status, 1, Writable);
        _rig.Memory.Bytes[Status] = 0xEE;
        Go(0);
        Assert.Equal(1, _rig.Memory.Bytes[Status]);
    }

    [Fact]
    public void A_reset_forgets_the_request_in_flight()
    {
        Start();
        Request(0, 1, 512, write: false);
        _rig.Kick(0);
        _rig.SetCommon(0x14, 0, 1);
        _rig.Run();
        Assert.Equal(0, _rig.Used(0));
        Assert.False(_rig.Irq);
    }

    [Fact]
    public void The_driver_may_suppress_interrupts()
    {
        Start();
        BinaryPrimitives.WriteUInt16LittleEndian(_rig.Memory.Bytes.AsSpan(_rig.RingOf(0).Driver), 1);
        Request(0, 1, 512, write: false);
        _rig.Kick(0);
        _rig.Run();
        Assert.Equal(1, _rig.Used(0));
        Assert.False(_rig.Irq);
    }

    [Fact]
    public void Features_that_were_not_offered_are_refused()
    {
        _rig.SetCommon(0x14, 3, 1);
        _rig.SetCommon(0x08, 1, 4);
        _rig.SetCommon(0x0C, 0x80000001, 4);
        _rig.SetCommon(0x14, 0x0B, 1);
        Assert.Equal(0x03u, _rig.Common(0x14, 1));
        _rig.SetCommon(0x0C, 0x00000001, 4);
        _rig.SetCommon(0x14, 0x0B, 1);
        Assert.Equal(0x0Bu, _rig.Common(0x14, 1));
    }

    [Fact]
    public void The_window_in_configuration_space_reaches_the_registers()
    {
        const int window = 0x84;
        _rig.Device.WriteConfig(window + 4, 4, 1);
        _rig.Device.WriteConfig(window + 8, 0x12, 4);
        _rig.Device.WriteConfig(window + 12, 2, 4);
        Assert.Equal(1u, _rig.Device.ReadConfig(window + 16, 2));
        _rig.Device.WriteConfig(window + 8, 0x14, 4);
        _rig.Device.WriteConfig(window + 12, 1, 4);
        _rig.Device.WriteConfig(window + 16, 3, 1);
        Assert.Equal(3u, _rig.Common(0x14, 1));
        Assert.Equal(3u, _rig.Device.ReadConfig(window + 16, 1));
        _rig.Device.WriteConfig(window + 4, 9, 1);
        _rig.Device.WriteConfig(window + 8, 0xFFFF_FFFF, 4);
        _rig.Device.WriteConfig(window + 16, 0, 4);
        Assert.Equal(3u, _rig.Common(0x14, 1));
    }

    private static VirtioRig Rig(IBlockImage image) =>
        new(rig => new VirtioBlock(image, "virtio0", rig.Memory, rig.Clock, new StorageActivity(rig.Clock)));

    private void Start(bool legacy = false)
    {
        if (legacy)
            _rig.StartLegacy(0);
        else
            _rig.StartModern(0);
        Array.Clear(_rig.Memory.Bytes, 0x20000, 0x8000);
    }

    private void PutHeader(uint type, ulong sector)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(_rig.Memory.Bytes.AsSpan(Header), type);
        BinaryPrimitives.WriteUInt64LittleEndian(_rig.Memory.Bytes.AsSpan(Header + 8), sector);
    }

    private void Request(uint type, ulong sector, uint length, bool write)
    {
        PutHeader(type, sector);
        _rig.Descriptor(0, 0, Header, 16, Next, 1);
        _rig.Descriptor(0, 1, Data, length, (ushort)(write ? Next : Next | Writable), 2);
        _rig.Descriptor(0, 2, Status, 1, Writable);
        _rig.Offer(0, 0);
    }

    private void Go(ushort head)
    {
        _rig.Offer(0, head);
        _rig.Kick(0);
        _rig.Run();
    }

    private sealed class ReadOnlyImage(IBlockImage inner) : IBlockImage
    {
        public string Name => inner.Name;

        public int SectorSize => inner.SectorSize;

        public long SectorCount => inner.SectorCount;

        public bool ReadOnly => true;

        public void Read(long sector, Span<byte> destination) => inner.Read(sector, destination);

        public void Write(long sector, ReadOnlySpan<byte> source) => throw new InvalidOperationException("read-only");

        public void Flush() => inner.Flush();

        public void Dispose()
        {
        }
    }
}
