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
        {
            long ticket = _next++;
            while (ticket != _serving)
                Monitor.Wait(_gate);
        }
    }

    public void Exit()
    {
        lock (_gate)
        {
            _serving++;
            Monitor.PulseAll(_gate);
        }
    }
}
