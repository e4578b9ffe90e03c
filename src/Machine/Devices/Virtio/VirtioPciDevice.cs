using Farm.Machine.Bus;
using Farm.Machine.Devices.Pci;

namespace Farm.Machine.Devices.Virtio;

/// <summary>
/// A transitional virtio device on PCI (Virtio 1.2, 4.1): the legacy header in I/O space at BAR 0 for drivers of before 1.0, the
/// modern structures in memory space at BAR 4, also through the configuration access capability. Interrupts go by INTA#.
/// </summary>
public abstract partial class VirtioPciDevice : PciDevice
{
    private const ushort RedHat = 0x1AF4;
    private const int LegacyBar = 0;
    private const uint LegacySize = 128;
    private const int ModernBar = 4;
    private const uint ModernSize = 0x4000;
    private const int IsrOffset = 0x1000;
    private const int DeviceOffset = 0x2000;
    private const int NotifyOffset = 0x3000;
    private const int NotifyMultiplier = 4;

    private readonly IGuestMemory _memory;
    private readonly VirtioFeatures _offered;
    private readonly SplitQueue[] _queues;
    private VirtioFeatures _accepted;
    private VirtioStatus _status;
    private VirtioInterrupt _isr;
    private uint _deviceFeatureSelect;
    private uint _driverFeatureSelect;
    private ushort _queueSelect;

    /// <param name="deviceType">1 network card, 2 block device (Virtio 1.2, 5).</param>
    /// <param name="transitionalId">PCI device ID, 1000h to 103Fh.</param>
    /// <param name="features">What the device type offers; the transport adds its own.</param>
    protected VirtioPciDevice(string name, ushort deviceType, ushort transitionalId, int classCode, IGuestMemory memory, ulong features, params ReadOnlySpan<ushort> queueSizes)
        : base(name, RedHat, transitionalId, classCode, 0)
    {
        _memory = memory;
        _offered = (VirtioFeatures)features | VirtioFeatures.Version1 | VirtioFeatures.AnyLayout | VirtioFeatures.IndirectDescriptors;
        _queues = new SplitQueue[queueSizes.Length];
        for (int i = 0; i < _queues.Length; i++)
            _queues[i] = new SplitQueue(memory, queueSizes[i]);
        Initial16(PciHeader.SubsystemVendorId, RedHat);
        Initial16(PciHeader.SubsystemVendorId + 2, deviceType);
        Initial16(PciHeader.Status, StatusCapabilities);
        Writable(PciHeader.Command, 0x07, 0x05);
        UseInterruptPin(1);
        AddBar(LegacyBar, PciBarKind.Io, LegacySize);
        AddBar(ModernBar, PciBarKind.Memory, ModernSize);
        AddCapabilities();
    }

    public VirtioStatus DeviceStatus => _status;

    /// <summary>The driver is of Virtio 1.0 or later.</summary>
    protected bool Modern => (_accepted & VirtioFeatures.Version1) != 0;

    /// <summary>The device type's configuration space.</summary>
    protected abstract ReadOnlySpan<byte> Configuration { get; }

    public override void Reset()
    {
        base.Reset();
        ResetDevice();
    }

    protected internal override ulong ReadBar(int bar, ulong offset, int size)
    {
        if (bar == LegacyBar)
            return ReadLegacy((int)offset, size);
        int at = (int)offset;
        switch (at)
        {
            case < VirtioCommon.Length:
                ulong value = 0;
                for (int i = 0; i < size; i++)
                    value |= (ulong)(ReadCommon(at + i & ~3) >> (8 * (at + i & 3)) & 0xFF) << (8 * i);
                return value;
            case IsrOffset:
                return ReadIsr();
            case >= DeviceOffset and < NotifyOffset:
                return ReadConfiguration(at - DeviceOffset, size);
            default:
                return 0;
        }
    }

    protected internal override void WriteBar(int bar, ulong offset, ulong value, int size)
    {
        int at = (int)offset;
        if (bar == LegacyBar)
        {
            WriteLegacy(at, (uint)value, size);
        }
        else if (at >= NotifyOffset)
        {
            Notify((at - NotifyOffset) / NotifyMultiplier);
        }
        else if (at < VirtioCommon.Length)
        {
            for (int done = 0; done < size;)
            {
                int lane = at + done & 3;
                int count = Math.Min(size - done, 4 - lane);
                uint mask = (uint)((1ul << (8 * count)) - 1) << (8 * lane);
                WriteCommon(at + done & ~3, (uint)(value >> (8 * done)) << (8 * lane), mask);
                done += count;
            }
        }
    }

    /// <summary>The driver has put chains into a queue.</summary>
    protected abstract void Kicked(int queue);

