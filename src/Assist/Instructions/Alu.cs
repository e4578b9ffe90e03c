using System.Numerics;
using System.Runtime.CompilerServices;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions;

/// <summary>A two-operand arithmetic instruction: result and flags. <see cref="Writes"/> is false for CMP and TEST.</summary>
internal interface IBinaryOp
{
    static virtual bool Writes => true;

    static abstract T Apply<T>(X86Cpu cpu, T a, T b)
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>;
}

/// <summary>ADD, OR, ADC, SBB, AND, SUB, XOR, CMP and TEST in all their encodings (SDM vol. 2).</summary>
internal static unsafe class Alu
{
    public static void Register()
    {
        Rows<Add>(Code.Add_rm8_r8, Code.Add_rm8_imm8, Code.Add_rm16_imm16, Code.Add_rm8_imm8_82, Code.Add_rm16_imm8);
        Rows<Or>(Code.Or_rm8_r8, Code.Or_rm8_imm8, Code.Or_rm16_imm16, Code.Or_rm8_imm8_82, Code.Or_rm16_imm8);
        Rows<Adc>(Code.Adc_rm8_r8, Code.Adc_rm8_imm8, Code.Adc_rm16_imm16, Code.Adc_rm8_imm8_82, Code.Adc_rm16_imm8);
        Rows<Sbb>(Code.Sbb_rm8_r8, Code.Sbb_rm8_imm8, Code.Sbb_rm16_imm16, Code.Sbb_rm8_imm8_82, Code.Sbb_rm16_imm8);
        Rows<And>(Code.And_rm8_r8, Code.And_rm8_imm8, Code.And_rm16_imm16, Code.And_rm8_imm8_82, Code.And_rm16_imm8);
        Rows<Sub>(Code.Sub_rm8_r8, Code.Sub_rm8_imm8, Code.Sub_rm16_imm16, Code.Sub_rm8_imm8_82, Code.Sub_rm16_imm8);
        Rows<Xor>(Code.Xor_rm8_r8, Code.Xor_rm8_imm8, Code.Xor_rm16_imm16, Code.Xor_rm8_imm8_82, Code.Xor_rm16_imm8);
        Rows<Cmp>(Code.Cmp_rm8_r8, Code.Cmp_rm8_imm8, Code.Cmp_rm16_imm16, Code.Cmp_rm8_imm8_82, Code.Cmp_rm16_imm8);

        RmReg<Test>(Code.Test_rm8_r8);
        Accumulator<Test>(Code.Test_AL_imm8);
        RmImm<Test>(Code.Test_rm8_imm8, Code.Test_rm16_imm16);

        // F6 /1 and F7 /1 are aliases of /0 on every processor since the 8086 (AMD APM vol. 3, appendix A, note on group 3).
        InstructionTable.Register(Code.Test_rm8_imm8_F6r1, &RegImm<Test, byte>, &MemImm<Test, byte>);
        InstructionTable.Register(Code.Test_rm16_imm16_F7r1, &RegImm<Test, ushort>, &MemImm<Test, ushort>);
        InstructionTable.Register(Code.Test_rm32_imm32_F7r1, &RegImm<Test, uint>, &MemImm<Test, uint>);
        InstructionTable.Register(Code.Test_rm64_imm32_F7r1, &RegImm<Test, ulong>, &MemImm<Test, ulong>);
    }

    // Iced's codes of one mnemonic lie in opcode order: rm,r then r,rm then accumulator,imm, each by rising operand size.
    private static void Rows<TOp>(Code rowStart, Code rm8Imm8, Code rm16Imm16, Code rm8Imm8Alias, Code rm16Imm8)
        where TOp : struct, IBinaryOp
    {
        RmReg<TOp>(rowStart);
        InstructionTable.Register(rowStart + 4, &RegReg<TOp, byte>, &RegMem<TOp, byte>);
        InstructionTable.Register(rowStart + 5, &RegReg<TOp, ushort>, &RegMem<TOp, ushort>);
        InstructionTable.Register(rowStart + 6, &RegReg<TOp, uint>, &RegMem<TOp, uint>);
        InstructionTable.Register(rowStart + 7, &RegReg<TOp, ulong>, &RegMem<TOp, ulong>);
        Accumulator<TOp>(rowStart + 8);
        RmImm<TOp>(rm8Imm8, rm16Imm16);
        RmImm<TOp>(rm8Imm8Alias, rm16Imm8);
    }

    private static void RmReg<TOp>(Code first)
        where TOp : struct, IBinaryOp
    {
        InstructionTable.Register(first, &RegReg<TOp, byte>, &MemReg<TOp, byte>);
        InstructionTable.Register(first + 1, &RegReg<TOp, ushort>, &MemReg<TOp, ushort>);
        InstructionTable.Register(first + 2, &RegReg<TOp, uint>, &MemReg<TOp, uint>);
        InstructionTable.Register(first + 3, &RegReg<TOp, ulong>, &MemReg<TOp, ulong>);
    }

