using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.EndToEnd.Guests;

/// <summary>Boot sectors of our own, on 1.44M floppy images.</summary>
internal static class BootSectors
{
    private const ushort Origin = 0x7C00;

    /// <summary>A loop of one instruction with interrupts off.</summary>
    public static byte[] Loop() => Image(a =>
    {
        var self = a.CreateLabel();
        a.cli();
        a.Label(ref self);
        a.jmp(self);
    });

    /// <summary>Waits with interrupts on for a bit of port 6543h, where nothing is.</summary>
    public static byte[] PollPort() => Image(a =>
    {
        var wait = a.CreateLabel();
        a.sti();
        a.mov(dx, 0x6543);
        a.Label(ref wait);
        a.@in(al, dx);
        a.test(al, 0x80);
        a.jne(wait);
    });

    /// <summary>A handler of IRQ 0 that sends no EOI, so that none comes any more; then a wait for the next tick.</summary>
    public static byte[] NoEndOfInterrupt() => Image((a, handler) =>
    {
        var wait = a.CreateLabel();
        a.cli();
        a.xor(ax, ax);
        a.mov(ds, ax);
        a.mov(__word_ptr[8 * 4], handler.Address);
        a.mov(__word_ptr[(8 * 4) + 2], ds);
        a.sti();
        a.Label(ref wait);
        a.cmp(__word_ptr[0x500], (short)2);
        a.jne(wait);
        a.Label(ref handler.Label);
        a.inc(__word_ptr[0x500]);
        a.iret();
    });

    /// <summary>HLT with interrupts on and every one masked.</summary>
    public static byte[] HaltMasked() => Image(a =>
    {
        var sleep = a.CreateLabel();
        a.mov(al, 0xFF);
        a.@out(0x21, al);
        a.@out(0xA1, al);
        a.sti();
        a.Label(ref sleep);
        a.hlt();
        a.jmp(sleep);
    });

    /// <summary>HLT with interrupts off.</summary>
    public static byte[] HaltForGood() => Image(a =>
    {
        Print(a, "\r\nHalted");
        a.cli();
        a.hlt();
    });

    /// <summary>An exception with no vector table.</summary>
    public static byte[] TripleFault() => Image(a =>
    {
        a.cli();
        a.xor(ax, ax);
        a.mov(ds, ax);
        a.mov(__dword_ptr[0x500], 0);
        a.mov(__dword_ptr[0x504], 0);
        a.lidt(__fword_ptr[0x500]);
        a.int3();
    });

    /// <summary>
    /// Points vector 13 to a handler, executes RDPMC of counter 0 (which virtual-8086 mode refuses, and to which the assist has no honest
    /// answer) and prints "RDPMC ran" when the instruction came back, or "RDPMC faulted" from the handler.
    /// </summary>
    /// <param name="thenHangs">After RDPMC it stops with interrupts off instead, and prints nothing.</param>
    public static byte[] Rdpmc(bool thenHangs = false) => Image((a, handler) =>
    {
        var stop = a.CreateLabel();
        a.cli();
        a.xor(ax, ax);
        a.mov(ds, ax);
        a.mov(ss, ax);
        a.mov(sp, Origin);
        a.mov(__word_ptr[13 * 4], handler.Address);
        a.mov(__word_ptr[(13 * 4) + 2], ds);
        a.xor(ecx, ecx);
        a.rdpmc();
        if (!thenHangs)
        {
            Print(a, "\r\nRDPMC ran");
            a.jmp(stop);
        }
        a.Label(ref handler.Label);
        if (!thenHangs)
        {
            Print(a, "\r\nRDPMC faulted");
            a.Label(ref stop);
            a.sti();
        }
        else
        {
            a.cli();
            a.Label(ref stop);
        }
        a.hlt();
        a.jmp(stop);
    });

    /// <summary>Writes "at work" to COM1, prints so many dots with 10 million instructions after each, and "work is done".</summary>
    public static byte[] Busy(int dots) => Image(a =>
    {
        var work = a.CreateLabel();
        var count = a.CreateLabel();
        var stop = a.CreateLabel();
        a.xor(dx, dx);
        a.mov(ax, 0x00E3); // INT 14h, function 0: COM1 at 9600 baud, 8 bits, no parity
        a.@int(0x14);
        foreach (char c in "at work\r\n")
        {
            a.mov(ax, (short)(0x0100 | c));
            a.@int(0x14);
        }
        a.mov(si, (short)dots);
        a.Label(ref work);
        Print(a, ".");
        a.mov(ecx, 5_000_000);
        a.Label(ref count);
        a.dec(ecx);
        a.jne(count);
        a.dec(si);
        a.jne(work);
        Print(a, "\r\nwork is done");
        a.Label(ref stop);
        a.sti();
        a.hlt();
        a.jmp(stop);
    });

    /// <summary>A network boot program, loaded at 0000:7C00 as PXE does: prints a text and halts.</summary>
    public static byte[] NetworkBootProgram(string text)
    {
        var a = new Assembler(16);
        var stop = a.CreateLabel();
        Print(a, "\r\n" + text);
        a.Label(ref stop);
        a.sti();
        a.hlt();
        a.jmp(stop);
        using var stream = new MemoryStream();
        a.Assemble(new StreamCodeWriter(stream), Origin);
        return stream.ToArray();
    }

    private static byte[] Image(Action<Assembler> write) => Image((a, handler) =>
    {
        write(a);
        a.Label(ref handler.Label);
        a.nop();
    });

    /// <summary>A floppy with the code in its boot sector. The code places the handler's label; its address is known in a second pass.</summary>
    private static byte[] Image(Action<Assembler, Handler> write)
    {
        ulong address = Emit(write, 0).Address;
        byte[] image = new byte[1474560];
        Emit(write, (ushort)address).Code.CopyTo(image, 0);
        image[510] = 0x55;
        image[511] = 0xAA;
        return image;
    }

    private static (byte[] Code, ulong Address) Emit(Action<Assembler, Handler> write, ushort address)
    {
        var a = new Assembler(16);
        var handler = new Handler { Label = a.CreateLabel(), Address = address };
        write(a, handler);
        using var stream = new MemoryStream();
        var result = a.Assemble(new StreamCodeWriter(stream), Origin, BlockEncoderOptions.ReturnNewInstructionOffsets);
        return (stream.ToArray(), result.GetLabelRIP(handler.Label));
    }

    private sealed class Handler
    {
        public Label Label;

        public ushort Address { get; init; }
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
