using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.EndToEnd.Guests;

/// <summary>Boot sectors of our own, on 1.44M floppy images.</summary>
internal static class BootSectors
{
    private const ushort Origin = 0x7C00;

    /// <summary>
    /// Points vector 13 to a handler, executes RDPMC of counter 0 (which virtual-8086 mode refuses, and to which the assist has no honest
    /// answer) and prints "RDPMC ran" when the instruction came back, or "RDPMC faulted" from the handler.
    /// </summary>
    public static byte[] Rdpmc()
    {
        // the first pass finds out where the handler comes to lie
        var (_, handler) = EmitRdpmc(0);
        byte[] code = EmitRdpmc((ushort)handler).Code;
        byte[] image = new byte[1474560];
        code.CopyTo(image, 0);
        image[510] = 0x55;
        image[511] = 0xAA;
        return image;
    }

    private static (byte[] Code, ulong Handler) EmitRdpmc(ushort handlerAddress)
    {
        var a = new Assembler(16);
        var handler = a.CreateLabel();
        var stop = a.CreateLabel();
        a.cli();
        a.xor(ax, ax);
        a.mov(ds, ax);
        a.mov(ss, ax);
        a.mov(sp, Origin);
        a.mov(__word_ptr[13 * 4], handlerAddress);
        a.mov(__word_ptr[(13 * 4) + 2], ds);
        a.xor(ecx, ecx);
        a.rdpmc();
        Print(a, "\r\nRDPMC ran");
        a.jmp(stop);
        a.Label(ref handler);
        Print(a, "\r\nRDPMC faulted");
        a.Label(ref stop);
        a.sti();
        a.hlt();
        a.jmp(stop);

        using var stream = new MemoryStream();
        var result = a.Assemble(new StreamCodeWriter(stream), Origin, BlockEncoderOptions.ReturnNewInstructionOffsets);
        return (stream.ToArray(), result.GetLabelRIP(handler));
    }

    private static void Print(Assembler a, string text)
    {
        foreach (char c in text)
        {
            a.mov(ax, (short)(0x0E00 | c));
            a.xor(bx, bx);
            a.@int(0x10);
        }
    }
}
