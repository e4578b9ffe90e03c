using System.Runtime.Intrinsics;

namespace Farm.Assist.Instructions.Simd;

// Operations lane by lane that .NET's vectors know.

internal readonly struct AddBytes : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => a + b;
}

internal readonly struct AddWords : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => (a.AsUInt16() + b.AsUInt16()).AsByte();
}

internal readonly struct AddDwords : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => (a.AsUInt32() + b.AsUInt32()).AsByte();
}

internal readonly struct AddQwords : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => (a.AsUInt64() + b.AsUInt64()).AsByte();
}

internal readonly struct AddSignedBytes : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => Vector128.AddSaturate(a.AsSByte(), b.AsSByte()).AsByte();
}

internal readonly struct AddSignedWords : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => Vector128.AddSaturate(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct AddUnsignedBytes : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => Vector128.AddSaturate(a, b);
}

internal readonly struct AddUnsignedWords : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => Vector128.AddSaturate(a.AsUInt16(), b.AsUInt16()).AsByte();
}

internal readonly struct SubtractBytes : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => a - b;
}

internal readonly struct SubtractWords : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => (a.AsUInt16() - b.AsUInt16()).AsByte();
}

internal readonly struct SubtractDwords : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => (a.AsUInt32() - b.AsUInt32()).AsByte();
}

internal readonly struct SubtractQwords : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => (a.AsUInt64() - b.AsUInt64()).AsByte();
}

internal readonly struct SubtractSignedBytes : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => Vector128.SubtractSaturate(a.AsSByte(), b.AsSByte()).AsByte();
}

internal readonly struct SubtractSignedWords : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => Vector128.SubtractSaturate(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct SubtractUnsignedBytes : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => Vector128.SubtractSaturate(a, b);
}

internal readonly struct SubtractUnsignedWords : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => Vector128.SubtractSaturate(a.AsUInt16(), b.AsUInt16()).AsByte();
}

internal readonly struct And : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => a & b;
}

internal readonly struct AndNot : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => ~a & b;
}

internal readonly struct Or : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => a | b;
}

internal readonly struct Xor : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => a ^ b;
}

internal readonly struct EqualBytes : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => Vector128.Equals(a, b);
}

internal readonly struct EqualWords : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => Vector128.Equals(a.AsUInt16(), b.AsUInt16()).AsByte();
}

internal readonly struct EqualDwords : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => Vector128.Equals(a.AsUInt32(), b.AsUInt32()).AsByte();
}

internal readonly struct GreaterBytes : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => Vector128.GreaterThan(a.AsSByte(), b.AsSByte()).AsByte();
}

internal readonly struct GreaterWords : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => Vector128.GreaterThan(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct GreaterDwords : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => Vector128.GreaterThan(a.AsInt32(), b.AsInt32()).AsByte();
}

internal readonly struct MultiplyLow : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => (a.AsInt16() * b.AsInt16()).AsByte();
}

internal readonly struct MinimumBytes : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => Vector128.Min(a, b);
}

internal readonly struct MaximumBytes : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => Vector128.Max(a, b);
}

internal readonly struct MinimumWords : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => Vector128.Min(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct MaximumWords : IVectorOp
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes) => Vector128.Max(a.AsInt16(), b.AsInt16()).AsByte();
}
