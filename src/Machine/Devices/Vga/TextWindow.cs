using Farm.Machine.Memory;

namespace Farm.Machine.Devices.Vga;

/// <summary>
/// The window of a text mode (B0000h or B8000h, 32 KiB) as plain memory that a processor may use without an exit. In such a mode what the
/// processor sees is linear, but lies spread over planes 0 and 1 in video memory; what was stored goes there when someone looks.
/// </summary>
public sealed unsafe class TextWindow : IDisposable
{
    public const int Size = 0x8000;

    private const int Part = 4096;

    private readonly HostMemory _memory = new(Size);

    /// <summary>The window as it last was brought to video memory.</summary>
    private readonly byte[] _known = new byte[Size];

    /// <summary>Page-aligned.</summary>
    public byte* Bytes => _memory.Start;

    /// <summary>Fills the window from video memory.</summary>
    public void Load(byte* video)
    {
        for (int i = 0; i < Size; i++)
            Bytes[i] = video[InVideo(i)];
        new ReadOnlySpan<byte>(Bytes, Size).CopyTo(_known);
    }

    /// <summary>Brings what was stored to video memory; true when there was something.</summary>
    public bool Store(byte* video)
    {
        bool any = false;
        for (int start = 0; start < Size; start += Part)
        {
            var now = new ReadOnlySpan<byte>(Bytes + start, Part);
            var known = _known.AsSpan(start, Part);
            if (now.SequenceEqual(known))
                continue;
            any = true;
            for (int i = 0; i < Part; i++)
            {
                if (now[i] != known[i])
                    video[InVideo(start + i)] = known[i] = now[i];
            }
        }
        return any;
    }

    public void Dispose() => _memory.Dispose();

    /// <summary>Chained odd/even addressing: A0 chooses plane 0 or 1 and is 0 in the plane address; the planes lie interleaved.</summary>
    private static int InVideo(int offset) => ((offset & ~1) * 4) + (offset & 1);
}
