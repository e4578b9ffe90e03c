using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Bench;

/// <summary>A boot sector that repeats a few instructions and says on COM1 when it begins (S) and ends (E).</summary>
/// <param name="Name">For the table.</param>
/// <param name="Bits">16: real mode; 32: flat protected mode.</param>
/// <param name="Setup">Once, before the loop.</param>
/// <param name="Body">The instructions to repeat; EBP counts the repetitions.</param>
/// <param name="PerRepetition">Instructions of the body, iterations of repeated ones included.</param>
internal sealed record Loop(string Name, int Bits, Action<Assembler> Setup, Action<Assembler> Body, int PerRepetition)
{
    /// <summary>Instructions between S and E.</summary>
    public const long Instructions = 100_000_000;

    private const ushort Origin = 0x7C00;
    /// <summary>Not in the code's page: what is stored there is looked at more closely by every emulator.</summary>
    private const ushort Stack = 0x7000;
    private const int Buffer = 0x20000;

    /// <summary>DEC and JNZ belong to each repetition.</summary>
    private uint Repetitions(int longer) => (uint)(Instructions * longer / (PerRepetition + 2));

    public static IReadOnlyList<Loop> All { get; } =
    [
        new("alu", 16, Nothing, Alu, 16),
        new("alu", 32, Nothing, Alu, 16),
        new("memory", 16, Pointers16, Memory16, 12),
        new("memory", 32, Pointers32, Memory32, 12),
        new("call", 16, Nothing, Call, 8),
        new("call", 32, Nothing, Call, 8),
        new("branch", 32, Nothing, Branch, 11),
        new("multiply", 32, Nothing, Multiply, 9),
        new("string", 32, Nothing, String32, 4 + 1024 + 1024),
        new("fpu", 32, Floats, Fpu, 12),
        new("fault", 32, Handler, static a => a.ud2(), 3),
    ];

    /// <summary>A 1.44M floppy image.</summary>
    public byte[] Image(int longer)
    {
        var a = new Assembler(16);
        var table = a.CreateLabel();
        var flat = a.CreateLabel();
        a.cli();
        a.xor(ax, ax);
        a.mov(ds, ax);
        a.mov(es, ax);
        a.mov(ss, ax);
        a.mov(sp, Stack);
        a.cld();
        byte[] code;
        if (Bits == 16)
        {
            Write(a, longer);
            code = Bytes(a, Origin);
        }
        else
        {
            byte[] body = Protected(Origin + 0x40, longer);
            a.lgdt(__fword_ptr[Origin + 0x38]);
            a.mov(eax, cr0);
            a.or(al, 1);
            a.mov(cr0, eax);
            a.db(0xEA, 0x40, 0x7C, 0x08, 0x00); // jmp 8:7C40
            byte[] entry = Bytes(a, Origin);
            ushort descriptors = (ushort)(Origin + 0x40 + body.Length);
            code =
            [
                .. entry, .. new byte[0x38 - entry.Length],
                23, 0, (byte)descriptors, (byte)(descriptors >> 8), 0, 0, 0, 0, .. body,
                0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0x9B, 0xCF, 0, 0xFF, 0xFF, 0, 0, 0, 0x93, 0xCF, 0,
            ];
        }
        if (code.Length > 510)
            throw new InvalidOperationException($"The loop {Name} has {code.Length} bytes; a boot sector holds 510.");
        byte[] image = new byte[1474560];
        code.CopyTo(image, 0);
        image[510] = 0x55;
        image[511] = 0xAA;
        return image;
    }

    private byte[] Protected(uint address, int longer)
    {
        var a = new Assembler(32);
        a.mov(ax, 0x10);
        a.mov(ds, ax);
        a.mov(es, ax);
        a.mov(ss, ax);
        a.mov(esp, Stack);
        Write(a, longer);
        return Bytes(a, address);
    }

    /// <summary>A tenth of the repetitions to warm up, then all of them between S and E, then nothing.</summary>
    private void Write(Assembler a, int longer)
    {
        var run = a.CreateLabel();
        var top = a.CreateLabel();
        var stop = a.CreateLabel();
        // 115200 baud, eight bits
        foreach (var (port, value) in new (short, byte)[] { (0x3FB, 0x83), (0x3F8, 1), (0x3F9, 0), (0x3FB, 3) })
            Send(a, port, value);
        a.mov(ebp, Repetitions(1) / 10);
        a.call(run);
        Send(a, 0x3F8, (byte)'S');
        a.mov(ebp, Repetitions(longer));
        a.call(run);
        Send(a, 0x3F8, (byte)'E');
        a.Label(ref stop);
        a.jmp(stop);
        a.Label(ref run);
        a.nop();
        Setup(a);
        a.Label(ref top);
        Body(a);
        a.dec(ebp);
        a.jne(top);
        a.ret();
    }

    private static void Send(Assembler a, short port, byte value)
    {
        a.mov(dx, port);
        a.mov(al, value);
        a.@out(dx, al);
    }

