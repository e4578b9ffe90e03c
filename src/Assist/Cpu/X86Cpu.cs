using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Farm.Assist.Cpu;

/// <summary>
/// One x86 processor as an interpreter: the soft backend's vCPU, and what the assist's host half runs real-mode code with on
/// every backend. Partial: state and registers here; flags, memory, segments, events, control transfer and the run loop beside.
/// </summary>
public sealed unsafe partial class X86Cpu : IDisposable
{
    private readonly GuestFault _fault = new();

    public X86Cpu(PhysicalMemory memory, ICpuDoor door)
    {
        Memory = memory;
        Door = door;
        State = (CpuState*)NativeMemory.AlignedAlloc((nuint)sizeof(CpuState), 64);
        NativeMemory.Clear(State, (nuint)sizeof(CpuState));
    }

    /// <summary>The architectural state, at a fixed address for the processor's life.</summary>
    public CpuState* State { get; private set; }

    public PhysicalMemory Memory { get; }

    public ICpuDoor Door { get; }

    /// <summary>RIP of the instruction in execution: what a fault pushes.</summary>
    public ulong InstructionStart;

    public void Dispose()
    {
        NativeMemory.AlignedFree(State);
        State = null;
    }

    /// <summary>Reads a general register by <see cref="Op"/> numbering; for bytes 16-19 are AH CH DH BH.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Reg<T>(int index) where T : unmanaged, IBinaryInteger<T>
    {
        if (sizeof(T) == 1)
            return Unsafe.BitCast<byte, T>(((byte*)State->Gpr)[index < 16 ? index * 8 : ((index - 16) * 8) + 1]);
        return *(T*)&State->Gpr[index];
    }

    /// <summary>Writes a general register; a 32-bit write clears the upper half as in 64-bit mode.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void SetReg<T>(int index, T value) where T : unmanaged, IBinaryInteger<T>
    {
        if (sizeof(T) == 1)
            ((byte*)State->Gpr)[index < 16 ? index * 8 : ((index - 16) * 8) + 1] = Unsafe.BitCast<T, byte>(value);
        else if (sizeof(T) == 4)
            State->Gpr[index] = Unsafe.BitCast<T, uint>(value);
        else
            *(T*)&State->Gpr[index] = value;
    }

    /// <summary>Effective address (offset) of the memory operand, cut to the address size.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Ea(Op* op) => (State->Gpr[op->Base] + (State->Gpr[op->Index] << op->Scale) + (ulong)op->Disp) & op->AddressMask;

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
