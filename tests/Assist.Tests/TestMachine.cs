using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Tests;

/// <summary>
/// A processor with RAM from 0 and nothing else: a door that records what passes, and set-ups for each mode. Code is assembled with
/// Iced; <see cref="Hlt"/> at its end stops the run.
/// </summary>
public sealed unsafe class TestMachine : ICpuDoor, IDisposable
{
    public const ulong CodeAt = 0x10000;
    public const ulong StackTop = 0x9000;
    public const ulong GdtAt = 0x1000, IdtAt = 0x2000, TssAt = 0x3000;

    /// <summary>Page tables made by <see cref="MapPage"/> lie here up.</summary>
    public const ulong TablesAt = 0x100000;

    // Selectors of SetUpProtected's GDT.
    public const ushort Code32 = 0x08, Data32 = 0x10, Code16 = 0x18, Data16 = 0x20, UserCode32 = 0x2B, UserData32 = 0x33, TssSelector = 0x38, Code64 = 0x40, UserCode64 = 0x4B;

    private readonly byte* _ram;
    private readonly ulong _size;
    private ulong _nextTable = TablesAt + 0x1000;

    public TestMachine(CpuModel? model = null, ulong size = 8 << 20, Func<Code, bool>? refuses = null)
    {
        _size = size;
        _ram = (byte*)NativeMemory.AlignedAlloc((nuint)size, 4096);
        NativeMemory.Clear(_ram, (nuint)size);
        Memory = new PhysicalMemory(40);
        Memory.Map(0, size, _ram, PageKind.Readable | PageKind.Writable);
        Cpu = new X86Cpu(Memory, this, model ?? CpuModel.X64, refuses);
        SetUpReal();
    }

    public PhysicalMemory Memory { get; }

    public X86Cpu Cpu { get; }

    public CpuState* State => Cpu.State;

    /// <summary>Every port access: address, value, size, direction.</summary>
    public List<(ushort Port, uint Value, int Size, bool Write)> Ports { get; } = [];

    /// <summary>Every MMIO access.</summary>
    public List<(ulong Address, ulong Value, int Size, bool Write)> Mmio { get; } = [];

    public Func<ushort, int, uint>? OnReadPort { get; set; }

    public Action<ushort, uint, int>? OnWritePort { get; set; }

    public Func<ulong, int, ulong>? OnReadMmio { get; set; }

    public Action<ulong, ulong, int>? OnWriteMmio { get; set; }

    /// <summary>The vector that INTA answers; the line drops with it.</summary>
    public byte InterruptVector { get; set; } = 0x20;

    /// <summary>FERR#.</summary>
    public bool NumericError { get; private set; }

    public bool IgnoreNumericError { get; set; }

    /// <summary>The local APIC's TPR.</summary>
    public byte TaskPriority { get; set; }

    /// <summary>IA32_APIC_BASE as the local APIC was told.</summary>
    public ulong ApicBase { get; private set; }

    public Span<byte> Ram => new(_ram, (int)_size);

    /// <summary>Real mode at 1000:0000 (physical <see cref="CodeAt"/>), stack 0000:9000, IVT at 0.</summary>
    public void SetUpReal()
    {
        NativeMemory.Clear(State, (nuint)sizeof(CpuState));
        State->Cr0 = ControlRegisters.Cr0ET;
        State->Rflags = 2;
        State->Es = State->Ds = State->Fs = State->Gs = State->Ss = SegmentCache.RealMode(0);
        State->Cs = SegmentCache.RealMode((ushort)(CodeAt >> 4), code: true);
        State->Rip = 0;
        State->Gpr[4] = StackTop;
        State->Dr[6] = 0xFFFF0FF0;
        State->Dr[7] = 0x400;
        State->Idtr = new DescriptorTable { Base = 0, Limit = 0x3FF };
        State->FpuControl = 0x37F;
        State->FpuTag = 0xFFFF;
        State->Mxcsr = 0x1F80;
        Cpu.ModeChanged();
        Cpu.FlushTlb();
    }

    /// <summary>Flat 32-bit (or 16-bit, 64 KiB) protected mode at <see cref="CodeAt"/>; GDT, IDT and TSS in place, CPL 0 or 3. No IDT gates yet.</summary>
    public void SetUpProtected(int bits = 32, int cpl = 0)
    {
        SetUpReal();
        WriteGdt();
        State->Cr0 |= ControlRegisters.Cr0PE;
        bool wide = bits == 32;
        State->Cs = Flat((ushort)((wide ? cpl == 3 ? UserCode32 : Code32 : Code16) & ~3 | cpl), wide ? 0xC09Bu : 0x009B, cpl);
        State->Ss = Flat((ushort)((wide ? cpl == 3 ? UserData32 : Data32 : Data16) & ~3 | cpl), wide ? 0xC093u : 0x0093, cpl);
        if (!wide)
        {
            State->Cs.Base = CodeAt;
            State->Cs.Limit = State->Ss.Limit = 0xFFFF;
        }
        State->Ds = State->Es = State->Fs = State->Gs = State->Ss;
        State->Rip = wide ? CodeAt : 0;
        State->Gdtr = new DescriptorTable { Base = GdtAt, Limit = 0xFF };
        State->Idtr = new DescriptorTable { Base = IdtAt, Limit = 0x7FF };
        State->Tr = new SegmentCache { Selector = TssSelector, Base = TssAt, Limit = 0x2067, Access = 0x8B };
        State->Ldtr = new SegmentCache { Access = 0x10000 };
        Cpu.ModeChanged();
    }

