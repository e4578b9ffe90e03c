using System.Runtime.Intrinsics;

namespace Farm.Assist.Instructions.Simd;

/// <summary>An operation on two vectors of 8 (MMX) or 16 (XMM) bytes; for 8 the upper half of operands and result means nothing.</summary>
internal interface IVectorOp
{
    static abstract Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, int bytes);
}
