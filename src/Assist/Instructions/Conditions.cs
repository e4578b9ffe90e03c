using System.Numerics;
using System.Runtime.CompilerServices;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions;

/// <summary>One of the sixteen conditions (SDM vol. 1, appendix B).</summary>
internal interface ICondition
{
    static abstract bool Test(X86Cpu cpu);
}

/// <summary>Jcc, SETcc, CMOVcc.</summary>
internal static unsafe class Conditions
{
    public static void Register()
    {
        Row<Overflow>(Code.Jo_rel8_16, Code.Jo_rel16, Code.Seto_rm8, Code.Cmovo_r16_rm16);
        Row<Not<Overflow>>(Code.Jno_rel8_16, Code.Jno_rel16, Code.Setno_rm8, Code.Cmovno_r16_rm16);
        Row<Below>(Code.Jb_rel8_16, Code.Jb_rel16, Code.Setb_rm8, Code.Cmovb_r16_rm16);
        Row<Not<Below>>(Code.Jae_rel8_16, Code.Jae_rel16, Code.Setae_rm8, Code.Cmovae_r16_rm16);
        Row<Equal>(Code.Je_rel8_16, Code.Je_rel16, Code.Sete_rm8, Code.Cmove_r16_rm16);
        Row<Not<Equal>>(Code.Jne_rel8_16, Code.Jne_rel16, Code.Setne_rm8, Code.Cmovne_r16_rm16);
        Row<BelowOrEqual>(Code.Jbe_rel8_16, Code.Jbe_rel16, Code.Setbe_rm8, Code.Cmovbe_r16_rm16);
        Row<Not<BelowOrEqual>>(Code.Ja_rel8_16, Code.Ja_rel16, Code.Seta_rm8, Code.Cmova_r16_rm16);
        Row<Sign>(Code.Js_rel8_16, Code.Js_rel16, Code.Sets_rm8, Code.Cmovs_r16_rm16);
        Row<Not<Sign>>(Code.Jns_rel8_16, Code.Jns_rel16, Code.Setns_rm8, Code.Cmovns_r16_rm16);
        Row<Parity>(Code.Jp_rel8_16, Code.Jp_rel16, Code.Setp_rm8, Code.Cmovp_r16_rm16);
        Row<Not<Parity>>(Code.Jnp_rel8_16, Code.Jnp_rel16, Code.Setnp_rm8, Code.Cmovnp_r16_rm16);
        Row<Less>(Code.Jl_rel8_16, Code.Jl_rel16, Code.Setl_rm8, Code.Cmovl_r16_rm16);
        Row<Not<Less>>(Code.Jge_rel8_16, Code.Jge_rel16, Code.Setge_rm8, Code.Cmovge_r16_rm16);
        Row<LessOrEqual>(Code.Jle_rel8_16, Code.Jle_rel16, Code.Setle_rm8, Code.Cmovle_r16_rm16);
        Row<Not<LessOrEqual>>(Code.Jg_rel8_16, Code.Jg_rel16, Code.Setg_rm8, Code.Cmovg_r16_rm16);
    }

    private static void Row<TCondition>(Code shortJump, Code nearJump, Code setcc, Code cmov)
        where TCondition : struct, ICondition
    {
        InstructionTable.Register(shortJump, &Jcc<TCondition, ushort>);
        InstructionTable.Register(shortJump + 1, &Jcc<TCondition, uint>);
        InstructionTable.Register(shortJump + 2, &Jcc<TCondition, ulong>);
        InstructionTable.Register(nearJump, &Jcc<TCondition, ushort>);
        InstructionTable.Register(nearJump + 1, &Jcc<TCondition, uint>);
        InstructionTable.Register(nearJump + 2, &Jcc<TCondition, ulong>);
        InstructionTable.Register(setcc, &SetccReg<TCondition>, &SetccMem<TCondition>);
        InstructionTable.Register(cmov, &CmovReg<TCondition, ushort>, &CmovMem<TCondition, ushort>);
        InstructionTable.Register(cmov + 1, &CmovReg<TCondition, uint>, &CmovMem<TCondition, uint>);
        InstructionTable.Register(cmov + 2, &CmovReg<TCondition, ulong>, &CmovMem<TCondition, ulong>);
    }

    private static void Jcc<TCondition, TIp>(X86Cpu cpu, Op* op)
        where TCondition : struct, ICondition
        where TIp : unmanaged, IBinaryInteger<TIp>, IUnsignedNumber<TIp>
    {
        if (TCondition.Test(cpu))
            Branches.JumpRelative<TIp>(cpu, op);
    }

    private static void SetccReg<TCondition>(X86Cpu cpu, Op* op)
        where TCondition : struct, ICondition => cpu.SetReg(op->Reg0, TCondition.Test(cpu) ? (byte)1 : (byte)0);

    private static void SetccMem<TCondition>(X86Cpu cpu, Op* op)
        where TCondition : struct, ICondition =>
        cpu.Write(op->Segment, cpu.Ea(op), TCondition.Test(cpu) ? (byte)1 : (byte)0);

    // A 32-bit CMOV clears the upper half of its destination even when the condition is false.
    private static void CmovReg<TCondition, T>(X86Cpu cpu, Op* op)
        where TCondition : struct, ICondition
        where T : unmanaged, IBinaryInteger<T> =>
        cpu.SetReg(op->Reg0, cpu.Reg<T>(TCondition.Test(cpu) ? op->Reg1 : op->Reg0));

    // The load happens, and faults, whatever the condition.
    private static void CmovMem<TCondition, T>(X86Cpu cpu, Op* op)
        where TCondition : struct, ICondition
        where T : unmanaged, IBinaryInteger<T>
    {
        T source = cpu.Read<T>(op->Segment, cpu.Ea(op));
        cpu.SetReg(op->Reg0, TCondition.Test(cpu) ? source : cpu.Reg<T>(op->Reg0));
    }

    private readonly struct Not<TCondition> : ICondition
        where TCondition : struct, ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Test(X86Cpu cpu) => !TCondition.Test(cpu);
    }

    private readonly struct Overflow : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Test(X86Cpu cpu) => cpu.Condition(0);
    }

    private readonly struct Below : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Test(X86Cpu cpu) => cpu.Condition(2);
    }

    private readonly struct Equal : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Test(X86Cpu cpu) => cpu.Condition(4);
    }

    private readonly struct BelowOrEqual : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Test(X86Cpu cpu) => cpu.Condition(6);
    }

    private readonly struct Sign : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Test(X86Cpu cpu) => cpu.Condition(8);
    }

    private readonly struct Parity : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Test(X86Cpu cpu) => cpu.Condition(10);
    }

    private readonly struct Less : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Test(X86Cpu cpu) => cpu.Condition(12);
    }

    private readonly struct LessOrEqual : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Test(X86Cpu cpu) => cpu.Condition(14);
    }
}
