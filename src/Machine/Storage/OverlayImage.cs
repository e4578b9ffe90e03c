using Farm.Machine.Hypervisors;
using Microsoft.Win32.SafeHandles;

namespace Farm.Machine.Storage;

/// <summary>Where an overlay keeps what the guest writes.</summary>
public sealed record OverlayOptions
{
    public static OverlayOptions Default { get; } = new();

    /// <summary>Bytes kept in memory; what goes beyond lies in a temporary file.</summary>
    public long MemoryLimit { get; init; } = 128L << 20;

    /// <summary>Bytes that the temporary file may take; a guest that writes more ends the run with <see cref="HostException"/>.</summary>
    public long FileLimit { get; init; } = 64L << 30;

    /// <summary>Folder of the temporary file; null: TMPDIR, else /var/tmp (where /tmp is memory a guest's disk would fill it).</summary>
    public string? TemporaryFolder { get; init; }
}

/// <summary>
/// Copy-on-write over a base that stays as it is. What the guest wrote is gone with <see cref="Dispose"/>; to keep it, export
/// with <see cref="ImageExport"/> first. Owns its base.
/// </summary>
public sealed class OverlayImage : IBlockImage
{
    /// <summary>Granularity of copying in bytes.</summary>
    public const int ClusterSize = 16384;

    private readonly IBlockImage _base;
    private readonly OverlayOptions _options;
    private readonly Dictionary<long, int> _slots = [];
    private readonly List<byte[]> _memory = [];
    private readonly int _memorySlots;
    private readonly int _sectorsPerCluster;
    private readonly byte[] _cluster = new byte[ClusterSize];
    private SafeFileHandle? _file;

    public OverlayImage(IBlockImage @base, OverlayOptions? options = null)
    {
        _base = @base;
        _options = options ?? OverlayOptions.Default;
        _memorySlots = (int)Math.Min(int.MaxValue, _options.MemoryLimit / ClusterSize);
        _sectorsPerCluster = ClusterSize / @base.SectorSize;
    }

    public string Name => _base.Name;

    public int SectorSize => _base.SectorSize;

    public long SectorCount => _base.SectorCount;

    public bool ReadOnly => false;

    /// <summary>Bytes that the overlay holds.</summary>
    public long OverlayBytes => (long)_slots.Count * ClusterSize;

    /// <summary>Bytes of them that lie in the temporary file.</summary>
    public long FileBytes => Math.Max(0, (long)_slots.Count - _memorySlots) * ClusterSize;

    public void Read(long sector, Span<byte> destination)
    {
        if (_slots.Count == 0)
        {
            _base.Read(sector, destination);
            return;
        }
        int pendingBytes = 0; // sectors before `sector` that no cluster covers, still to come from the base
        while (!destination[pendingBytes..].IsEmpty)
        {
            long at = sector + (pendingBytes / SectorSize);
            int within = (int)(at % _sectorsPerCluster) * SectorSize;
            int run = Math.Min(destination.Length - pendingBytes, ClusterSize - within);
            if (!_slots.TryGetValue(at / _sectorsPerCluster, out int slot))
            {
                pendingBytes += run;
                continue;
            }
            if (pendingBytes > 0)
                _base.Read(sector, destination[..pendingBytes]);
            ReadSlot(slot, within, destination.Slice(pendingBytes, run));
            sector += (pendingBytes + run) / SectorSize;
            destination = destination[(pendingBytes + run)..];
            pendingBytes = 0;
        }
        if (pendingBytes > 0)
            _base.Read(sector, destination);
    }

    public void Write(long sector, ReadOnlySpan<byte> source)
    {
        while (!source.IsEmpty)
        {
            long cluster = sector / _sectorsPerCluster;
            int within = (int)(sector % _sectorsPerCluster) * SectorSize;
            int run = Math.Min(source.Length, ClusterSize - within);
            if (_slots.TryGetValue(cluster, out int slot))
                WriteSlot(slot, within, source[..run]);
            else
                AddCluster(cluster, within, source[..run]);
            sector += run / SectorSize;
            source = source[run..];
        }
    }

    public void Flush()
    {
    }

    public bool IsKnownZero(long sector, long count)
    {
        if (!_base.IsKnownZero(sector, count))
            return false;
        if (_slots.Count == 0)
            return true;
        for (long cluster = sector / _sectorsPerCluster; cluster <= (sector + count - 1) / _sectorsPerCluster; cluster++)
        {
            if (_slots.ContainsKey(cluster))
                return false;
        }
        return true;
    }

    public void Dispose()
    {
        _slots.Clear();
        _memory.Clear();
        _file?.Dispose();
        _base.Dispose();
    }

    private void AddCluster(long cluster, int within, ReadOnlySpan<byte> data)
    {
        if (data.Length < ClusterSize)
        {
            long first = cluster * _sectorsPerCluster;
            int inBase = (int)Math.Min(_sectorsPerCluster, _base.SectorCount - first) * SectorSize;
            _base.Read(first, _cluster.AsSpan(0, inBase));
            _cluster.AsSpan(inBase).Clear();
        }
        data.CopyTo(_cluster.AsSpan(within));
        int slot = _slots.Count;
        if (slot < _memorySlots)
            _memory.Add(_cluster.ToArray());
        else
            WriteFile(slot, 0, _cluster);
        _slots.Add(cluster, slot);
    }

    private void ReadSlot(int slot, int within, Span<byte> destination)
    {
        if (slot < _memorySlots)
        {
            _memory[slot].AsSpan(within, destination.Length).CopyTo(destination);
            return;
        }
        try
        {
            if (RandomAccess.Read(_file!, destination, FileOffset(slot) + within) != destination.Length)
                throw new HostException($"The temporary file of the overlay on {Name} became shorter during the run.");
        }
        catch (IOException e)
        {
            throw new HostException($"The temporary file of the overlay on {Name} cannot be read: {e.Message}", e);
        }
    }

    private void WriteSlot(int slot, int within, ReadOnlySpan<byte> source)
    {
        if (slot < _memorySlots)
            source.CopyTo(_memory[slot].AsSpan(within));
        else
            WriteFile(slot, within, source);
    }

    private void WriteFile(int slot, int within, ReadOnlySpan<byte> source)
    {
        long offset = FileOffset(slot);
        if (offset + ClusterSize > _options.FileLimit)
            throw new HostException($"The guest wrote more to {Name} than an overlay may hold ({(_options.MemoryLimit + _options.FileLimit) >> 20} MiB).");
        try
        {
            _file ??= CreateFile();
            RandomAccess.Write(_file, source, offset + within);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new HostException($"The temporary file of the overlay on {Name} cannot be written in {Folder}: {e.Message}. Free space there, or set TMPDIR to a folder with more; {Name} is unchanged.", e);
        }
    }

    private string Folder => _options.TemporaryFolder
        ?? (!OperatingSystem.IsWindows() && Environment.GetEnvironmentVariable("TMPDIR") is null && Directory.Exists("/var/tmp") ? "/var/tmp" : Path.GetTempPath());

    private SafeFileHandle CreateFile()
    {
        string path = Path.Combine(Folder, $"farm-overlay-{Guid.NewGuid():N}");
        SafeFileHandle file = File.OpenHandle(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, FileOptions.RandomAccess | FileOptions.DeleteOnClose);
        if (!OperatingSystem.IsWindows())
            File.Delete(path); // no name, so that nothing is left behind when the process is killed
        return file;
    }

    private long FileOffset(int slot) => (long)(slot - _memorySlots) * ClusterSize;
}
