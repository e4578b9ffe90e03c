namespace Farm.Backends.Tests.WhpStandIn;

/// <summary>A lock that is given in the order of asking, so that nobody who gives it up for a moment gets it back before the others.</summary>
internal sealed class StandInTurns
{
    private readonly object _gate = new();
    private long _next;
    private long _serving;

    public void Enter()
    {
        lock (_gate)
            Await(_next++);
    }

    public void Exit()
    {
        lock (_gate)
            Pass();
    }

    /// <summary>Gives the turn up until <paramref name="sleeper"/> is woken, or for so many milliseconds (-1: for ever).</summary>
    public void Rest(Sleeper sleeper, int milliseconds)
    {
        lock (_gate)
        {
            sleeper.Rests = true;
            Pass();
        }
        sleeper.Woken.WaitOne(milliseconds);
        lock (_gate)
        {
            sleeper.Rests = false;
            long ticket = sleeper.Ticket ?? _next++;
            sleeper.Ticket = null;
            Await(ticket);
        }
    }

    /// <summary>
    /// Whoever rests is next in the queue from now on, not from when the host lets its thread run: a processor of a real machine would not
    /// be late because the host is busy.
    /// </summary>
    public void Wake(Sleeper sleeper)
    {
        lock (_gate)
        {
            if (sleeper.Rests)
                sleeper.Ticket ??= _next++;
        }
        sleeper.Woken.Set();
    }

    private void Await(long ticket)
    {
        while (ticket != _serving)
            Monitor.Wait(_gate);
    }

    private void Pass()
    {
        _serving++;
        Monitor.PulseAll(_gate);
    }

    /// <summary>A processor's own.</summary>
    internal sealed class Sleeper : IDisposable
    {
        public AutoResetEvent Woken { get; } = new(false);

        public bool Rests { get; set; }

        /// <summary>Its place in the queue, from its waking on.</summary>
        public long? Ticket { get; set; }

        public void Dispose() => Woken.Dispose();
    }
}
