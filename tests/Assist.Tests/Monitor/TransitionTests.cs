using Farm.Assist.Cpu;
using Farm.Assist.Monitor;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.Monitor;

/// <summary>CR0.PE set and cleared, in the ways that boot loaders and systems do it.</summary>
public sealed unsafe class TransitionTests
{
    private const ushort Code32 = 0x08, Data32 = 0x10, Code16 = 0x18, Data16 = 0x20;
    private const int GdtAt = 0x3000, GdtrAt = 0x600, ResultAt = 0x700;

    public static TheoryData<AssistStrength> Strengths => [AssistStrength.Vm86, AssistStrength.Full, AssistStrength.Native];

    /// <summary>Flat 32-bit code and data, 16-bit code at 10000h, 64 KiB data at 0, flat data and code with DPL 0 for odd RPLs.</summary>
    private static AssistBed NewBed(AssistStrength strength)
    {
        var bed = new AssistBed(strength);
        ulong[] gdt = [0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF, 0x00009A010000FFFF, 0x000092000000FFFF];
        for (int i = 0; i < gdt.Length; i++)
            bed.Write(GdtAt + (i * 8), gdt[i], 8);
        bed.Write(GdtrAt, (ulong)((gdt.Length * 8) - 1) | ((ulong)GdtAt << 16), 6);
        return bed;
    }

    private static void SetPe(Assembler c)
    {
        c.mov(eax, cr0);
        c.or(al, 1);
        c.mov(cr0, eax);
    }

    private static void FarJump32(Assembler c, ushort selector, uint offset) =>
        c.AddInstruction(Instruction.CreateBranch(Code.Jmp_ptr1632, selector, offset));

    private static void FarJump16(Assembler c, ushort selector, uint offset) =>
        c.AddInstruction(Instruction.CreateBranch(Code.Jmp_ptr1616, selector, offset));

    [Theory]
    [MemberData(nameof(Strengths))]
    public void To_flat_protected_mode(AssistStrength strength)
    {
        using var bed = NewBed(strength);
        bed.Program(c =>
        {
            c.cli();
            c.lgdt(__[GdtrAt]);
            SetPe(c);
            FarJump32(c, Code32, 0x12000);
        });
        bed.Assemble(0x12000, 0x12000, 32, c =>
        {
            c.mov(ax, Data32);
            c.mov(ds, ax);
            c.mov(ss, ax);
            c.mov(esp, 0x200000);
            c.push(0x12345678);
            c.pop(__dword_ptr[0x200100]);
        });

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal(0x12345678u, bed.Dword(0x200100));
        Assert.Equal(Code32, bed.Guest->Cs.Selector);
        Assert.Equal(AssistMode.Aside, bed.Assist.Mode);
        Assert.Equal(GdtAt, (int)bed.State->Gdtr.Base);
        Assert.Equal(0u, bed.State->Cr4);
        Assert.Equal(0u, bed.State->Rflags & (Eflags.VM | Eflags.IoplMask));
        if (strength != AssistStrength.Native)
            Assert.Equal(1, bed.Assist.Statistics.ToProtected);
    }