    private static void Accumulator<TOp>(Code first)
        where TOp : struct, IBinaryOp
    {
        InstructionTable.Register(first, &RegImm<TOp, byte>);
        InstructionTable.Register(first + 1, &RegImm<TOp, ushort>);
        InstructionTable.Register(first + 2, &RegImm<TOp, uint>);
        InstructionTable.Register(first + 3, &RegImm<TOp, ulong>);
    }

    private static void RmImm<TOp>(Code byteForm, Code wordForm)
        where TOp : struct, IBinaryOp
    {
        InstructionTable.Register(byteForm, &RegImm<TOp, byte>, &MemImm<TOp, byte>);
        InstructionTable.Register(wordForm, &RegImm<TOp, ushort>, &MemImm<TOp, ushort>);
        InstructionTable.Register(wordForm + 1, &RegImm<TOp, uint>, &MemImm<TOp, uint>);
        InstructionTable.Register(wordForm + 2, &RegImm<TOp, ulong>, &MemImm<TOp, ulong>);
    }

    private static void RegReg<TOp, T>(X86Cpu cpu, Op* op)
        where TOp : struct, IBinaryOp
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        T result = TOp.Apply(cpu, cpu.Reg<T>(op->Reg0), cpu.Reg<T>(op->Reg1));
        if (TOp.Writes)
            cpu.SetReg(op->Reg0, result);
    }

    private static void RegMem<TOp, T>(X86Cpu cpu, Op* op)
        where TOp : struct, IBinaryOp
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        T b = cpu.Read<T>(op->Segment, cpu.Ea(op));
        T result = TOp.Apply(cpu, cpu.Reg<T>(op->Reg0), b);
        if (TOp.Writes)
            cpu.SetReg(op->Reg0, result);
    }

    private static void RegImm<TOp, T>(X86Cpu cpu, Op* op)
        where TOp : struct, IBinaryOp
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        T result = TOp.Apply(cpu, cpu.Reg<T>(op->Reg0), *(T*)&op->Imm);
        if (TOp.Writes)
            cpu.SetReg(op->Reg0, result);
    }

    private static void MemReg<TOp, T>(X86Cpu cpu, Op* op)
        where TOp : struct, IBinaryOp
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T> => Mem<TOp, T>(cpu, op, cpu.Reg<T>(op->Reg1));

    private static void MemImm<TOp, T>(X86Cpu cpu, Op* op)
        where TOp : struct, IBinaryOp
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T> => Mem<TOp, T>(cpu, op, *(T*)&op->Imm);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Mem<TOp, T>(X86Cpu cpu, Op* op, T b)
        where TOp : struct, IBinaryOp
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        if (TOp.Writes)
        {
            T a = cpu.ReadRmw<T>(op->Segment, cpu.Ea(op));
            cpu.WriteRmw(TOp.Apply(cpu, a, b));
        }
        else
        {
            TOp.Apply(cpu, cpu.Read<T>(op->Segment, cpu.Ea(op)), b);
        }
    }

    internal readonly struct Add : IBinaryOp
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(X86Cpu cpu, T a, T b)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
        {
            T result = a + b;
            cpu.SetAdd(a, b, result);
            return result;
        }
    }

    internal readonly struct Adc : IBinaryOp
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(X86Cpu cpu, T a, T b)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
        {
            T result = a + b;
            if (cpu.Cf)
                result++;
            cpu.SetAdd(a, b, result);
            return result;
        }
    }

    internal readonly struct Sub : IBinaryOp
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(X86Cpu cpu, T a, T b)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
        {
            T result = a - b;
            cpu.SetSub(a, b, result);
            return result;
        }
    }

    internal readonly struct Sbb : IBinaryOp
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(X86Cpu cpu, T a, T b)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
        {
            T result = a - b;
            if (cpu.Cf)
                result--;
            cpu.SetSub(a, b, result);
            return result;
        }
    }

    internal readonly struct Cmp : IBinaryOp
    {
        public static bool Writes => false;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(X86Cpu cpu, T a, T b)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T> => Sub.Apply(cpu, a, b);
    }

    internal readonly struct And : IBinaryOp
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(X86Cpu cpu, T a, T b)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
        {
            T result = a & b;
            cpu.SetLogic(result);
            return result;
        }
    }

    internal readonly struct Or : IBinaryOp
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(X86Cpu cpu, T a, T b)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
        {
            T result = a | b;
            cpu.SetLogic(result);
            return result;
        }
    }

    internal readonly struct Xor : IBinaryOp
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(X86Cpu cpu, T a, T b)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
        {
            T result = a ^ b;
            cpu.SetLogic(result);
            return result;
        }
    }

    internal readonly struct Test : IBinaryOp
    {
        public static bool Writes => false;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(X86Cpu cpu, T a, T b)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T> => And.Apply(cpu, a, b);
    }
}
