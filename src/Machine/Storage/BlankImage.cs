namespace Farm.Machine.Storage;

/// <summary>A read-only medium of zeros without a file: the base of an overlay for an empty disk to install on.</summary>
public sealed class BlankImage : IBlockImage
{
    public BlankImage(long sectorCount, int sectorSize = 512)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(sectorCount);
        SectorCount = sectorCount;
        SectorSize = sectorSize;
    }

    public string Name => $"blank disk of {SectorCount * SectorSize / 1048576} MiB";

    public int SectorSize { get; }

    public long SectorCount { get; }

    public bool ReadOnly => true;

    public void Read(long sector, Span<byte> destination) => destination.Clear();

    public void Write(long sector, ReadOnlySpan<byte> source) => throw new NotSupportedException("A blank image is read-only; put an overlay on it.");

    public void Flush()
    {
    }

    public bool IsKnownZero(long sector, long count) => true;

    public void Dispose()
    {
    }
}
