using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Bench.Kvm;

/// <summary>
/// A boot sector that causes exits of each kind over and over, in <see cref="Rounds"/> rounds. Before the loop of a kind it sends the
/// kind's letter to COM1, after the last kind of a round an <see cref="EndOfRound"/>, at the very end a <see cref="End"/>. It runs in real
/// mode or in virtual-8086 mode under any monitor, without BIOS calls.
/// </summary>
internal static class ExitLoops
{
    public const int Rounds = 15, Repetitions = 3000;
    public const char EndOfRound = 'Y', End = 'Z';

    private const ushort Origin = 0x7C00, Table = Origin + 0x1F0, Video = 0xA000, Com1 = 0x3F8;
    private const byte PostCode = 0x80;

    public static IReadOnlyList<(char Letter, string Name)> Kinds { get; } = [('A', "port write"), ('B', "port read"), ('C', "MMIO write"), ('D', "assist trap")];

    /// <summary>A 1.44M floppy image.</summary>
    public static byte[] Image()
    {
        var a = new Assembler(16);
        var round = a.CreateLabel();
        var stop = a.CreateLabel();
        a.cli();
        a.xor(ax, ax);
        a.mov(ds, ax);
        a.mov(ss, ax);
        a.mov(sp, 0x7000);
        a.mov(ax, Video);
        a.mov(es, ax);
        a.xor(di, di);
        // An interrupt that waits would have every entry of the guest ask for an exit. 115200 baud, eight bits.
        Send(a, 0x21, 0xFF);
        foreach (var (port, value) in new (ushort, byte)[] { (Com1 + 3, 0x83), (Com1, 1), (Com1 + 1, 0), (Com1 + 3, 3) })
            Send(a, port, value);
        a.mov(bp, Rounds);
        a.Label(ref round);
        Loop(a, 'A', () => a.@out(PostCode, al));
        Loop(a, 'B', () => a.@in(al, PostCode));
        Loop(a, 'C', () => a.mov(__byte_ptr.es[di], al));
        Loop(a, 'D', () => a.lgdt(__fword_ptr[Table]));
        Send(a, Com1, (byte)EndOfRound);
        a.dec(bp);
        a.jne(round);
        Send(a, Com1, (byte)End);
        a.Label(ref stop);
        a.jmp(stop);
        using var stream = new MemoryStream();
        a.Assemble(new StreamCodeWriter(stream), Origin);
        byte[] image = new byte[1474560];
        stream.ToArray().CopyTo(image, 0);
        image[Table - Origin] = image[Table - Origin + 1] = 0xFF;
        image[510] = 0x55;
        image[511] = 0xAA;
        return image;
    }

    private static void Loop(Assembler a, char letter, Action body)
    {
        var top = a.CreateLabel();
        Send(a, Com1, (byte)letter);
        a.mov(cx, Repetitions);
        a.Label(ref top);
        body();
        a.dec(cx);
        a.jne(top);
    }

    private static void Send(Assembler a, ushort port, byte value)
    {
        a.mov(dx, port);
        a.mov(al, value);
        a.@out(dx, al);
    }
}
