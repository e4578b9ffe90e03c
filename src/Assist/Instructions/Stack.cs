using System.Numerics;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions;

/// <summary>PUSH and POP of general registers, immediates and memory, PUSHA, POPA, ENTER, LEAVE.</summary>
internal static unsafe class Stack
{
    public static void Register()
    {
        Row<ushort>(Code.Push_r16, Code.Push_rm16, Code.Pop_r16, Code.Pop_rm16, Code.Enterw_imm16_imm8, Code.Leavew);
        Row<uint>(Code.Push_r32, Code.Push_rm32, Code.Pop_r32, Code.Pop_rm32, Code.Enterd_imm16_imm8, Code.Leaved);
        Row<ulong>(Code.Push_r64, Code.Push_rm64, Code.Pop_r64, Code.Pop_rm64, Code.Enterq_imm16_imm8, Code.Leaveq);
        InstructionTable.Register(Code.Push_imm16, &PushImm<ushort>);
        InstructionTable.Register(Code.Pushd_imm32, &PushImm<uint>);
        InstructionTable.Register(Code.Pushq_imm32, &PushImm<ulong>);
        InstructionTable.Register(Code.Pushw_imm8, &PushImm<ushort>);
        InstructionTable.Register(Code.Pushd_imm8, &PushImm<uint>);
        InstructionTable.Register(Code.Pushq_imm8, &PushImm<ulong>);
        InstructionTable.Register(Code.Pushaw, &Pusha<ushort>);
        InstructionTable.Register(Code.Pushad, &Pusha<uint>);
        InstructionTable.Register(Code.Popaw, &Popa<ushort>);
        InstructionTable.Register(Code.Popad, &Popa<uint>);
    }

    private static void Row<T>(Code pushReg, Code pushRm, Code popReg, Code popRm, Code enter, Code leave)
        where T : unmanaged, IBinaryInteger<T>
    {
        InstructionTable.Register(pushReg, &Push<T>);
        InstructionTable.Register(pushRm, &Push<T>, &PushMem<T>);
        InstructionTable.Register(popReg, &Pop<T>);
        InstructionTable.Register(popRm, &Pop<T>, &PopMem<T>);
        InstructionTable.Register(enter, &Enter<T>);
        InstructionTable.Register(leave, &Leave<T>);
    }

    // PUSH SP stores the value from before the push (80286 and later; SDM vol. 3, 22.17.1).
    private static void Push<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T> => cpu.Push(cpu.Reg<T>(op->Reg0));

    private static void PushMem<T>(X86Cpu cpu, Op* op)
        where T : unmanaged => cpu.Push(cpu.Read<T>(op->Segment, cpu.Ea(op)));

    private static void PushImm<T>(X86Cpu cpu, Op* op)
        where T : unmanaged => cpu.Push(*(T*)&op->Imm);

    // POP SP: the popped value stays, the increment is lost.
    private static void Pop<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T> => cpu.SetReg(op->Reg0, cpu.Pop<T>());

    // An address based on ESP is computed with the incremented ESP; a fault leaves the stack pointer as it was.
    private static void PopMem<T>(X86Cpu cpu, Op* op)
        where T : unmanaged
    {
        T value = cpu.Peek<T>(0);
        ulong before = cpu.State->Gpr[Gpr.Sp];
        cpu.AdjustSp(sizeof(T));
        ulong after = cpu.State->Gpr[Gpr.Sp];
        ulong offset = cpu.Ea(op);
        cpu.State->Gpr[Gpr.Sp] = before;
        cpu.Write(op->Segment, offset, value);
        cpu.State->Gpr[Gpr.Sp] = after;
    }

    // Probed as a whole first, so that a fault finds nothing stored.
    private static void Pusha<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>
    {
        ulong mask = cpu.StackMask;
        ulong sp = cpu.State->Gpr[Gpr.Sp];
        cpu.ProbePush(8 * sizeof(T));
        for (int register = Gpr.Ax; register <= Gpr.Di; register++)
            cpu.Write(Seg.Ss, (sp - (ulong)((register + 1) * sizeof(T))) & mask, cpu.Reg<T>(register));
        cpu.AdjustSp(-8 * sizeof(T));
    }

    // The stored SP is skipped.
    private static void Popa<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>
    {
        T* values = stackalloc T[8];
        for (int slot = 0; slot < 8; slot++)
            values[slot] = cpu.Peek<T>(slot * sizeof(T));
        for (int slot = 0; slot < 8; slot++)
        {
            int register = Gpr.Di - slot;
            if (register != Gpr.Sp)
                cpu.SetReg(register, values[slot]);
        }
        cpu.AdjustSp(8 * sizeof(T));
    }

    // SDM vol. 2, ENTER. Everything is stored relative to the old stack pointer; the registers change last, and nothing is stored
    // before every access has been probed.
    private static void Enter<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>
    {
        ulong mask = cpu.StackMask;
        ulong sp = cpu.State->Gpr[Gpr.Sp];
        ulong bp = cpu.State->Gpr[Gpr.Bp];
        int level = op->Imm2 & 31;
        ulong allocate = (ushort)op->Imm;
        ulong top = sp - (ulong)sizeof(T);
        ProbeFrame<T>(cpu, sp, bp, level, allocate);
        cpu.Write(Seg.Ss, top & mask, cpu.Reg<T>(Gpr.Bp));
        ulong frame = (sp & ~mask) | (top & mask);
        for (int nested = 1; nested < level; nested++)
        {
            bp -= (ulong)sizeof(T);
            top -= (ulong)sizeof(T);
            cpu.Write(Seg.Ss, top & mask, cpu.Read<T>(Seg.Ss, bp & mask));
        }
        if (level > 0)
        {
            top -= (ulong)sizeof(T);
            cpu.Write(Seg.Ss, top & mask, T.CreateTruncating(frame));
        }
        top -= allocate;
        cpu.AdjustSp((long)(top - sp));
        cpu.SetReg(Gpr.Bp, T.CreateTruncating(frame));
    }

    /// <summary>In the order of the accesses; the last is ENTER's own check, without a store, that the new top of the stack is writable.</summary>
    private static void ProbeFrame<T>(X86Cpu cpu, ulong sp, ulong bp, int level, ulong allocate)
        where T : unmanaged
    {
        ulong mask = cpu.StackMask;
        ulong size = (ulong)sizeof(T);
        for (int slot = 0; slot <= level; slot++)
        {
            if (slot != 0 && slot != level)
                cpu.ProbeRead(Seg.Ss, (bp - ((ulong)slot * size)) & mask, sizeof(T));
            cpu.ProbeWrite(Seg.Ss, (sp - ((ulong)(slot + 1) * size)) & mask, sizeof(T));
        }
        cpu.ProbeWrite(Seg.Ss, (sp - ((ulong)(level + 1) * size) - allocate) & mask, sizeof(T));
    }

    private static void Leave<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>
    {
        ulong mask = cpu.StackMask;
        ulong bp = cpu.State->Gpr[Gpr.Bp];
        T saved = cpu.Read<T>(Seg.Ss, bp & mask);
        cpu.AdjustSp((long)(bp - cpu.State->Gpr[Gpr.Sp] + (ulong)sizeof(T)));
        cpu.SetReg(Gpr.Bp, saved);
    }
}
