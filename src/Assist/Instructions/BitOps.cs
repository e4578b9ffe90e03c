using System.Numerics;
using System.Runtime.CompilerServices;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions;

/// <summary>
/// BT, BTS, BTR, BTC, BSF, BSR, POPCNT. BT and its kin change CF alone. BSF and BSR of zero keep their destination, as all
/// processors do.
/// </summary>
internal static unsafe class BitOps
{
    public static void Register()
    {
        Row<Test>(Code.Bt_rm16_r16, Code.Bt_rm16_imm8);
        Row<Set>(Code.Bts_rm16_r16, Code.Bts_rm16_imm8);
        Row<Reset>(Code.Btr_rm16_r16, Code.Btr_rm16_imm8);
        Row<Complement>(Code.Btc_rm16_r16, Code.Btc_rm16_imm8);
        Scan<Forward>(Code.Bsf_r16_rm16);
        Scan<Reverse>(Code.Bsr_r16_rm16);
        Scan<PopulationCount>(Code.Popcnt_r16_rm16);

        // No model has LZCNT or BMI1: the F3 prefix means nothing there.
        Scan<Reverse>(Code.Lzcnt_r16_rm16);
        Scan<Forward>(Code.Tzcnt_r16_rm16);
    }

    private static void Row<TOp>(Code byReg, Code byImm)
        where TOp : struct, IBitOp
    {
        InstructionTable.Register(byReg, &RegReg<TOp, ushort>, &MemReg<TOp, ushort>);
        InstructionTable.Register(byReg + 1, &RegReg<TOp, uint>, &MemReg<TOp, uint>);
        InstructionTable.Register(byReg + 2, &RegReg<TOp, ulong>, &MemReg<TOp, ulong>);
        InstructionTable.Register(byImm, &RegImm<TOp, ushort>, &MemImm<TOp, ushort>);
        InstructionTable.Register(byImm + 1, &RegImm<TOp, uint>, &MemImm<TOp, uint>);
        InstructionTable.Register(byImm + 2, &RegImm<TOp, ulong>, &MemImm<TOp, ulong>);
    }

    private static void Scan<TOp>(Code r16Rm16)
        where TOp : struct, IScan
    {
        InstructionTable.Register(r16Rm16, &ScanReg<TOp, ushort>, &ScanMem<TOp, ushort>);
        InstructionTable.Register(r16Rm16 + 1, &ScanReg<TOp, uint>, &ScanMem<TOp, uint>);
        InstructionTable.Register(r16Rm16 + 2, &ScanReg<TOp, ulong>, &ScanMem<TOp, ulong>);
    }

    private static void RegReg<TOp, T>(X86Cpu cpu, Op* op)
        where TOp : struct, IBitOp
        where T : unmanaged, IBinaryInteger<T> => InRegister<TOp, T>(cpu, op, int.CreateTruncating(cpu.Reg<T>(op->Reg1)));

    private static void RegImm<TOp, T>(X86Cpu cpu, Op* op)
        where TOp : struct, IBitOp
        where T : unmanaged, IBinaryInteger<T> => InRegister<TOp, T>(cpu, op, (int)op->Imm);

    private static void MemImm<TOp, T>(X86Cpu cpu, Op* op)
        where TOp : struct, IBitOp
        where T : unmanaged, IBinaryInteger<T> => InMemory<TOp, T>(cpu, op, cpu.Ea(op), (int)op->Imm);

