using Farm.Machine.Storage;

namespace Farm.Machine.Devices.Cmos;

/// <summary>A boot device as the Bochs BIOS numbers them in 38h and 3Dh.</summary>
public enum BootDevice : byte
{
    None = 0,
    Floppy = 1,
    Disk = 2,
    Cdrom = 3,
    Network = 4,
}

/// <summary>What the setup program of a real PC would have stored: read by the BIOS payloads at POST.</summary>
public sealed record CmosSettings
{
    /// <summary>Time of the clock at power-on.</summary>
    public DateTime BaseTime { get; init; } = new(2004, 11, 8, 12, 0, 0, DateTimeKind.Utc);

    /// <summary>Bytes of RAM below 4 GiB.</summary>
    public required ulong LowMemory { get; init; }

    /// <summary>Bytes of RAM from 4 GiB up.</summary>
    public ulong HighMemory { get; init; }

    public FloppyDriveType DriveA { get; init; } = FloppyDriveType.Drive1440K;

    public FloppyDriveType DriveB { get; init; }

    /// <summary>Master on the primary channel; null for none or a CD-ROM.</summary>
    public DiskParameters? Disk0 { get; init; }

    /// <summary>Slave on the primary channel.</summary>
    public DiskParameters? Disk1 { get; init; }

    /// <summary>Master on the secondary channel: only its translation is stored.</summary>
    public DiskParameters? Disk2 { get; init; }

    public DiskParameters? Disk3 { get; init; }

    public bool MathCoprocessor { get; init; } = true;

    public bool Mouse { get; init; } = true;

    public IReadOnlyList<BootDevice> BootOrder { get; init; } = [BootDevice.Floppy, BootDevice.Disk, BootDevice.Cdrom];

    /// <summary>Boot a floppy even if its boot sector looks unusual (Bochs BIOS, 38h bit 0).</summary>
    public bool SkipFloppySignatureCheck { get; init; } = true;

    public int Processors { get; init; } = 1;
}
