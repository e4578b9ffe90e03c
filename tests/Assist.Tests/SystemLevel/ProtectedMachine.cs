using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Tests.SystemLevel;

/// <summary>
/// A processor and 1 MiB of RAM in flat 32-bit protected mode, ring 0, with a GDT, an IDT of 32-bit interrupt gates to one handler
/// address per vector, and a 386 TSS. The handlers are HLTs: a test steps and looks where it got.
/// </summary>
internal sealed unsafe class ProtectedMachine : IDisposable
{
    public const int Gdt = 0x1000, Idt = 0x2000, Tss = 0x3000, Ldt = 0x5800, Origin = 0x10000, Handlers = 0x20000;
    public const int Stack0 = 0x8000, Stack1 = 0x8800, Stack3 = 0x9000, TssLimit = 0x2088;
    public const int Code0 = 0x08, Data0 = 0x10, Code3 = 0x1B, Data3 = 0x23, Tss0 = 0x28, Code16 = 0x30, Data16 = 0x38, Conforming0 = 0x40;
    public const int Code1 = 0x49, Data1 = 0x51, Free = 0x58, Free2 = 0x60, Free3 = 0x68, LdtSelector = 0x70, GdtLimit = 0xFF;
    public const uint FlatCode = 0xC09B, FlatData = 0xC093;

    private readonly TestMachine _inner;

    public ProtectedMachine(CpuModel? model = null)
    {
        _inner = new TestMachine(model, size: 1 << 20);
        Describe(Code0, 0, uint.MaxValue, FlatCode);
        Describe(Data0, 0, uint.MaxValue, FlatData);
        Describe(Code3, 0, uint.MaxValue, FlatCode | 0x60);
        Describe(Data3, 0, uint.MaxValue, FlatData | 0x60);
        Describe(Code1, 0, uint.MaxValue, FlatCode | 0x20);
        Describe(Data1, 0, uint.MaxValue, FlatData | 0x20);
        Describe(Tss0, Tss, TssLimit, 0x8B);
        Describe(Code16, 0, 0xFFFF, 0x9B);
        Describe(Data16, 0, 0xFFFF, 0x93);
        Describe(Conforming0, 0, uint.MaxValue, 0xC09F);
        Describe(LdtSelector, Ldt, 0x3F, 0x82);
        for (int vector = 0; vector < 256; vector++)
            Gate(Idt + (vector * 8), Code0, (uint)Handler(vector), 0x8E);
        _inner.Ram.Slice(Handlers, 0x1000).Fill(0xF4);
        Write32(Tss + 4, Stack0);
        Write32(Tss + 8, Data0);
        Write32(Tss + 12, Stack1);
        Write32(Tss + 16, Data1);
        Write16(Tss + 0x66, 0x88);
        CpuState* state = Cpu.State;
        state->Cr0 = ControlRegisters.Cr0PE | ControlRegisters.Cr0ET;
        state->Gdtr = new DescriptorTable { Base = Gdt, Limit = GdtLimit };
        state->Idtr = new DescriptorTable { Base = Idt, Limit = 0x7FF };
        state->Tr = new SegmentCache { Selector = Tss0, Base = Tss, Limit = TssLimit, Access = 0x8B };
        state->Ldtr = new SegmentCache { Access = 0x10000 };
        state->Rflags = 2;
        state->Dr[7] = 0x400;
        state->Dr[6] = 0xFFFF0FF0;
        Ring(0);
    }

    public X86Cpu Cpu => _inner.Cpu;

    public CpuState* State => Cpu.State;

    public uint Eip => (uint)State->Rip;

    public uint Esp
    {
        get => (uint)State->Gpr[4];
        set => State->Gpr[4] = value;
    }

    public uint Flags => (uint)State->Rflags;

    public static int Handler(int vector) => Handlers + (vector * 16);

    /// <summary>Puts the processor in a ring (0, 1, 3), at <see cref="Origin"/>, on that ring's stack.</summary>
    public void Ring(int cpl)
    {
        (int code, int data, int stack) = cpl switch
        {
            0 => (Code0, Data0, Stack0),
            1 => (Code1, Data1, Stack1),
            _ => (Code3, Data3, Stack3),
        };
        Put(Seg.Cs, code);
        foreach (Seg seg in new[] { Seg.Ss, Seg.Ds, Seg.Es, Seg.Fs, Seg.Gs })
            Put(seg, data);
        State->Rip = Origin;
        State->Activity = Activity.Active;
        Esp = (uint)stack;
    }

    /// <summary>Puts the processor in virtual-8086 mode at 1000:0000, stack 0900:0100.</summary>
    public void EnterVirtual8086(int iopl)
    {
        State->Rflags = 2u | Eflags.VM | (uint)(iopl << 12);
        Virtual(Seg.Cs, 0x1000);
        Virtual(Seg.Ss, 0x900);
        Virtual(Seg.Ds, 0x111);
        Virtual(Seg.Es, 0x222);
        Virtual(Seg.Fs, 0x333);
        Virtual(Seg.Gs, 0x444);
        State->Rip = 0;
        Esp = 0x100;
    }

    /// <summary>Puts the processor in real mode at 1000:0000, stack 0900:0100, IVT at 0 with handlers at 2000:vector*16.</summary>
    public void EnterReal()
    {
        State->Cr0 = ControlRegisters.Cr0ET;
        State->Idtr = new DescriptorTable { Base = 0, Limit = 0x3FF };
        for (int vector = 0; vector < 256; vector++)
            Write32(vector * 4, 0x20000000 | ((uint)vector * 16));
        Real(Seg.Cs, 0x1000);
        Real(Seg.Ss, 0x900);
        Real(Seg.Ds, 0x111);
        Real(Seg.Es, 0x222);
        Real(Seg.Fs, 0x333);
        Real(Seg.Gs, 0x444);
        State->Rip = 0;
        Esp = 0x100;
    }

