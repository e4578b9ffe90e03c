using System.Diagnostics;
using Farm.Machine.Hypervisors.Whp.Native;

namespace Farm.Machine.Hypervisors.Whp;

/// <summary>
/// Calls back once after so much host time, never earlier, on a thread of its own; the last setting holds. A call that was already under
/// way when it was set again may still come.
/// </summary>
internal sealed unsafe class KickTimer : IDisposable
{
    /// <summary>About two centuries: sums stay far from the end of the numbers.</summary>
    private const long Longest = long.MaxValue / 2;

    private readonly Lock _gate = new();
    private readonly Action _kick;
    private readonly Timer? _timer;
    private readonly EventWaitHandle? _due;
    private readonly ManualResetEvent? _stop;
    private readonly Thread? _thread;

    private long _deadline = Longest;

    public KickTimer(Action kick)
    {
        _kick = kick;
        if (!OperatingSystem.IsWindows())
        {
            // Only a stand-in runs here.
            _timer = new Timer(_ => Fire());
            return;
        }
        var handle = Kernel32.CreateWaitableTimer(null, null, Kernel32.HighResolution, Kernel32.TimerAllAccess);
        if (handle.IsInvalid)
            throw new HostException("WHP: a high-resolution waitable timer could not be created; Windows 10 version 1803 or later is needed (or --backend soft).");
        _due = new EventWaitHandle(false, EventResetMode.AutoReset) { SafeWaitHandle = handle };
        _stop = new ManualResetEvent(false);
        _thread = new Thread(Wait) { IsBackground = true, Name = "vCPU timer", Priority = ThreadPriority.Highest };
        _thread.Start();
    }

    public void Set(long nanoseconds)
    {
        nanoseconds = Math.Clamp(nanoseconds, 1, Longest);
        lock (_gate)
        {
            _deadline = Now + nanoseconds;
            Arm(nanoseconds);
        }
    }

    private static long Now => (long)((Int128)Stopwatch.GetTimestamp() * 1_000_000_000 / Stopwatch.Frequency);

    private void Arm(long nanoseconds)
    {
        if (_timer is not null)
        {
            _timer.Change(Math.Min((nanoseconds + 999_999) / 1_000_000, int.MaxValue), Timeout.Infinite);
            return;
        }
        long due = -(nanoseconds / 100) - 1;
        if (Kernel32.SetWaitableTimer(_due!.SafeWaitHandle, &due, 0, null, null, 0) == 0)
            throw new HostException("WHP: SetWaitableTimer failed.");
    }

    public void Dispose()
    {
        lock (_gate)
            _deadline = long.MinValue;
        if (_timer is not null)
        {
            using var done = new ManualResetEvent(false);
            if (_timer.Dispose(done))
                done.WaitOne();
            return;
        }
        _stop!.Set();
        _thread!.Join();
        _due!.Dispose();
        _stop.Dispose();
    }

    private void Wait()
    {
        WaitHandle[] handles = [_stop!, _due!];
        while (WaitHandle.WaitAny(handles) == 1)
            Fire();
    }

    /// <summary>The host's timers tick coarsely, and on another clock: what comes early is set again.</summary>
    private void Fire()
    {
        lock (_gate)
        {
            long now = Now;
            if (now < _deadline)
            {
                Arm(_deadline - now);
                return;
            }
        }
        _kick();
    }
}
