using System.Buffers.Binary;
using Farm.Machine.Bus;
using Farm.Machine.Devices.Chipset;
using Farm.Machine.Devices.Pci;
using Farm.Machine.Devices.Virtio;
using Farm.Machine.Tests.Devices;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Virtio;

/// <summary>A virtio device in a PCI slot and the driver's side of its queues.</summary>
internal sealed class VirtioRig
{
    public const ushort Legacy = 0xC000;
    public const ulong Modern = 0xE000_0000;
    public const int RamSize = 1 << 20;

    private const int QueueStride = 0x8000;
    private const int FirstQueue = 0x20000;
    private readonly Dictionary<int, Ring> _rings = [];

    public VirtioRig(Func<VirtioRig, VirtioPciDevice> create)
    {
        Device = create(this);
        Mmio = new MmioBus(new EventLog());
        Ports = new PortBus(new EventLog());
        Pci = new PciBus(Ports, Mmio, new SystemControl(), RamSize);
        Ports.Map(Pci);
        Pci.RouteInterrupts((_, _) => new InterruptLine(level => Irq = level));
        Pci.Add(3, 0, Device);
        Device.WriteConfig(0x10, Legacy, 4);
        Device.WriteConfig(0x20, (uint)Modern, 4);
        Device.WriteConfig(0x04, 0x0007, 2);
    }

    public VirtualClock Clock { get; } = new();

    public FakeMemory Memory { get; } = new(RamSize);

    public MmioBus Mmio { get; }

    public PortBus Ports { get; }

    public PciBus Pci { get; }

    public VirtioPciDevice Device { get; }

    public bool Irq { get; private set; }

    public uint Common(int offset, int size) => (uint)Mmio.Read(Modern + (ulong)offset, size);

    public void SetCommon(int offset, uint value, int size) => Mmio.Write(Modern + (ulong)offset, value, size);

    public byte Isr() => (byte)Mmio.Read(Modern + 0x1000, 1);

    public ulong Configuration(int offset, int size) => Mmio.Read(Modern + 0x2000 + (ulong)offset, size);

    public ulong OfferedFeatures
    {
        get
        {
            SetCommon(0x00, 0, 4);
            ulong low = Common(0x04, 4);
            SetCommon(0x00, 1, 4);
            return low | (ulong)Common(0x04, 4) << 32;
        }
    }

    /// <summary>The initialisation sequence of a driver of Virtio 1.0 (3.1.1), taking all features.</summary>
    public void StartModern(params int[] queues)
    {
        SetCommon(0x14, 0, 1);
        SetCommon(0x14, 1, 1);
        SetCommon(0x14, 3, 1);
        ulong features = OfferedFeatures;
        SetCommon(0x08, 0, 4);
        SetCommon(0x0C, (uint)features, 4);
        SetCommon(0x08, 1, 4);
        SetCommon(0x0C, (uint)(features >> 32), 4);
        SetCommon(0x14, 0x0B, 1);
        Assert.Equal(0x0Bu, Common(0x14, 1));
        foreach (int queue in queues)
        {
            var ring = NewRing(queue, 16);
            SetCommon(0x16, (uint)queue, 2);
            SetCommon(0x18, 16, 2);
            SetCommon(0x20, (uint)ring.Descriptors, 4);
            SetCommon(0x28, (uint)ring.Driver, 4);
            SetCommon(0x30, (uint)ring.Device, 4);
            SetCommon(0x1C, 1, 2);
        }
        SetCommon(0x14, 0x0F, 1);
    }

    /// <summary>The sequence of a legacy driver: the queue's page frame number at once, no FEATURES_OK.</summary>
    public void StartLegacy(params int[] queues)
    {
        Ports.Write(Legacy + 0x12, 0, 1);
        Ports.Write(Legacy + 0x12, 3, 1);
        Ports.Write(Legacy + 0x04, Ports.Read(Legacy, 4), 4);
        foreach (int queue in queues)
        {
            Ports.Write(Legacy + 0x0E, (uint)queue, 2);
            int size = (int)Ports.Read(Legacy + 0x0C, 2);
            int page = FirstQueue + queue * QueueStride;
            int driver = page + 16 * size;
            _rings[queue] = new Ring(size, page, driver, (driver + 4 + 2 * size + 4095) & ~4095);
            Ports.Write(Legacy + 0x08, (uint)page >> 12, 4);
        }
        Ports.Write(Legacy + 0x12, 7, 1);
    }

    public Ring RingOf(int queue) => _rings[queue];

    public void Descriptor(int queue, int index, ulong address, uint length, ushort flags, ushort next = 0) =>
        WriteDescriptor(_rings[queue].Descriptors + 16 * index, address, length, flags, next);

    public void WriteDescriptor(int at, ulong address, uint length, ushort flags, ushort next = 0)
    {
        var bytes = Memory.Bytes.AsSpan(at, 16);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, address);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[8..], length);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes[12..], flags);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes[14..], next);
    }

    /// <summary>Puts a chain into the available ring.</summary>
    public void Offer(int queue, ushort head)
    {
        var ring = _rings[queue];
        BinaryPrimitives.WriteUInt16LittleEndian(Memory.Bytes.AsSpan(ring.Driver + 4 + 2 * (ring.Offered % ring.Size)), head);
        ring.Offered++;
        BinaryPrimitives.WriteUInt16LittleEndian(Memory.Bytes.AsSpan(ring.Driver + 2), (ushort)ring.Offered);
    }

    public void Kick(int queue, bool legacy = false)
    {
        if (legacy)
            Ports.Write(Legacy + 0x10, (uint)queue, 2);
        else
            Mmio.Write(Modern + 0x3000 + 4 * (ulong)queue, (uint)queue, 2);
    }

    public void Run() => Clock.AdvanceTo(Clock.Now + 1_000_000_000);

    public int Used(int queue) => BinaryPrimitives.ReadUInt16LittleEndian(Memory.Bytes.AsSpan(_rings[queue].Device + 2));

    public (int Head, int Written) UsedEntry(int queue, int index)
    {
        var entry = Memory.Bytes.AsSpan(_rings[queue].Device + 4 + 8 * index);
        return (BinaryPrimitives.ReadInt32LittleEndian(entry), BinaryPrimitives.ReadInt32LittleEndian(entry[4..]));
    }

    private Ring NewRing(int queue, int size)
    {
        int at = FirstQueue + queue * QueueStride;
        return _rings[queue] = new Ring(size, at, at + 0x4000, at + 0x5000);
    }

    internal sealed class Ring(int size, int descriptors, int driver, int device)
    {
        public int Size { get; } = size;

        public int Descriptors { get; } = descriptors;

        public int Driver { get; } = driver;

        public int Device { get; } = device;

        public int Offered { get; set; }
    }
}
