using System.Diagnostics;
using System.Text;
using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Farm.Machine.Boot;
using Farm.Machine.Devices.Vga;

namespace Farm.Vm;

/// <summary>Tells the worker what has happened, a few times a second of the host's time. Pictures are packed beside the machine.</summary>
internal sealed class Teller(IVmEvents events)
{
    private static readonly TimeSpan TellEvery = TimeSpan.FromMilliseconds(200);

    /// <summary>Telling may take one part in so many of the machine's time.</summary>
    private const int TellShare = 20;

    /// <summary>And packing pictures one part in so many of another processor's: on a slow host one takes longer than the pause between two.</summary>
    private const int PackShare = 10;
    private const int LargestPicture = 512 * 1024;

    private readonly List<PhaseEvent> _phases = [];
    private readonly StringBuilder _serial = new();
    private long _told = Stopwatch.GetTimestamp();
    private TimeSpan _pause = TellEvery;

    /// <summary>Of the screen told last, or on its way.</summary>
    private ulong _stamp = ulong.MaxValue;

    /// <summary>The picture that is being packed.</summary>
    private Task<ScreenUpdate>? _picture;
    private long _pictureBegan;
    private TimeSpan _picturePause;

    /// <summary>The farm's phase of that name; null for a script's own.</summary>
    public static BootPhase? Known(string name) => name == PhaseTracker.Prompt ? BootPhase.Prompt
        : Enum.TryParse<BootPhase>(name.Replace("-", "", StringComparison.Ordinal), ignoreCase: true, out var phase) ? phase : null;

    public void Serial(byte value) => _serial.Append((char)value);

    public void Phase(PhaseReached phase) => _phases.Add(new PhaseEvent
    {
        Phase = Known(phase.Name) ?? (_phases.Count > 0 ? _phases[^1].Phase : BootPhase.Kernel),
        Detail = Known(phase.Name) is null ? phase.Name : null,
        GuestSeconds = phase.GuestSeconds,
        HostSeconds = phase.HostSeconds,
        Instructions = (long)phase.Instructions,
    });

    public void Poll(BootSession session)
    {
        if (Stopwatch.GetElapsedTime(_told) < _pause)
            return;
        _told = Stopwatch.GetTimestamp();
        Tell(session, Screen(session));
        var cost = Stopwatch.GetElapsedTime(_told) * TellShare;
        _pause = cost > TellEvery ? cost : TellEvery;
    }

    /// <summary>Tells the rest, with the screen as it stays.</summary>
    public void TellLast(BootSession session)
    {
        do
        {
            // One that is being packed, then one of what was shown since.
            _picture?.Wait();
            Tell(session, Screen(session, last: true));
        }
        while (_picture is not null);
    }

    private void Tell(BootSession session, ScreenUpdate? screen)
    {
        events.Progress(new VmProgress
        {
            Phases = [.. _phases],
            Screen = screen,
            Serial = _serial.ToString(),
            Step = session.Script?.CurrentStep?.Describe(),
            Progress = session.Script?.Progress ?? 0,
            GuestSeconds = session.Machine.Time.Now / 1e9,
            Instructions = (long)session.Machine.Instructions,
        });
        _phases.Clear();
        _serial.Clear();
    }

    /// <summary>What there is to tell of the screen; null: nothing new.</summary>
    private ScreenUpdate? Screen(BootSession session, bool last = false)
    {
        var screen = session.Machine.Screen;
        double seconds = session.Machine.Time.Now / 1e9;
        ulong stamp = screen.Stamp();
        if (screen.ReadText() is { } text)
        {
            // A picture from before is out of date.
            _picture = null;
            bool news = stamp != _stamp;
            _stamp = stamp;
            return news ? Lines(text, seconds) : null;
        }
        ScreenUpdate? packed = null;
        if (_picture is { IsCompleted: true } picture)
        {
            packed = picture.GetAwaiter().GetResult();
            _picture = null;
        }
        if (_picture is null && stamp != _stamp && (last || Stopwatch.GetElapsedTime(_pictureBegan) >= _picturePause))
        {
            _stamp = stamp;
            _pictureBegan = Stopwatch.GetTimestamp();
            var image = screen.Render();
            var size = screen.Size;
            _picture = Task.Run(() => Pack(image, size, seconds));
        }
        return packed;
    }

    private ScreenUpdate Pack(RgbaImage image, ScreenSize size, double seconds)
    {
        long start = Stopwatch.GetTimestamp();
        byte[] png = image.ToPng();
        _picturePause = Stopwatch.GetElapsedTime(start) * PackShare;
        return new ScreenUpdate { Sequence = 0, Full = true, Mode = $"{size.Width}x{size.Height}", GuestSeconds = seconds, Png = png.Length <= LargestPicture ? png : null };
    }

    private static ScreenUpdate Lines(TextScreen text, double seconds) => new()
    {
        Sequence = 0,
        Full = true,
        Columns = text.Columns,
        Rows = text.Rows,
        Lines = [.. Enumerable.Range(0, text.Rows).Select(row => Line(text, row))],
        CursorRow = text.CursorVisible ? text.CursorRow : -1,
        CursorColumn = text.CursorVisible ? text.CursorColumn : -1,
        GuestSeconds = seconds,
        Mode = $"text {text.Columns}x{text.Rows}",
    };

    private static ScreenLine Line(TextScreen text, int row)
    {
        string characters = text.Row(row);
        byte[] attributes = [.. Enumerable.Range(0, Math.Min(characters.Length, text.Columns)).Select(column => text.Attribute(row, column))];
        return new ScreenLine { Row = row, Text = characters, Attributes = attributes.All(attribute => attribute == 7) ? null : attributes };
    }
}
