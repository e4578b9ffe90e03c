using System.Runtime.Intrinsics;

namespace Farm.Assist.Instructions.Simd;

// Products, averages, packing and unpacking.

internal readonly unsafe struct MultiplyHigh : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes)
    {
        short* x = (short*)&a, y = (short*)&b;
        for (int i = 0; i < bytes / 2; i++)
            x[i] = (short)((x[i] * y[i]) >> 16);
        return a;
    }
}

internal readonly unsafe struct MultiplyHighUnsigned : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes)
    {
        ushort* x = (ushort*)&a, y = (ushort*)&b;
        for (int i = 0; i < bytes / 2; i++)
            x[i] = (ushort)(((uint)x[i] * y[i]) >> 16);
        return a;
    }
}

internal readonly unsafe struct MultiplyDwords : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes)
    {
        ulong* x = (ulong*)&a, y = (ulong*)&b;
        for (int i = 0; i < bytes / 8; i++)
            x[i] = (ulong)(uint)x[i] * (uint)y[i];
        return a;
    }
}

internal readonly unsafe struct MultiplyAndAdd : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes)
    {
        short* x = (short*)&a, y = (short*)&b;
        for (int i = 0; i < bytes / 4; i++)
            ((int*)x)[i] = (x[2 * i] * y[2 * i]) + (x[(2 * i) + 1] * y[(2 * i) + 1]);
        return a;
    }
}

internal readonly unsafe struct AverageBytes : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes)
    {
        byte* x = (byte*)&a, y = (byte*)&b;
        for (int i = 0; i < bytes; i++)
            x[i] = (byte)((x[i] + y[i] + 1) >> 1);
        return a;
    }
}

internal readonly unsafe struct AverageWords : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes)
    {
        ushort* x = (ushort*)&a, y = (ushort*)&b;
        for (int i = 0; i < bytes / 2; i++)
            x[i] = (ushort)((x[i] + y[i] + 1) >> 1);
        return a;
    }
}

internal readonly unsafe struct SumOfDifferences : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes)
    {
        byte* x = (byte*)&a, y = (byte*)&b;
        for (int half = 0; half < bytes; half += 8)
        {
            int sum = 0;
            for (int i = half; i < half + 8; i++)
                sum += Math.Abs(x[i] - y[i]);
            *(ulong*)(x + half) = (ulong)sum;
        }
        return a;
    }
}

/// <summary>The operands one after the other, in the low half of each for MMX.</summary>
internal static class Concatenation
{
    public static (Vector128<byte> Low, Vector128<byte> High) Of(Vector128<byte> a, Vector128<byte> b, int bytes) =>
        bytes == 16 ? (a, b) : (Vector128.Create(a.GetLower(), b.GetLower()), default);
}

internal readonly struct PackWords : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes)
    {
        (Vector128<byte> low, Vector128<byte> high) = Concatenation.Of(a, b, bytes);
        return Vector128.NarrowWithSaturation(low.AsInt16(), high.AsInt16()).AsByte();
    }
}

internal readonly struct PackDwords : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes)
    {
        (Vector128<byte> low, Vector128<byte> high) = Concatenation.Of(a, b, bytes);
        return Vector128.NarrowWithSaturation(low.AsInt32(), high.AsInt32()).AsByte();
    }
}

internal readonly struct PackUnsigned : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes)
    {
        (Vector128<byte> low, Vector128<byte> high) = Concatenation.Of(a, b, bytes);
        return Vector128.Narrow(Clamp(low), Clamp(high));
    }

    private static Vector128<ushort> Clamp(Vector128<byte> words) =>
        Vector128.Max(Vector128.Min(words.AsInt16(), Vector128.Create((short)255)), Vector128<short>.Zero).AsUInt16();
}

/// <summary>PUNPCKL: the lower lanes of both operands, alternating.</summary>
internal readonly unsafe struct UnpackLow<T> : IVectorOp
    where T : unmanaged
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => Unpack<T>.From(a, b, bytes, 0);
}

/// <summary>PUNPCKH: the upper lanes.</summary>
internal readonly unsafe struct UnpackHigh<T> : IVectorOp
    where T : unmanaged
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => Unpack<T>.From(a, b, bytes, bytes / 2);
}

internal static unsafe class Unpack<T>
    where T : unmanaged
{
    public static Vector128<byte> From(Vector128<byte> a, Vector128<byte> b, int bytes, int start)
    {
        Vector128<byte> result = default;
        T* x = (T*)((byte*)&a + start), y = (T*)((byte*)&b + start), to = (T*)&result;
        for (int i = 0; i < bytes / 2 / sizeof(T); i++)
        {
            to[2 * i] = x[i];
            to[(2 * i) + 1] = y[i];
        }
        return result;
    }
}
