using Farm.Contracts.Jobs;
using Farm.Contracts.Triage;

namespace Farm.Silo.Verdicts;

/// <summary>Keeps what a worker reports within bounds: a guest can make it as long as it likes.</summary>
public static class RunReports
{
    private const int MostItems = 500;
    private const int MostOpcodes = 50;
    private const int LongestText = 2000;

    public static RunReport Bound(RunReport report)
    {
        // a sound run without an outcome would colour nothing: it is the worker's mistake, hence trouble
        var health = report is { Health: RunHealth.Ok, Outcome: null } ? RunHealth.Infrastructure : report.Health;
        return report with
        {
            Health = health,
            Outcome = health is RunHealth.Ok ? report.Outcome : null,
            Summary = health == report.Health ? Cut(report.Summary) : "The worker reported a sound run without an outcome.",
            Exits = [.. report.Exits.Take(MostItems)],
            AssistTraps = [.. report.AssistTraps.Take(MostItems)],
            Interrupts = [.. report.Interrupts.Take(MostItems)],
            Artifacts = [.. report.Artifacts.Where(artifact => IsDigest(artifact.Sha256) && artifact.Name.Length is > 0 and <= 200).DistinctBy(artifact => artifact.Name).Take(MostItems)],
            FinalScreen = [.. report.FinalScreen.Take(200).Select(Cut)],
            StallVerdict = report.StallVerdict is { } verdict ? Cut(verdict) : null,
            UnsupportedOpcodes = [.. report.UnsupportedOpcodes.Take(MostOpcodes).Select(Bound)],
        };
    }

    /// <summary>Lower-case hex of a SHA-256.</summary>
    public static bool IsDigest(string text) => text.Length == 64 && text.All(c => c is >= '0' and <= '9' or >= 'a' and <= 'f');

    private static UnsupportedOpcodeReport Bound(UnsupportedOpcodeReport report) => report with
    {
        Bytes = Cut(report.Bytes),
        BytesAround = Cut(report.BytesAround),
        Registers = [.. report.Registers.Take(MostItems)],
        Segments = [.. report.Segments.Take(20)],
        Disassembly = [.. report.Disassembly.Take(MostItems)],
        LastBranches = [.. report.LastBranches.Take(MostItems)],
        Screen = [.. report.Screen.Take(200).Select(Cut)],
    };

    private static string Cut(string text) => text.Length <= LongestText ? text : text[..LongestText] + "...";
}
