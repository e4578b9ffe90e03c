using System.Runtime.InteropServices;

namespace Farm.Assist.Cpu;

/// <summary>
/// One decoded instruction, ready to execute: a handler and its operands. Lives in native memory in the decode cache; immutable.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct Op
{
    /// <summary>Executes the instruction. RIP already points past it; a fault restores it (see <c>Cpu.InstructionStart</c>).</summary>
    public delegate*<X86Cpu, Op*, void> Handler;

    /// <summary>Immediate, sign-extended; branch displacement for relative branches; moffs go to <see cref="Disp"/>.</summary>
    public long Imm;

    /// <summary>Displacement of the memory operand, sign-extended.</summary>
    public long Disp;

    /// <summary>FFFFh, FFFFFFFFh or all ones, by the instruction's address size.</summary>
    public ulong AddressMask;

    /// <summary>Iced's <c>Code</c>.</summary>
    public ushort Code;

    /// <summary>Second immediate (ENTER's level, far pointer's selector, EXTRQ...).</summary>
    public ushort Imm2;

    /// <summary>Length in bytes.</summary>
    public byte Length;

    /// <summary>Register of operand 0, 1, 2 as an index: GPR 0-15 (byte registers: 0-15 the low byte, 16-19 AH CH DH BH), segment 0-5, CR/DR/ST/MM/XMM number.</summary>
    public byte Reg0, Reg1, Reg2;

    /// <summary>Memory operand: slots in <c>CpuState.Gpr</c> (<see cref="CpuState.ZeroSlot"/> when absent).</summary>
    public byte Base, Index, Scale;

    /// <summary>Memory operand: segment after overrides and BP/SP defaults.</summary>
    public Seg Segment;

    /// <summary>Operand size in bytes: 2, 4 or 8 (after prefixes).</summary>
    public byte OperandSize;

    /// <summary>Address size in bytes: 2, 4 or 8.</summary>
    public byte AddressSize;

    public OpFlags Flags;

    /// <summary>Offset of the next instruction from the start of the block.</summary>
    public ushort Next;
}

[Flags]
public enum OpFlags : byte
{
    None = 0,
    Lock = 1,
    Repe = 2,
    Repne = 4,

    /// <summary>Operand 0 is a memory operand.</summary>
    Memory0 = 8,

    /// <summary>Operand 1 is a memory operand.</summary>
    Memory1 = 16,

    /// <summary>The last op of its block: it may change RIP, the mode, IF or the mapping.</summary>
    EndsBlock = 32,
}
