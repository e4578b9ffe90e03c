using System.Security.Cryptography;
using Farm.Machine.Devices.Vga;

namespace Farm.Machine.Boot;

/// <summary>What a guest showed from power-on: one hash over every screen that differs from the one before, as sampled in guest time.</summary>
internal sealed class ScreenHistory(ScreenReader screen) : IDisposable
{
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private ulong? _stamp;
    private ulong? _last;

    /// <summary>Number of screens, each differing from the one before.</summary>
    public int Count { get; private set; }

    /// <summary>SHA-256 over the hashes of all screens so far, in order.</summary>
    public string Hash => Convert.ToHexStringLower(_hash.GetCurrentHash());

    /// <summary>Looks at the screen; to be called at moments that depend on guest time alone.</summary>
    public void Sample()
    {
        ulong stamp = screen.Stamp();
        if (stamp == _stamp)
            return;
        _stamp = stamp;
        ulong hash = screen.Hash();
        if (hash == _last)
            return;
        _last = hash;
        Count++;
        _hash.AppendData(BitConverter.GetBytes(hash));
    }

    public void Dispose() => _hash.Dispose();
}
