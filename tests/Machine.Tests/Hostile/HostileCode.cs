using System.Buffers.Binary;
using Farm.Assist.Monitor;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Machine.Tests.Hostile;

/// <summary>The processor mode that a hostile program sets up before its random code.</summary>
internal enum HostileMode
{
    Real,
    Protected,
    Paged,
    Long,
}

/// <summary>
/// A BIOS image that enters a mode with half-broken tables and goes on in random code; handlers of every vector lead into random code
/// again. Beside it what the tables in RAM hold.
/// </summary>
internal sealed class HostileCode
{
    public const int RamSize = 4 << 20;

    private const uint Gdt = 0x1000, Idt = 0x2000, Tss = 0x4000, Ldt = 0x6000, Prologue = 0xF000, PageTables = 0x10000, Code = 0x20000;
    private const int CodeSize = 0x20000, GdtEntries = 64;
    private const ushort Entry = 0xE000, Registers = 0xDF00;

    private static readonly byte[] s_opcodes =
    [
        0x06, 0x07, 0x0E, 0x16, 0x17, 0x1E, 0x1F, 0x60, 0x61, 0x62, 0x63, 0x6C, 0x6D, 0x6E, 0x6F, 0x8C, 0x8E, 0x8F, 0x9A, 0x9B, 0x9C, 0x9D, 0xA4, 0xA5,
        0xA6, 0xAA, 0xAB, 0xAC, 0xC2, 0xC4, 0xC5, 0xC8, 0xC9, 0xCA, 0xCB, 0xCC, 0xCD, 0xCE, 0xCF, 0xD8, 0xD9, 0xDB, 0xDD, 0xDF, 0xE2, 0xE4, 0xE5, 0xE6,
        0xE7, 0xE8, 0xEA, 0xEC, 0xED, 0xEE, 0xEF, 0xF1, 0xF6, 0xF7, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF,
    ];

    private static readonly byte[] s_twoByteOpcodes =
    [
        0x00, 0x01, 0x02, 0x03, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0B, 0x0D, 0x10, 0x11, 0x18, 0x20, 0x21, 0x22, 0x23, 0x28, 0x2A, 0x30, 0x31, 0x32, 0x33,
        0x34, 0x35, 0x3A, 0x58, 0x6F, 0x77, 0x7F, 0xA0, 0xA1, 0xA2, 0xA3, 0xA8, 0xA9, 0xAA, 0xAE, 0xB0, 0xB2, 0xB4, 0xB5, 0xBA, 0xC7, 0xC8, 0xE7, 0xFF,
    ];

    private static readonly byte[] s_prefixes = [0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3];

    private readonly Random _random;
    private readonly HostileMode _mode;

    public HostileCode(Random random, HostileMode mode)
    {
        _random = random;
        _mode = mode;
        random.NextBytes(Ram);
        FillCode(Ram.AsSpan((int)Code, CodeSize));
        FillTables();
        Bios = BuildBios();
    }

    public byte[] Bios { get; }

    public byte[] Ram { get; } = new byte[RamSize];

    private bool Rarely => _random.Next(64) == 0;

    private void FillCode(Span<byte> code)
    {
        _random.NextBytes(code);
        for (int at = 0; at < code.Length - 32;)
        {
            while (_random.Next(4) == 0)
                code[at++] = s_prefixes[_random.Next(s_prefixes.Length)];
            if (_mode == HostileMode.Long && _random.Next(3) == 0)
                code[at++] = (byte)(0x40 | _random.Next(16));
            switch (_random.Next(6))
            {
                case 5 when _mode is HostileMode.Protected or HostileMode.Paged && _random.Next(4) == 0:
                    code[at++] = 0xC7; // mov dword [local APIC or IOAPIC], imm32
                    code[at++] = 0x05;
                    BinaryPrimitives.WriteUInt32LittleEndian(code[at..], (_random.Next(8) == 0 ? 0xFEC00000u : 0xFEE00000u) + (uint)_random.Next(0x40) * 0x10);
                    BinaryPrimitives.WriteUInt32LittleEndian(code[(at + 4)..], (uint)(_random.Next(0x100) | _random.Next(0x20) << 8 | _random.Next(0x10) << 16));
                    at += 8;
                    break;
                case 5 when _mode == HostileMode.Protected && _random.Next(4) == 0:
                    WriteToMonitor(code[at..]);
                    at += 10;
                    break;
                case 5 when _mode == HostileMode.Protected && _random.Next(16) == 0:
                    // mov eax, 10h; mov cr0, eax: back to real mode in the middle of whatever this is
                    ((ReadOnlySpan<byte>)[0xB8, 0x10, 0x00, 0x00, 0x00, 0x0F, 0x22, 0xC0]).CopyTo(code[at..]);
                    at += 8;
                    break;
                case 0:
                    code[at++] = s_opcodes[_random.Next(s_opcodes.Length)];
                    break;
                case 1:
                    code[at++] = 0x0F;
                    code[at++] = s_twoByteOpcodes[_random.Next(s_twoByteOpcodes.Length)];
                    break;
                case 2:
                    code[at++] = 0x0F;
                    break;
                case 3:
                    code[at++] = (byte)(0xB8 + _random.Next(8)); // a register holds something small: selectors, table indexes, ports
                    BinaryPrimitives.WriteUInt32LittleEndian(code[at..], (uint)_random.Next(0x400));
                    at += 4;
                    break;
            }
            at += _random.Next(4);
        }
    }

