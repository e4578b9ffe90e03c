using System.Globalization;
using System.Text;

namespace Farm.Machine.Boot;

/// <summary>How far a script is.</summary>
public enum ScriptStatus
{
    Running,

    /// <summary>Every step was met; an empty script: the guest powered off.</summary>
    Passed,

    /// <summary>A failure pattern appeared, a step could not be done, or the guest ended too early.</summary>
    Failed,

    /// <summary>A step's or the script's limit in guest terms was reached.</summary>
    TimedOut,
}

/// <summary>
/// Takes a guest through its script. The machine's run loop calls <see cref="Poll"/> at <see cref="NextPoll"/> in guest time and hands
/// in serial output; nothing here depends on the host's clock, so a run repeats exactly.
/// </summary>
public sealed class ScriptRunner
{
    private const long TextInterval = 10_000_000;
    private const long GraphicsInterval = 100_000_000;
    private const int FailOverlap = 4096;

    /// <summary>A screen that never stands still is waited for so many times as long.</summary>
    private const int MostSettling = 4;

    private readonly GuestScript _script;
    private readonly IScriptTarget _target;
    private readonly FreshScreen _screen = new();
    private readonly SerialText _serial = new();
    private ulong _stamp;
    private bool _observed;
    private bool _graphics;
    private long _screenVersion;
    private long _serialMark;
    private long _failSerial;
    private long _failScreen = -1;
    private long _stepStart;
    private bool _stepEntered;
    private (long Screen, long Serial) _checked;
    private ulong _regionHash;
    private bool _poweredOff;

    /// <summary>Guest time at which the text on the screen was last seen to change, and at which the step under way was met (-1: it is not).</summary>
    private long _changed;
    private long _met = -1;

    public ScriptRunner(GuestScript script, IScriptTarget target)
    {
        _script = script;
        _target = target;
    }

    public ScriptStatus Status { get; private set; } = ScriptStatus.Running;

    /// <summary>One sentence: why the script ended; empty while it runs.</summary>
    public string Message { get; private set; } = "";

    /// <summary>Number of steps met.</summary>
    public int StepsDone { get; private set; }

    /// <summary>The step under way, or null at the end.</summary>
    public ScriptStep? CurrentStep => StepsDone < _script.Steps.Count ? _script.Steps[StepsDone] : null;

    /// <summary>Share of the steps that are met, 0 to 1.</summary>
    public double Progress => _script.Steps.Count == 0 ? 0 : (double)StepsDone / _script.Steps.Count;

    /// <summary>Guest time at which <see cref="Poll"/> wants to be called next.</summary>
    public long NextPoll { get; private set; }

    /// <summary>
    /// How long the text on the screen has to stand still, in guest time, after an expectation came true before the script goes on (at most
    /// four times as long): so that what two runs show at a step can be compared.
    /// </summary>
    public TimeSpan Settle { get; init; }

    /// <summary>Called when a step is met.</summary>
    public Action<ScriptStep>? OnStepMet { get; set; }

    /// <summary>Bytes the guest sent on its console serial line, as they come.</summary>
    public void SerialOutput(ReadOnlySpan<byte> bytes)
    {
        foreach (byte value in bytes)
            _serial.Append(value);
    }

    /// <summary>Looks at the guest and goes on as far as it allows.</summary>
    public ScriptStatus Poll()
    {
        if (Status != ScriptStatus.Running)
            return Status;
        Observe();
        if (!Failed())
        {
            while (Status == ScriptStatus.Running && CurrentStep is { } step && (_met >= 0 || Advance(step)) && Settled(step))
            {
                StepsDone++;
                _stepEntered = false;
                _met = -1;
                OnStepMet?.Invoke(step);
            }
            if (Status == ScriptStatus.Running && CurrentStep is null && (_script.Steps.Count > 0 || _poweredOff))
                End(ScriptStatus.Passed, _script.Steps.Count > 0 ? $"All {_script.Steps.Count} steps were met." : "The guest powered off.");
            CheckLimits();
        }
        NextPoll = _target.GuestTime + (_graphics && _target.KeyboardIdle ? GraphicsInterval : TextInterval);
        if (CurrentStep is WaitStep wait && _stepEntered)
            NextPoll = Math.Min(NextPoll, _stepStart + Nanoseconds(wait.Time));
        return Status;
    }

