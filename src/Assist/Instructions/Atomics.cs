using System.Numerics;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions;

/// <summary>XADD, CMPXCHG, CMPXCHG8B, CMPXCHG16B.</summary>
internal static unsafe class Atomics
{
    public static void Register()
    {
        Row<byte>(Code.Xadd_rm8_r8, Code.Cmpxchg_rm8_r8);
        Row<ushort>(Code.Xadd_rm16_r16, Code.Cmpxchg_rm16_r16);
        Row<uint>(Code.Xadd_rm32_r32, Code.Cmpxchg_rm32_r32);
        Row<ulong>(Code.Xadd_rm64_r64, Code.Cmpxchg_rm64_r64);
        InstructionTable.Register(Code.Cmpxchg8b_m64, &Cmpxchg8b);
        InstructionTable.Register(Code.Cmpxchg16b_m128, &Cmpxchg16b);
    }

    private static void Row<T>(Code xadd, Code cmpxchg)
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        InstructionTable.Register(xadd, &Xadd<T>, &XaddMem<T>);
        InstructionTable.Register(cmpxchg, &CmpxchgReg<T>, &CmpxchgMem<T>);
    }

    private static void Xadd<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        T destination = cpu.Reg<T>(op->Reg0);
        T sum = Alu.Add.Apply(cpu, destination, cpu.Reg<T>(op->Reg1));
        cpu.SetReg(op->Reg1, destination);
        cpu.SetReg(op->Reg0, sum);
    }

    private static void XaddMem<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        T destination = cpu.ReadRmw<T>(op->Segment, cpu.Ea(op));
        cpu.WriteRmw(Alu.Add.Apply(cpu, destination, cpu.Reg<T>(op->Reg1)));
        cpu.SetReg(op->Reg1, destination);
    }

    private static void CmpxchgReg<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        T destination = cpu.Reg<T>(op->Reg0);
        T accumulator = cpu.Reg<T>(Gpr.Ax);
        Alu.Sub.Apply(cpu, accumulator, destination);
        if (accumulator == destination)
        {
            cpu.SetReg(op->Reg0, cpu.Reg<T>(op->Reg1));
        }
        else
        {
            cpu.SetReg(op->Reg0, destination);
            cpu.SetReg(Gpr.Ax, destination);
        }
    }

    // The destination is written, and must be writable, even when the comparison fails.
    private static void CmpxchgMem<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        T destination = cpu.ReadRmw<T>(op->Segment, cpu.Ea(op));
        T accumulator = cpu.Reg<T>(Gpr.Ax);
        Alu.Sub.Apply(cpu, accumulator, destination);
        if (accumulator == destination)
        {
            cpu.WriteRmw(cpu.Reg<T>(op->Reg1));
        }
        else
        {
            cpu.WriteRmw(destination);
            cpu.SetReg(Gpr.Ax, destination);
        }
    }

    private static void Cmpxchg8b(X86Cpu cpu, Op* op)
    {
        ulong destination = cpu.ReadRmw<ulong>(op->Segment, cpu.Ea(op));
        ulong expected = ((ulong)cpu.Reg<uint>(Gpr.Dx) << 32) | cpu.Reg<uint>(Gpr.Ax);
        bool equal = destination == expected;
        cpu.Zf = equal;
        cpu.WriteRmw(equal ? ((ulong)cpu.Reg<uint>(Gpr.Cx) << 32) | cpu.Reg<uint>(Gpr.Bx) : destination);
        if (equal)
            return;
        cpu.SetReg(Gpr.Ax, (uint)destination);
        cpu.SetReg(Gpr.Dx, (uint)(destination >> 32));
    }

    private static void Cmpxchg16b(X86Cpu cpu, Op* op)
    {
        ulong offset = cpu.Ea(op);
        if ((offset & 15) != 0)
            throw cpu.Fault(Vectors.GP, 0);
        UInt128 destination = cpu.ReadRmw<UInt128>(op->Segment, offset);
        UInt128 expected = new(cpu.Reg<ulong>(Gpr.Dx), cpu.Reg<ulong>(Gpr.Ax));
        bool equal = destination == expected;
        cpu.Zf = equal;
        cpu.WriteRmw(equal ? new UInt128(cpu.Reg<ulong>(Gpr.Cx), cpu.Reg<ulong>(Gpr.Bx)) : destination);
        if (equal)
            return;
        cpu.SetReg(Gpr.Ax, (ulong)destination);
        cpu.SetReg(Gpr.Dx, (ulong)(destination >> 64));
    }
}