    /// <summary>MOV of a doubleword to the resident monitor's own RAM: its code and tables, or the first processor's data page, frame and TSS.</summary>
    private void WriteToMonitor(Span<byte> code)
    {
        uint offset = _random.Next(3) switch
        {
            0 => (uint)_random.Next((int)MonitorLayout.ImageSize),
            1 => MonitorLayout.SharedSize + MonitorLayout.Frame + (uint)_random.Next(MonitorFrame.Size + 0x80),
            _ => MonitorLayout.SharedSize + (uint)_random.Next((int)MonitorLayout.SliceSize),
        };
        code[0] = 0xC7;
        code[1] = 0x05;
        BinaryPrimitives.WriteUInt32LittleEndian(code[2..], MonitorLayout.Base + offset);
        BinaryPrimitives.WriteUInt32LittleEndian(code[6..], _random.Next(3) switch { 0 => (uint)_random.Next(0x400), 1 => Code + (uint)_random.Next(CodeSize), _ => (uint)_random.NextInt64(1L << 32) });
    }

    /// <summary>GDT, IDT (or IVT), TSSs, LDT and page tables: mostly right, here and there anything.</summary>
    private void FillTables()
    {
        for (int i = 0; i < 256; i++)
        {
            // Real mode: every vector leads into the code at 2000:xxxx.
            Put16((uint)(i * 4), (ushort)_random.Next(0x10000));
            Put16((uint)(i * 4 + 2), (ushort)(_random.Next(2) == 0 ? 0x2000 : 0xF000));
        }
        for (uint i = 1; i < GdtEntries; i++)
            Put64(Gdt + i * 8, Descriptor());
        Put64(Gdt + 0x08, 0x00CF9A000000FFFF);
        Put64(Gdt + 0x10, 0x00CF92000000FFFF);
        Put64(Gdt + 0x18, 0x00AF9A000000FFFF);
        Put64(Gdt + 0x20, System(Tss, 0xFFF, 0x89));
        Put64(Gdt + 0x28, 0);
        Put64(Gdt + 0x30, System(Ldt, 0xFFF, 0x82));
        for (uint i = 0; i < 512; i++)
            Put64(Ldt + i * 8, Descriptor());
        for (uint i = 0; i < 512; i++)
            Put64(Idt + i * 8, Gate());
        for (uint at = Tss; at < Tss + 0x2000; at += 4)
        {
            if (_random.Next(4) != 0)
                Put32(at, (uint)(_random.Next(3) == 0 ? _random.Next(0x200) : _random.Next(RamSize)));
        }
        FillPages();
    }

    /// <summary>A flat map of RAM, with entries of every wrong kind strewn in. 32-bit tables at 10000h, PAE and long mode ones behind.</summary>
    private void FillPages()
    {
        const uint directory = PageTables, table = PageTables + 0x1000, pml4 = PageTables + 0x2000, pointers = PageTables + 0x3000, paeDirectory = PageTables + 0x4000, paeTable = PageTables + 0x5000;
        for (uint i = 0; i < 1024; i++)
        {
            Put32(directory + i * 4, Rarely ? (uint)_random.NextInt64(1L << 32) : i is 0 or 1023 ? table | 7 : i << 22 | 0x83 | (uint)(_random.Next(2) << 2));
            Put32(table + i * 4, Rarely ? (uint)_random.NextInt64(1L << 32) : i << 12 | 7);
        }
        for (uint i = 0; i < 512; i++)
        {
            Put64(pml4 + i * 8, Rarely ? (ulong)_random.NextInt64() : i is 0 or 511 ? pointers | 7 : 0);
            Put64(pointers + i * 8, Rarely ? (ulong)_random.NextInt64() : _mode == HostileMode.Long ? paeDirectory | 7 : i < 4 ? paeDirectory | 1 : 0);
            Put64(paeDirectory + i * 8, Rarely ? (ulong)_random.NextInt64() : i == 0 ? paeTable | 7 : (ulong)i << 21 | 0x87);
            Put64(paeTable + i * 8, Rarely ? (ulong)_random.NextInt64() : (ulong)i << 12 | 7 | (Rarely ? 1ul << 63 : 0));
        }
    }

