using System.Buffers.Binary;

namespace Farm.Machine.Devices.Ide;

/// <summary>The 256 words of IDENTIFY DEVICE and IDENTIFY PACKET DEVICE.</summary>
internal readonly ref struct IdentifyWords(Span<byte> data)
{
    private readonly Span<byte> _data = data;

    public ushort this[int word]
    {
        get => BinaryPrimitives.ReadUInt16LittleEndian(_data[(word * 2)..]);
        set => BinaryPrimitives.WriteUInt16LittleEndian(_data[(word * 2)..], value);
    }

    public void DoubleWord(int word, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(_data[(word * 2)..], value);

    /// <summary>ASCII padded with blanks, the first character of each word in its high byte.</summary>
    public void Text(int word, int count, string text)
    {
        for (int i = 0; i < count * 2; i++)
            _data[(word * 2) + (i ^ 1)] = i < text.Length ? (byte)text[i] : (byte)' ';
    }

    /// <summary>Word 255: signature A5h and a checksum that makes the sum of all bytes zero.</summary>
    public ushort Integrity()
    {
        int sum = 0xA5;
        foreach (byte value in _data[..510])
            sum += value;
        return (ushort)(0xA5 | ((-sum & 0xFF) << 8));
    }
}
