using System.Buffers.Binary;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Machine.Tests.Firmware;

/// <summary>
/// A program at 0000:7C00 that a BIOS boots: it asks the BIOS for things, reports on COM1, and halts. Every check that fails prints its
/// letter and AH. The registers at entry are kept at 0600h (DL).
/// </summary>
internal sealed class BootProgram
{
    public const ushort Origin = 0x7C00, Drive = 0x600, Buffer = 0x8000, Packet = 0x620;

    private Label _bad, _put;
    private char _check = 'a';

    public BootProgram()
    {
        Asm = new Assembler(16);
        _bad = Asm.CreateLabel();
        _put = Asm.CreateLabel();
        var a = Asm;
        a.cli();
        a.xor(ax, ax);
        a.mov(ds, ax);
        a.mov(es, ax);
        a.mov(ss, ax);
        a.mov(sp, Origin);
        a.sti();
        a.cld();
        a.mov(__byte_ptr[Drive], dl);
        a.mov(dx, 0x3FB); // 8 data bits
        a.mov(al, 3);
        a.@out(dx, al);
    }

    public Assembler Asm { get; }

    /// <summary>Reads (AH=02h) or writes (AH=03h) sectors at the buffer by cylinder, head and sector, three times if need be, as a driver does.</summary>
    public void Transfer(byte function, int cylinder, int head, int sector, int count = 1)
    {
        var a = Asm;
        Label again = a.CreateLabel(), done = a.CreateLabel();
        a.mov(di, 3);
        a.Label(ref again);
        a.mov(ax, (ushort)(function << 8 | count));
        a.mov(bx, Buffer);
        a.mov(cx, (ushort)((cylinder & 0xFF) << 8 | (cylinder >> 8) << 6 | sector));
        a.mov(dh, (byte)head);
        a.mov(dl, __byte_ptr[Drive]);
        a.@int(0x13);
        a.jnc(done);
        a.push(ax);
        a.mov(ah, 0);
        a.@int(0x13);
        a.pop(ax);
        a.dec(di);
        a.jnz(again);
        Check(() =>
        {
            a.stc();
            a.jc(_bad);
        });
        a.Label(ref done);
        a.nop(); // a label needs an instruction of its own
    }

    /// <summary>Extended read (AH=42h) or write (AH=43h) at the buffer, three times if need be.</summary>
    public void TransferExtended(byte function, long lba, int count = 1)
    {
        var a = Asm;
        Label again = a.CreateLabel(), done = a.CreateLabel();
        a.mov(di, 3);
        a.Label(ref again);
        a.mov(__word_ptr[Packet], 0x10);
        a.mov(__word_ptr[Packet + 2], (short)count);
        a.mov(__dword_ptr[Packet + 4], (int)Buffer);
        a.mov(__dword_ptr[Packet + 8], (int)(uint)lba);
        a.mov(__dword_ptr[Packet + 12], (int)(lba >> 32));
        a.mov(si, Packet);
        a.mov(dl, __byte_ptr[Drive]);
        a.mov(ax, (ushort)(function << 8));
        a.@int(0x13);
        a.jnc(done);
        a.dec(di);
        a.jnz(again);
        Check(() =>
        {
            a.stc();
            a.jc(_bad);
        });
        a.Label(ref done);
        a.nop(); // a label needs an instruction of its own
    }

    /// <summary>A doubleword in memory has this value.</summary>
    public void Equal(ushort address, uint value) => Check(() =>
    {
        Asm.cmp(__dword_ptr[address], (int)value);
        Asm.jne(_bad);
    });

    public void Equal(AssemblerRegister8 register, byte value) => Check(() =>
    {
        Asm.cmp(register, (sbyte)value);
        Asm.jne(_bad);
    });

    public void Put(ushort address, uint value) => Asm.mov(__dword_ptr[address], (int)value);

    public void Print(string text)
    {
        foreach (char c in text)
        {
            Asm.mov(al, (sbyte)c);
            Asm.call(_put);
        }
    }

    /// <summary>Prints AL as a letter: A for 1.</summary>
    public void PutLetter()
    {
        Asm.add(al, 0x40);
        Asm.call(_put);
    }

    public void WaitForKey()
    {
        Asm.mov(ah, 0);
        Asm.@int(0x16);
    }

    /// <summary>The program, ended by HLT; at most <paramref name="limit"/> bytes.</summary>
    public byte[] Code(int limit = 510)
    {
        var a = Asm;
        Label stop = a.CreateLabel();
        a.Label(ref stop);
        a.sti();
        a.hlt();
        a.jmp(stop);
        a.Label(ref _bad);
        a.mov(bl, ah);
        Print(" BAD ");
        a.mov(al, cl);
        a.call(_put);
        foreach (int shift in (int[])[4, 0])
        {
            a.mov(al, bl);
            a.shr(al, (byte)shift);
            a.and(al, 15);
            a.add(al, 0x41); // A is 0, P is 15
            a.call(_put);
        }
        a.jmp(stop);
        Label wait = a.CreateLabel();
        a.Label(ref _put);
        a.mov(ah, al);
        a.mov(dx, 0x3FD);
        a.Label(ref wait);
        a.@in(al, dx);
        a.test(al, 0x20); // the transmitter holding register is empty
        a.jz(wait);
        a.mov(dx, 0x3F8);
        a.mov(al, ah);
        a.@out(dx, al);
        a.ret();
        using var stream = new MemoryStream();
        a.Assemble(new StreamCodeWriter(stream), Origin);
        byte[] code = stream.ToArray();
        Assert.InRange(code.Length, 1, limit);
        return code;
    }

    /// <summary>A boot sector: the program and the signature.</summary>
    public byte[] Sector(int limit = 510)
    {
        byte[] sector = new byte[512];
        Code(limit).CopyTo(sector, 0);
        BinaryPrimitives.WriteUInt16LittleEndian(sector.AsSpan(510), 0xAA55);
        return sector;
    }

    /// <summary>CL tells which check failed; the code between must not need CL afterwards.</summary>
    private void Check(Action emit)
    {
        Label good = Asm.CreateLabel();
        Label mine = Asm.CreateLabel();
        Label outer = _bad;
        _bad = mine;
        emit();
        _bad = outer;
        Asm.jmp(good);
        Asm.Label(ref mine);
        Asm.mov(cl, (sbyte)_check++);
        Asm.jmp(_bad);
        Asm.Label(ref good);
        Asm.nop(); // a label needs an instruction of its own
    }
}