    // A register gives a signed bit offset into a string that extends both ways from the address.
    private static void MemReg<TOp, T>(X86Cpu cpu, Op* op)
        where TOp : struct, IBitOp
        where T : unmanaged, IBinaryInteger<T>
    {
        long bit = Bits.Signed(cpu.Reg<T>(op->Reg1));
        long unit = bit >> BitOperations.Log2((uint)sizeof(T) * 8);
        InMemory<TOp, T>(cpu, op, (cpu.Ea(op) + (ulong)(unit * sizeof(T))) & op->AddressMask, (int)bit);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void InRegister<TOp, T>(X86Cpu cpu, Op* op, int bit)
        where TOp : struct, IBitOp
        where T : unmanaged, IBinaryInteger<T>
    {
        T value = cpu.Reg<T>(op->Reg0);
        T mask = T.One << (bit & ((sizeof(T) * 8) - 1));
        cpu.Cf = (value & mask) != T.Zero;
        if (TOp.Writes)
            cpu.SetReg(op->Reg0, TOp.Apply(value, mask));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void InMemory<TOp, T>(X86Cpu cpu, Op* op, ulong offset, int bit)
        where TOp : struct, IBitOp
        where T : unmanaged, IBinaryInteger<T>
    {
        T value = TOp.Writes ? cpu.ReadRmw<T>(op->Segment, offset) : cpu.Read<T>(op->Segment, offset);
        T mask = T.One << (bit & ((sizeof(T) * 8) - 1));
        cpu.Cf = (value & mask) != T.Zero;
        if (TOp.Writes)
            cpu.WriteRmw(TOp.Apply(value, mask));
    }

    private static void ScanReg<TOp, T>(X86Cpu cpu, Op* op)
        where TOp : struct, IScan
        where T : unmanaged, IBinaryInteger<T> => TOp.Apply(cpu, op, cpu.Reg<T>(op->Reg1));

    private static void ScanMem<TOp, T>(X86Cpu cpu, Op* op)
        where TOp : struct, IScan
        where T : unmanaged, IBinaryInteger<T> => TOp.Apply(cpu, op, cpu.Read<T>(op->Segment, cpu.Ea(op)));

    private interface IBitOp
    {
        static virtual bool Writes => true;

        static abstract T Apply<T>(T value, T mask)
            where T : unmanaged, IBinaryInteger<T>;
    }

    private readonly struct Test : IBitOp
    {
        public static bool Writes => false;

        public static T Apply<T>(T value, T mask)
            where T : unmanaged, IBinaryInteger<T> => value;
    }

    private readonly struct Set : IBitOp
    {
        public static T Apply<T>(T value, T mask)
            where T : unmanaged, IBinaryInteger<T> => value | mask;
    }

    private readonly struct Reset : IBitOp
    {
        public static T Apply<T>(T value, T mask)
            where T : unmanaged, IBinaryInteger<T> => value & ~mask;
    }

    private readonly struct Complement : IBitOp
    {
        public static T Apply<T>(T value, T mask)
            where T : unmanaged, IBinaryInteger<T> => value ^ mask;
    }

    private interface IScan
    {
        static abstract void Apply<T>(X86Cpu cpu, Op* op, T source)
            where T : unmanaged, IBinaryInteger<T>;
    }

    private readonly struct Forward : IScan
    {
        public static void Apply<T>(X86Cpu cpu, Op* op, T source)
            where T : unmanaged, IBinaryInteger<T>
        {
            cpu.Zf = source == T.Zero;
            if (source != T.Zero)
                cpu.SetReg(op->Reg0, T.TrailingZeroCount(source));
        }
    }

    private readonly struct Reverse : IScan
    {
        public static void Apply<T>(X86Cpu cpu, Op* op, T source)
            where T : unmanaged, IBinaryInteger<T>
        {
            cpu.Zf = source == T.Zero;
            if (source != T.Zero)
                cpu.SetReg(op->Reg0, T.CreateTruncating((sizeof(T) * 8) - 1) - T.LeadingZeroCount(source));
        }
    }

    private readonly struct PopulationCount : IScan
    {
        public static void Apply<T>(X86Cpu cpu, Op* op, T source)
            where T : unmanaged, IBinaryInteger<T>
        {
            cpu.SetReg(op->Reg0, T.PopCount(source));
            cpu.ArithmeticFlags = source == T.Zero ? Eflags.ZF : 0;
        }
    }
}
