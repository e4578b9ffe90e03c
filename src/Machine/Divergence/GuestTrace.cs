using Farm.Machine.Boot;

namespace Farm.Machine.Divergence;

/// <summary>A text screen at a moment that both runs have: a phase reached, a script's step met, the end.</summary>
/// <param name="Moment">What the moment is called.</param>
/// <param name="Lines">Rows of the text screen; empty in a graphics mode.</param>
/// <param name="Settled">The guest had time to finish what it was showing.</param>
public sealed record MomentScreen(string Moment, IReadOnlyList<string> Lines, bool Settled, ulong Instruction, double GuestSeconds);

/// <summary>One of the two runs.</summary>
/// <param name="Stack">What the user calls it.</param>
/// <param name="Report">How it ended.</param>
/// <param name="Screens">Its text screens, in order.</param>
/// <param name="Events">Events in its trace.</param>
/// <param name="LeftOut">Port accesses left out as a matter of time, by device.</param>
public sealed record TracedRun(string Stack, BootReport Report, IReadOnlyList<MomentScreen> Screens, long Events, IReadOnlyDictionary<string, long> LeftOut);

/// <summary>Runs a guest with a trace beside it.</summary>
internal static class GuestTrace
{
    /// <summary>Guest time after the script's end until the last screen is taken, if it stands still then: a slow host's guest may be in the middle of scrolling.</summary>
    private const long SettlingTime = 500_000_000;

    /// <summary>Looks in a row that must show the same. On a host's time the guest may just not have been running.</summary>
    private const int StillLooks = 1, StillLooksOnHostTime = 6;

    /// <summary>A screen that never stands still is taken after so many times as long.</summary>
    private const int MostLooks = 100;

    /// <summary>Screens kept; a script with more steps is compared at the first ones and the end.</summary>
    private const int MostScreens = 500;

    public static TracedRun Record(string stack, BootRequest request, Func<string, string?>? media, string file, TraceNames names, CancellationToken cancel)
    {
        var screens = new List<MomentScreen>();
        int steps = 0;
        using var session = new BootSession(request)
        {
            Media = media ?? (static name => File.Exists(name) ? name : null),
            OnPoll = session =>
            {
                int done = session.Script?.StepsDone ?? 0;
                if (done != steps)
                    Capture(session, $"step {done} of {session.StepsTotal}", settled: false);
                steps = done;
            },
        };
        using var recorder = new TraceRecorder(session.Machine, file, names);
        session.Phases.OnReached = phase => Capture(session, $"phase {phase.Name}", settled: false);
        var report = session.Run(cancel);
        string? before = null;
        int still = 0, wanted = report.ClockMode != "virtual" ? StillLooksOnHostTime : StillLooks;
        for (int looks = 0; looks < MostLooks && session.Machine.End is null && !cancel.IsCancellationRequested; looks++)
        {
            session.Machine.Run(session.Machine.Time.Now + SettlingTime, cancel);
            string now = session.Machine.Screen.ReadText()?.ToText() ?? "";
            still = now == before ? still + 1 : 0;
            if (still == wanted)
                break;
            before = now;
        }
        Capture(session, "the end", settled: true);
        return new TracedRun(stack, report, screens, recorder.Events, recorder.LeftOut);

        void Capture(BootSession session, string moment, bool settled)
        {
            if (screens.Count >= MostScreens && !settled)
                return;
            var text = session.Machine.Screen.ReadText();
            screens.Add(new(moment, text?.ToText().Split('\n') ?? [], settled, session.Machine.Instructions, session.Machine.Time.Now / 1e9));
        }
    }
}