    /// <summary>Virtual-8086 mode at 1000:0000 with the given IOPL, on the protected set-up.</summary>
    public void SetUpVm86(int iopl = 3)
    {
        SetUpProtected();
        State->Rflags = 2 | Eflags.VM | ((uint)iopl << Eflags.IoplShift);
        State->Es = State->Ds = State->Fs = State->Gs = State->Ss = SegmentCache.RealMode(0, dpl: 3);
        State->Cs = SegmentCache.RealMode((ushort)(CodeAt >> 4), code: false, dpl: 3);
        State->Rip = 0;
        Cpu.ModeChanged();
    }

    /// <summary>64-bit mode at <see cref="CodeAt"/>, the first 4 MiB of RAM identity-mapped supervisor/user by 4 KiB pages.</summary>
    public void SetUpLong(int cpl = 0)
    {
        SetUpProtected(32, cpl);
        State->Efer = ControlRegisters.EferLME | ControlRegisters.EferLMA | ControlRegisters.EferSCE | ControlRegisters.EferNXE;
        State->Cr4 |= ControlRegisters.Cr4PAE;
        State->Cs = Flat((ushort)((cpl == 3 ? UserCode64 : Code64) & ~3 | cpl), 0xA09B, cpl);
        EnablePaging();
    }

    /// <summary>Switches paging on by the mode that CR4.PAE and EFER say, <paramref name="pages"/> identity-mapped pages writable by all.</summary>
    public void EnablePaging(int pages = 1024)
    {
        State->Cr3 = TablesAt;
        State->Cr0 |= ControlRegisters.Cr0PG | ControlRegisters.Cr0WP;
        _nextTable = TablesAt + 0x1000;
        Ram.Slice((int)TablesAt, 0x1000).Clear();
        for (int i = 0; i < pages; i++)
            MapPage((ulong)i << 12, (ulong)i << 12, 7);
        if ((State->Cr4 & ControlRegisters.Cr4PAE) != 0 && (State->Efer & ControlRegisters.EferLMA) == 0)
            Cpu.TryLoadPdptes(State->Cr3);
        Cpu.ModeChanged();
        Cpu.FlushTlb();
    }

    /// <summary>Writes the entry that maps a linear page, with tables above it as needed (rights 7). Does not flush the TLB.</summary>
    public void MapPage(ulong linear, ulong physical, ulong flags) => WriteEntry(EntryAddress(linear), physical | flags);

    /// <summary>Physical address of the last-level entry of a linear page.</summary>
    public ulong EntryAddress(ulong linear)
    {
        bool pae = (State->Cr4 & ControlRegisters.Cr4PAE) != 0;
        bool wide = (State->Efer & ControlRegisters.EferLMA) != 0;
        ulong table = State->Cr3 & ~0xFFFul;
        if (!pae)
        {
            ulong directory = table + ((linear >> 22 & 0x3FF) * 4);
            return Descend(directory, 7) + ((linear >> 12 & 0x3FF) * 4);
        }
        if (wide)
        {
            table = Descend(table + ((linear >> 39 & 0x1FF) * 8), 7);
            table = Descend(table + ((linear >> 30 & 0x1FF) * 8), 7);
        }
        else
        {
            table = Descend(table + ((linear >> 30 & 3) * 8), 1);
        }
        table = Descend(table + ((linear >> 21 & 0x1FF) * 8), 7);
        return table + ((linear >> 12 & 0x1FF) * 8);
    }

    public ulong ReadEntry(ulong address) => (State->Cr4 & ControlRegisters.Cr4PAE) != 0 ? Read64(address) : Read32(address);

    public void WriteEntry(ulong address, ulong value)
    {
        if ((State->Cr4 & ControlRegisters.Cr4PAE) != 0)
            Write(address, value);
        else
            Write(address, (uint)value);
    }

    /// <summary>A gate of the protected-mode IDT (type 8Eh: 32-bit interrupt gate; EEh with DPL 3).</summary>
    public void SetGate(int vector, ulong offset, ushort selector = Code32, int type = 0x8E)
    {
        ulong at = IdtAt + ((ulong)vector * ((State->Efer & ControlRegisters.EferLMA) != 0 ? 16u : 8));
        Write(at, (uint)(offset & 0xFFFF) | ((uint)selector << 16));
        Write(at + 4, (uint)(offset & 0xFFFF0000) | ((uint)type << 8));
        if ((State->Efer & ControlRegisters.EferLMA) != 0)
            Write(at + 8, offset >> 32);
    }

