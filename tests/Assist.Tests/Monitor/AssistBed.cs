using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Farm.Assist.Cpu;
using Farm.Assist.Monitor;
using Iced.Intel;

namespace Farm.Assist.Tests.Monitor;

/// <summary>
/// A small machine around the assist: RAM, the monitor's RAM, a processor that never runs real mode (but under native), and
/// the driving loop. The guest's first instruction, at F000:FFF0, jumps to 1000:0000.
/// </summary>
public sealed unsafe class AssistBed : ICpuDoor, IVcpuState, IDisposable
{
    public const uint CodeAt = 0x10000;
    public const ushort CodeSegment = 0x1000;
    private const int RamSize = 4 << 20, PrivateSize = 0x80000;

    private readonly byte* _ram = (byte*)NativeMemory.AlignedAlloc(RamSize + PrivateSize, 4096);
    private readonly Queue<byte> _interrupts = new();
    private readonly bool _counts;

    /// <param name="storesUnseen">The processor stands for a real one: it does not count, and the assist answers while it stands in its OUT.</param>
    public AssistBed(AssistStrength strength = AssistStrength.Vm86, CpuModel? model = null, IReadOnlySet<Code>? refused = null, bool trapsKeyQuestions = false, bool storesUnseen = false)
    {
        NativeMemory.Clear(_ram, RamSize + PrivateSize);
        Memory = new PhysicalMemory();
        Memory.Map(0, RamSize, _ram, PageKind.Readable | PageKind.Writable);
        Memory.Map(MonitorLayout.Base, PrivateSize, _ram + RamSize, PageKind.Readable | PageKind.Writable);
        model ??= CpuModel.P3;
        Strength = strength;
        Cpu = new X86Cpu(Memory, this, model) { RealModeAllowed = strength == AssistStrength.Native };
        Assist = new AssistHost(Memory, this, Image, new AssistOptions
        {
            Strength = strength,
            Model = model,
            Refused = refused ?? AssistOptions.RefusedByDefault,
            TrapsKeyQuestions = trapsKeyQuestions,
            StoresUnseen = storesUnseen,
        });
        _counts = !storesUnseen;
        Assist.Attach(this);
        PowerOn(model);
    }

    public static MonitorImage Image { get; } = MonitorImage.Build();

    public AssistStrength Strength { get; }

    public PhysicalMemory Memory { get; }

    public X86Cpu Cpu { get; }

    public AssistHost Assist { get; }

    public CpuState* State => Cpu.State;

    public ulong Instructions => _counts ? Cpu.InstructionCount : 0;

    /// <summary>Calls of the monitor that were answered while the processor stood in its OUT.</summary>
    public int AnsweredAtOnce { get; private set; }

    /// <summary>The guest as it sees itself.</summary>
    public CpuState* Guest => Assist.View();

    public List<(ushort Port, uint Value)> Writes { get; } = [];

    public Action<ushort, uint>? OnWrite { get; set; }

    /// <summary>Called when the program asks for a key.</summary>
    public Action? OnWaits { get; set; }

    /// <summary>Times that the processor executed something in real mode.</summary>
    public int RealModeRuns { get; private set; }

    public Span<byte> Ram => new(_ram, RamSize);

    /// <summary>Raises the interrupt line; the controller will answer with this vector.</summary>
    public void Interrupt(byte vector)
    {
        _interrupts.Enqueue(vector);
        SetLine();
    }

    /// <summary>Assembles 16-bit guest code at 1000:0000 with HLT behind it.</summary>
    public void Program(Action<Assembler> emit) => Assemble(CodeAt, 0, 16, emit);

    /// <summary>Assembles at a physical address.</summary>
    public int Assemble(uint at, uint ip, int bits, Action<Assembler> emit, bool halt = true)
    {
        var assembler = new Assembler(bits);
        emit(assembler);
        if (halt)
            assembler.hlt();
        using var stream = new MemoryStream();
        assembler.Assemble(new StreamCodeWriter(stream), ip);
        Memory.Write(at, stream.ToArray());
        return (int)stream.Length;
    }

    public void Vector(int vector, ushort segment, ushort offset)
    {
        BinaryPrimitives.WriteUInt16LittleEndian(Ram[(vector * 4)..], offset);
        BinaryPrimitives.WriteUInt16LittleEndian(Ram[((vector * 4) + 2)..], segment);
    }

