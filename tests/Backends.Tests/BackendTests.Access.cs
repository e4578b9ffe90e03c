using Farm.Assist.Cpu;
using Farm.Machine.Hypervisors;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Backends.Tests;

// Memory, ports, MMIO.
public abstract unsafe partial class BackendTests
{
    [Fact]
    public void Real_mode_code_computes_and_stores()
    {
        using var bed = NewBed();
        bed.Program(c =>
        {
            c.mov(eax, 0x12345678);
            c.add(eax, 0x11111111);
            c.mov(__dword_ptr[0x600], eax);
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(0x23456789u, bed.Dword(0x600));
        Assert.Equal(0x23456789u, (uint)bed.Guest->Gpr[0]);
        Assert.Equal(0x1000, bed.Guest->Cs.Selector);
    }

    [Fact]
    public void Port_accesses_of_all_widths_pass_the_door()
    {
        using var bed = NewBed();
        bed.Program(c =>
        {
            c.mov(eax, 0xA4A3A2A1);
            c.mov(dx, 0x1234);
            c.@out(dx, al);
            c.@out(dx, ax);
            c.@out(dx, eax);
            c.@out(0x80, al);
            c.xor(eax, eax);
            c.@in(al, dx);
            c.mov(__dword_ptr[0x600], eax);
            c.@in(ax, dx);
            c.mov(__dword_ptr[0x604], eax);
            c.@in(eax, dx);
            c.mov(__dword_ptr[0x608], eax);
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal([(0x1234, 0xA1u, 1), (0x1234, 0xA2A1u, 2), (0x1234, 0xA4A3A2A1u, 4), (0x80, 0xA1u, 1)], bed.PortWrites);
        Assert.Equal([(0x1234, 1), (0x1234, 2), (0x1234, 4)], bed.PortReads);
        Assert.Equal((0x11u, 0x2211u, 0x44332211u), (bed.Dword(0x600), bed.Dword(0x604), bed.Dword(0x608)));
    }

    [Fact]
    public void String_port_io_passes_the_door_item_by_item()
    {
        using var bed = NewBed();
        int next = 0;
        bed.OnRead = (_, _) => (uint)(0x100 + next++);
        for (int i = 0; i < 700; i++)
            bed.Put(0x1000 + (i * 2), (ulong)(i * 3), 2);
        bed.Program(c =>
        {
            c.cld();
            c.mov(dx, 0x1F0);
            c.mov(si, 0x1000);
            c.mov(cx, 700);
            c.rep.outsw();
            c.mov(di, 0x3000);
            c.mov(cx, 700);
            c.rep.insw();
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(Enumerable.Range(0, 700).Select(i => ((ushort)0x1F0, (uint)(i * 3), 2)), bed.PortWrites);
        Assert.Equal(Enumerable.Range(0, 700).Select(i => (ushort)(0x100 + i)), Enumerable.Range(0, 700).Select(i => bed.Word(0x3000 + (i * 2))));
        Assert.Equal((0x1000 + 1400, 0x3000 + 1400, 0), ((int)bed.Guest->Gpr[6], (int)bed.Guest->Gpr[7], (int)bed.Guest->Gpr[1]));
    }

    [Fact]
    public void Mmio_accesses_of_all_widths_pass_the_door()
    {
        using var bed = NewBed();
        bed.Program(c =>
        {
            c.mov(ax, (ushort)(Bed.MmioAt >> 4));
            c.mov(es, ax);
            c.mov(eax, 0xA4A3A2A1);
            c.mov(__byte_ptr.es[0x10], al);
            c.mov(__word_ptr.es[0x20], ax);
            c.mov(__dword_ptr.es[0x30], eax);
            c.xor(eax, eax);
            c.mov(al, __byte_ptr.es[0x40]);
            c.mov(__dword_ptr[0x600], eax);
            c.mov(ax, __word_ptr.es[0x50]);
            c.mov(__dword_ptr[0x604], eax);
            c.mov(eax, __dword_ptr.es[0x60]);
            c.mov(__dword_ptr[0x608], eax);
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal([(0xA0010, 0xA1, 1), (0xA0020, 0xA2A1, 2), (0xA0030, 0xA4A3A2A1, 4)], bed.MmioWrites);
        Assert.Equal([(0xA0040, 1), (0xA0050, 2), (0xA0060, 4)], bed.MmioReads);
        Assert.Equal((0x11u, 0x2211u, 0x44332211u), (bed.Dword(0x600), bed.Dword(0x604), bed.Dword(0x608)));
    }

    [Fact]
    public void A_string_move_reaches_mmio()
    {
        using var bed = NewBed();
        for (int i = 0; i < 16; i++)
            bed.Put(0x600 + i, (ulong)(i + 1), 1);
        bed.Program(c =>
        {
            c.mov(ax, 0xA000);
            c.mov(es, ax);
            c.mov(si, 0x600);
            c.xor(di, di);
            c.mov(cx, 16);
            c.cld();
            c.rep.movsb();
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(Enumerable.Range(0, 16).Select(i => (Bed.MmioAt + (ulong)i, (ulong)(i + 1), 1)), bed.MmioWrites);
    }

    /// <summary>Writes to the VGA's window may be queued for long, as long as nobody can tell.</summary>
    [Fact]
    public void Ports_and_memory_of_devices_see_accesses_in_the_order_of_the_program()
    {
        using var bed = NewBed();
        const int many = 1000; // more than any queue holds
        bed.Program(static c =>
        {
            c.mov(ax, (ushort)(Bed.MmioAt >> 4));
            c.mov(es, ax);
            c.mov(__byte_ptr.es[0], al);
            c.mov(__word_ptr.es[2], ax);
            c.@out(0x80, al);
            c.mov(__dword_ptr.es[4], eax);
            c.mov(__byte_ptr.es[0x8000], al);
            c.mov(bl, __byte_ptr.es[8]);
            c.mov(__byte_ptr.es[9], al);
            c.@in(al, 0x81);
            c.cld();
            c.xor(di, di);
            c.mov(cx, many);
            c.rep.stosb();
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(
            [('w', 0xA0000), ('w', 0xA0002), ('o', 0x80), ('w', 0xA0004), ('w', 0xA8000), ('r', 0xA0008), ('w', 0xA0009), ('i', 0x81),
                .. Enumerable.Range(0, many).Select(static i => ('w', Bed.MmioAt + (ulong)i))],
            bed.Accesses);
        Assert.Equal([1, 2, 4, 1], bed.MmioWrites.Take(4).Select(static write => write.Size));
    }

    [Fact]
    public void A_kick_brings_what_was_written_before_it()
    {
        using var bed = NewBed();
        bed.Program(static c =>
        {
            c.mov(ax, (ushort)(Bed.MmioAt >> 4));
            c.mov(es, ax);
            c.mov(__byte_ptr.es[5], 7);
            c.db(0xEB, 0xFE);
        });
        if (!Hypervisor.Capabilities.VirtualTime)
            bed.Vcpu.KickAfter(20_000_000);
        var exit = bed.Vcpu.Run(10_000);
        Assert.Contains(exit.Reason, new[] { VcpuExitReason.Kicked, VcpuExitReason.Budget });
        Assert.Equal([(0xA0005, 7, 1)], bed.MmioWrites);
    }

    [Fact]
    public void Pages_of_logged_memory_that_were_stored_to_are_told_once()
    {
        using var bed = NewBed();
        bed.Assemble(Bed.CodeAt, Bed.CodeAt, 32, static c =>
        {
            c.mov(__byte_ptr[Bed.LoggedAt + 3 * 4096 + 7], 1);
            c.mov(__dword_ptr[Bed.LoggedAt + 9 * 4096 - 2], 0x12345678); // on two pages
            c.mov(eax, __dword_ptr[Bed.LoggedAt + 20 * 4096]);
            c.mov(edi, (int)Bed.LoggedAt + 62 * 4096);
            c.mov(ecx, 4096 / 4 * 2);
            c.rep.stosd();
        });
        Assert.Equal(ulong.MaxValue, Repeat()); // nobody asked before

        const ulong stored = 1ul << 3 | 1ul << 8 | 1ul << 9 | 3ul << 62;
        Assert.Equal(stored, Repeat());
        Assert.Equal(stored, Repeat());
        Assert.Equal(0ul, bed.TakeStores());

        bed.Memory.Write(Bed.LoggedAt + 5 * 4096 + 4095, [1, 2]); // a bus master
        Assert.Equal(3ul << 5, bed.TakeStores());
        Assert.Equal(stored, Repeat());
        bed.Memory.Map(Bed.LoggedAt, 64 * 4096, null, PageKind.Mmio);
        bed.Memory.Map(Bed.LoggedAt, 64 * 4096, bed.Ram, PageKind.Readable | PageKind.Writable | PageKind.Logged);
        Assert.Equal(ulong.MaxValue, Repeat());

        ulong Repeat()
        {
            bed.EnterFlat(Bed.CodeAt);
            Assert.Equal(Halted, bed.Run());
            return bed.TakeStores();
        }
    }

    /// <summary>The look of one moment must not hide a store of the next: what comes after it is seen at the look that follows.</summary>
    [Fact]
    public void A_store_between_two_looks_is_seen_whatever_page_was_stored_to_before()
    {
        using var bed = NewBed();
        bed.Assemble(Bed.CodeAt, Bed.CodeAt, 32, static c => c.mov(__byte_ptr[Bed.LoggedAt + 4096], al));
        for (int look = 0; look < 8; look++)
        {
            bed.EnterFlat(Bed.CodeAt);
            bed.Vcpu.State->Gpr[0] = (uint)look;
            Assert.Equal(Halted, bed.Run());
            Assert.Equal(look == 0 ? ulong.MaxValue : 2, bed.TakeStores());
        }
    }

    [Fact]
    public void Rom_reads_as_it_is_and_takes_no_store()
    {
        using var bed = NewBed();
        bed.Rom[0x10] = 0x5A;
        bed.Program(c =>
        {
            c.mov(ax, (ushort)(Bed.RomAt >> 4));
            c.mov(es, ax);
            c.mov(__byte_ptr.es[0x10], 0x77);
            c.mov(al, __byte_ptr.es[0x10]);
            c.mov(__byte_ptr[0x600], al);
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(0x5A, bed.Rom[0x10]);
        Assert.Equal(0x5A, bed.Word(0x600) & 0xFF);
    }

    [Fact]
    public void A_change_of_the_map_takes_effect_at_once()
    {
        using var bed = NewBed();
        bed.Rom[0] = 0x11;
        bed.OnWrite = (_, value) =>
        {
            if (value == 1)
                bed.Memory.Map(Bed.RomAt, 4096, bed.Ram + 0x200000, PageKind.Readable | PageKind.Writable);
            else
                bed.Memory.Map(Bed.RomAt, 4096, bed.Extra, PageKind.Readable);
        };
        bed.Put(0x200000, 0x22, 1);
        bed.Extra[0] = 0x33;
        bed.Program(c =>
        {
            c.mov(ax, (ushort)(Bed.RomAt >> 4));
            c.mov(es, ax);
            c.mov(bl, __byte_ptr.es[0]);
            c.mov(al, 1);
            c.@out(0x80, al);
            c.mov(bh, __byte_ptr.es[0]);
            c.mov(__byte_ptr.es[1], 0x44);
            c.mov(al, 2);
            c.@out(0x80, al);
            c.mov(cl, __byte_ptr.es[0]);
            c.mov(__byte_ptr.es[1], 0x55);
            c.mov(__word_ptr[0x600], bx);
            c.mov(__byte_ptr[0x602], cl);
        });
        byte monitorByte = bed.Extra[1];
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((0x2211, 0x33), (bed.Word(0x600), bed.Word(0x602)));
        Assert.Equal(0x44, bed.Ram[0x200001]);
        Assert.Equal(monitorByte, bed.Extra[1]);
    }

    [Fact]
    public void With_A20_off_the_second_megabyte_is_the_first()
    {
        using var bed = NewBed();
        bed.Memory.A20 = false;
        bed.OnWrite = (_, _) => bed.Memory.A20 = true;
        bed.Put(0x100600, 0x1111, 2);
        bed.Put(0x600, 0x2222, 2);
        bed.Program(c =>
        {
            c.mov(ax, 0xFFFF);
            c.mov(es, ax);
            c.mov(bx, __word_ptr.es[0x610]);
            c.@out(0x92, al);
            c.mov(cx, __word_ptr.es[0x610]);
            c.mov(__word_ptr[0x700], bx);
            c.mov(__word_ptr[0x702], cx);
        });
        Assert.Equal(Halted, bed.Run());
        Assert.Equal((0x2222, 0x1111), (bed.Word(0x700), bed.Word(0x702)));
    }

    [Fact]
    public void Code_in_rom_runs()
    {
        using var bed = NewBed();
        var code = new Assembler(16);
        code.mov(__word_ptr[0x600], 0x4711);
        code.cli();
        code.hlt();
        using var stream = new MemoryStream();
        code.Assemble(new StreamCodeWriter(stream), 0);
        stream.ToArray().CopyTo(bed.Rom);
        bed.EnterReal((ushort)(Bed.RomAt >> 4), 0);
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(0x4711, bed.Word(0x600));
    }
}