    /// <summary>A vector of the real-mode table.</summary>
    public void SetVector(int vector, ushort segment, ushort offset)
    {
        Write((ulong)vector * 4, offset);
        Write(((ulong)vector * 4) + 2, segment);
    }

    /// <summary>Assembles at a physical address for the code size in force; returns its end.</summary>
    public ulong Assemble(Action<Assembler> code, ulong at = CodeAt, int bits = 0, ulong? ip = null)
    {
        var assembler = new Assembler(bits == 0 ? Cpu.CodeBits : bits);
        code(assembler);
        var stream = new MemoryStream();
        assembler.Assemble(new StreamCodeWriter(stream), ip ?? (at - State->Cs.Base));
        byte[] bytes = stream.ToArray();
        Load(at, bytes);
        return at + (ulong)bytes.Length;
    }

    public void Load(ulong at, params ReadOnlySpan<byte> bytes)
    {
        if (!Memory.Write(at, bytes))
            throw new ArgumentOutOfRangeException(nameof(at));
    }

    /// <summary>Assembles at CS:IP and runs to HLT.</summary>
    public StopReason Run(Action<Assembler> code, ulong budget = 10_000)
    {
        Assemble(assembler =>
        {
            code(assembler);
            assembler.hlt();
        }, State->Cs.Base + State->Rip);
        return Cpu.Run(budget);
    }

    public ulong Read64(ulong at) => BinaryPrimitives.ReadUInt64LittleEndian(Ram[(int)at..]);

    public uint Read32(ulong at) => BinaryPrimitives.ReadUInt32LittleEndian(Ram[(int)at..]);

    public ushort Read16(ulong at) => BinaryPrimitives.ReadUInt16LittleEndian(Ram[(int)at..]);

    public void Write<T>(ulong at, T value) where T : unmanaged => Load(at, new ReadOnlySpan<byte>(&value, sizeof(T)));

    public uint ReadPort(ushort port, int size)
    {
        uint value = OnReadPort?.Invoke(port, size) ?? uint.MaxValue;
        Ports.Add((port, value, size, false));
        return value;
    }

    public void WritePort(ushort port, uint value, int size)
    {
        Ports.Add((port, value, size, true));
        OnWritePort?.Invoke(port, value, size);
    }

    public ulong ReadMmio(ulong address, int size)
    {
        ulong value = OnReadMmio?.Invoke(address, size) ?? ulong.MaxValue;
        Mmio.Add((address, value, size, false));
        return value;
    }

    public void WriteMmio(ulong address, ulong value, int size)
    {
        Mmio.Add((address, value, size, true));
        OnWriteMmio?.Invoke(address, value, size);
    }

    public byte AcknowledgeInterrupt()
    {
        Cpu.InterruptLine = false;
        return InterruptVector;
    }

    public void SetApicBase(ulong value) => ApicBase = value;

    public void SetNumericError(bool level) => NumericError = level;

    public void Dispose()
    {
        Cpu.Dispose();
        Memory.Dispose();
        NativeMemory.AlignedFree(_ram);
    }

    private static SegmentCache Flat(ushort selector, uint access, int cpl) => new()
    {
        Selector = selector,
        Limit = 0xFFFFFFFF,
        Access = access | ((uint)cpl << 5),
    };

    private void WriteGdt()
    {
        void Entry(int selector, ulong descriptor) => Write(GdtAt + (ulong)(selector & ~7), descriptor);

        Entry(0, 0);
        Entry(Code32, 0x00CF9B000000FFFF);
        Entry(Data32, 0x00CF93000000FFFF);
        Entry(Code16, 0x00009B000000FFFF | (CodeAt << 16));
        Entry(Data16, 0x000093000000FFFF);
        Entry(UserCode32, 0x00CFFB000000FFFF);
        Entry(UserData32, 0x00CFF3000000FFFF);
        Entry(TssSelector, 0x00008B0000002067 | (TssAt << 16));
        Entry(Code64, 0x00AF9B000000FFFF);
        Entry(UserCode64, 0x00AFFB000000FFFF);

        // ESP0 and SS0, and an I/O bitmap of zeros behind it.
        Write(TssAt + 4, (uint)StackTop - 0x800);
        Write(TssAt + 8, (uint)Data32);
        Write(TssAt + 0x66, (ushort)0x68);
    }

    private ulong Descend(ulong entryAt, ulong flags)
    {
        ulong entry = ReadEntry(entryAt);
        if ((entry & 1) == 0)
        {
            entry = _nextTable | flags;
            Ram.Slice((int)_nextTable, 0x1000).Clear();
            _nextTable += 0x1000;
            WriteEntry(entryAt, entry);
        }
        return entry & 0x000FFFFFFFFFF000;
    }
}
