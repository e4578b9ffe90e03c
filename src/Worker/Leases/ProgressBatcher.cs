using System.Text;
using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Farm.Contracts.Workers;
using Farm.Vm;

namespace Farm.Worker.Leases;

/// <summary>Gathers a child's messages into batches of bounded size. Thread-safe.</summary>
public sealed class ProgressBatcher
{
    private const int MostSerial = 60 * 1024;
    private const int MostPhases = 200;

    private readonly Lock _gate = new();
    private readonly ScreenDiff _diff = new();
    private readonly List<PhaseEvent> _phases = [];
    private readonly StringBuilder _serial = new();
    private ScreenUpdate? _screen;
    private VmProgress? _newest;
    private long _lostSerial;

    /// <summary>The furthest phase of all.</summary>
    public BootPhase Furthest { get; private set; }

    public void Add(VmProgress progress)
    {
        lock (_gate)
        {
            _newest = progress;
            foreach (var phase in progress.Phases)
            {
                Furthest = phase.Phase > Furthest ? phase.Phase : Furthest;
                if (_phases.Count < MostPhases)
                    _phases.Add(phase);
            }
            if (progress.Screen is not null)
                _screen = progress.Screen;
            _serial.Append(progress.Serial);
            if (_serial.Length > MostSerial)
            {
                _lostSerial += _serial.Length - MostSerial;
                _serial.Remove(0, _serial.Length - MostSerial);
            }
        }
    }

    /// <summary>What came since the last batch; null when nothing did.</summary>
    public ProgressBatch? Take(long epoch)
    {
        lock (_gate)
        {
            if (_newest is not { } newest)
                return null;
            _newest = null;
            var lost = _lostSerial > 0 ? $"\n[{_lostSerial} characters left out]\n" : "";
            var batch = new ProgressBatch
            {
                Epoch = epoch,
                Phases = [.. _phases],
                Screen = _screen is null ? null : _diff.Next(_screen),
                Serial = lost + _serial,
                Step = newest.Step,
                Progress = newest.Progress,
                GuestSeconds = newest.GuestSeconds,
                Instructions = newest.Instructions,
            };
            _phases.Clear();
            _serial.Clear();
            _lostSerial = 0;
            return batch;
        }
    }

    /// <summary>The next batch carries the whole screen.</summary>
    public void NeedFullScreen()
    {
        lock (_gate)
            _diff.Restart();
    }
}
