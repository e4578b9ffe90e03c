using Farm.Machine.Boot;
using Farm.Machine.Devices.Ps2;
using Farm.Machine.Devices.Vga;

namespace Farm.Machine.Tests.Boot;

/// <summary>A guest whose screen the test writes and that takes keys one a poll.</summary>
internal sealed class FakeGuest : IScriptTarget
{
    public const int Columns = 40;
    public const int Rows = 10;

    private readonly string[] _rows = new string[Rows];
    private readonly Queue<KeyEvent> _keys = new();
    private ulong _stamp = 1;

    public FakeGuest() => Array.Fill(_rows, "");

    public List<string> Log { get; } = [];

    public string Typed { get; private set; } = "";

    /// <summary>Set: the guest takes no keys.</summary>
    public bool Deaf { get; set; }

    public RgbaImage? Picture { get; set; }

    public int Looks { get; private set; }

    public long GuestTime { get; set; }

    public ulong Instructions => (ulong)GuestTime / 10;

    public ScreenSize Screen => Picture is null ? new ScreenSize(false, 720, 400) : new ScreenSize(true, Picture.Width, Picture.Height);

    public ulong ScreenStamp => _stamp;

    public bool KeyboardIdle => _keys.Count == 0;

    public void Show(int row, string text)
    {
        _rows[row] = text;
        _stamp++;
    }

    public void Clear()
    {
        Array.Fill(_rows, "");
        _stamp++;
    }

    /// <summary>Scrolls up and writes at the bottom.</summary>
    public void Scroll(params string[] lines)
    {
        foreach (string line in lines)
        {
            Array.Copy(_rows, 1, _rows, 0, Rows - 1);
            _rows[^1] = line;
        }
        _stamp++;
    }

    public void ShowPicture(RgbaImage? picture)
    {
        Picture = picture;
        _stamp++;
    }

    public TextScreen? ReadText()
    {
        Looks++;
        if (Picture is not null)
            return null;
        var cells = new ushort[Columns * Rows];
        Array.Fill(cells, (ushort)0x0720);
        for (int row = 0; row < Rows; row++)
        {
            for (int column = 0; column < _rows[row].Length; column++)
                cells[row * Columns + column] = (ushort)(0x0700 | _rows[row][column]);
        }
        return new TextScreen(Columns, Rows, cells);
    }

    public RgbaImage Render() => Picture ?? new RgbaImage(1, 1, new uint[1]);

    public void SendKeys(IReadOnlyList<KeyEvent> keys)
    {
        Log.Add($"keys {keys.Count}");
        foreach (var key in keys)
            _keys.Enqueue(key);
    }

    public string? Insert(string drive, string media)
    {
        if (media == "missing")
            return "The guest has no medium 'missing'.";
        Log.Add($"insert {media} {drive}");
        return null;
    }

    public string? Eject(string drive)
    {
        Log.Add($"eject {drive}");
        return null;
    }

    public void Reset() => Log.Add("reset");

    public void PowerOff() => Log.Add("power off");

    public void ReachPhase(string name) => Log.Add($"phase {name}");

    /// <summary>Lets 10 ms of guest time pass; the guest takes a key.</summary>
    public void Run()
    {
        GuestTime += 10_000_000;
        if (!Deaf && _keys.TryDequeue(out var key) && key.Pressed)
            Typed += key.Key + " ";
    }

    /// <summary>Runs until the script ends or so much guest time has passed.</summary>
    public ScriptStatus Run(ScriptRunner runner, double seconds)
    {
        long end = GuestTime + (long)(seconds * 1e9);
        while (runner.Poll() == ScriptStatus.Running && GuestTime < end)
            Run();
        return runner.Status;
    }
}
