using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Farm.Machine.Boot;
using Farm.Machine.Hypervisors;

namespace Farm.Machine.Divergence;

/// <summary>One of the two runs that are to be compared.</summary>
/// <param name="Stack">What it is called in the report.</param>
/// <param name="Request">What to run.</param>
/// <param name="Media">Finds media that the script names; null: paths.</param>
public sealed record RunToCompare(string Stack, BootRequest Request, Func<string, string?>? Media = null);

/// <summary>What came of running a guest twice.</summary>
/// <param name="First">The run on the first stack.</param>
/// <param name="Second">The run on the second stack.</param>
/// <param name="Streams">Devices and disks whose events part, the earliest first.</param>
/// <param name="Screen">The first text screen that differs.</param>
public sealed record DivergenceReport(TracedRun First, TracedRun Second, IReadOnlyList<StreamDivergence> Streams, ScreenDivergence? Screen)
{
    /// <summary>By device, what one run only did more often than the other or after its end; no difference when one is on the host's time.</summary>
    public IReadOnlyDictionary<string, (long First, long Second)> Surplus { get; init; } = new Dictionary<string, (long, long)>();

    /// <summary>The runs ended differently.</summary>
    public bool Outcomes => First.Report.Outcome != Second.Report.Outcome;

    public bool Alike => Streams.Count == 0 && Screen is null && !Outcomes;

    /// <summary>Runs both, one after the other, with traces in <paramref name="folder"/>, and compares them.</summary>
    /// <param name="ignored">Lines of text screens to leave out.</param>
    public static DivergenceReport Find(RunToCompare first, RunToCompare second, string folder, IReadOnlyList<Regex> ignored, CancellationToken cancel)
    {
        // What one backend lacks is taken from the other: not the guest's doing.
        bool systemManagement = Backends.Choose(first.Request.Backend).Capabilities.SystemManagement && Backends.Choose(second.Request.Backend).Capabilities.SystemManagement;
        first = Without(first);
        second = Without(second);
        var names = new TraceNames();
        string fileA = Path.Combine(folder, "a.trace"), fileB = Path.Combine(folder, "b.trace");
        var a = GuestTrace.Record(first.Stack, first.Request, first.Media, fileA, names, cancel);
        var b = GuestTrace.Record(second.Stack, second.Request, second.Media, fileB, names, cancel);
        var comparer = new TraceComparer(fileA, fileB, names, OnHostTime(a) || OnHostTime(b));
        return new(a, b, comparer.Compare(), new ScreenComparison(ignored).Compare(a.Screens, b.Screens, OnHostTime(a), OnHostTime(b)))
        {
            Surplus = comparer.Surplus,
        };

        RunToCompare Without(RunToCompare run) => run with { Request = run.Request with { Machine = run.Request.Machine with { SystemManagement = systemManagement } } };
    }

    /// <summary>For the terminal: the first difference with what surrounds it, and what else differs.</summary>
    public string Describe()
    {
        var text = new StringBuilder();
        int width = Math.Max(First.Stack.Length, Second.Stack.Length) + 1;
        foreach (var run in new[] { First, Second })
            text.AppendLine(CultureInfo.InvariantCulture, $"{(run.Stack + ":").PadRight(width)} {run.Report.Outcome}, {Instructions(run)}, {run.Report.GuestSeconds:F2} s of guest time ({run.Report.ClockMode}), {run.Events} events, {run.Screens.Count} screens");
        DescribeLeftOut(text);
        if (Alike)
        {
            text.AppendLine("No difference in port I/O, disk writes or text screens.");
            return text.ToString();
        }
        if (Outcomes)
        {
            text.AppendLine("Outcomes differ.");
            foreach (var run in new[] { First, Second })
                text.AppendLine(CultureInfo.InvariantCulture, $"  {(run.Stack + ":").PadRight(width)} {run.Report.Outcome}: {run.Report.Reason}");
        }
        bool screenFirst = Screen is { } shown && (Streams.Count == 0 || shown.FirstScreen.GuestSeconds * 1e9 < Streams[0].Time);
        if (screenFirst)
            Describe(text, "First difference", Screen!);
        else if (Streams.Count > 0)
            Describe(text, "First difference", Streams[0]);
        foreach (var stream in Streams.Skip(screenFirst ? 0 : 1))
            text.AppendLine(CultureInfo.InvariantCulture, $"Also differs: {stream.Stream}, after {stream.Alike} events alike: {stream.First?.What() ?? "nothing"} / {stream.Second?.What() ?? "nothing"}");
        if (Screen is { } other && !screenFirst)
            Describe(text, "Also differs", other);
        return text.ToString();
    }

    private static bool OnHostTime(TracedRun run) => run.Report.ClockMode != "virtual";

    private static string Instructions(TracedRun run) =>
        OnHostTime(run) ? "instructions not counted" : string.Create(CultureInfo.InvariantCulture, $"{run.Report.Instructions} instructions");

    /// <summary>How often each device was polled and so on, which was not compared.</summary>
    private void DescribeLeftOut(StringBuilder text)
    {
        var devices = First.LeftOut.Keys.Union(Second.LeftOut.Keys).Select(device => (Device: device, A: First.LeftOut.GetValueOrDefault(device), B: Second.LeftOut.GetValueOrDefault(device)))
            .OrderByDescending(static row => row.A + row.B).ThenBy(static row => row.Device, StringComparer.Ordinal);
        text.AppendLine(CultureInfo.InvariantCulture, $"Not compared, being a matter of time (accesses in {First.Stack} / {Second.Stack}): {string.Join(", ", devices.Select(row => string.Create(CultureInfo.InvariantCulture, $"{row.Device} {row.A} / {row.B}")))}");
        if (Surplus.Count > 0)
            text.AppendLine(CultureInfo.InvariantCulture, $"Events of one run alone, the same as before or after the end of the other: {string.Join(", ", Surplus.Select(static row => string.Create(CultureInfo.InvariantCulture, $"{row.Key} {row.Value.First} / {row.Value.Second}")))}");
    }

    private void Describe(StringBuilder text, string title, StreamDivergence at)
    {
        text.AppendLine(CultureInfo.InvariantCulture, $"{title}: {at.Stream}, after {at.Alike} events alike");
        foreach (var item in at.Before)
            text.AppendLine(CultureInfo.InvariantCulture, $"    both  {item.What()}");
        Side(First.Stack, at.FirstGoesOn);
        Side(Second.Stack, at.SecondGoesOn);

        void Side(string stack, IReadOnlyList<TraceEvent> events)
        {
            text.AppendLine(CultureInfo.InvariantCulture, $"  {stack}:");
            if (events.Count == 0)
                text.AppendLine("    nothing that the other lacks");
            foreach (var item in events)
                text.AppendLine(CultureInfo.InvariantCulture, $"    {item}");
        }
    }

    private void Describe(StringBuilder text, string title, ScreenDivergence at)
    {
        text.AppendLine(CultureInfo.InvariantCulture, $"{title}: text screen at {at.Moment}");
        foreach (var (stack, line, screen) in new[] { (First.Stack, at.First, at.FirstScreen), (Second.Stack, at.Second, at.SecondScreen) })
        {
            text.AppendLine(CultureInfo.InvariantCulture, $"  {stack} (instruction {screen.Instruction}, {screen.GuestSeconds:F3} s): {line ?? "(no such line)"}");
            foreach (string row in screen.Lines.Where(static row => row.Length > 0))
                text.AppendLine(CultureInfo.InvariantCulture, $"    | {row}");
        }
    }
}
