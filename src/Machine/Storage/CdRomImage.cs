namespace Farm.Machine.Storage;

/// <summary>
/// A disc whose volume may be larger than the file: what a broken download has lost is there, as on a scratched disc, and cannot be
/// read.
/// </summary>
internal sealed class CdRomImage(RawImage file, long sectors) : IBlockImage
{
    public string Name => file.Name;

    public int SectorSize => file.SectorSize;

    public long SectorCount { get; } = Math.Max(sectors, file.SectorCount);

    public long ReadableSectors => SectorCount == file.SectorCount ? SectorCount : file.WholeSectors;

    public bool ReadOnly => true;

    public void Read(long sector, Span<byte> destination) => file.Read(sector, destination);

    public void Write(long sector, ReadOnlySpan<byte> source) => file.Write(sector, source);

    public void Flush()
    {
    }

    public void Dispose() => file.Dispose();
}
