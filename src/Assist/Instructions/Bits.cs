using System.Numerics;
using System.Runtime.CompilerServices;

namespace Farm.Assist.Instructions;

/// <summary>Numbers of the general registers.</summary>
internal static class Gpr
{
    public const int Ax = 0, Cx = 1, Dx = 2, Bx = 3, Sp = 4, Bp = 5, Si = 6, Di = 7;

    /// <summary>AH in the numbering of byte registers.</summary>
    public const int Ah = 16;
}

/// <summary>Single bits of operands of any width.</summary>
internal static unsafe class Bits
{
    /// <summary>The sign bit.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Msb<T>(T value)
        where T : unmanaged, IBinaryInteger<T> => (value >> ((sizeof(T) * 8) - 1)) != T.Zero;

    /// <summary>The bit below the sign bit.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Msb2<T>(T value)
        where T : unmanaged, IBinaryInteger<T> => ((value >> ((sizeof(T) * 8) - 2)) & T.One) != T.Zero;

    /// <summary>Sign-extends to 64 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static long Signed<T>(T value)
        where T : unmanaged => sizeof(T) switch
        {
            1 => Unsafe.BitCast<T, sbyte>(value),
            2 => Unsafe.BitCast<T, short>(value),
            4 => Unsafe.BitCast<T, int>(value),
            _ => Unsafe.BitCast<T, long>(value),
        };
}
