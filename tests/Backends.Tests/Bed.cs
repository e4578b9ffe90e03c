using System.Runtime.InteropServices;
using Farm.Assist.Cpu;
using Farm.Assist.Monitor;
using Farm.Machine.Hypervisors;
using Iced.Intel;

namespace Farm.Backends.Tests;

/// <summary>
/// The smallest machine around a backend: 4 MiB of RAM, one processor (or several at once, see Bed.Processors.cs), a door that notes what
/// passes it, and (under vm86 and full) the assist by turns with the processor. Guest code lies at 1000:0000, its stack ends at 0:8000.
/// </summary>
public sealed unsafe partial class Bed : ICpuDoor, IDisposable
{
    public const uint CodeAt = 0x10000;
    public const ulong RomAt = 0xE0000, MmioAt = 0xA0000, HoleAt = 0x400000, LoggedAt = 0x800000, TopAt = 0xFFFFF000;
    private const int RamSize = 4 << 20, PrivateSize = 0x80000, LoggedSize = 64 * 4096, Total = RamSize + PrivateSize + 4096 + LoggedSize;

    private readonly byte* _block = (byte*)NativeMemory.AlignedAlloc(Total, 4096);
    private readonly Queue<byte> _interrupts = new();
    private readonly AssistHost? _assist;
    private readonly IPartition _partition;

    /// <param name="localApics">With the backend's own local APICs.</param>
    /// <param name="processors">Several need those.</param>
    public Bed(IHypervisor hypervisor, AssistStrength strength = AssistStrength.Native, bool localApics = false, int processors = 1)
    {
        NativeMemory.Clear(_block, Total);
        Hypervisor = hypervisor;
        _partition = hypervisor.CreatePartition(new PartitionOptions(processors, strength == AssistStrength.Native, CpuModel.P3, localApics));
        Memory.Map(0, RamSize, _block, PageKind.Readable | PageKind.Writable);
        Memory.Map(MmioAt, 0x20000, null, PageKind.Mmio);
        Memory.Map(RomAt, 4096, _block + RamSize + PrivateSize, PageKind.Readable);
        Memory.Map(TopAt, 4096, _block + RamSize + PrivateSize, PageKind.Readable);
        Memory.Map(MonitorLayout.Base, PrivateSize, _block + RamSize, PageKind.Readable | PageKind.Writable);
        Memory.Map(LoggedAt, LoggedSize, _block + Total - LoggedSize, PageKind.Readable | PageKind.Writable | PageKind.Logged);
        Vcpu = _partition.BindVcpu(0, this);
        Others = BindOthers(processors - 1);
        if (strength == AssistStrength.Native)
        {
            EnterReal(0x1000, 0);
            return;
        }
        var image = MonitorImage.Build();
        _assist = new AssistHost(Memory, this, image, new AssistOptions
        {
            Strength = strength,
            TrapsTableReads = hypervisor.Capabilities.Umip,
            StoresUnseen = hypervisor.Capabilities.StoresUnseen,
        });
        _assist.Attach(Vcpu);
        Memory.Write(0xFFFF0, [0xEA, 0, 0, 0, 0x10]);
        Memory.Write(MonitorLayout.BlobBase, image.Blob.Span);
        EnterFlat(MonitorLayout.BlobBase + MonitorImage.EntryOffset);
        Vcpu.State->Gpr[4] = MonitorLayout.Base + MonitorLayout.SharedSize;
        Vcpu.State->Gpr[0] = (ulong)strength;
        Vcpu.State->Gpr[1] = CpuModel.P3.Signature;
    }

    public IHypervisor Hypervisor { get; }

    public PhysicalMemory Memory => _partition.Memory;

    public ILocalApics? LocalApics => _partition.LocalApics;

    public IVcpu Vcpu { get; }

    public AssistHost Assist => _assist ?? throw new InvalidOperationException("native has no assist");

    /// <summary>The guest as it sees itself.</summary>
    public CpuState* Guest => _assist is null ? Vcpu.State : _assist.View();

    public List<(ushort Port, uint Value, int Size)> PortWrites { get; } = [];

    public List<(ushort Port, int Size)> PortReads { get; } = [];

