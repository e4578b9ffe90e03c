using System.Numerics;
using System.Runtime.CompilerServices;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions;

/// <summary>Near CALL, JMP, RET, LOOPcc and JCXZ. The type parameter TIp is the width that the operand size gives the instruction pointer.</summary>
internal static unsafe class Branches
{
    public static void Register()
    {
        InstructionTable.Register(Code.Jmp_rel8_16, &JumpRelative<ushort>);
        InstructionTable.Register(Code.Jmp_rel8_32, &JumpRelative<uint>);
        InstructionTable.Register(Code.Jmp_rel8_64, &JumpRelative<ulong>);
        InstructionTable.Register(Code.Jmp_rel16, &JumpRelative<ushort>);
        InstructionTable.Register(Code.Jmp_rel32_32, &JumpRelative<uint>);
        InstructionTable.Register(Code.Jmp_rel32_64, &JumpRelative<ulong>);
        InstructionTable.Register(Code.Call_rel16, &CallRelative<ushort>);
        InstructionTable.Register(Code.Call_rel32_32, &CallRelative<uint>);
        InstructionTable.Register(Code.Call_rel32_64, &CallRelative<ulong>);
        Indirect<ushort>(Code.Jmp_rm16, Code.Call_rm16, Code.Retnw, Code.Retnw_imm16);
        Indirect<uint>(Code.Jmp_rm32, Code.Call_rm32, Code.Retnd, Code.Retnd_imm16);
        Indirect<ulong>(Code.Jmp_rm64, Code.Call_rm64, Code.Retnq, Code.Retnq_imm16);
        Loops<Always>(Code.Loop_rel8_16_CX);
        Loops<WhileEqual>(Code.Loope_rel8_16_CX);
        Loops<WhileNotEqual>(Code.Loopne_rel8_16_CX);
        InstructionTable.Register(Code.Jcxz_rel8_16, &JumpIfZero<ushort, ushort>);
        InstructionTable.Register(Code.Jcxz_rel8_32, &JumpIfZero<ushort, uint>);
        InstructionTable.Register(Code.Jecxz_rel8_16, &JumpIfZero<uint, ushort>);
        InstructionTable.Register(Code.Jecxz_rel8_32, &JumpIfZero<uint, uint>);
        InstructionTable.Register(Code.Jecxz_rel8_64, &JumpIfZero<uint, ulong>);
        InstructionTable.Register(Code.Jrcxz_rel8_16, &JumpIfZero<ulong, ushort>);
        InstructionTable.Register(Code.Jrcxz_rel8_64, &JumpIfZero<ulong, ulong>);
    }

    /// <summary>Goes to RIP + displacement; #GP(0), with nothing changed, when that lies outside CS.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void JumpRelative<TIp>(X86Cpu cpu, Op* op)
        where TIp : unmanaged, IBinaryInteger<TIp>, IUnsignedNumber<TIp> =>
        cpu.State->Rip = Checked(cpu, Target<TIp>(cpu, op));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TIp Target<TIp>(X86Cpu cpu, Op* op)
        where TIp : unmanaged, IBinaryInteger<TIp>, IUnsignedNumber<TIp> =>
        TIp.CreateTruncating(cpu.State->Rip + (ulong)op->Imm);

    // A target of 64 bits occurs in 64-bit mode only, where it must be canonical; elsewhere it must lie within the limit of CS.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Checked<TIp>(X86Cpu cpu, TIp target)
        where TIp : unmanaged, IBinaryInteger<TIp>, IUnsignedNumber<TIp>
    {
        ulong rip = ulong.CreateTruncating(target);
        if (sizeof(TIp) == 8 ? (ulong)((long)(rip << 16) >> 16) != rip : rip > cpu.State->Cs.Limit)
            throw cpu.Fault(Vectors.GP, 0);
        return rip;
    }

    private static void Indirect<TIp>(Code jump, Code call, Code ret, Code retImm)
        where TIp : unmanaged, IBinaryInteger<TIp>, IUnsignedNumber<TIp>
    {
        InstructionTable.Register(jump, &JumpReg<TIp>, &JumpMem<TIp>);
        InstructionTable.Register(call, &CallReg<TIp>, &CallMem<TIp>);
        InstructionTable.Register(ret, &Return<TIp>);
        InstructionTable.Register(retImm, &Return<TIp>);
    }