    /// <summary>A handler at 2000:(vector x 10h) that stores AX = the vector at 0:(600h + 2 x vector), counts and returns.</summary>
    public void Handler(int vector, Action<Assembler>? body = null)
    {
        Vector(vector, 0x2000, (ushort)(vector * 0x40));
        Assemble(0x20000 + ((uint)vector * 0x40), (uint)vector * 0x40, 16, c =>
        {
            if (body is null)
            {
                c.inc(AssemblerRegisters.__word_ptr.cs[0x8000 + (vector * 2)]);
                c.iret();
            }
            else
            {
                body(c);
            }
        }, halt: false);
    }

    /// <summary>How often the standard handler of a vector ran.</summary>
    public int Count(int vector) => Word(0x28000 + (vector * 2));

    public ushort Word(int address) => BinaryPrimitives.ReadUInt16LittleEndian(Ram[address..]);

    public uint Dword(int address) => BinaryPrimitives.ReadUInt32LittleEndian(Ram[address..]);

    public void Write(int address, ulong value, int size)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        Memory.Write((ulong)address, bytes[..size]);
    }

    /// <summary>Runs to a HLT with nothing pending, or another end.</summary>
    public AssistStep Run(ulong budget = 100_000)
    {
        ulong end = Cpu.InstructionCount + Assist.Instructions + budget;
        while (true)
        {
            ulong now = Cpu.InstructionCount + Assist.Instructions;
            if (now >= end)
                return AssistStep.Budget;
            if (Turn(end - now) is { } step)
                return step;
        }
    }

    /// <summary>One instruction of whoever is on turn.</summary>
    public void Step() => Turn(1);

    /// <summary>Lets the assist or the processor run; null when the other is to go on.</summary>
    private AssistStep? Turn(ulong budget)
    {
        if (Assist.Busy)
        {
            var step = Assist.Run(budget);
            return step == AssistStep.RunVcpu ? null : step;
        }
        if ((State->Cr0 & ControlRegisters.Cr0PE) == 0)
            RealModeRuns++;
        switch (Cpu.Run(budget))
        {
            case StopReason.RealModeEntered:
                Assist.TakeOver();
                return null;
            case StopReason.Halted:
                return AssistStep.Halted;
            case StopReason.Shutdown:
                return AssistStep.Shutdown;
            case StopReason.Unsupported:
                return AssistStep.Unsupported;
            case StopReason.Kicked:
                return AssistStep.Kicked;
            case StopReason.Stopped:
                return AssistStep.Stopped;
            default:
                return null;
        }
    }

    public uint ReadPort(ushort port, int size) => port == 0x60 ? 0x5Au : uint.MaxValue >> (32 - (size * 8));

    public void WritePort(ushort port, uint value, int size)
    {
        if (port == MonitorLayout.Port && size == 1 && Assist.TryCall((byte)value))
        {
            if (Assist.TryAnswer())
                AnsweredAtOnce++;
            else
                Cpu.RequestStop(StopReason.AssistCall);
            return;
        }
        Writes.Add((port, value));
        OnWrite?.Invoke(port, value);
    }

    public void ProgramWaits() => OnWaits?.Invoke();

    public ulong ReadMmio(ulong address, int size) => ulong.MaxValue;

    public void WriteMmio(ulong address, ulong value, int size)
    {
    }

    public byte AcknowledgeInterrupt()
    {
        byte vector = _interrupts.Dequeue();
        SetLine();
        return Assist.TranslateVector(vector);
    }

    public void Dispose()
    {
        Assist.Dispose();
        Cpu.Dispose();
        Memory.Dispose();
        NativeMemory.AlignedFree(_ram);
    }

    private void SetLine()
    {
        Cpu.InterruptLine = _interrupts.Count != 0;
        Assist.InterruptLine = _interrupts.Count != 0;
    }

    private void PowerOn(CpuModel model)
    {
        Memory.Write(0xFFFF0, [0xEA, 0, 0, 0, 0x10]);
        Memory.Write(MonitorLayout.BlobBase, Image.Blob.Span);
        State->Cr0 = ControlRegisters.Cr0ET;
        Vm86State.EnterReal(State, model.Signature, null);
        State->FpuControl = 0x37F;
        State->FpuTag = 0xFFFF;
        State->Mxcsr = 0x1F80;
        if (Strength == AssistStrength.Native)
            return;
        Vm86State.EnterFlat(State, MonitorLayout.BlobBase + MonitorImage.EntryOffset);
        State->Gpr[4] = MonitorLayout.Base + MonitorLayout.SharedSize;
        State->Gpr[0] = (ulong)Strength;
        State->Gpr[1] = model.Signature;
        State->Gpr[2] = 0;
        State->Gpr[3] = 0;
    }
}
