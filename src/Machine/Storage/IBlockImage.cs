namespace Farm.Machine.Storage;

/// <summary>A medium of fixed size, addressed by sector. Used by one thread.</summary>
public interface IBlockImage : IDisposable
{
    /// <summary>What it is, for messages: a path, or a path and the overlay on it.</summary>
    string Name { get; }

    /// <summary>512, or 2048 for a CD.</summary>
    int SectorSize { get; }

    long SectorCount { get; }

    /// <summary>Sectors that can be read, from sector 0 on; those behind them are lost (a CD image cut short), and a drive says so.</summary>
    long ReadableSectors => SectorCount;

    bool ReadOnly { get; }

    /// <summary>
    /// Reads whole sectors; the caller keeps the range inside the image. A failure of the host's file throws
    /// <see cref="Hypervisors.HostException"/>.
    /// </summary>
    void Read(long sector, Span<byte> destination);

    /// <summary>Writes whole sectors; the caller keeps the range inside the image and asks <see cref="ReadOnly"/> first.</summary>
    void Write(long sector, ReadOnlySpan<byte> source);

    /// <summary>Makes writes durable where they are kept.</summary>
    void Flush();

    /// <summary>True when the sectors are known to read as zeros without reading them. May be false for sectors of zeros.</summary>
    bool IsKnownZero(long sector, long count) => false;
}
