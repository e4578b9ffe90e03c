namespace Farm.Machine.Network;

/// <summary>Sizes and checks of IEEE 802.3 frames. A frame here is what lies between preamble and frame check sequence.</summary>
public static class Ethernet
{
    public const int HeaderLength = 14;

    /// <summary>Shortest frame without its check sequence; what is shorter is padded with zeros.</summary>
    public const int MinimumFrame = 60;

    /// <summary>Longest frame without its check sequence, one VLAN tag included.</summary>
    public const int MaximumFrame = 1518;

    private const uint Polynomial = 0xEDB8_8320;
    private static readonly uint[] Table = BuildTable();

    /// <summary>The frame check sequence, to be appended least significant byte first (IEEE 802.3, 3.2.9).</summary>
    public static uint CheckSequence(ReadOnlySpan<byte> frame) => ~Crc(frame);

    /// <summary>
    /// The bit of a 64-bit multicast filter that an address selects: the upper six bits of the CRC register after the address went
    /// through it, as the DP8390 and its descendants compute it.
    /// </summary>
    public static int MulticastHash(ReadOnlySpan<byte> address)
    {
        // the register above is mirrored: its upper six bits are the lower six here, in reverse
        uint crc = Crc(address[..MacAddress.Length]);
        int hash = 0;
        for (int i = 0; i < 6; i++)
            hash = hash << 1 | (int)(crc >> i & 1);
        return hash;
    }

    private static uint Crc(ReadOnlySpan<byte> data)
    {
        uint crc = uint.MaxValue;
        foreach (byte value in data)
            crc = crc >> 8 ^ Table[(byte)(crc ^ value)];
        return crc;
    }

    private static uint[] BuildTable()
    {
        var table = new uint[256];
        for (uint i = 0; i < 256; i++)
        {
            uint crc = i;
            for (int bit = 0; bit < 8; bit++)
                crc = (crc & 1) != 0 ? crc >> 1 ^ Polynomial : crc >> 1;
            table[i] = crc;
        }
        return table;
    }
}
