using System.Runtime.InteropServices;
using Tmds.Linux;

namespace Farm.Machine.Hypervisors.Kvm.Native;

/// <summary>
/// The signal that gets a thread out of KVM_RUN, and a timer that sends it. The runtime uses SIGRTMIN itself, so it is SIGRTMIN+2; its
/// handler is native code (a managed one could run at any point of the runtime): for a timer's signal it sets
/// kvm_run.immediate_exit, so that one that comes just before KVM_RUN is not lost.
/// </summary>
internal static unsafe class KickSignal
{
    /// <summary>SIGRTMIN+2 of glibc.</summary>
    public const int Number = 36;

    /// <summary>What the handler sets in immediate_exit.</summary>
    public const byte FromTimer = 2;

    private const int SysTimerCreate = 222, SysTimerSetTime = 223, SysTimerDelete = 226, SysGetTid = 186, SysTgkill = 234;
    private const int ClockMonotonic = 1, SigevThreadId = 4, SaSigInfo = 4;
    private const int ProtReadWrite = 3, ProtReadExecute = 5, MapPrivateAnonymous = 0x22;

    private static readonly Lazy<bool> Installed = new(Install);

    public static void Ensure() => _ = Installed.Value;

    /// <summary>Asked at each run: it costs a call once.</summary>
    public static int ThreadId => _threadId != 0 ? _threadId : _threadId = (int)LibC.syscall(SysGetTid);

    [ThreadStatic]
    private static int _threadId;

    public static void Send(int thread) => _ = LibC.syscall(SysTgkill, Environment.ProcessId, thread, Number);

    /// <summary>A timer that signals <paramref name="thread"/>; the handler will change <paramref name="run"/>.</summary>
    public static int CreateTimer(int thread, KvmRun* run)
    {
        var request = new SignalEvent { Value = (ulong)run, Signal = Number, Notify = SigevThreadId, Thread = thread };
        int timer;
        if ((int)LibC.syscall(SysTimerCreate, ClockMonotonic, (void*)&request, (void*)&timer) != 0)
            throw new HostException($"timer_create failed: {KvmFile.Describe(LibC.errno)}.");
        return timer;
    }

    /// <summary>One shot after so many nanoseconds; 0 disarms.</summary>
    public static void SetTimer(int timer, long nanoseconds)
    {
        long* setting = stackalloc long[4];
        setting[0] = setting[1] = 0;
        setting[2] = nanoseconds / 1_000_000_000;
        setting[3] = nanoseconds % 1_000_000_000;
        _ = LibC.syscall(SysTimerSetTime, timer, 0, (void*)setting, 0);
    }

    public static void DeleteTimer(int timer) => _ = LibC.syscall(SysTimerDelete, timer);

    private static bool Install()
    {
        ReadOnlySpan<byte> code =
        [
            0x83, 0x7E, 0x08, 0xFE, //             cmp dword [rsi+8], SI_TIMER
            0x75, 0x09, //                         jne end
            0x48, 0x8B, 0x46, 0x18, //             mov rax, [rsi+24]   ; si_value
            0xF0, 0x80, 0x48, 0x01, FromTimer, //  lock or byte [rax+1], 2
            0xC3, //                          end: ret
        ];
        void* page = LibC.mmap(null, 4096, ProtReadWrite, MapPrivateAnonymous, -1, 0);
        if (page == (void*)-1)
            throw new HostException($"mmap of the signal handler failed: {KvmFile.Describe(LibC.errno)}.");
        code.CopyTo(new Span<byte>(page, 4096));
        if (LibC.mprotect(page, 4096, ProtReadExecute) != 0)
            throw new HostException($"mprotect of the signal handler failed: {KvmFile.Describe(LibC.errno)}.");
        sigaction action = default;
        action.sa_sigaction = page;
        action.sa_flags = SaSigInfo;
        if (LibC.sigaction(Number, &action, null) != 0)
            throw new HostException($"sigaction failed: {KvmFile.Describe(LibC.errno)}.");
        return true;
    }

    /// <summary>struct sigevent.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 64)]
    private struct SignalEvent
    {
        [FieldOffset(0)] public ulong Value;
        [FieldOffset(8)] public int Signal;
        [FieldOffset(12)] public int Notify;
        [FieldOffset(16)] public int Thread;
    }
}