    public List<(ulong Address, ulong Value, int Size)> MmioWrites { get; } = [];

    public List<(ulong Address, int Size)> MmioReads { get; } = [];

    /// <summary>All accesses in order: what (r, w of memory, i, o of ports) and where.</summary>
    public List<(char Kind, ulong Address)> Accesses { get; } = [];

    public Func<ushort, int, uint> OnRead { get; set; } = (port, size) => 0x44332211u & (uint.MaxValue >> (32 - (8 * size)));

    public Action<ushort, uint>? OnWrite { get; set; }

    /// <summary>The bytes behind guest-physical <see cref="RomAt"/>, and behind <see cref="TopAt"/>, where a processor starts.</summary>
    public Span<byte> Rom => new(_block + RamSize + PrivateSize, 4096);

    public byte* Ram => _block;

    /// <summary>The pages from <see cref="LoggedAt"/> on, a bit for each, that were stored to since the last call.</summary>
    public ulong TakeStores()
    {
        ulong stored = 0;
        Memory.TakeStores(LoggedAt, new Span<ulong>(ref stored));
        return stored;
    }

    public byte* Extra => _block + RamSize;

    public ushort Word(int address) => *(ushort*)(_block + address);

    public uint Dword(int address) => *(uint*)(_block + address);

    public void Put(int address, ulong value, int size) => Memory.Write((ulong)address, BitConverter.GetBytes(value).AsSpan(0, size));

    /// <summary>16-bit code at 1000:0000 with CLI; HLT behind it.</summary>
    public void Program(Action<Assembler> emit) => Assemble(CodeAt, 0, 16, emit);

    public void Assemble(uint at, uint ip, int bits, Action<Assembler> emit, bool halt = true)
    {
        var assembler = new Assembler(bits);
        emit(assembler);
        if (halt)
        {
            assembler.cli();
            assembler.hlt();
        }
        using var stream = new MemoryStream();
        assembler.Assemble(new StreamCodeWriter(stream), ip);
        Memory.Write(at, stream.ToArray());
    }

    /// <summary>Maps the last page below <see cref="MmioAt"/>, or takes it away.</summary>
    public void ShowEndOfRam(bool shown) => Memory.Map(MmioAt - 4096, 4096, shown ? _block + MmioAt - 4096 : null, PageKind.Readable | PageKind.Writable);

    /// <summary>A real-mode interrupt handler, at 1000:0100.</summary>
    public void Handler(byte vector, Action<Assembler> emit, bool halt = false)
    {
        Put(vector * 4, 0x1000_0100, 4);
        Assemble(CodeAt + 0x100, 0x100, 16, emit, halt);
    }

    /// <summary>Raises the interrupt line; the controller will answer with this vector.</summary>
    public void Interrupt(byte vector)
    {
        _interrupts.Enqueue(vector);
        SetLine();
    }

    /// <summary>Real mode, stack at 0:8000, interrupts off.</summary>
    public void EnterReal(ushort segment, ushort offset)
    {
        CpuState* state = Start();
        state->Cs = SegmentCache.RealMode(segment, code: true);
        state->Rip = offset;
        state->Ds = state->Es = state->Fs = state->Gs = state->Ss = SegmentCache.RealMode(0);
        state->Gpr[4] = 0x8000;
        state->Idtr.Limit = 0x3FF;
    }

    /// <summary>Flat 32-bit ring 0 without paging; selectors 8 and 10h.</summary>
    public void EnterFlat(uint entry)
    {
        CpuState* state = Start();
        state->Cr0 |= ControlRegisters.Cr0PE;
        state->Cs = new SegmentCache { Selector = 8, Limit = uint.MaxValue, Access = 0xC09B };
        state->Ds = state->Es = state->Fs = state->Gs = state->Ss = new SegmentCache { Selector = 0x10, Limit = uint.MaxValue, Access = 0xC093 };
        state->Rip = entry;
        state->Gpr[4] = 0x8000;
    }

    /// <summary>A kick is the test's business too.</summary>
    public bool TakesKicks { get; set; }

    /// <summary>Runs to an exit that is the test's business; at most a minute. A processor that rests in HLT within its run has halted.</summary>
    public VcpuExitReason Run() => Others.Count == 0 ? RunFirst() : RunAll();

