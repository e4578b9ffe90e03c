using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Machine.Tests.Divergence;

/// <summary>A floppy whose boot sector waits for timer ticks, polls the clock, writes to the floppy, and prints.</summary>
internal static class TracedSector
{
    /// <param name="mark">What it writes and prints.</param>
    /// <param name="poll">Polls the clock, which takes a slow machine long.</param>
    public static byte[] Image(char mark, bool poll = true)
    {
        var a = new Assembler(16);
        Label wait = a.CreateLabel(), update = a.CreateLabel(), stop = a.CreateLabel();
        a.xor(ax, ax);
        a.mov(ds, ax);
        a.mov(es, ax);
        a.mov(ss, ax);
        a.mov(sp, 0x7C00);
        a.sti();
        a.mov(cx, 6);
        a.Label(ref wait);
        a.hlt();
        a.loop(wait);

        // Until the clock's seconds show an update: a poll whose length is a matter of time.
        if (poll)
        {
            a.Label(ref update);
            a.mov(al, 0x0A);
            a.@out(0x70, al);
            a.@in(al, 0x71);
            a.test(al, 0x80);
            a.je(update);
        }

        // Sector 10 of the first track.
        a.mov(di, 0x1000);
        a.mov(cx, 256);
        a.mov(ax, (short)(mark << 8 | mark));
        a.rep.stosw();
        a.mov(ax, 0x0301);
        a.mov(bx, 0x1000);
        a.mov(cx, 10);
        a.xor(dx, dx);
        a.@int(0x13);
        foreach (char c in $"DONE {mark}{mark}{mark}")
        {
            a.mov(ax, (short)(0x0E00 | c));
            a.xor(bx, bx);
            a.@int(0x10);
        }
        a.Label(ref stop);
        a.hlt();
        a.jmp(stop);
        using var stream = new MemoryStream();
        a.Assemble(new StreamCodeWriter(stream), 0x7C00);
        byte[] image = new byte[1440 * 1024];
        stream.ToArray().CopyTo(image, 0);
        image[510] = 0x55;
        image[511] = 0xAA;
        return image;
    }
}
