using Farm.Machine.Hypervisors.Whp.Native;

namespace Farm.Machine.Hypervisors.Whp;

/// <summary>
/// Calls back once after so much host time, on a thread of its own; the last setting holds. A call that was already under way when it was
/// set again still comes.
/// </summary>
internal sealed unsafe class KickTimer : IDisposable
{
    private readonly Action _kick;
    private readonly Timer? _timer;
    private readonly EventWaitHandle? _due;
    private readonly ManualResetEvent? _stop;
    private readonly Thread? _thread;

    public KickTimer(Action kick)
    {
        _kick = kick;
        if (!OperatingSystem.IsWindows())
        {
            // Only a stand-in runs here.
            _timer = new Timer(_ => kick());
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
        if (_timer is not null)
        {
            _timer.Change(Math.Min((nanoseconds + 999_999) / 1_000_000, int.MaxValue), Timeout.Infinite);
            return;
        }
        long due = -Math.Max(1, nanoseconds / 100);
        if (Kernel32.SetWaitableTimer(_due!.SafeWaitHandle, &due, 0, null, null, 0) == 0)
            throw new HostException("WHP: SetWaitableTimer failed.");
    }

    public void Dispose()
    {
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
            _kick();
    }
}
