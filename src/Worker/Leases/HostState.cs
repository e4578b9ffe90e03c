using System.Globalization;

namespace Farm.Worker.Leases;

/// <summary>How busy the host is, for the scheduler.</summary>
internal static class HostState
{
    /// <summary>Free space where runs are, in MiB; 0 when not known.</summary>
    public static long FreeDiskMiB(string folder)
    {
        try
        {
            return new DriveInfo(Path.GetFullPath(folder)).AvailableFreeSpace >> 20;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return 0;
        }
    }

    /// <summary>Load average of a minute; 0 where there is none.</summary>
    public static double Load()
    {
        try
        {
            return File.Exists("/proc/loadavg") && double.TryParse(File.ReadAllText("/proc/loadavg").Split(' ')[0], CultureInfo.InvariantCulture, out var load) ? load : 0;
        }
        catch (IOException)
        {
            return 0;
        }
    }

    /// <summary>Memory of the machine in MiB, as the runtime may use it.</summary>
    public static int MemoryMiB => (int)(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes >> 20);
}