    /// <summary>The device was reset: requests in flight are forgotten.</summary>
    protected abstract void Stop();

    /// <summary>The queue when it may be used; null before the driver is ready and after it broke a rule.</summary>
    protected SplitQueue? Ready(int queue) =>
        _queues[queue].Enabled && (_status & VirtioStatus.NeedsReset) == 0 && (!Modern || (_status & VirtioStatus.DriverOk) != 0) ? _queues[queue] : null;

    /// <summary>Takes a chain; a broken queue stops the device until the driver resets it.</summary>
    protected bool TryTake(int queue, DescriptorChain chain)
    {
        if (Ready(queue) is not { } ready)
            return false;
        if (ready.TryTake(chain))
            return true;
        if (ready.Broken)
            Fail();
        return false;
    }

    /// <summary>The driver broke a rule: DEVICE_NEEDS_RESET (Virtio 1.2, 2.1.2).</summary>
    protected void Fail()
    {
        _status |= VirtioStatus.NeedsReset;
        Raise(VirtioInterrupt.Configuration);
    }

    protected void Put(int queue, ushort head, uint written)
    {
        _queues[queue].Put(head, written);
        if (_queues[queue].WantsInterrupt)
            Raise(VirtioInterrupt.Queue);
    }

    protected DescriptorChain NewChain() => new(_memory);

    private void ResetDevice()
    {
        Stop();
        foreach (var queue in _queues)
            queue.Reset();
        _accepted = 0;
        _status = 0;
        _isr = 0;
        _deviceFeatureSelect = _driverFeatureSelect = 0;
        _queueSelect = 0;
        Interrupt.Lower();
    }

    private void Notify(int queue)
    {
        if (queue < _queues.Length && Ready(queue) is not null)
            Kicked(queue);
    }

    private void Raise(VirtioInterrupt cause)
    {
        _isr |= cause;
        Interrupt.Raise();
    }

    private uint ReadIsr()
    {
        var value = _isr;
        _isr = 0;
        Interrupt.Lower();
        return (uint)value;
    }

    private ulong ReadConfiguration(int offset, int size)
    {
        ulong value = 0;
        for (int i = 0; i < size; i++)
            value |= (ulong)(offset + i < Configuration.Length ? Configuration[offset + i] : 0) << (8 * i);
        return value;
    }

    private SplitQueue? Selected => _queueSelect < _queues.Length ? _queues[_queueSelect] : null;

    private uint ReadCommon(int offset) => offset switch
    {
        VirtioCommon.DeviceFeatureSelect => _deviceFeatureSelect,
        VirtioCommon.DeviceFeature => Half(_offered, _deviceFeatureSelect),
        VirtioCommon.DriverFeatureSelect => _driverFeatureSelect,
        VirtioCommon.DriverFeature => Half(_accepted, _driverFeatureSelect),
        VirtioCommon.MsixAndQueues => 0xFFFF | (uint)_queues.Length << 16,
        VirtioCommon.StatusAndQueueSelect => (uint)_status | (uint)_queueSelect << 16,
        VirtioCommon.QueueSizeAndVector => (Selected?.Size ?? 0u) | 0xFFFF_0000,
        VirtioCommon.QueueEnableAndNotify => (Selected is { Enabled: true } ? 1u : 0) | (Selected is null ? 0u : (uint)_queueSelect << 16),
        VirtioCommon.QueueDescriptors => (uint)(Selected?.Descriptors ?? 0),
        VirtioCommon.QueueDescriptors + 4 => (uint)((Selected?.Descriptors ?? 0) >> 32),
        VirtioCommon.QueueDriver => (uint)(Selected?.DriverArea ?? 0),
        VirtioCommon.QueueDriver + 4 => (uint)((Selected?.DriverArea ?? 0) >> 32),
        VirtioCommon.QueueDevice => (uint)(Selected?.DeviceArea ?? 0),
        VirtioCommon.QueueDevice + 4 => (uint)((Selected?.DeviceArea ?? 0) >> 32),
        _ => 0,
    };

