using Farm.Machine.Bus;

namespace Farm.Machine.Tests.Devices;

/// <summary>Guest RAM as one array; what lies outside reads as FFh.</summary>
internal sealed class FakeMemory(int size) : IGuestMemory
{
    public byte[] Bytes { get; } = new byte[size];

    public bool Read(ulong address, Span<byte> destination)
    {
        bool all = true;
        for (int i = 0; i < destination.Length; i++)
        {
            bool inside = address + (ulong)i < (ulong)Bytes.Length;
            destination[i] = inside ? Bytes[address + (ulong)i] : (byte)0xFF;
            all &= inside;
        }
        return all;
    }

    public bool Write(ulong address, ReadOnlySpan<byte> source)
    {
        bool all = true;
        for (int i = 0; i < source.Length; i++)
        {
            bool inside = address + (ulong)i < (ulong)Bytes.Length;
            if (inside)
                Bytes[address + (ulong)i] = source[i];
            all &= inside;
        }
        return all;
    }
}
