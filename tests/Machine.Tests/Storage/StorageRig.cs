using Farm.Machine.Bus;
using Farm.Machine.Storage;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Storage;

/// <summary>An image in memory whose sectors carry their own number.</summary>
internal static class TestImage
{
    public static IBlockImage Numbered(int sectors, int sectorSize = 512)
    {
        var image = new OverlayImage(new BlankImage(sectors, sectorSize));
        byte[] data = new byte[sectorSize];
        for (int i = 0; i < sectors; i++)
        {
            Fill(data, i);
            image.Write(i, data);
        }
        return image;
    }

    public static IBlockImage Blank(long sectors, int sectorSize = 512) => new OverlayImage(new BlankImage(sectors, sectorSize));

    /// <summary>What sector <paramref name="number"/> of a numbered image holds.</summary>
    public static byte[] Sector(int number, int sectorSize = 512)
    {
        byte[] data = new byte[sectorSize];
        Fill(data, number);
        return data;
    }

    public static byte[] Read(IBlockImage image, long sector, int count = 1)
    {
        byte[] data = new byte[count * image.SectorSize];
        image.Read(sector, data);
        return data;
    }

    private static void Fill(Span<byte> data, int number)
    {
        for (int i = 0; i < data.Length; i++)
            data[i] = (byte)((number * 31) + (number >> 8) + (i * 7) + (i >> 8));
    }
}

/// <summary>A folder for the files of one test.</summary>
internal sealed class TestFolder : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("farm-test-");

    public string Path => _folder.FullName;

    public string File(string name, ReadOnlySpan<byte> content)
    {
        string path = Name(name);
        System.IO.File.WriteAllBytes(path, content);
        return path;
    }

    public string Sparse(string name, long length)
    {
        string path = Name(name);
        using FileStream stream = System.IO.File.Create(path);
        stream.SetLength(length);
        return path;
    }

    public string Name(string name) => System.IO.Path.Combine(_folder.FullName, name);

    public void Dispose() => _folder.Delete(recursive: true);
}

/// <summary>A DMA channel over an array, programmed for a number of bytes.</summary>
internal sealed class TestDma : IDmaChannel
{
    public byte[] Memory { get; } = new byte[65536];

    public int Count { get; private set; }

    public int Done { get; private set; }

    public bool Ready { get; set; }

    public void Program(int bytes)
    {
        Count = bytes;
        Done = 0;
        Ready = true;
    }

    public int WriteToMemory(ReadOnlySpan<byte> data, out bool terminalCount)
    {
        int run = Ready ? Math.Min(data.Length, Count - Done) : 0;
        data[..run].CopyTo(Memory.AsSpan(Done));
        terminalCount = Advance(run);
        return run;
    }

    public int ReadFromMemory(Span<byte> data, out bool terminalCount)
    {
        int run = Ready ? Math.Min(data.Length, Count - Done) : 0;
        Memory.AsSpan(Done, run).CopyTo(data);
        terminalCount = Advance(run);
        return run;
    }

    private bool Advance(int run)
    {
        Done += run;
        bool end = Done == Count;
        if (end)
            Ready = false;
        return end;
    }
}

/// <summary>Notes what devices tell.</summary>
internal sealed class TestEvents : ISectorEvents
{
    public List<string> Log { get; } = [];

    public void Read(string unit, long sector, int count) => Log.Add($"{unit} read {sector}+{count}");

    public void Written(string unit, long sector, ReadOnlySpan<byte> data) => Log.Add($"{unit} write {sector}+{data.Length / 512}");

    public void MediumChanged(string unit, string? medium) => Log.Add($"{unit} medium {(medium is null ? "out" : "in")}");
}

internal static class ClockExtensions
{
    /// <summary>Runs guest time from event to event until a condition holds; fails the test when nothing more can happen.</summary>
    public static void RunUntil(this VirtualClock clock, Func<bool> condition, string what)
    {
        for (int i = 0; i < 100_000; i++)
        {
            if (condition())
                return;
            long next = clock.NextDeadline;
            if (next == long.MaxValue)
                break;
            clock.AdvanceTo(next);
        }
        Assert.Fail($"Waited in vain for {what}.");
    }

    /// <summary>Lets everything that is under way come to its end.</summary>
    public static void Drain(this VirtualClock clock, int events = 100_000)
    {
        for (int i = 0; i < events && clock.NextDeadline != long.MaxValue; i++)
            clock.AdvanceTo(clock.NextDeadline);
    }
}
