using System.Runtime.InteropServices;
using StbImageWriteSharp;

namespace Farm.Machine.Devices.Vga;

/// <summary>A picture of the screen: pixels row by row, bytes R, G, B, A in memory order.</summary>
public sealed class RgbaImage
{
    private readonly uint[] _pixels;

    public RgbaImage(int width, int height, uint[] pixels)
    {
        if (width < 1 || height < 1 || pixels.Length != width * height)
            throw new ArgumentException($"{pixels.Length} pixels do not make {width} by {height}.", nameof(pixels));
        Width = width;
        Height = height;
        _pixels = pixels;
    }

    public int Width { get; }

    public int Height { get; }

    /// <summary>Little-endian words, red in the low byte.</summary>
    public ReadOnlySpan<uint> Pixels => _pixels;

    public uint this[int x, int y] => _pixels[y * Width + x];

    /// <summary>Of the size and every pixel; the same in every process.</summary>
    public ulong Hash => RegionHash(0, 0, Width, Height);

    /// <summary>Hash of a rectangle, cut to the picture: equal for equal contents wherever the rectangle lies.</summary>
    public ulong RegionHash(int x, int y, int width, int height)
    {
        int left = Math.Clamp(x, 0, Width), right = (int)Math.Clamp((long)x + width, left, Width);
        int top = Math.Clamp(y, 0, Height), bottom = (int)Math.Clamp((long)y + height, top, Height);
        ulong hash = StableHash.Combine((ulong)(right - left), bottom - top);
        for (int row = top; row < bottom; row++)
            hash = StableHash.Of(MemoryMarshal.AsBytes(_pixels.AsSpan(row * Width + left, right - left)), hash);
        return hash;
    }

    /// <summary>Writes the picture as PNG; <paramref name="output"/> stays open.</summary>
    public void WritePng(Stream output)
    {
        byte[] bytes = MemoryMarshal.AsBytes(_pixels.AsSpan()).ToArray();
        new ImageWriter().WritePng(bytes, Width, Height, ColorComponents.RedGreenBlueAlpha, output);
    }

    public byte[] ToPng()
    {
        using var stream = new MemoryStream();
        WritePng(stream);
        return stream.ToArray();
    }
}
