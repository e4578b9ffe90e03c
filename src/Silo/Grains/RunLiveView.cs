using System.Text;
using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Farm.Contracts.Workers;

namespace Farm.Silo.Grains;

/// <summary>What a running run has shown so far: the merged screen, the serial tail, the phases. Bounded whatever a guest sends.</summary>
internal sealed class RunLiveView(long runId)
{
    private const int SerialTail = 64 * 1024;
    private const int MostPhases = 1000;
    private const int MostRows = 200;
    private const int MostColumns = 512;
    private const int LargestPng = 512 * 1024;

    private readonly StringBuilder _serial = new();
    private readonly List<PhaseEvent> _phases = [];
    private long _sequence;
    private ProgressBatch? _newest;

    public long RunId { get; } = runId;
    public ScreenUpdate? Screen { get; private set; }
    public string Serial => _serial.ToString();
    public double Progress => _newest?.Progress ?? 0;
    public BootPhase Furthest { get; private set; }

    /// <summary>False: a screen update was missed and the next one has to be full.</summary>
    public bool ScreenInStep { get; private set; } = true;

    /// <summary>Takes a batch in, and returns what watchers are told.</summary>
    public RunEvent Add(ProgressBatch batch)
    {
        _newest = batch;
        var room = MostPhases - _phases.Count;
        var phases = batch.Phases.Take(room).ToList();
        _phases.AddRange(phases);
        foreach (var phase in phases)
            Furthest = phase.Phase > Furthest ? phase.Phase : Furthest;

        var serial = batch.Serial.Length > SerialTail ? batch.Serial[^SerialTail..] : batch.Serial;
        _serial.Append(serial);
        if (_serial.Length > SerialTail)
            _serial.Remove(0, _serial.Length - SerialTail);

        ScreenUpdate? shown = null;
        if (batch.Screen is { } screen && IsSane(screen))
        {
            shown = ScreenUpdate.Merge(Screen, screen);
            ScreenInStep = shown is not null;
            Screen = shown ?? Screen;
        }
        return new()
        {
            RunId = RunId,
            Sequence = ++_sequence,
            Phases = phases,
            Screen = shown,
            Serial = serial,
            Step = batch.Step,
            Progress = batch.Progress,
            GuestSeconds = batch.GuestSeconds,
            Instructions = batch.Instructions,
        };
    }

    /// <summary>Everything at once, for a watcher that has just come.</summary>
    public RunEvent Snapshot() => new()
    {
        RunId = RunId,
        Sequence = _sequence,
        Phases = [.. _phases],
        Screen = Screen,
        Serial = Serial,
        Step = _newest?.Step,
        Progress = Progress,
        GuestSeconds = _newest?.GuestSeconds ?? 0,
        Instructions = _newest?.Instructions ?? 0,
        Snapshot = true,
    };

    /// <summary>The end: no more events follow.</summary>
    public RunEvent End(RunInfo run) => Snapshot() with { Snapshot = false, Sequence = ++_sequence, Phases = [], Screen = null, Serial = "", Finished = run };

    private static bool IsSane(ScreenUpdate screen) =>
        screen.Rows is >= 0 and <= MostRows && screen.Columns is >= 0 and <= MostColumns && screen.Lines.Count <= screen.Rows
        && screen.Lines.All(line => line.Row >= 0 && line.Row < screen.Rows && line.Text.Length <= screen.Columns
            && (line.Attributes?.Length ?? 0) <= screen.Columns)
        && (screen.Png?.Length ?? 0) <= LargestPng;
}
