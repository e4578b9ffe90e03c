namespace Farm.Machine.Storage;

/// <summary>Told of every access to a medium that the guest made; phases ("first disk write") and triage come from here.</summary>
public interface ISectorEvents
{
    /// <param name="unit">Name of the drive: fd0, ata0-master, ...</param>
    /// <param name="sector">First sector, in units of the medium's sector size.</param>
    /// <param name="count">Number of sectors.</param>
    void Read(string unit, long sector, int count);

    /// <param name="unit">Name of the drive.</param>
    /// <param name="sector">First sector.</param>
    /// <param name="data">What was written: whole sectors.</param>
    void Written(string unit, long sector, ReadOnlySpan<byte> data);

    /// <summary>The guest or the script changed the medium; <paramref name="medium"/> is null when it was taken out.</summary>
    void MediumChanged(string unit, string? medium);
}
