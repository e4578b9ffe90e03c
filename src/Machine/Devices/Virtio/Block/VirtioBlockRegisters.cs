namespace Farm.Machine.Devices.Virtio.Block;

/// <summary>Feature bits of the block device (Virtio 1.2, 5.2.3).</summary>
[Flags]
internal enum VirtioBlockFeatures : ulong
{
    SegmentMaximum = 1 << 2,
    Geometry = 1 << 4,
    ReadOnly = 1 << 5,
    BlockSize = 1 << 6,
    Flush = 1 << 9,
}

/// <summary>Types of requests (Virtio 1.2, 5.2.6).</summary>
internal enum VirtioBlockRequest : uint
{
    In = 0,
    Out = 1,
    Flush = 4,
    GetId = 8,
}

internal enum VirtioBlockStatus : byte
{
    Ok = 0,
    IoError = 1,
    Unsupported = 2,
}
