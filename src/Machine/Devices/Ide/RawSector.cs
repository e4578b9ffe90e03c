using System.Buffers.Binary;

namespace Farm.Machine.Devices.Ide;

/// <summary>Parts of a mode 1 sector that READ CD asks for: byte 9 of the packet (MMC-3, table 249).</summary>
[Flags]
internal enum SectorParts : byte
{
    None = 0,
    EdcAndEcc = 0x08,
    UserData = 0x10,
    Header = 0x20,
    Sync = 0x80,
}

/// <summary>Builds the 2352 bytes of a mode 1 sector around 2048 bytes of user data (ECMA-130, clause 14 and annex A).</summary>
internal static class RawSector
{
    private const int HeaderOffset = 12;
    private const int DataOffset = 16;
    private const int EdcOffset = 2064;
    private const int Size = 2352;

    private static readonly uint[] s_edc = BuildEdcTable();
    private static readonly byte[] s_timesAlpha = BuildTimesAlpha();
    private static readonly byte[] s_overAlphaPlusOne = BuildOverAlphaPlusOne();

    public static int Length(SectorParts parts) =>
        ((parts & SectorParts.Sync) != 0 ? 12 : 0) + ((parts & SectorParts.Header) != 0 ? 4 : 0) +
        ((parts & SectorParts.UserData) != 0 ? 2048 : 0) + ((parts & SectorParts.EdcAndEcc) != 0 ? 288 : 0);

    public static void Write(long lba, ReadOnlySpan<byte> user, SectorParts parts, Span<byte> destination)
    {
        Span<byte> sector = stackalloc byte[Size];
        Build(lba, user, sector);
        int at = 0;
        Put(SectorParts.Sync, sector[..HeaderOffset], destination);
        Put(SectorParts.Header, sector[HeaderOffset..DataOffset], destination);
        Put(SectorParts.UserData, sector[DataOffset..EdcOffset], destination);
        Put(SectorParts.EdcAndEcc, sector[EdcOffset..], destination);

        void Put(SectorParts part, ReadOnlySpan<byte> bytes, Span<byte> target)
        {
            if ((parts & part) == 0)
                return;
            bytes.CopyTo(target[at..]);
            at += bytes.Length;
        }
    }

    /// <summary>Minute, second, frame of a sector; the first two seconds come before sector 0.</summary>
    public static (byte Minute, byte Second, byte Frame) Msf(long lba)
    {
        long frames = lba + 150;
        return ((byte)Math.Min(255, frames / (75 * 60)), (byte)(frames / 75 % 60), (byte)(frames % 75));
    }

    private static void Build(long lba, ReadOnlySpan<byte> user, Span<byte> sector)
    {
        sector.Clear();
        sector[1..11].Fill(0xFF);
        (byte minute, byte second, byte frame) = Msf(lba);
        sector[12] = Bcd(minute);
        sector[13] = Bcd(second);
        sector[14] = Bcd(frame);
        sector[15] = 1; // mode 1
        user.CopyTo(sector[DataOffset..]);
        BinaryPrimitives.WriteUInt32LittleEndian(sector[EdcOffset..], Edc(sector[..EdcOffset]));
        WriteParity(sector[HeaderOffset..]);
    }

    private static byte Bcd(byte value) => (byte)(((value / 10 % 10) << 4) | (value % 10));

    private static uint Edc(ReadOnlySpan<byte> bytes)
    {
        uint edc = 0;
        foreach (byte value in bytes)
            edc = (edc >> 8) ^ s_edc[(byte)(edc ^ value)];
        return edc;
    }

    /// <summary>
    /// The P and Q parity of ECMA-130 annex A: the bytes from the header on are two interleaved planes (even and odd bytes) of 1118
    /// symbols; P runs over the columns of 24, Q over the diagonals of 43.
    /// </summary>
    private static void WriteParity(Span<byte> code)
    {
        for (int plane = 0; plane < 2; plane++)
        {
            for (int column = 0; column < 43; column++)
            {
                (byte first, byte second) = CheckSymbols(code, plane, 24, m => (43 * m) + column);
                code[(2 * ((43 * 24) + column)) + plane] = first;
                code[(2 * ((43 * 25) + column)) + plane] = second;
            }
            for (int diagonal = 0; diagonal < 26; diagonal++)
            {
                (byte first, byte second) = CheckSymbols(code, plane, 43, m => ((44 * m) + (43 * diagonal)) % 1118);
                code[(2 * (1118 + diagonal)) + plane] = first;
                code[(2 * (1144 + diagonal)) + plane] = second;
            }
        }
    }

    /// <summary>
    /// The two symbols c0, c1 that make sum(v) = 0 and sum(alpha^(n-1-i) v) = 0 over GF(2^8) mod x^8+x^4+x^3+x^2+1: c0 and c1 have
    /// the weights alpha and 1, so c0 = (s0 + s1) / (alpha + 1) and c1 = s0 + c0.
    /// </summary>
    private static (byte First, byte Second) CheckSymbols(ReadOnlySpan<byte> code, int plane, int length, Func<int, int> position)
    {
        byte sum = 0, weighted = 0;
        for (int m = 0; m < length; m++)
        {
            byte symbol = code[(2 * position(m)) + plane];
            sum ^= symbol;
            weighted = (byte)(s_timesAlpha[weighted] ^ symbol);
        }
        weighted = s_timesAlpha[s_timesAlpha[weighted]];
        byte first = s_overAlphaPlusOne[sum ^ weighted];
        return (first, (byte)(sum ^ first));
    }

    private static uint[] BuildEdcTable()
    {
        uint[] table = new uint[256];
        for (uint i = 0; i < 256; i++)
        {
            uint value = i;
            for (int bit = 0; bit < 8; bit++)
                value = (value >> 1) ^ ((value & 1) != 0 ? 0xD8018001 : 0);
            table[i] = value;
        }
        return table;
    }

    private static byte[] BuildTimesAlpha()
    {
        byte[] table = new byte[256];
        for (int i = 0; i < 256; i++)
            table[i] = (byte)((i << 1) ^ ((i & 0x80) != 0 ? 0x11D : 0));
        return table;
    }

    private static byte[] BuildOverAlphaPlusOne()
    {
        byte[] table = new byte[256];
        for (int i = 0; i < 256; i++)
            table[i ^ s_timesAlpha[i]] = (byte)i;
        return table;
    }
}
