using System.Globalization;
using Farm.Machine.Devices.Floppy;
using Farm.Machine.Devices.Ide;
using Farm.Machine.Storage;

namespace Farm.Machine;

/// <summary>The drives whose media a script may change: floppy0, floppy1, cdrom0...</summary>
internal sealed class RemovableDrives(IReadOnlyList<FloppyDrive?> floppies, IReadOnlyList<AtapiCdRom> cdroms, bool writeThrough)
{
    /// <summary>Says what is wrong, or null; a bad image throws <see cref="Hypervisors.BadInputException"/>.</summary>
    public string? Insert(string drive, string path)
    {
        if (Floppy(drive) is { } floppy)
        {
            if (floppy.Disk is not null)
                floppy.Eject(); // first: with --write the drive holds its file alone, and it may be the same one
            floppy.Insert(ImageFile.OpenFloppy(path, writeThrough));
            return null;
        }
        if (Cdrom(drive) is { } cdrom)
        {
            cdrom.Eject(force: true);
            cdrom.Insert(ImageFile.OpenCdRom(path));
            return null;
        }
        return $"the machine has no drive {drive}";
    }

    /// <summary>Says what is wrong, or null.</summary>
    public string? Eject(string drive)
    {
        if (Floppy(drive) is { } floppy)
            floppy.Eject();
        else if (Cdrom(drive) is { } cdrom)
            cdrom.Eject(force: true);
        else
            return $"the machine has no drive {drive}";
        return null;
    }

    private FloppyDrive? Floppy(string drive) => Index(drive, "floppy") is { } index && index < floppies.Count ? floppies[index] : null;

    private AtapiCdRom? Cdrom(string drive) => Index(drive, "cdrom") is { } index && index < cdroms.Count ? cdroms[index] : null;

    private static int? Index(string drive, string kind) =>
        drive.StartsWith(kind, StringComparison.Ordinal) && int.TryParse(drive.AsSpan(kind.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int index) ? index : null;
}
