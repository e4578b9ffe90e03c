using Tmds.Linux;

namespace Farm.Machine.Hypervisors.Kvm.Native;

/// <summary>clock_gettime(2) of CLOCK_THREAD_CPUTIME_ID: what the kernel gave to the calling thread, guest code included.</summary>
internal static unsafe class ThreadClock
{
    private const int SysClockGetTime = 228;
    private const int ThreadProcessorTime = 3;

    /// <summary>Nanoseconds.</summary>
    public static long Now
    {
        get
        {
            long* time = stackalloc long[2];
            _ = LibC.syscall(SysClockGetTime, ThreadProcessorTime, (void*)time);
            return (time[0] * 1_000_000_000) + time[1];
        }
    }
}