    /// <summary>What SYSLINUX, GRUB and BIOSes do between setting PE and the far transfer, and the ways they end it.</summary>
    [Theory]
    [InlineData(AssistStrength.Vm86, "lmsw")]
    [InlineData(AssistStrength.Vm86, "segments-first")]
    [InlineData(AssistStrength.Vm86, "pops")]
    [InlineData(AssistStrength.Vm86, "retf")]
    [InlineData(AssistStrength.Vm86, "indirect")]
    [InlineData(AssistStrength.Vm86, "jump-short")]
    [InlineData(AssistStrength.Vm86, "iret")]
    [InlineData(AssistStrength.Full, "lmsw")]
    [InlineData(AssistStrength.Full, "segments-first")]
    [InlineData(AssistStrength.Full, "pops")]
    [InlineData(AssistStrength.Full, "retf")]
    [InlineData(AssistStrength.Full, "indirect")]
    [InlineData(AssistStrength.Full, "jump-short")]
    [InlineData(AssistStrength.Full, "iret")]
    [InlineData(AssistStrength.Native, "lmsw")]
    [InlineData(AssistStrength.Native, "segments-first")]
    [InlineData(AssistStrength.Native, "pops")]
    [InlineData(AssistStrength.Native, "retf")]
    [InlineData(AssistStrength.Native, "indirect")]
    [InlineData(AssistStrength.Native, "jump-short")]
    [InlineData(AssistStrength.Native, "iret")]
    public void By_any_road(AssistStrength strength, string road)
    {
        using var bed = NewBed(strength);
        bed.Program(c =>
        {
            c.cli();
            c.mov(ax, 0x9000);
            c.mov(ss, ax);
            c.mov(esp, 0xFFF0);
            c.lgdt(__[GdtrAt]);
            c.mov(__dword_ptr[0x680], 0x12000);
            c.mov(__word_ptr[0x684], Code32);
            c.mov(edi, 0xCAFEBABE);
            switch (road)
            {
                case "lmsw":
                    c.mov(ax, 1);
                    c.lmsw(ax);
                    FarJump32(c, Code32, 0x12000);
                    break;
                case "segments-first":
                    SetPe(c);
                    c.mov(ax, Data32);
                    c.mov(ds, ax);
                    c.mov(es, ax);
                    c.mov(fs, ax);
                    c.mov(ss, ax);
                    c.mov(ebx, 0x200200);
                    c.mov(__dword_ptr[ebx], edi);
                    FarJump32(c, Code32, 0x12000);
                    break;
                case "pops":
                    c.push(Data32);
                    c.push(Data32);
                    SetPe(c);
                    c.pop(ds);
                    c.pop(es);
                    c.push(0x1234);
                    c.add(esp, 2);
                    FarJump32(c, Code32, 0x12000);
                    break;
                case "retf":
                    SetPe(c);
                    c.push((short)Code32);
                    c.push(0x2000);
                    c.mov(__word_ptr[esp + 2], Code16);
                    c.mov(__word_ptr[esp], 0x1800);
                    c.retf();
                    break;
                case "indirect":
                    SetPe(c);
                    c.AddInstruction(Instruction.Create(Code.Jmp_m1632, new MemoryOperand(Register.None, 0x680, 2)));
                    break;
                case "iret":
                    SetPe(c);
                    c.pushfd();
                    c.mov(ebx, Code32);
                    c.push(ebx);
                    c.mov(ebx, 0x12000);
                    c.push(ebx);
                    c.iretd();
                    break;
                default:
                    var next = c.CreateLabel();
                    SetPe(c);
                    c.jmp(next);
                    c.Label(ref next);
                    c.nop();
                    FarJump32(c, Code32, 0x12000);
                    break;
            }
        });
        bed.Assemble(0x11800, 0x1800, 16, c => FarJump32(c, Code32, 0x12000));
        bed.Assemble(0x12000, 0x12000, 32, c =>
        {
            c.mov(ax, Data32);
            c.mov(ds, ax);
            c.mov(__dword_ptr[ResultAt], edi);
        });

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal(0xCAFEBABEu, bed.Dword(ResultAt));
        Assert.Equal(0x12000u, bed.Guest->Rip & ~0xFFu);
        Assert.Equal(0, bed.Assist.Statistics.LateToReal);
    }

