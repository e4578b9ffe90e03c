using Farm.Machine.Storage;

namespace Farm.Machine.Devices.Floppy;

/// <summary>A floppy drive: the head's place, the disk in it, the change line. Owns the disk's image.</summary>
public sealed class FloppyDrive : IDisposable
{
    /// <summary>The head stops here, a few cylinders beyond the last.</summary>
    public const int LastCylinder = 84;

    private bool _writeProtected;

    /// <param name="type">For CMOS 10h; a disk of any format can be put in.</param>
    public FloppyDrive(FloppyDriveType type) => Type = type;

    /// <summary>A drive of the type that fits the disk.</summary>
    public FloppyDrive(FloppyImage disk, bool writeProtected = false)
        : this(disk.Format.Drive) => Insert(disk, writeProtected);

    public FloppyDriveType Type { get; }

    public FloppyImage? Disk { get; private set; }

    public bool WriteProtected => _writeProtected || Disk is { Image.ReadOnly: true };

    /// <summary>Cylinder under the head.</summary>
    public int Cylinder { get; private set; }

    /// <summary>Track of the disk under the head: a 1.2M drive passes each of the 40 tracks of a 360K disk in two steps.</summary>
    public int Track => Cylinder / StepsPerTrack;

    internal int StepsPerTrack => Type == FloppyDriveType.Drive1200K && Disk is { Format.Drive: FloppyDriveType.Drive360K } ? 2 : 1;

    /// <summary>DSKCHG: set when a disk goes in or out, cleared by a step with a disk in the drive.</summary>
    public bool DiskChanged { get; private set; } = true;

    internal Action<string?>? MediumChanged { get; set; }

    /// <summary>Puts a disk in; the one before is disposed of.</summary>
    public void Insert(FloppyImage disk, bool writeProtected = false)
    {
        Disk?.Image.Dispose();
        Disk = disk;
        _writeProtected = writeProtected;
        DiskChanged = true;
        MediumChanged?.Invoke(disk.Image.Name);
    }

    public void Eject()
    {
        Disk?.Image.Dispose();
        Disk = null;
        DiskChanged = true;
        MediumChanged?.Invoke(null);
    }

    public void Dispose() => Disk?.Image.Dispose();

    /// <summary>Moves the head by step pulses; returns how many were given.</summary>
    internal int Step(int cylinders)
    {
        if (cylinders != 0 && Disk is not null)
            DiskChanged = false;
        Cylinder = Math.Clamp(Cylinder + cylinders, 0, LastCylinder);
        return Math.Abs(cylinders);
    }
}
