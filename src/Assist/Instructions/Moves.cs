using System.Numerics;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions;

/// <summary>MOV (general registers, memory, immediates), MOVZX, MOVSX, MOVSXD, MOVNTI, LEA, XCHG, XLAT, BSWAP, CBW and kin, CWD and kin.</summary>
internal static unsafe class Moves
{
    public static void Register()
    {
        Sized<byte>(Code.Mov_rm8_r8, Code.Mov_r8_rm8, Code.Mov_AL_moffs8, Code.Mov_moffs8_AL, Code.Mov_r8_imm8, Code.Mov_rm8_imm8);
        Sized<ushort>(Code.Mov_rm16_r16, Code.Mov_r16_rm16, Code.Mov_AX_moffs16, Code.Mov_moffs16_AX, Code.Mov_r16_imm16, Code.Mov_rm16_imm16);
        Sized<uint>(Code.Mov_rm32_r32, Code.Mov_r32_rm32, Code.Mov_EAX_moffs32, Code.Mov_moffs32_EAX, Code.Mov_r32_imm32, Code.Mov_rm32_imm32);
        Sized<ulong>(Code.Mov_rm64_r64, Code.Mov_r64_rm64, Code.Mov_RAX_moffs64, Code.Mov_moffs64_RAX, Code.Mov_r64_imm64, Code.Mov_rm64_imm32);
        InstructionTable.Register(Code.Movnti_m32_r32, &Store<uint>);
        InstructionTable.Register(Code.Movnti_m64_r64, &Store<ulong>);

        InstructionTable.Register(Code.Movzx_r16_rm8, &ZeroExtend<ushort, byte>, &ZeroExtendMem<ushort, byte>);
        InstructionTable.Register(Code.Movzx_r32_rm8, &ZeroExtend<uint, byte>, &ZeroExtendMem<uint, byte>);
        InstructionTable.Register(Code.Movzx_r64_rm8, &ZeroExtend<ulong, byte>, &ZeroExtendMem<ulong, byte>);
        InstructionTable.Register(Code.Movzx_r16_rm16, &ZeroExtend<ushort, ushort>, &ZeroExtendMem<ushort, ushort>);
        InstructionTable.Register(Code.Movzx_r32_rm16, &ZeroExtend<uint, ushort>, &ZeroExtendMem<uint, ushort>);
        InstructionTable.Register(Code.Movzx_r64_rm16, &ZeroExtend<ulong, ushort>, &ZeroExtendMem<ulong, ushort>);
        InstructionTable.Register(Code.Movsx_r16_rm8, &SignExtend<ushort, byte>, &SignExtendMem<ushort, byte>);
        InstructionTable.Register(Code.Movsx_r32_rm8, &SignExtend<uint, byte>, &SignExtendMem<uint, byte>);
        InstructionTable.Register(Code.Movsx_r64_rm8, &SignExtend<ulong, byte>, &SignExtendMem<ulong, byte>);
        InstructionTable.Register(Code.Movsx_r16_rm16, &SignExtend<ushort, ushort>, &SignExtendMem<ushort, ushort>);
        InstructionTable.Register(Code.Movsx_r32_rm16, &SignExtend<uint, ushort>, &SignExtendMem<uint, ushort>);
        InstructionTable.Register(Code.Movsx_r64_rm16, &SignExtend<ulong, ushort>, &SignExtendMem<ulong, ushort>);
        InstructionTable.Register(Code.Movsxd_r16_rm16, &SignExtend<ushort, ushort>, &SignExtendMem<ushort, ushort>);
        InstructionTable.Register(Code.Movsxd_r32_rm32, &SignExtend<uint, uint>, &SignExtendMem<uint, uint>);
        InstructionTable.Register(Code.Movsxd_r64_rm32, &SignExtend<ulong, uint>, &SignExtendMem<ulong, uint>);

        InstructionTable.Register(Code.Lea_r16_m, &Lea<ushort>);
        InstructionTable.Register(Code.Lea_r32_m, &Lea<uint>);
        InstructionTable.Register(Code.Lea_r64_m, &Lea<ulong>);

        InstructionTable.Register(Code.Xchg_rm8_r8, &Xchg<byte>, &XchgMem<byte>);
        InstructionTable.Register(Code.Xchg_rm16_r16, &Xchg<ushort>, &XchgMem<ushort>);
        InstructionTable.Register(Code.Xchg_rm32_r32, &Xchg<uint>, &XchgMem<uint>);
        InstructionTable.Register(Code.Xchg_rm64_r64, &Xchg<ulong>, &XchgMem<ulong>);
        InstructionTable.Register(Code.Xchg_r16_AX, &Xchg<ushort>);
        InstructionTable.Register(Code.Xchg_r32_EAX, &Xchg<uint>);
        InstructionTable.Register(Code.Xchg_r64_RAX, &Xchg<ulong>);

        InstructionTable.Register(Code.Xlat_m8, &Xlat);
        InstructionTable.Register(Code.Bswap_r16, &Bswap16);
        InstructionTable.Register(Code.Bswap_r32, &Bswap32);
        InstructionTable.Register(Code.Bswap_r64, &Bswap64);
        InstructionTable.Register(Code.Cbw, &Cbw);
        InstructionTable.Register(Code.Cwde, &Cwde);
        InstructionTable.Register(Code.Cdqe, &Cdqe);
        InstructionTable.Register(Code.Cwd, &SignToDx<ushort>);
        InstructionTable.Register(Code.Cdq, &SignToDx<uint>);
        InstructionTable.Register(Code.Cqo, &SignToDx<ulong>);
    }

