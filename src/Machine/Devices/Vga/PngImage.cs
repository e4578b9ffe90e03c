using System.Buffers.Binary;
using System.IO.Compression;

namespace Farm.Machine.Devices.Vga;

/// <summary>
/// Writes a picture as PNG: 8 bits each of red, green and blue, every row as its difference from the one above, compressed quickly. The live
/// view has one made each time a graphics screen has changed, on the machine's own thread.
/// </summary>
internal static class PngImage
{
    private const byte TrueColor = 2, FilterUp = 2;

    private static readonly uint[] CrcTable = [.. Enumerable.Range(0, 256).Select(static i => Enumerable.Range(0, 8).Aggregate((uint)i, static (crc, _) => (crc & 1) != 0 ? 0xEDB88320 ^ (crc >> 1) : crc >> 1))];

    /// <param name="output">Stays open.</param>
    /// <param name="width">Pixels in a row.</param>
    /// <param name="pixels">Rows of little-endian words, red in the low byte.</param>
    public static void Write(Stream output, int width, ReadOnlySpan<uint> pixels)
    {
        output.Write([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]);
        Span<byte> header = stackalloc byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, width);
        BinaryPrimitives.WriteInt32BigEndian(header[4..], pixels.Length / width);
        (header[8], header[9]) = (8, TrueColor);
        Chunk(output, "IHDR"u8, header);
        using var data = new MemoryStream();
        using (var compressed = new ZLibStream(data, CompressionLevel.Fastest, leaveOpen: true))
            WriteRows(compressed, width, pixels);
        Chunk(output, "IDAT"u8, data.GetBuffer().AsSpan(0, (int)data.Length));
        Chunk(output, "IEND"u8, []);
    }

    private static void WriteRows(Stream output, int width, ReadOnlySpan<uint> pixels)
    {
        var row = new byte[1 + (width * 3)];
        row[0] = FilterUp;
        var above = new uint[width].AsSpan();
        for (; !pixels.IsEmpty; pixels = pixels[width..])
        {
            var now = pixels[..width];
            var bytes = row.AsSpan(1);
            for (int x = 0; x < now.Length; x++)
            {
                uint pixel = now[x], up = above[x];
                bytes[x * 3] = (byte)(pixel - up);
                bytes[(x * 3) + 1] = (byte)((pixel >> 8) - (up >> 8));
                bytes[(x * 3) + 2] = (byte)((pixel >> 16) - (up >> 16));
            }
            output.Write(row);
            now.CopyTo(above);
        }
    }

    private static void Chunk(Stream output, ReadOnlySpan<byte> type, ReadOnlySpan<byte> data)
    {
        Span<byte> number = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(number, data.Length);
        output.Write(number);
        output.Write(type);
        output.Write(data);
        BinaryPrimitives.WriteUInt32BigEndian(number, ~Crc(Crc(uint.MaxValue, type), data));
        output.Write(number);
    }

    private static uint Crc(uint crc, ReadOnlySpan<byte> data)
    {
        foreach (byte value in data)
            crc = CrcTable[(byte)(crc ^ value)] ^ (crc >> 8);
        return crc;
    }
}
