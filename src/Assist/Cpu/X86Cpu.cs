using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Iced.Intel;

namespace Farm.Assist.Cpu;

/// <summary>
/// One x86 processor as an interpreter: the soft backend's vCPU, and what the assist's host half runs real-mode code with on
/// every backend. Partial: state and registers here; flags, memory, segments, events, control transfer and the run loop beside.
/// </summary>
public sealed unsafe partial class X86Cpu : IDisposable
{
    private readonly GuestFault _fault = new();

    /// <param name="memory">The physical map; the processor follows its events until disposed.</param>
    /// <param name="door">Ports, MMIO, interrupt acknowledge.</param>
    /// <param name="model">CPUID and known instructions; default <see cref="CpuModel.P3"/>.</param>
    /// <param name="refuses">Instructions to stop at as <see cref="StopReason.Unsupported"/> although they are implemented.</param>
    public X86Cpu(PhysicalMemory memory, ICpuDoor door, CpuModel? model = null, Func<Code, bool>? refuses = null)
    {
        Memory = memory;
        Door = door;
        Model = model ?? CpuModel.P3;
        _known = Model.KnownCodes();
        Refuses = refuses;
        State = (CpuState*)NativeMemory.AlignedAlloc((nuint)sizeof(CpuState), 64);
        NativeMemory.Clear(State, (nuint)sizeof(CpuState));
        _code = new DecodeCache(memory);
        _decoders = [Decoder.Create(16, _reader, Options), Decoder.Create(32, _reader, Options), Decoder.Create(64, _reader, Options)];
        for (int i = 0; i < 3 * TlbSize; i++)
            _tlbs[i] = new TlbEntry { ReadTag = NoTag, WriteTag = NoTag };
        for (int i = 0; i < 2 * CodeTlbSize; i++)
            _codeTlbs[i] = new CodeTlbEntry { Tag = NoTag };
        memory.Changed += OnMapChanged;
        memory.CodeWritten += OnCodeWritten;
        memory.StoresWanted += OnStoresWanted;
        ModeChanged();
    }

    /// <summary>The architectural state, at a fixed address for the processor's life.</summary>
    public CpuState* State { get; private set; }

    public PhysicalMemory Memory { get; }

    public ICpuDoor Door { get; }

    public CpuModel Model { get; }

    /// <summary>Initial APIC identity, for CPUID leaf 1; 0 is the bootstrap processor.</summary>
    public byte ApicId { get; init; }

    private Func<Code, bool>? Refuses { get; }

    /// <summary>RIP of the instruction in execution: what a fault pushes.</summary>
    public ulong InstructionStart => _op != null ? _blockRip + _op->Next - _op->Length : State->Rip;

    public void Dispose()
    {
        if (State == null)
            return;
        Memory.Changed -= OnMapChanged;
        Memory.CodeWritten -= OnCodeWritten;
        Memory.StoresWanted -= OnStoresWanted;
        _code.Dispose();
        NativeMemory.AlignedFree(_tlbs);
        NativeMemory.AlignedFree(_codeTlbs);
        NativeMemory.Free(_windows);
        NativeMemory.Free(_jumps);
        NativeMemory.Free(_uncached);
        NativeMemory.Free(_branches);
        NativeMemory.AlignedFree(State);
        State = null;
    }

    /// <summary>Reads a general register by <see cref="Op"/> numbering; for bytes 16-19 are AH CH DH BH.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Reg<T>(int index) where T : unmanaged, IBinaryInteger<T>
    {
        if (sizeof(T) == 1)
            return *(T*)((byte*)State + ByteRegister(index));
        return *(T*)((ulong*)State + index);
    }

    /// <summary>Writes a general register; a 32-bit write clears the upper half as in 64-bit mode.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void SetReg<T>(int index, T value) where T : unmanaged, IBinaryInteger<T>
    {
        if (sizeof(T) == 1)
            *(T*)((byte*)State + ByteRegister(index)) = value;
        else if (sizeof(T) == 4)
            ((ulong*)State)[index] = Unsafe.BitCast<T, uint>(value);
        else
            *(T*)((ulong*)State + index) = value;
    }

    /// <summary>AH is the byte after AL.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint ByteRegister(int index) => (((uint)index & 15) * 8) + ((uint)index >> 4);

    /// <summary>Effective address (offset) of the memory operand, cut to the address size.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Ea(Op* op)
    {
        ulong* registers = (ulong*)State;
        return (registers[op->Base] + (registers[op->Index] << op->Scale) + (ulong)op->Disp) & op->AddressMask;
    }

    public ref SegmentCache Segment(Seg seg) => ref Unsafe.Add(ref State->Es, (int)seg);

    /// <summary>Raises an exception without an error code.</summary>
    public GuestFault Fault(byte vector)
    {
        _fault.Vector = vector;
        _fault.HasErrorCode = false;
        _fault.ErrorCode = 0;
        return _fault;
    }

    /// <summary>Raises an exception with an error code: <c>throw cpu.Fault(Vectors.GP, 0)</c>.</summary>
    public GuestFault Fault(byte vector, uint errorCode)
    {
        _fault.Vector = vector;
        _fault.HasErrorCode = true;
        _fault.ErrorCode = errorCode;
        return _fault;
    }
}
