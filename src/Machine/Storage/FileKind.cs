using System.Text;
using Farm.Machine.Hypervisors;
using Tmds.Linux;

namespace Farm.Machine.Storage;

/// <summary>Tells image files from what only looks like one: opening a pipe would wait for ever, and a device has no size.</summary>
internal static class FileKind
{
    private const uint TypeMask = 0xF000, Pipe = 0x1000, CharacterDevice = 0x2000, BlockDevice = 0x6000, Socket = 0xC000;

    /// <summary>Throws <see cref="BadInputException"/> for a directory, pipe, socket or device. A path that leads nowhere passes: opening it says why.</summary>
    public static void RequireFile(string path)
    {
        if (string.IsNullOrWhiteSpace(path))
            throw new BadInputException("The path of an image file is empty.");
        if (Directory.Exists(path))
            throw new BadInputException($"{path} is a directory; give the path of an image file.");
        string? kind = OperatingSystem.IsLinux() ? LinuxKind(path) : null;
        if (kind is not null)
            throw new BadInputException($"{path} is a {kind}, not a file; copy what it gives into an image file first (for example with dd) and name that.");
    }

    private static unsafe string? LinuxKind(string path)
    {
        stat status;
        fixed (byte* name = Encoding.UTF8.GetBytes(path + '\0'))
        {
            if (LibC.stat(name, &status) != 0)
                return null;
        }
        return ((uint)status.st_mode & TypeMask) switch
        {
            Pipe => "pipe",
            CharacterDevice => "character device",
            BlockDevice => "block device",
            Socket => "socket",
            _ => null,
        };
    }
}