    private static byte[] Bytes(Assembler a, ulong address)
    {
        using var stream = new MemoryStream();
        a.Assemble(new StreamCodeWriter(stream), address);
        return stream.ToArray();
    }

    private static void Nothing(Assembler a)
    {
    }

    private static void Alu(Assembler a)
    {
        for (int i = 0; i < 2; i++)
        {
            a.add(eax, ecx);
            a.xor(edx, eax);
            a.lea(ecx, __[ecx + 3]);
            a.shl(edx, 1);
            a.sub(eax, edx);
            a.and(edx, 0x7FFF);
            a.inc(ecx);
            a.or(eax, edx);
        }
    }

    private static void Pointers16(Assembler a)
    {
        a.mov(ax, Buffer >> 4);
        a.mov(ds, ax);
        a.xor(bx, bx);
    }

    private static void Memory16(Assembler a)
    {
        for (int i = 0; i < 3; i++)
        {
            a.mov(ax, __word_ptr[bx + (i * 64)]);
            a.add(__word_ptr[bx + (i * 64) + 2], ax);
            a.mov(__word_ptr[bx + (i * 64) + 4], ax);
            a.add(bx, 38);
        }
    }

    private static void Pointers32(Assembler a) => a.xor(ebx, ebx);

    private static void Memory32(Assembler a)
    {
        for (int i = 0; i < 2; i++)
        {
            a.mov(eax, __dword_ptr[ebx + Buffer]);
            a.add(__dword_ptr[ebx + Buffer + 4], eax);
            a.mov(__dword_ptr[ebx + Buffer + 8], eax);
            a.add(ebx, 4100);
            a.and(ebx, 0x7FFF0);
            a.movzx(ecx, __byte_ptr[ebx + Buffer]);
        }
    }

    private static void Call(Assembler a)
    {
        var function = a.CreateLabel();
        var over = a.CreateLabel();
        a.call(function);
        a.call(function);
        a.jmp(over);
        a.Label(ref function);
        a.inc(eax);
        a.ret();
        a.Label(ref over);
        a.nop();
    }

    private static void Branch(Assembler a)
    {
        var odd = a.CreateLabel();
        var small = a.CreateLabel();
        var join = a.CreateLabel();
        a.imul(eax, eax, 1103515245);
        a.add(eax, 12345);
        a.test(eax, 0x10000);
        a.jne(odd);
        a.inc(ecx);
        a.inc(ecx);
        a.Label(ref odd);
        a.cmp(eax, ecx);
        a.jb(small);
        a.inc(edx);
        a.jmp(join);
        a.Label(ref small);
        a.dec(edx);
        a.dec(edx);
        a.Label(ref join);
        a.nop();
        a.nop();
    }

    private static void Multiply(Assembler a)
    {
        a.mov(eax, 123456789);
        a.mul(ecx);
        a.imul(ecx, eax, 77);
        a.or(ecx, 1);
        a.xor(edx, edx);
        a.mov(eax, 987654321);
        a.div(ecx);
        a.rol(eax, 5);
        a.add(ecx, eax);
    }

    private static void String32(Assembler a)
    {
        a.mov(esi, Buffer);
        a.mov(edi, Buffer + 0x8000);
        a.mov(ecx, 1024);
        a.rep.movsd();
        a.mov(ecx, 1024);
        a.rep.stosd();
    }

    /// <summary>Of #UD, which goes on behind the UD2.</summary>
    private static void Handler(Assembler a)
    {
        const int gate = Buffer + (6 * 8), register = Buffer + 0x1000;
        var over = a.CreateLabel();
        a.call(over);
        a.add(__dword_ptr[esp], 2);
        a.iretd();
        a.Label(ref over);
        a.pop(eax);
        a.movzx(ecx, ax);
        a.or(ecx, 8 << 16);
        a.mov(__dword_ptr[gate], ecx);
        a.mov(ax, unchecked((short)0x8E00));
        a.mov(__dword_ptr[gate + 4], eax);
        a.mov(__word_ptr[register], 0x7FF);
        a.mov(__dword_ptr[register + 2], Buffer);
        a.lidt(__fword_ptr[register]);
    }

    private static void Floats(Assembler a)
    {
        a.fninit();
        a.mov(__dword_ptr[Buffer], 3);
        a.mov(__dword_ptr[Buffer + 16], 0x3F800001);
        a.fild(__dword_ptr[Buffer]);
        a.fstp(__qword_ptr[Buffer + 8]);
    }

    private static void Fpu(Assembler a)
    {
        for (int i = 0; i < 2; i++)
        {
            a.fld(__qword_ptr[Buffer + 8]);
            a.fmul(__dword_ptr[Buffer + 16]);
            a.fld1();
            a.fadd(st1, st0);
            a.fsubp(st1, st0);
            a.fstp(__qword_ptr[Buffer + 8]);
        }
    }
}