    private static void JumpReg<TIp>(X86Cpu cpu, Op* op)
        where TIp : unmanaged, IBinaryInteger<TIp>, IUnsignedNumber<TIp> =>
        cpu.State->Rip = Checked(cpu, cpu.Reg<TIp>(op->Reg0));

    private static void JumpMem<TIp>(X86Cpu cpu, Op* op)
        where TIp : unmanaged, IBinaryInteger<TIp>, IUnsignedNumber<TIp> =>
        cpu.State->Rip = Checked(cpu, cpu.Read<TIp>(op->Segment, cpu.Ea(op)));

    private static void CallRelative<TIp>(X86Cpu cpu, Op* op)
        where TIp : unmanaged, IBinaryInteger<TIp>, IUnsignedNumber<TIp> => Call(cpu, Target<TIp>(cpu, op));

    private static void CallReg<TIp>(X86Cpu cpu, Op* op)
        where TIp : unmanaged, IBinaryInteger<TIp>, IUnsignedNumber<TIp> => Call(cpu, cpu.Reg<TIp>(op->Reg0));

    private static void CallMem<TIp>(X86Cpu cpu, Op* op)
        where TIp : unmanaged, IBinaryInteger<TIp>, IUnsignedNumber<TIp> =>
        Call(cpu, cpu.Read<TIp>(op->Segment, cpu.Ea(op)));

    private static void Call<TIp>(X86Cpu cpu, TIp target)
        where TIp : unmanaged, IBinaryInteger<TIp>, IUnsignedNumber<TIp>
    {
        ulong rip = Checked(cpu, target);
        cpu.Push(TIp.CreateTruncating(cpu.State->Rip));
        cpu.State->Rip = rip;
    }

    private static void Return<TIp>(X86Cpu cpu, Op* op)
        where TIp : unmanaged, IBinaryInteger<TIp>, IUnsignedNumber<TIp>
    {
        ulong rip = Checked(cpu, cpu.Peek<TIp>(0));
        cpu.AdjustSp(sizeof(TIp) + (ushort)op->Imm);
        cpu.State->Rip = rip;
    }

    // Iced orders each LOOP mnemonic: CX with 16- and 32-bit operand size, ECX with 16, 32, 64, RCX with 16, 64.
    private static void Loops<TCondition>(Code first)
        where TCondition : struct, ICondition
    {
        InstructionTable.Register(first, &Loop<TCondition, ushort, ushort>);
        InstructionTable.Register(first + 1, &Loop<TCondition, ushort, uint>);
        InstructionTable.Register(first + 2, &Loop<TCondition, uint, ushort>);
        InstructionTable.Register(first + 3, &Loop<TCondition, uint, uint>);
        InstructionTable.Register(first + 4, &Loop<TCondition, uint, ulong>);
        InstructionTable.Register(first + 5, &Loop<TCondition, ulong, ushort>);
        InstructionTable.Register(first + 6, &Loop<TCondition, ulong, ulong>);
    }

    private static void Loop<TCondition, TCount, TIp>(X86Cpu cpu, Op* op)
        where TCondition : struct, ICondition
        where TCount : unmanaged, IBinaryInteger<TCount>
        where TIp : unmanaged, IBinaryInteger<TIp>, IUnsignedNumber<TIp>
    {
        TCount count = cpu.Reg<TCount>(Gpr.Cx) - TCount.One;
        if (count != TCount.Zero && TCondition.Test(cpu))
            JumpRelative<TIp>(cpu, op);
        cpu.SetReg(Gpr.Cx, count);
    }

    private static void JumpIfZero<TCount, TIp>(X86Cpu cpu, Op* op)
        where TCount : unmanaged, IBinaryInteger<TCount>
        where TIp : unmanaged, IBinaryInteger<TIp>, IUnsignedNumber<TIp>
    {
        if (cpu.Reg<TCount>(Gpr.Cx) == TCount.Zero)
            JumpRelative<TIp>(cpu, op);
    }

    private readonly struct Always : ICondition
    {
        public static bool Test(X86Cpu cpu) => true;
    }

    private readonly struct WhileEqual : ICondition
    {
        public static bool Test(X86Cpu cpu) => cpu.Zf;
    }

    private readonly struct WhileNotEqual : ICondition
    {
        public static bool Test(X86Cpu cpu) => !cpu.Zf;
    }
}