    private ulong Descriptor()
    {
        if (Rarely)
            return (ulong)_random.NextInt64();
        byte access = (byte)(_random.Next(4) == 0 ? _random.Next(256) : 0x80 | _random.Next(128));
        uint target = _random.Next(2) == 0 ? Code + (uint)_random.Next(CodeSize) : (uint)_random.Next(RamSize);
        if ((access & 0x10) == 0 && (access & 7) >= 4)
            return (target & 0xFFFF) | (ulong)(uint)(_random.Next(GdtEntries) << 3 | _random.Next(4)) << 16 | (ulong)(uint)_random.Next(8) << 32 | (ulong)access << 40 | (ulong)(target >> 16) << 48;
        uint limit = _random.Next(2) == 0 ? 0xFFFFF : (uint)_random.Next(0x100000);
        return (limit & 0xFFFF) | (ulong)(_random.Next(2) == 0 ? 0 : target & 0xFFFFFF) << 16 | (ulong)access << 40 | (ulong)(limit >> 16) << 48 | (ulong)(uint)_random.Next(16) << 52;
    }

    private ulong Gate()
    {
        if (Rarely)
            return (ulong)_random.NextInt64();
        uint target = Code + (uint)_random.Next(CodeSize);
        byte access = _random.Next(10) switch { 0 => 0x85, 1 => 0x86, 2 => 0x87, 3 => 0x8F, 4 => 0x0E, _ => 0x8E };
        access |= (byte)(_random.Next(2) == 0 ? 0x60 : 0);
        ushort selector = _random.Next(4) == 0 ? (ushort)(_random.Next(GdtEntries) << 3) : _mode == HostileMode.Long ? (ushort)0x18 : (ushort)0x08;
        return (target & 0xFFFF) | (ulong)selector << 16 | (ulong)(uint)_random.Next(8) << 32 | (ulong)access << 40 | (ulong)(target >> 16) << 48;
    }

    private byte[] BuildBios()
    {
        byte[] bios = new byte[0x10000];
        FillCode(bios);
        byte[] preamble = Assemble();
        preamble.CopyTo(bios, Entry);
        ReadOnlySpan<byte> reset = [0xEA, Entry & 0xFF, Entry >> 8, 0x00, 0xF0];
        reset.CopyTo(bios.AsSpan(0xFFF0));
        Span<byte> registers = bios.AsSpan(Registers, 16);
        BinaryPrimitives.WriteUInt16LittleEndian(registers, (ushort)(Rarely ? _random.Next(0x200) : GdtEntries * 8 - 1));
        BinaryPrimitives.WriteUInt32LittleEndian(registers[2..], Gdt);
        BinaryPrimitives.WriteUInt16LittleEndian(registers[8..], (ushort)(Rarely ? _random.Next(0x1000) : 0xFFF));
        BinaryPrimitives.WriteUInt32LittleEndian(registers[10..], Idt);
        return bios;
    }

