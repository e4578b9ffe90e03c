using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace Farm.Machine.Divergence;

/// <summary>What a run did that another run of the same guest should do too.</summary>
public enum TraceKind : byte
{
    PortRead,
    PortWrite,
    DiskWrite,
}

/// <summary>
/// One thing that a guest did to a device, of a fixed size, as it lies in a trace file: a port access or a burst of accesses to one
/// port, or a write to a disk.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public readonly record struct TraceEvent
{
    /// <summary>Port, with an index register's value above it; or the first sector.</summary>
    public required ulong Address { get; init; }

    /// <summary>The value of a single access, else a hash of all values or of the sectors.</summary>
    public required ulong Value { get; init; }

    /// <summary>The first eight bytes of a burst, for the reader.</summary>
    public ulong Head { get; init; }

    /// <summary>Guest instructions before it, 0 where the backend does not count.</summary>
    public ulong Instruction { get; init; }

    /// <summary>Guest time in nanoseconds.</summary>
    public long Time { get; init; }

    /// <summary>CS:IP after the instruction.</summary>
    public ulong Offset { get; init; }

    /// <summary>Accesses, or bytes written to the disk.</summary>
    public required uint Count { get; init; }

    public ushort Selector { get; init; }

    /// <summary>Number of the device's name in the trace.</summary>
    public required ushort Stream { get; init; }

    public required TraceKind Kind { get; init; }

    /// <summary>Bytes of an access.</summary>
    public required byte Size { get; init; }

    /// <summary>The same thing, wherever in the run.</summary>
    public bool Matches(in TraceEvent other) =>
        Kind == other.Kind && Address == other.Address && Value == other.Value && Count == other.Count && Size == other.Size;

    /// <summary>What was done, without when and where.</summary>
    public string What()
    {
        if (Kind == TraceKind.DiskWrite)
            return string.Create(CultureInfo.InvariantCulture, $"write of {Count} bytes at sector {Address}, hash {Value:x16}");
        string port = Address >> 16 != 0
            ? string.Create(CultureInfo.InvariantCulture, $"{Address & 0xFFFF:X3}h[{(Address >> 16) - 1:X2}h]")
            : string.Create(CultureInfo.InvariantCulture, $"{Address:X3}h");
        string verb = Kind == TraceKind.PortRead ? "in" : "out";
        return Count == 1
            ? string.Create(CultureInfo.InvariantCulture, $"{verb} {port} {Value.ToString("X" + (Size * 2), CultureInfo.InvariantCulture)}h")
            : string.Create(CultureInfo.InvariantCulture, $"{verb} {port} {Count} times {Size} bytes: {Beginning()}..., hash {Value:x16}");
    }

    private string Beginning()
    {
        Span<byte> bytes = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, Head);
        bytes = bytes[..(int)Math.Min((uint)bytes.Length, Count * Size)];
        return bytes.ContainsAnyExceptInRange((byte)' ', (byte)'~') ? Convert.ToHexString(bytes) : $"\"{Encoding.ASCII.GetString(bytes)}\"";
    }

    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{What()}  (before {Selector:X4}:{Offset:X4}, instruction {Instruction}, {Time / 1e9:F6} s)");
}