    [Theory]
    [MemberData(nameof(Strengths))]
    public void To_protected_mode_and_back(AssistStrength strength)
    {
        using var bed = NewBed(strength);
        bed.Handler(0x21);
        bed.Handler(8);
        bed.Program(c =>
        {
            c.mov(sp, 0x1000);
            c.mov(cx, 3);
            var again = c.CreateLabel();
            c.Label(ref again);
            c.cli();
            c.lgdt(__[GdtrAt]);
            SetPe(c);
            FarJump16(c, Code16, 0x1000);
        });
        // 16-bit protected mode: a call of INT 21h must wait until real mode is back.
        bed.Assemble(0x11000, 0x1000, 16, c =>
        {
            c.mov(ax, Data16);
            c.mov(ds, ax);
            c.mov(es, ax);
            c.mov(ss, ax);
            c.inc(__word_ptr[ResultAt]);
            c.mov(eax, cr0);
            c.and(al, 0xFE);
            c.mov(cr0, eax);
            FarJump16(c, AssistBed.CodeSegment, 0x1100);
        });
        bed.Assemble(0x11100, 0x1100, 16, c =>
        {
            c.xor(ax, ax);
            c.mov(ds, ax);
            c.mov(es, ax);
            c.mov(ss, ax);
            c.sti();
            c.@int(0x21);
            c.hlt();
            c.dec(cx);
            var done = c.CreateLabel();
            c.jz(done);
            FarJump16(c, AssistBed.CodeSegment, 6);
            c.Label(ref done);
            c.cli();
        });

        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(AssistStep.Halted, bed.Run());
            bed.Interrupt(8);
        }
        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal(3, bed.Word(ResultAt));
        Assert.Equal(3, bed.Count(0x21));
        Assert.Equal(3, bed.Count(8));
        Assert.Equal(strength == AssistStrength.Native ? 0 : 3, bed.Assist.Statistics.ToReal);
        if (strength == AssistStrength.Vm86)
        {
            Assert.Equal(AssistMode.Vm86, bed.Assist.Mode);
            Assert.Equal(0, bed.RealModeRuns);
        }
    }

    [Theory]
    [MemberData(nameof(Strengths))]
    public void From_32_bit_code_straight_to_real_mode(AssistStrength strength)
    {
        // The code segment keeps its D bit in real mode, also over a far jump: the state is none for virtual-8086 mode.
        using var bed = NewBed(strength);
        bed.Program(c =>
        {
            c.cli();
            c.mov(sp, 0x1000);
            c.lgdt(__[GdtrAt]);
            SetPe(c);
            FarJump32(c, Code32, 0x12000);
        });
        bed.Assemble(0x12000, 0x12000, 32, c =>
        {
            c.mov(eax, cr0);
            c.and(eax, -2);
            c.mov(cr0, eax);
            c.mov(__dword_ptr[0x710], 0x11223344);
            FarJump32(c, AssistBed.CodeSegment, 0x1100);
        });
        bed.Assemble(0x11100, 0x1100, 32, c =>
        {
            c.xor(eax, eax);
            c.mov(ss, ax);
            c.inc(__dword_ptr[ResultAt]);
        });

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal(0x11223344u, bed.Dword(0x710));
        Assert.Equal(1, bed.Word(ResultAt));
        Assert.Equal(AssistBed.CodeSegment, bed.Guest->Cs.Selector);
    }

    [Theory]
    [MemberData(nameof(Strengths))]
    public void Unreal_mode_reaches_all_memory(AssistStrength strength)
    {
        using var bed = NewBed(strength);
        bed.Handler(0x21);
        bed.Program(c =>
        {
            c.cli();
            c.mov(sp, 0x1000);
            c.push(ds);
            c.lgdt(__[GdtrAt]);
            SetPe(c);
            c.mov(bx, Data32);
            c.mov(ds, bx);
            c.mov(es, bx);
            c.and(al, 0xFE);
            c.mov(cr0, eax);
            c.pop(ds);
            c.sti();
            c.mov(esi, 0x200000);
            c.mov(__dword_ptr[esi], 0x55AA1234);
            c.@int(0x21);
            c.mov(ax, 0x100);
            c.mov(es, ax); // the limit stays
            c.mov(edi, 0x200000);
            c.mov(ecx, 0x400);
            c.cld();
            c.mov(eax, __dword_ptr[esi]);
            // es:edi with base 1000h
            c.AddInstruction(Instruction.CreateRepStosd(32));
            c.@int(0x21);
            c.mov(ebx, __dword_ptr[esi + 0x1000]);
            c.mov(edx, __dword_ptr[esi + 0x1FFC]);
        });

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal(0x55AA1234u, bed.Dword(0x200000));
        Assert.Equal(0x55AA1234u, bed.Guest->Gpr[3]);
        Assert.Equal(0x55AA1234u, bed.Guest->Gpr[2]);
        Assert.Equal(0u, bed.Guest->Gpr[1]);
        Assert.Equal(2, bed.Count(0x21));
        Assert.Equal(0, strength == AssistStrength.Vm86 ? bed.RealModeRuns : 0);
    }

    [Theory]
    [MemberData(nameof(Strengths))]
    public void Paging_and_protection_at_once(AssistStrength strength)
    {
        // Linear 400000h up maps to physical 0 up; the GDT is named by its linear address there.
        using var bed = NewBed(strength);
        for (int i = 0; i < 1024; i++)
        {
            bed.Write(0x101000 + (i * 4), ((ulong)i << 12) | 3, 4);
        }
        bed.Write(0x100000, 0x101003, 4);
        bed.Write(0x100004, 0x101003, 4);
        bed.Write(GdtrAt, 39 | ((ulong)(0x400000 + GdtAt) << 16), 6);
        bed.Program(c =>
        {
            c.cli();
            c.db(0x66);
            c.lgdt(__[GdtrAt]);
            c.mov(eax, 0x100000);
            c.mov(cr3, eax);
            c.mov(eax, cr0);
            c.or(eax, unchecked((int)0x80000001));
            c.mov(cr0, eax);
            c.mov(ax, Data32);
            c.mov(ds, ax);
            FarJump32(c, Code32, 0x412000);
        });
        bed.Assemble(0x12000, 0x412000, 32, c =>
        {
            c.mov(__dword_ptr[0x400000 + ResultAt], 0x600DF00D);
        });

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal(0x600DF00Du, bed.Dword(ResultAt));
        Assert.NotEqual(0u, bed.State->Cr0 & ControlRegisters.Cr0PG);
    }

    [Theory]
    [MemberData(nameof(Strengths))]
    public void Entry_with_requestor_privilege_bits_in_real_mode_selectors(AssistStrength strength)
    {
        // CS = 1003h and SS = 9003h: after PE is set their low bits are no privilege level.
        using var bed = NewBed(strength);
        bed.Program(c => FarJump16(c, 0x1003, 0x100));
        bed.Assemble(0x10130, 0x100, 16, c =>
        {
            c.cli();
            c.mov(ax, 0x9003);
            c.mov(ss, ax);
            c.mov(sp, 0x800);
            c.lgdt(__[GdtrAt]);
            SetPe(c);
            c.push(0x1234);
            c.pop(bx);
            c.mov(ecx, cr0);
            FarJump32(c, Code32, 0x12000);
        });
        bed.Assemble(0x12000, 0x12000, 32, c =>
        {
            c.mov(ax, Data32);
            c.mov(ss, ax);
            c.mov(ds, ax);
            c.mov(__dword_ptr[ResultAt], ecx);
        });

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal(1u, bed.Dword(ResultAt) & 1);
        Assert.Equal(0x1234u, bed.Guest->Gpr[3]);
    }

    [Theory]
    [MemberData(nameof(Strengths))]
    public void The_processor_gets_a_state_for_VM_entry_only(AssistStrength strength)
    {
        using var bed = NewBed(strength);
        string? violation = "never reached";
        bed.OnWrite = (port, _) =>
        {
            // The first port access of protected-mode code on the processor itself.
            if (port == 0x99 && bed.Assist.Mode == AssistMode.Aside)
                violation = VmxGuestState.Check(bed.State);
        };
        bed.Program(c =>
        {
            c.cli();
            c.mov(ax, 0x1237);
            c.mov(ds, ax);
            c.mov(es, ax);
            c.mov(ax, 0);
            c.mov(ds, ax);
            c.lgdt(__[GdtrAt]);
            SetPe(c);
            c.@out(0x98, al);
            FarJump32(c, Code32, 0x12000);
        });
        bed.Assemble(0x12000, 0x12000, 32, c =>
        {
            c.@out(0x98, al); // ES still holds 1237h with RPL 3 above DPL 0
            c.mov(ax, Data32);
            c.mov(ss, ax);
            c.mov(ds, ax);
            c.mov(es, ax);
            c.@out(0x99, al);
        });

        Assert.Equal(AssistStep.Halted, bed.Run());

        if (strength != AssistStrength.Native)
            Assert.Null(violation);
    }

    [Theory]
    [MemberData(nameof(Strengths))]
    public void PE_set_and_cleared_without_a_far_transfer(AssistStrength strength)
    {
        using var bed = NewBed(strength);
        bed.Handler(0x21);
        bed.Program(c =>
        {
            c.cli();
            c.mov(sp, 0x1000);
            SetPe(c);
            c.mov(bx, 0x1111);
            c.and(al, 0xFE);
            c.mov(cr0, eax);
            c.@int(0x21);
            c.mov(ecx, cr0);
        });

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal(1, bed.Count(0x21));
        Assert.Equal(0u, bed.Guest->Gpr[1] & 1);
        Assert.Equal(0x1111u, bed.Guest->Gpr[3]);
    }

    [Theory]
    [MemberData(nameof(Strengths))]
    public void The_time_stamp_counter_never_runs_backwards(AssistStrength strength)
    {
        using var bed = NewBed(strength);
        bed.Program(c =>
        {
            c.cli();
            c.rdtsc();
            c.mov(__dword_ptr[ResultAt], eax);
            c.lgdt(__[GdtrAt]);
            c.rdtsc();
            c.mov(__dword_ptr[ResultAt + 4], eax);
            SetPe(c);
            c.rdtsc();
            c.mov(__dword_ptr[ResultAt + 8], eax);
            FarJump16(c, Code16, 0x1000);
        });
        bed.Assemble(0x11000, 0x1000, 16, c =>
        {
            c.rdtsc();
            c.mov(__dword_ptr[ResultAt + 12], eax);
            c.mov(eax, cr0);
            c.and(al, 0xFE);
            c.mov(cr0, eax);
            FarJump16(c, AssistBed.CodeSegment, 0x1100);
        });
        bed.Assemble(0x11100, 0x1100, 16, c =>
        {
            c.rdtsc();
            c.mov(__dword_ptr[ResultAt + 16], eax);
        });
        ulong before = bed.Instructions + bed.Assist.Instructions;

        Assert.Equal(AssistStep.Halted, bed.Run());

        uint[] stamps = [.. Enumerable.Range(0, 5).Select(i => bed.Dword(ResultAt + (i * 4)))];
        Assert.Equal(stamps.Order(), stamps);
        Assert.Equal(5, stamps.Distinct().Count());
        Assert.InRange(stamps[4], before, bed.Instructions + bed.Assist.Instructions);
    }
}
