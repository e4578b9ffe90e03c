namespace Farm.Machine.Devices.Virtio;

/// <summary>Device status (Virtio 1.2, 2.1).</summary>
[Flags]
public enum VirtioStatus : byte
{
    Acknowledge = 0x01,
    Driver = 0x02,
    DriverOk = 0x04,
    FeaturesOk = 0x08,
    NeedsReset = 0x40,
    Failed = 0x80,
}

/// <summary>ISR status (Virtio 1.2, 4.1.4.5).</summary>
[Flags]
public enum VirtioInterrupt : byte
{
    Queue = 0x01,
    Configuration = 0x02,
}

/// <summary>Feature bits that are not of one device type (Virtio 1.2, 6).</summary>
[Flags]
public enum VirtioFeatures : ulong
{
    None = 0,
    AnyLayout = 1ul << 27,
    IndirectDescriptors = 1ul << 28,
    Version1 = 1ul << 32,
}

/// <summary>Types of configuration structures (Virtio 1.2, 4.1.4).</summary>
internal enum VirtioCapability : byte
{
    Common = 1,
    Notify = 2,
    Isr = 3,
    Device = 4,
    PciConfiguration = 5,
}

/// <summary>The common configuration structure (Virtio 1.2, 4.1.4.3), by the double word that holds a field.</summary>
internal static class VirtioCommon
{
    public const int DeviceFeatureSelect = 0x00;
    public const int DeviceFeature = 0x04;
    public const int DriverFeatureSelect = 0x08;
    public const int DriverFeature = 0x0C;
    public const int MsixAndQueues = 0x10;
    public const int StatusAndQueueSelect = 0x14;
    public const int QueueSizeAndVector = 0x18;
    public const int QueueEnableAndNotify = 0x1C;
    public const int QueueDescriptors = 0x20;
    public const int QueueDriver = 0x28;
    public const int QueueDevice = 0x30;
    public const int Length = 0x38;
}

/// <summary>The legacy header in I/O space (Virtio 1.2, 4.1.4.10).</summary>
internal static class VirtioLegacy
{
    public const int DeviceFeatures = 0x00;
    public const int DriverFeatures = 0x04;
    public const int QueueAddress = 0x08;
    public const int QueueSize = 0x0C;
    public const int QueueSelect = 0x0E;
    public const int QueueNotify = 0x10;
    public const int Status = 0x12;
    public const int Isr = 0x13;
    public const int DeviceConfiguration = 0x14;
}
