namespace Farm.Bench;

/// <summary>Takes an emulator's clocks when the loop says S and when it says E.</summary>
internal static class LoopWatch
{
    /// <param name="read">The next byte of COM1; -1: none for now; null: no more.</param>
    public static Measurement Wait(Child child, Func<int?> read)
    {
        (double Wall, double Cpu)? start = null;
        while (true)
        {
            switch (read())
            {
                case 'S':
                    start = child.Now;
                    break;
                case 'E' when start is { } begun:
                    var end = child.Now;
                    return new(end.Wall - begun.Wall, end.Cpu - begun.Cpu);
                case null:
                    return Measurement.Failed($"it ended before the loop did: {child.Error}");
                case -1 when child.Ended:
                    return Measurement.Failed($"it ended before the loop did: {child.Error}");
                case -1:
                    Thread.Sleep(1);
                    break;
            }
        }
    }

    /// <summary>Bytes of a pipe, as they come.</summary>
    public static Func<int?> Pipe(Stream stream) => () => stream.ReadByte() is >= 0 and var value ? value : null;

    /// <summary>Bytes of a file that another process writes.</summary>
    public static Func<int?> Growing(string path)
    {
        long at = 0;
        return () =>
        {
            if (!File.Exists(path))
                return -1;
            using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
            if (file.Length <= at)
                return -1;
            file.Position = at++;
            return file.ReadByte();
        };
    }
}