    /// <summary>Writes code at CS:IP's linear address.</summary>
    public void Code(params byte[] bytes) => _inner.Load(State->Cs.Base + State->Rip, bytes);

    /// <summary>Assembles at CS:IP.</summary>
    public void Code(int bits, Action<Assembler> write)
    {
        var assembler = new Assembler(bits);
        write(assembler);
        using var stream = new MemoryStream();
        assembler.Assemble(new StreamCodeWriter(stream), State->Rip);
        Code(stream.ToArray());
    }

    public void Step(int count = 1)
    {
        for (int i = 0; i < count; i++)
            Cpu.StepOne();
    }

    /// <summary>Steps one instruction and asserts that it raised the exception at its own address; returns the error code (0 if none).</summary>
    public uint StepToFault(byte vector)
    {
        ulong start = State->Rip;
        ushort cs = State->Cs.Selector;
        Step();
        Assert.Equal(Handler(vector), (int)State->Rip);
        uint error = 0;
        int at = (int)(State->Ss.Base + Esp);
        if (vector is Vectors.DF or Vectors.TS or Vectors.NP or Vectors.SS or Vectors.GP or Vectors.PF or Vectors.AC)
        {
            error = Read32(at);
            at += 4;
        }
        Assert.Equal((uint)start, Read32(at));
        Assert.Equal(cs, Read16(at + 4));
        return error;
    }

    /// <summary>Writes a segment descriptor; <paramref name="access"/> as in <see cref="SegmentCache.Access"/>.</summary>
    public void Describe(int selector, uint @base, uint limit, uint access)
    {
        int at = (selector & 4) != 0 ? Ldt : Gdt;
        ulong field = (access & 0x8000) != 0 ? limit >> 12 : limit;
        ulong raw = (field & 0xFFFF) | ((ulong)(@base & 0xFFFFFF) << 16) | ((ulong)(access & 0xF0FF) << 40)
            | ((field & 0xF0000) << 32) | ((ulong)(@base & 0xFF000000) << 32);
        Write64(at + (selector & 0xFFF8), raw);
    }

    /// <summary>Writes a gate descriptor at an address; <paramref name="type"/> is its access byte.</summary>
    public void Gate(int at, int selector, uint offset, int type, int parameters = 0)
    {
        ulong raw = (offset & 0xFFFF) | ((ulong)(ushort)selector << 16) | ((ulong)(uint)parameters << 32) | ((ulong)(uint)type << 40)
            | ((ulong)(offset & 0xFFFF0000) << 32);
        Write64(at, raw);
    }

    public void IdtGate(int vector, int selector, uint offset, int type) => Gate(Idt + (vector * 8), selector, offset, type);

    public void GdtGate(int gateSelector, int selector, uint offset, int type, int parameters = 0) =>
        Gate(Gdt + (gateSelector & 0xFFF8), selector, offset, type, parameters);

    public byte AccessByte(int selector) => Read8(((selector & 4) != 0 ? Ldt : Gdt) + (selector & 0xFFF8) + 5);

    /// <summary>Loads a segment register as the descriptor in memory says, without checks.</summary>
    public void Put(Seg seg, int selector)
    {
        ulong raw = Read64(((selector & 4) != 0 ? Ldt : Gdt) + (selector & 0xFFF8));
        Cpu.Segment(seg) = new Descriptor(raw, 0).ToCache(selector);
    }

    public byte Read8(int address) => _inner.Ram[address];

    public ushort Read16(int address) => _inner.Read16((ulong)address);

    public uint Read32(int address) => _inner.Read32((ulong)address);

    public ulong Read64(int address) => _inner.Read64((ulong)address);

    public void Write8(int address, int value) => _inner.Write((ulong)address, (byte)value);

    public void Write16(int address, int value) => _inner.Write((ulong)address, (ushort)value);

    public void Write32(int address, uint value) => _inner.Write((ulong)address, value);

    public void Write64(int address, ulong value) => _inner.Write((ulong)address, value);

    /// <summary>Pages identity-mapped with 4 KiB pages, all writable and open to ring 3, in tables at 60000h.</summary>
    public void EnablePaging()
    {
        Write32(0x60000, 0x61007);
        for (uint page = 0; page < 256; page++)
            Write32(0x61000 + ((int)page * 4), (page << 12) | 7);
        State->Cr3 = 0x60000;
        State->Cr0 |= ControlRegisters.Cr0PG | ControlRegisters.Cr0WP;
    }

    /// <summary>Rights of one page under <see cref="EnablePaging"/>: low bits of its entry.</summary>
    public void Protect(int address, uint bits) => Write32(0x61000 + ((address >> 12) * 4), (uint)(address & ~0xFFF) | bits);

    /// <summary>An external interrupt of that vector waits.</summary>
    public void Interrupt(byte vector)
    {
        _inner.InterruptVector = vector;
        Cpu.InterruptLine = true;
    }

    public void Dispose() => _inner.Dispose();

    private void Virtual(Seg seg, ushort selector) => Cpu.Segment(seg) = SegmentCache.RealMode(selector, dpl: 3);

    private void Real(Seg seg, ushort selector) => Cpu.Segment(seg) = SegmentCache.RealMode(selector);
}