    private VcpuExitReason RunFirst()
    {
        ulong left = 1_000_000;
        // A processor with a local APIC of its own rests in HLT until it is asked.
        int looks = LocalApics is null || TakesKicks ? 0 : 30_000;
        if (!Hypervisor.Capabilities.VirtualTime)
            Vcpu.KickAfter(60_000_000_000 / Math.Max(looks, 1));
        while (true)
        {
            if (_assist is { Busy: true })
            {
                switch (_assist.Run(left))
                {
                    case AssistStep.RunVcpu:
                        continue;
                    case AssistStep.Halted:
                        return VcpuExitReason.Halted;
                    case AssistStep.Shutdown:
                        return VcpuExitReason.Shutdown;
                    case AssistStep.Unsupported:
                        return VcpuExitReason.EmulationFailure;
                    default:
                        return VcpuExitReason.Budget;
                }
            }
            var exit = Vcpu.Run(left);
            if (exit.Reason == VcpuExitReason.RealModeEntered)
                _assist!.TakeOver(late: !Hypervisor.Capabilities.InterceptsCr0);
            else if (exit.Reason == VcpuExitReason.Kicked && looks-- > 0)
            {
                if (Vcpu.State->Activity == Activity.Halted)
                    return VcpuExitReason.Halted;
                Vcpu.KickAfter(2_000_000);
            }
            else if (exit.Reason != VcpuExitReason.AssistCall)
                return exit.Reason;
        }
    }

    public byte TaskPriority { get; set; }

    /// <summary>IA32_APIC_BASE as the door was told.</summary>
    public ulong? ApicBase { get; private set; }

    public void SetApicBase(ulong value) => ApicBase = value;

    public uint ReadPort(ushort port, int size)
    {
        PortReads.Add((port, size));
        Accesses.Add(('i', port));
        return OnRead(port, size);
    }

    public void WritePort(ushort port, uint value, int size)
    {
        if (_assist is not null && port == MonitorLayout.Port && _assist.TryCall((byte)value))
        {
            Vcpu.RequestStop(VcpuExitReason.AssistCall);
            return;
        }
        PortWrites.Add((port, value, size));
        Accesses.Add(('o', port));
        OnWrite?.Invoke(port, value);
    }

    public ulong ReadMmio(ulong address, int size)
    {
        MmioReads.Add((address, size));
        Accesses.Add(('r', address));
        return 0x8877665544332211 & (ulong.MaxValue >> (64 - (8 * size)));
    }

    public void WriteMmio(ulong address, ulong value, int size)
    {
        MmioWrites.Add((address, value, size));
        Accesses.Add(('w', address));
    }

    public byte AcknowledgeInterrupt()
    {
        byte vector = _interrupts.Dequeue();
        SetLine();
        return _assist is null ? vector : _assist.TranslateVector(vector);
    }

    public void Dispose()
    {
        EndThreads();
        _assist?.Dispose();
        foreach (var other in Others)
            other.Dispose();
        Vcpu.Dispose();
        _partition.Dispose();
        NativeMemory.AlignedFree(_block);
    }

    private CpuState* Start()
    {
        CpuState* state = Vcpu.State;
        *state = default;
        state->Rflags = 2;
        state->Cr0 = ControlRegisters.Cr0ET;
        state->Dr[6] = 0xFFFF0FF0;
        state->Dr[7] = 0x400;
        state->Gdtr.Limit = state->Idtr.Limit = 0xFFFF;
        state->Ldtr = new SegmentCache { Limit = 0xFFFF, Access = 0x82 };
        state->Tr = new SegmentCache { Limit = 0xFFFF, Access = 0x8B };
        state->ApicBase = 0xFEE00900;
        state->Pat = 0x0007040600070406;
        state->FpuControl = 0x37F;
        state->FpuTag = 0xFFFF;
        state->Mxcsr = 0x1F80;
        return state;
    }

    private void SetLine()
    {
        Vcpu.InterruptLine = _interrupts.Count != 0;
        _assist?.InterruptLine = _interrupts.Count != 0;
    }
}
