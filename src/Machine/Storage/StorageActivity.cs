using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Farm.Machine.Time;

namespace Farm.Machine.Storage;

/// <summary>What a guest did with one drive.</summary>
public sealed class UnitActivity
{
    public long SectorsRead { get; internal set; }

    public long SectorsWritten { get; internal set; }

    /// <summary>Sector that the last read ended before.</summary>
    public long LastRead { get; internal set; }

    /// <summary>Guest time of the first access, or -1.</summary>
    public long FirstRead { get; internal set; } = -1;

    public long FirstWrite { get; internal set; } = -1;

    public long LastWrite { get; internal set; } = -1;

    public long MediumChanges { get; internal set; }
}

/// <param name="unit">Name of the drive.</param>
/// <param name="sector">First sector.</param>
/// <param name="data">Whole sectors.</param>
public delegate void SectorsWrittenHandler(string unit, long sector, ReadOnlySpan<byte> data);

/// <summary>
/// Counts accesses by drive and hashes all writes in their order, so that two runs can be compared without keeping their disks.
/// </summary>
public sealed class StorageActivity(IVirtualClock clock) : ISectorEvents, IDisposable
{
    private readonly SortedDictionary<string, UnitActivity> _units = new(StringComparer.Ordinal);
    private readonly IncrementalHash _writes = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

    /// <summary>Raised once, at the first sector that the guest writes to any drive (name of the drive).</summary>
    public event Action<string>? FirstWrite;

    public IReadOnlyDictionary<string, UnitActivity> Units => _units;

    public bool AnyWrite { get; private set; }

    /// <summary>Sees each write: drive, first sector, data.</summary>
    public SectorsWrittenHandler? Observer { get; set; }

    /// <summary>SHA-256 over every write so far: drive, sector, data. The hash goes on.</summary>
    public string WriteHash => Convert.ToHexStringLower(_writes.GetCurrentHash());

    public void Read(string unit, long sector, int count)
    {
        UnitActivity activity = Unit(unit);
        if (activity.FirstRead < 0)
            activity.FirstRead = clock.Now;
        activity.SectorsRead += count;
        activity.LastRead = sector + count;
    }

    public void Written(string unit, long sector, ReadOnlySpan<byte> data)
    {
        Observer?.Invoke(unit, sector, data);
        UnitActivity activity = Unit(unit);
        long now = clock.Now;
        if (activity.FirstWrite < 0)
            activity.FirstWrite = now;
        activity.LastWrite = now;
        activity.SectorsWritten += data.Length / 512;
        Span<byte> head = stackalloc byte[64];
        int name = Encoding.UTF8.GetBytes(unit.AsSpan(0, Math.Min(unit.Length, 16)), head);
        BinaryPrimitives.WriteInt64LittleEndian(head[name..], sector);
        BinaryPrimitives.WriteInt32LittleEndian(head[(name + 8)..], data.Length);
        _writes.AppendData(head[..(name + 12)]);
        _writes.AppendData(data);
        if (AnyWrite)
            return;
        AnyWrite = true;
        FirstWrite?.Invoke(unit);
    }

    public void MediumChanged(string unit, string? medium) => Unit(unit).MediumChanges++;

    public void Dispose() => _writes.Dispose();

    private UnitActivity Unit(string unit)
    {
        if (!_units.TryGetValue(unit, out UnitActivity? activity))
            _units.Add(unit, activity = new UnitActivity());
        return activity;
    }
}