    /// <summary>The guest has powered off: the end of the script, good or bad.</summary>
    public ScriptStatus GuestPoweredOff()
    {
        _poweredOff = true;
        Poll();
        if (Status == ScriptStatus.Running)
            End(ScriptStatus.Failed, $"The guest powered off. {Explain()}");
        return Status;
    }

    /// <summary>What the script waits for and what comes nearest to it, for a run that ends by a limit of the caller's or by a hang.</summary>
    public string Explain()
    {
        if (CurrentStep is not { } step)
            return _script.Steps.Count == 0 ? "The script waits for the guest to power off." : "The script is at its end.";
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"Step {StepsDone + 1} of {_script.Steps.Count}");
        if (step.Line > 0)
            text.Append(CultureInfo.InvariantCulture, $" (line {step.Line})");
        text.Append(CultureInfo.InvariantCulture, $", {step.Describe()}, is not met");
        switch (step)
        {
            case ExpectStep expect:
                ExplainExpect(expect, text);
                break;
            case TypeStep:
                text.Append(": the guest has not taken all keys");
                break;
            case ExpectGraphicsStep:
                var size = _target.Screen;
                text.Append(CultureInfo.InvariantCulture, $": the screen is {(size.IsGraphics ? "graphics" : "text")} of {size.Width}x{size.Height}");
                break;
            case ExpectRegionStep:
                text.Append(CultureInfo.InvariantCulture, $": the region's hash is {_regionHash:x16}");
                break;
        }
        return text.Append('.').ToString();
    }

    private static long Nanoseconds(TimeSpan time) => (long)(time.TotalSeconds * 1e9);

    private void Observe()
    {
        _graphics = _target.Screen.IsGraphics;
        bool wanted = !_graphics || CurrentStep is ExpectRegionStep;
        ulong stamp = wanted ? _target.ScreenStamp : 0;
        if (_observed && stamp == _stamp)
            return;
        _observed = true;
        _stamp = stamp;
        _screenVersion++;
        string before = _screen.Text;
        _screen.Observe(_graphics ? null : _target.ReadText());
        if (_screen.Text != before)
            _changed = _target.GuestTime;
    }

    private bool Settled(ScriptStep step)
    {
        if (Settle == TimeSpan.Zero || _poweredOff || Status != ScriptStatus.Running || step is not (ExpectStep or ExpectGraphicsStep or ExpectRegionStep))
            return true;
        long now = _target.GuestTime, still = Nanoseconds(Settle);
        if (_met < 0)
            _met = now;
        return now - Math.Max(_met, _changed) >= still || now - _met >= MostSettling * still;
    }

    private bool Failed()
    {
        bool screen = _failScreen != _screenVersion;
        bool serial = _failSerial != _serial.End;
        if (_script.FailOn.Count == 0 || !(screen || serial))
            return false;
        string serialText = serial ? _serial.From(_failSerial - FailOverlap) : "";
        _failScreen = _screenVersion;
        _failSerial = _serial.End;
        foreach (var fail in _script.FailOn)
        {
            bool onScreen = screen && fail.Source.HasFlag(TextSource.Screen) && _screen.Matches(fail.Pattern.Regex, anywhere: true);
            bool onSerial = serial && fail.Source.HasFlag(TextSource.Serial) && fail.Pattern.Regex.IsMatch(serialText);
            if (!onScreen && !onSerial)
                continue;
            string what = fail.Reason is null ? "" : $": {fail.Reason}";
            End(ScriptStatus.Failed, $"The {(onScreen ? "screen" : "serial line")} shows the failure pattern '{fail.Pattern}'{what}. {Explain()}");
            return true;
        }
        return false;
    }

    private bool Advance(ScriptStep step)
    {
        bool entering = !_stepEntered;
        if (entering)
        {
            _stepEntered = true;
            _stepStart = _target.GuestTime;
            _checked = (-1, -1);
        }
        switch (step)
        {
            case ExpectStep expect:
                return Matches(expect);
            case TypeStep type:
                if (!entering)
                    return _target.KeyboardIdle || _poweredOff;
                MarkOld();
                _target.SendKeys(type.Keys);
                return type.Keys.Count == 0;
            case WaitStep wait:
                return _target.GuestTime - _stepStart >= Nanoseconds(wait.Time);
            case ExpectGraphicsStep graphics:
                var size = _target.Screen;
                return size.IsGraphics && size.Width == (graphics.Width ?? size.Width) && size.Height == (graphics.Height ?? size.Height);
            case ExpectRegionStep region:
                return Matches(region);
            case InsertStep insert:
                return Done(_target.Insert(insert.Drive, insert.Media));
            case EjectStep eject:
                return Done(_target.Eject(eject.Drive));
            case ResetStep:
                MarkOld();
                _target.Reset();
                return true;
            case PhaseStep phase:
                _target.ReachPhase(phase.Name);
                return true;
            case ExpectPowerOffStep:
                return _poweredOff;
            case PowerOffStep:
                if (!_poweredOff)
                    _target.PowerOff();
                return true;
            default:
                throw new InvalidOperationException($"The step {step.GetType().Name} has no meaning to the runner.");
        }
    }

    private bool Matches(ExpectStep expect)
    {
        var (screen, serial) = _checked;
        _checked = (_screenVersion, _serial.End);
        if (screen != _screenVersion && expect.Source.HasFlag(TextSource.Screen) && _screen.Matches(expect.Pattern.Regex, expect.Anywhere))
            return true;
        if (serial == _serial.End || !expect.Source.HasFlag(TextSource.Serial))
            return false;
        long from = expect.Anywhere ? _serial.Start : Math.Max(_serialMark, _serial.Start);
        var match = expect.Pattern.Regex.Match(_serial.From(from));
        if (!match.Success)
            return false;
        _serialMark = Math.Max(_serialMark, from + match.Index + match.Length);
        return true;
    }

    private bool Matches(ExpectRegionStep region)
    {
        if (_checked.Screen == _screenVersion)
            return false;
        Observe();
        _checked.Screen = _screenVersion;
        _regionHash = _target.Render().RegionHash(region.X, region.Y, region.Width, region.Height);
        return _regionHash == region.Hash;
    }

    private bool Done(string? problem)
    {
        if (problem is null)
            return true;
        End(ScriptStatus.Failed, $"{problem.TrimEnd('.')}. {Explain()}");
        return false;
    }

    private void MarkOld()
    {
        _screen.Mark();
        _serialMark = _serial.End;
    }

    private void CheckLimits()
    {
        if (Status != ScriptStatus.Running)
            return;
        long now = _target.GuestTime;
        if (_met < 0 && CurrentStep is { } step && step is not WaitStep && (step.Timeout ?? _script.StepTime) is { } timeout && now - _stepStart >= Nanoseconds(timeout))
            End(ScriptStatus.TimedOut, $"{Seconds(timeout)} of guest time have passed. {Explain()}");
        else if (_script.GuestTime is { } limit && now >= Nanoseconds(limit))
            End(ScriptStatus.TimedOut, $"The script's limit of {Seconds(limit)} of guest time is reached. {Explain()}");
        else if (_script.Instructions is { } instructions && _target.Instructions >= instructions)
            End(ScriptStatus.TimedOut, $"The script's limit of {instructions} instructions is reached. {Explain()}");
    }

    private static string Seconds(TimeSpan time) => string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds} s");

    private void ExplainExpect(ExpectStep expect, StringBuilder text)
    {
        if (!expect.Anywhere && expect.Source.HasFlag(TextSource.Screen) && _screen.Matches(expect.Pattern.Regex, anywhere: true))
        {
            text.Append(": the text is on the screen, but stood there before the last keys or reset (anywhere: true accepts it)");
            return;
        }
        if (expect.Source.HasFlag(TextSource.Screen) && _graphics)
            text.Append("; the screen is in a graphics mode");
        IEnumerable<string> lines = [];
        if (expect.Source.HasFlag(TextSource.Screen))
            lines = lines.Concat(_screen.Lines);
        int screenLines = lines.Count();
        if (expect.Source.HasFlag(TextSource.Serial))
            lines = lines.Concat(_serial.From(Math.Max(_serialMark, _serial.End - FailOverlap)).Split('\n'));
        if (ClosestLine.Find(expect.Pattern.Text, lines) is { } closest)
        {
            string where = closest.Line < screenLines ? $"row {closest.Line} of the screen" : "the serial line";
            text.Append(CultureInfo.InvariantCulture, $"; the closest text is '{closest.Text.Trim()}' ({where}), distance {closest.Distance} from '{closest.Literal}'");
        }
    }

    private void End(ScriptStatus status, string message)
    {
        Status = status;
        Message = message;
    }
}
