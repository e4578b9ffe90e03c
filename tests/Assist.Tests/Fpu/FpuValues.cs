namespace Farm.Assist.Tests.Fpu;

/// <summary>Random operands with a bias to the interesting ones.</summary>
internal sealed class FpuValues(Random random)
{
    private static readonly ulong[] _mantissas =
    [
        0x8000000000000000, 0x8000000000000001, 0xFFFFFFFFFFFFFFFF, 0xC000000000000000, 0xA000000000000000, 0x8000000000000800,
        0x8000000000000400, 0xFFFFFFFFFFFFF800, 0xFFFFFFFFFFFFFC00, 0x8000008000000000, 0x8000018000000000, 0xFFFFFF8000000000, 0xFFFFFF0000000000,
    ];

    private static readonly (ushort SignExponent, ulong Mantissa)[] _specials =
    [
        (0, 0), (0x7FFF, 0x8000000000000000), (0x7FFF, 0xC000000000000000), (0x7FFF, 0xC000000000000001), (0x7FFF, 0xFFFFFFFFFFFFFFFF),
        (0x7FFF, 0x8000000000000001), (0x7FFF, 0xA000000000000000), (0, 1), (0, 0x7FFFFFFFFFFFFFFF), (0, 0x8000000000000000), (0, 0xFFFFFFFFFFFFFFFF),
        (0x7FFF, 0), (0x7FFF, 0x4000000000000000), (0x3FFF, 0x4000000000000000), (1, 0), (1, 0x8000000000000000), (0x7FFE, 0xFFFFFFFFFFFFFFFF),
        (0x3FFF, 0x8000000000000000),
    ];

    public ulong Bits() => (ulong)random.NextInt64(long.MinValue, long.MaxValue);

    public (ushort SignExponent, ulong Mantissa) Extended()
    {
        int sign = random.Next(2) << 15;
        switch (random.Next(12))
        {
            case 0 or 1:
                (ushort signExponent, ulong special) = _specials[random.Next(_specials.Length)];
                return ((ushort)(signExponent | sign), special);
            case 2:
                return ((ushort)sign, Bits() >> random.Next(64));
            case 3:
                return ((ushort)(sign | random.Next(0x8000)), Bits() | (1ul << 63));
            case 4:
                return ((ushort)(sign | (0x7FFF - random.Next(70))), Mantissa());
            case 5:
                return ((ushort)(sign | (1 + random.Next(70))), Mantissa());
            case 6:
                return Integer(sign);
            case 7:
                return ((ushort)(sign | (0x3FFF + random.Next(-1100, 1100))), Mantissa());
            case 8:
                return ((ushort)(sign | (0x3FFF + random.Next(-160, 140))), Mantissa());
            default:
                return ((ushort)(sign | (0x3FFF + random.Next(-70, 70))), Mantissa());
        }
    }

    public uint Single() => random.Next(4) switch
    {
        0 => (uint)Bits(),
        1 => ((uint)random.Next(2) << 31) | (uint)random.Next(3) switch { 0 => 0u, 1 => 0x7F800000u, _ => 0x3F800000u } | (uint)(random.Next(3) == 0 ? random.Next(1 << 23) : 0),
        2 => ((uint)random.Next(2) << 31) | ((uint)(127 + random.Next(-30, 30)) << 23) | ((uint)Bits() & 0x7FFFFF & (uint)(Mantissa() >> 40)),
        _ => ((uint)random.Next(2) << 31) | ((uint)random.Next(3) switch { 0 => 0u, 1 => 1u, _ => 0xFEu } << 23) | ((uint)Bits() & 0x7FFFFF),
    };

    public ulong Double() => random.Next(4) switch
    {
        0 => Bits(),
        1 => ((ulong)random.Next(2) << 63) | random.Next(3) switch { 0 => 0ul, 1 => 0x7FF0000000000000ul, _ => 0x3FF0000000000000ul } | (random.Next(3) == 0 ? Bits() & 0x000FFFFFFFFFFFFF : 0),
        2 => ((ulong)random.Next(2) << 63) | ((ulong)(1023 + random.Next(-60, 60)) << 52) | (Bits() & (Mantissa() >> 11) & 0x000FFFFFFFFFFFFF),
        _ => ((ulong)random.Next(2) << 63) | (random.Next(3) switch { 0 => 0ul, 1 => 1ul, _ => 0x7FEul } << 52) | (Bits() & 0x000FFFFFFFFFFFFF),
    };

    private ulong Mantissa() => random.Next(3) switch
    {
        0 => _mantissas[random.Next(_mantissas.Length)],
        1 => (Bits() << random.Next(64)) | (1ul << 63),
        _ => Bits() | (1ul << 63),
    };

    private (ushort SignExponent, ulong Mantissa) Integer(int sign)
    {
        ulong value = random.Next(2) == 0 ? (ulong)random.Next(1, 100) : Bits() >> random.Next(1, 63);
        if (value == 0)
            return ((ushort)sign, 0);
        int shift = System.Numerics.BitOperations.LeadingZeroCount(value);
        return ((ushort)(sign | (0x3FFF + 63 - shift)), value << shift);
    }
}
