using System.Numerics;
using System.Runtime.InteropServices;

namespace Farm.Machine.Devices.Vga;

/// <summary>
/// A 64-bit hash of bytes that is the same in every process and on every host, for screens and guest scripts. Not cryptographic.
/// </summary>
public static class StableHash
{
    private const ulong Multiplier = 0x9E3779B97F4A7C15;

    public static ulong Of(ReadOnlySpan<byte> data, ulong seed = 0)
    {
        ulong hash = Mix(seed ^ (ulong)data.Length);
        var words = MemoryMarshal.Cast<byte, ulong>(data);
        foreach (ulong word in words)
            hash = BitOperations.RotateLeft((hash ^ word) * Multiplier, 29);
        foreach (byte b in data[(words.Length * sizeof(ulong))..])
            hash = BitOperations.RotateLeft((hash ^ b) * Multiplier, 29);
        return Mix(hash);
    }

    public static ulong Combine(ulong hash, long value) => Mix(BitOperations.RotateLeft((hash ^ (ulong)value) * Multiplier, 29));

    private static ulong Mix(ulong value)
    {
        value = (value ^ (value >> 32)) * 0xD6E8FEB86659FD93;
        return value ^ (value >> 32);
    }
}
