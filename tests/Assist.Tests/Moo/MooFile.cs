using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;

namespace Farm.Assist.Tests.Moo;

/// <summary>Registers of an 80286 in the order of the MOO format's mask.</summary>
public enum MooRegister
{
    Ax,
    Bx,
    Cx,
    Dx,
    Cs,
    Ss,
    Ds,
    Es,
    Sp,
    Bp,
    Si,
    Di,
    Ip,
    Flags,
}

/// <summary>A state of the machine in a test: the registers given, and bytes of memory by physical address.</summary>
public sealed record MooState(ushort?[] Registers, (uint Address, byte Value)[] Ram)
{
    public ushort? this[MooRegister register] => Registers[(int)register];
}

/// <summary>An exception that the captured processor raised. <see cref="FlagsAddress"/> is where the bus cycle wrote the flags.</summary>
public sealed record MooException(byte Vector, uint FlagsAddress);

/// <summary>One captured instruction. <see cref="Final"/> lists only what changed.</summary>
public sealed record MooTest(int Index, string Name, byte[] Bytes, MooState Initial, MooState Final, MooException? Exception);

/// <summary>Reads the MOO format of SingleStepTests (chunks of tag, length, body; little endian).</summary>
public static class MooFile
{
    public static IReadOnlyList<MooTest> Load(string path)
    {
        using FileStream file = File.OpenRead(path);
        using GZipStream unzip = new(file, CompressionMode.Decompress);
        using MemoryStream content = new();
        unzip.CopyTo(content);
        List<MooTest> tests = [];
        int announced = -1;
        foreach ((string tag, ReadOnlyMemory<byte> body) in Chunks(content.ToArray()))
        {
            if (tag == "MOO ")
                announced = BinaryPrimitives.ReadInt32LittleEndian(body.Span[4..]);
            else if (tag == "TEST")
                tests.Add(ReadTest(body));
        }
        if (announced != tests.Count)
            throw new InvalidDataException($"{path}: {announced} tests announced, {tests.Count} present.");
        return tests;
    }

    private static MooTest ReadTest(ReadOnlyMemory<byte> test)
    {
        string name = "";
        byte[] bytes = [];
        MooState? initial = null, final = null;
        MooException? exception = null;
        foreach ((string tag, ReadOnlyMemory<byte> body) in Chunks(test[4..]))
        {
            switch (tag)
            {
                case "NAME": name = Encoding.UTF8.GetString(body.Span[4..]); break;
                case "BYTS": bytes = body.Span[4..].ToArray(); break;
                case "INIT": initial = ReadState(body); break;
                case "FINA": final = ReadState(body); break;
                case "EXCP": exception = new(body.Span[0], BinaryPrimitives.ReadUInt32LittleEndian(body.Span[1..])); break;
            }
        }
        int index = BinaryPrimitives.ReadInt32LittleEndian(test.Span);
        if (initial == null || final == null || bytes.Length == 0)
            throw new InvalidDataException($"Test {index} lacks a chunk.");
        return new(index, name, bytes, initial, final, exception);
    }

    private static MooState ReadState(ReadOnlyMemory<byte> state)
    {
        ushort?[] registers = new ushort?[(int)MooRegister.Flags + 1];
        (uint, byte)[] ram = [];
        foreach ((string tag, ReadOnlyMemory<byte> body) in Chunks(state))
        {
            ReadOnlySpan<byte> span = body.Span;
            if (tag == "REGS")
            {
                int mask = BinaryPrimitives.ReadUInt16LittleEndian(span);
                int at = 2;
                for (int register = 0; register < registers.Length; register++)
                {
                    if ((mask >> register & 1) == 0)
                        continue;
                    registers[register] = BinaryPrimitives.ReadUInt16LittleEndian(span[at..]);
                    at += 2;
                }
            }
            else if (tag == "RAM ")
            {
                ram = new (uint, byte)[BinaryPrimitives.ReadInt32LittleEndian(span)];
                for (int i = 0; i < ram.Length; i++)
                    ram[i] = (BinaryPrimitives.ReadUInt32LittleEndian(span[(4 + (i * 5))..]), span[8 + (i * 5)]);
            }
        }
        return new(registers, ram);
    }

    private static IEnumerable<(string Tag, ReadOnlyMemory<byte> Body)> Chunks(ReadOnlyMemory<byte> content)
    {
        while (!content.IsEmpty)
        {
            string tag = Encoding.ASCII.GetString(content.Span[..4]);
            int length = BinaryPrimitives.ReadInt32LittleEndian(content.Span[4..]);
            yield return (tag, content.Slice(8, length));
            content = content[(8 + length)..];
        }
    }
}