    private static void Sized<T>(Code rmReg, Code regRm, Code accumulatorOffset, Code offsetAccumulator, Code regImm, Code rmImm)
        where T : unmanaged, IBinaryInteger<T>
    {
        InstructionTable.Register(rmReg, &Move<T>, &Store<T>);
        InstructionTable.Register(regRm, &Move<T>, &Load<T>);
        InstructionTable.Register(accumulatorOffset, &Load<T>);
        InstructionTable.Register(offsetAccumulator, &Store<T>);
        InstructionTable.Register(regImm, &LoadImm<T>);
        InstructionTable.Register(rmImm, &LoadImm<T>, &StoreImm<T>);
    }

    private static void Move<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T> => cpu.SetReg(op->Reg0, cpu.Reg<T>(op->Reg1));

    private static void Load<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T> => cpu.SetReg(op->Reg0, cpu.Read<T>(op->Segment, cpu.Ea(op)));

    private static void Store<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T> => cpu.Write(op->Segment, cpu.Ea(op), cpu.Reg<T>(op->Reg1));

    private static void LoadImm<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T> => cpu.SetReg(op->Reg0, *(T*)&op->Imm);

    private static void StoreImm<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T> => cpu.Write(op->Segment, cpu.Ea(op), *(T*)&op->Imm);

    private static void ZeroExtend<TTo, TFrom>(X86Cpu cpu, Op* op)
        where TTo : unmanaged, IBinaryInteger<TTo>
        where TFrom : unmanaged, IBinaryInteger<TFrom> =>
        cpu.SetReg(op->Reg0, TTo.CreateTruncating(cpu.Reg<TFrom>(op->Reg1)));

    private static void ZeroExtendMem<TTo, TFrom>(X86Cpu cpu, Op* op)
        where TTo : unmanaged, IBinaryInteger<TTo>
        where TFrom : unmanaged, IBinaryInteger<TFrom> =>
        cpu.SetReg(op->Reg0, TTo.CreateTruncating(cpu.Read<TFrom>(op->Segment, cpu.Ea(op))));

    private static void SignExtend<TTo, TFrom>(X86Cpu cpu, Op* op)
        where TTo : unmanaged, IBinaryInteger<TTo>
        where TFrom : unmanaged, IBinaryInteger<TFrom> =>
        cpu.SetReg(op->Reg0, TTo.CreateTruncating(Bits.Signed(cpu.Reg<TFrom>(op->Reg1))));

    private static void SignExtendMem<TTo, TFrom>(X86Cpu cpu, Op* op)
        where TTo : unmanaged, IBinaryInteger<TTo>
        where TFrom : unmanaged, IBinaryInteger<TFrom> =>
        cpu.SetReg(op->Reg0, TTo.CreateTruncating(Bits.Signed(cpu.Read<TFrom>(op->Segment, cpu.Ea(op)))));

    private static void Lea<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T> => cpu.SetReg(op->Reg0, T.CreateTruncating(cpu.Ea(op)));

    private static void Xchg<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>
    {
        T first = cpu.Reg<T>(op->Reg0);
        T second = cpu.Reg<T>(op->Reg1);
        cpu.SetReg(op->Reg0, second);
        cpu.SetReg(op->Reg1, first);
    }

    private static void XchgMem<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>
    {
        T old = cpu.ReadRmw<T>(op->Segment, cpu.Ea(op));
        cpu.WriteRmw(cpu.Reg<T>(op->Reg1));
        cpu.SetReg(op->Reg1, old);
    }

    private static void Xlat(X86Cpu cpu, Op* op)
    {
        ulong offset = (cpu.Reg<ulong>(Gpr.Bx) + cpu.Reg<byte>(Gpr.Ax)) & op->AddressMask;
        cpu.SetReg(Gpr.Ax, cpu.Read<byte>(op->Segment, offset));
    }

    // Undefined by the manual; Intel and AMD processors clear the word.
    private static void Bswap16(X86Cpu cpu, Op* op) => cpu.SetReg(op->Reg0, (ushort)0);

    private static void Bswap32(X86Cpu cpu, Op* op) =>
        cpu.SetReg(op->Reg0, System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(cpu.Reg<uint>(op->Reg0)));

    private static void Bswap64(X86Cpu cpu, Op* op) =>
        cpu.SetReg(op->Reg0, System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(cpu.Reg<ulong>(op->Reg0)));

    private static void Cbw(X86Cpu cpu, Op* op) => cpu.SetReg(Gpr.Ax, (ushort)(sbyte)cpu.Reg<byte>(Gpr.Ax));

    private static void Cwde(X86Cpu cpu, Op* op) => cpu.SetReg(Gpr.Ax, (uint)(short)cpu.Reg<ushort>(Gpr.Ax));

    private static void Cdqe(X86Cpu cpu, Op* op) => cpu.SetReg(Gpr.Ax, (ulong)(int)cpu.Reg<uint>(Gpr.Ax));

    private static void SignToDx<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T> =>
        cpu.SetReg(Gpr.Dx, Bits.Msb(cpu.Reg<T>(Gpr.Ax)) ? T.AllBitsSet : T.Zero);
}