    private byte[] Assemble()
    {
        var a = new Assembler(16);
        a.cli();
        a.xor(ax, ax);
        a.mov(ds, ax);
        a.mov(es, ax);
        a.mov(ss, ax);
        a.mov(sp, 0x7000);
        if (_random.Next(2) == 0)
        {
            // The 8259 pair as a BIOS programs it, IRQ 0 and 1 open.
            foreach ((byte port, byte value) in new (byte, byte)[] { (0x20, 0x11), (0x21, 0x08), (0x21, 0x04), (0x21, 0x01), (0xA0, 0x11), (0xA1, 0x70), (0xA1, 0x02), (0xA1, 0x01), (0x21, 0xFC) })
            {
                a.mov(al, value);
                a.@out(port, al);
            }
            a.sti();
        }
        uint target = Code + (uint)_random.Next(CodeSize / 2);
        if (_mode == HostileMode.Real)
        {
            a.db(0xEA);
            a.dw((ushort)(target & 0xFFFF), (ushort)(target >> 16 << 12));
        }
        else
        {
            a.lgdt(__word_ptr.cs[Registers]);
            a.lidt(__word_ptr.cs[Registers + 8]);
            uint cr4 = (uint)(_random.Next(0x800) & ~0x60 | (_mode == HostileMode.Long || _random.Next(2) == 0 ? 0x20 : 0x10));
            bool pae = (cr4 & 0x20) != 0;
            if (_mode is HostileMode.Paged or HostileMode.Long)
            {
                a.mov(eax, cr4);
                a.mov(Iced.Intel.AssemblerRegisters.cr4, eax);
                a.mov(eax, PageTables + (_mode == HostileMode.Long ? 0x2000u : pae ? 0x3000u : 0));
                a.mov(cr3, eax);
            }
            if (_mode == HostileMode.Long)
            {
                a.mov(ecx, 0xC0000080);
                a.mov(eax, (uint)(0x100 | _random.Next(2) | _random.Next(2) << 11));
                a.xor(edx, edx);
                a.wrmsr();
            }
            a.mov(eax, (_mode == HostileMode.Protected ? 0 : 0x80000000u) | 1u | (uint)_random.Next(2) << 16 | (uint)_random.Next(2) << 5 | (uint)_random.Next(2) << 3);
            a.mov(cr0, eax);
            a.db(0x66, 0xEA);
            a.dd(Prologue);
            a.dw(_mode == HostileMode.Long ? (ushort)0x18 : (ushort)0x08);
            WritePrologue(target);
        }
        using var stream = new MemoryStream();
        a.Assemble(new StreamCodeWriter(stream), Entry);
        return stream.ToArray();
    }

    /// <summary>
    /// The same bytes in 32- and 64-bit mode: stack, data segments, task register and LDT as a kernel sets them, then the random code, in
    /// ring 0 or, by IRET, anywhere.
    /// </summary>
    private void WritePrologue(uint target)
    {
        var code = new List<byte>();
        code.AddRange([0x66, 0xB8, 0x10, 0x00, 0x8E, 0xD8, 0x8E, 0xC0, 0x8E, 0xD0]); // mov ax, 10h; mov ds, ax; mov es, ax; mov ss, ax
        code.Add(0xBC); // mov esp, imm32
        code.AddRange(BitConverter.GetBytes(0x7000 + _random.Next(4) * 0x1000));
        code.AddRange([0x66, 0xB8, 0x20, 0x00, 0x0F, 0x00, 0xD8]); // mov ax, 20h; ltr ax
        code.AddRange([0x66, 0xB8, 0x30, 0x00, 0x0F, 0x00, 0xD0]); // mov ax, 30h; lldt ax
        if (_mode is HostileMode.Protected or HostileMode.Paged && _random.Next(2) == 0)
        {
            // INIT, then SIPI to all other processors: they begin in the random code at 20000h-3F000h.
            foreach (uint command in (uint[])[0x000C4500, 0x000C4600 | (uint)_random.Next(0x20, 0x40)])
            {
                code.AddRange([0xC7, 0x05]);
                code.AddRange(BitConverter.GetBytes(0xFEE00300));
                code.AddRange(BitConverter.GetBytes(command));
            }
        }
        if (_random.Next(2) == 0)
        {
            ushort selector = (ushort)(_random.Next(GdtEntries) << 3 | _random.Next(8));
            uint flags = 0x202u | (uint)_random.Next(4) << 12 | (uint)(_random.Next(3) == 0 ? 1 << 17 : 0) | (uint)(_random.Next(4) == 0 ? 1 << 8 : 0);
            foreach (uint value in (uint[])[(uint)_random.Next(0x200), (uint)_random.Next(0x200), (uint)_random.Next(0x200), (uint)_random.Next(0x200), selector, 0x8000, flags, selector, target])
            {
                code.Add(0x68); // push imm32
                code.AddRange(BitConverter.GetBytes(value));
            }
            code.Add(0xCF);
        }
        code.Add(0xE9);
        code.AddRange(BitConverter.GetBytes((int)target - (int)(Prologue + (uint)code.Count + 4)));
        code.CopyTo(Ram, (int)Prologue);
    }

    private static ulong System(uint start, uint limit, byte access) =>
        (limit & 0xFFFF) | (ulong)(start & 0xFFFFFF) << 16 | (ulong)access << 40 | (ulong)(limit >> 16) << 48 | (ulong)(start >> 24) << 56;

    private void Put16(uint at, ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(Ram.AsSpan((int)at), value);

    private void Put32(uint at, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(Ram.AsSpan((int)at), value);

    private void Put64(uint at, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(Ram.AsSpan((int)at), value);
}
