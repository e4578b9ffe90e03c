using Farm.Machine.Hypervisors;
using Microsoft.Win32.SafeHandles;

namespace Farm.Machine.Storage;

/// <summary>A file that holds the sectors one after the other and nothing else. A last sector cut short reads as padded with zeros.</summary>
public sealed class RawImage : IBlockImage
{
    private readonly SafeFileHandle _file;
    private readonly long _length;

    private RawImage(string path, SafeFileHandle file, int sectorSize, bool readOnly)
    {
        Name = path;
        _file = file;
        _length = RandomAccess.GetLength(file);
        SectorSize = sectorSize;
        SectorCount = (_length + sectorSize - 1) / sectorSize;
        ReadOnly = readOnly;
    }

    public string Name { get; }

    public int SectorSize { get; }

    public long SectorCount { get; }

    /// <summary>Sectors without one cut short at the end.</summary>
    internal long WholeSectors => _length / SectorSize;

    public bool ReadOnly { get; }

    /// <summary>Opens a file; one that cannot be opened, or is no file, throws <see cref="BadInputException"/>.</summary>
    public static RawImage Open(string path, int sectorSize, bool write)
    {
        FileKind.RequireFile(path);
        try
        {
            // Readers share; a writer wants the file for itself, so no run reads a base that another run changes.
            SafeFileHandle file = File.OpenHandle(path, FileMode.Open, write ? FileAccess.ReadWrite : FileAccess.Read, write ? FileShare.None : FileShare.Read, FileOptions.RandomAccess);
            return new RawImage(path, file, sectorSize, !write);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new BadInputException($"{path} does not exist.", e);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new BadInputException($"{path} may not be opened for {(write ? "writing" : "reading")}; check its permissions{(write ? ", or leave --write out" : "")}.", e);
        }
        catch (Exception e) when (e is IOException or ArgumentException or NotSupportedException)
        {
            throw new BadInputException($"{path} cannot be opened: {e.Message}", e);
        }
    }

    /// <summary>Creates a file of zeros that takes no space until it is written. An existing file is never overwritten.</summary>
    public static RawImage CreateBlank(string path, long bytes, int sectorSize = 512)
    {
        if (bytes <= 0 || bytes % sectorSize != 0)
            throw new BadInputException($"{path}: a blank image of {bytes} bytes is not possible; the size must be a positive multiple of {sectorSize}.");
        try
        {
            SafeFileHandle file = File.OpenHandle(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, FileOptions.RandomAccess);
            RandomAccess.SetLength(file, bytes);
            return new RawImage(path, file, sectorSize, readOnly: false);
        }
        catch (IOException e) when (File.Exists(path))
        {
            throw new BadInputException($"{path} exists already; name another file or remove it.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new HostException($"{path} cannot be created: {e.Message}", e);
        }
    }

    public void Read(long sector, Span<byte> destination)
    {
        long offset = sector * SectorSize;
        try
        {
            while (!destination.IsEmpty && offset < _length)
            {
                int want = (int)Math.Min(destination.Length, _length - offset);
                int got = RandomAccess.Read(_file, destination[..want], offset);
                if (got == 0)
                    throw new HostException($"{Name} became shorter during the run; do not change images in use.");
                destination = destination[got..];
                offset += got;
            }
        }
        catch (IOException e)
        {
            throw new HostException($"{Name} cannot be read at byte {offset}: {e.Message}", e);
        }
        destination.Clear();
    }

    public void Write(long sector, ReadOnlySpan<byte> source)
    {
        try
        {
            RandomAccess.Write(_file, source, sector * SectorSize);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new HostException($"{Name} cannot be written at sector {sector}: {e.Message}. What the guest wrote before is in the file; free space there, or leave --write out.", e);
        }
    }

    public void Flush()
    {
        if (ReadOnly)
            return;
        try
        {
            RandomAccess.FlushToDisk(_file);
        }
        catch (IOException e)
        {
            throw new HostException($"{Name} cannot be flushed: {e.Message}", e);
        }
    }

    public void Dispose() => _file.Dispose();
}