    private void WriteCommon(int offset, uint value, uint mask)
    {
        switch (offset)
        {
            case VirtioCommon.DeviceFeatureSelect:
                _deviceFeatureSelect = Merged(_deviceFeatureSelect, value, mask);
                break;
            case VirtioCommon.DriverFeatureSelect:
                _driverFeatureSelect = Merged(_driverFeatureSelect, value, mask);
                break;
            case VirtioCommon.DriverFeature when _driverFeatureSelect < 2 && (_status & VirtioStatus.FeaturesOk) == 0:
                int shift = (int)_driverFeatureSelect * 32;
                ulong half = Merged(Half(_accepted, _driverFeatureSelect), value, mask);
                _accepted = (VirtioFeatures)((ulong)_accepted & ~((ulong)uint.MaxValue << shift) | half << shift);
                break;
            case VirtioCommon.StatusAndQueueSelect:
                if ((mask & 0xFF) != 0)
                    WriteStatus((VirtioStatus)value, modern: true);
                if ((mask >> 16) != 0)
                    _queueSelect = (ushort)(Merged((uint)_queueSelect << 16, value, mask) >> 16);
                break;
            default:
                if (offset >= VirtioCommon.QueueSizeAndVector && Selected is { Enabled: false } queue)
                    WriteQueue(queue, offset, value, mask);
                break;
        }
    }

    private static void WriteQueue(SplitQueue queue, int offset, uint value, uint mask)
    {
        switch (offset)
        {
            case VirtioCommon.QueueSizeAndVector:
                ushort size = (ushort)Merged(queue.Size, value, mask & 0xFFFF);
                if (size != 0 && size <= queue.MaximumSize && (size & (size - 1)) == 0)
                    queue.Size = size;
                break;
            case VirtioCommon.QueueEnableAndNotify:
                queue.Enabled = (value & mask & 1) != 0;
                break;
            case VirtioCommon.QueueDescriptors or VirtioCommon.QueueDescriptors + 4:
                queue.Descriptors = Merged(queue.Descriptors, offset, value, mask);
                break;
            case VirtioCommon.QueueDriver or VirtioCommon.QueueDriver + 4:
                queue.DriverArea = Merged(queue.DriverArea, offset, value, mask);
                break;
            case VirtioCommon.QueueDevice or VirtioCommon.QueueDevice + 4:
                queue.DeviceArea = Merged(queue.DeviceArea, offset, value, mask);
                break;
        }
    }

    /// <summary>Writing 0 resets. FEATURES_OK stays clear when the driver took what was not offered, or not VERSION_1.</summary>
    private void WriteStatus(VirtioStatus value, bool modern)
    {
        if (value == 0)
        {
            ResetDevice();
            return;
        }
        bool acceptable = (_accepted & ~_offered) == 0 && (_accepted & VirtioFeatures.Version1) != 0;
        if (modern && !acceptable)
            value &= ~VirtioStatus.FeaturesOk;
        _status = value & ~VirtioStatus.NeedsReset | _status & VirtioStatus.NeedsReset;
    }

    private uint ReadLegacy(int offset, int size)
    {
        switch (offset)
        {
            case VirtioLegacy.DeviceFeatures:
                return (uint)_offered;
            case VirtioLegacy.DriverFeatures:
                return (uint)_accepted;
            case VirtioLegacy.QueueAddress:
                return (uint)((Selected?.Descriptors ?? 0) >> 12);
            case VirtioLegacy.QueueSize:
                return (Selected?.MaximumSize ?? 0u) | (size == 4 ? (uint)_queueSelect << 16 : 0);
            case VirtioLegacy.QueueSelect:
                return _queueSelect;
            case VirtioLegacy.Status:
                return (uint)_status | (size > 1 ? ReadIsr() << 8 : 0);
            case VirtioLegacy.Isr:
                return ReadIsr();
            case >= VirtioLegacy.DeviceConfiguration:
                return (uint)ReadConfiguration(offset - VirtioLegacy.DeviceConfiguration, size);
            default:
                return 0;
        }
    }

    private void WriteLegacy(int offset, uint value, int size)
    {
        switch (offset)
        {
            case VirtioLegacy.DriverFeatures when size == 4:
                _accepted = (VirtioFeatures)value & _offered;
                break;
            case VirtioLegacy.QueueAddress when size == 4:
                Selected?.PlaceLegacy(value);
                break;
            case VirtioLegacy.QueueSelect when size == 2:
                _queueSelect = (ushort)value;
                break;
            case VirtioLegacy.QueueNotify when size >= 2:
                Notify((ushort)value);
                break;
            case VirtioLegacy.Status:
                WriteStatus((VirtioStatus)value, modern: false);
                break;
        }
    }

    private static uint Half(VirtioFeatures features, uint select) => select switch
    {
        0 => (uint)features,
        1 => (uint)((ulong)features >> 32),
        _ => 0,
    };

    private static uint Merged(uint old, uint value, uint mask) => old & ~mask | value & mask;

    private static ulong Merged(ulong old, int offset, uint value, uint mask)
    {
        int shift = (offset & 4) * 8;
        return old & ~((ulong)mask << shift) | (ulong)(value & mask) << shift;
    }
}
