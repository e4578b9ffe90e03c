using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Farm.Machine.Hypervisors.Whp.Native;

/// <summary>Waitable timers of kernel32.dll: the runtime's own timers tick with the system's 15.6 ms.</summary>
internal static unsafe partial class Kernel32
{
    /// <summary>Windows 10 version 1803 and later.</summary>
    public const uint HighResolution = 2;

    public const uint TimerAllAccess = 0x1F0003;

    [DllImport("kernel32.dll", EntryPoint = "CreateWaitableTimerExW", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    public static extern SafeWaitHandle CreateWaitableTimer(void* attributes, char* name, uint flags, uint access);

    /// <param name="dueTime">In units of 100 ns; negative: from now.</param>
    [DllImport("kernel32.dll", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    public static extern int SetWaitableTimer(SafeWaitHandle timer, long* dueTime, int period, void* completion, void* argument, int resume);
}
