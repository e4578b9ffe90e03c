using System.Numerics;
using System.Runtime.CompilerServices;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions;

/// <summary>A one-operand read-modify-write instruction.</summary>
internal interface IUnaryOp
{
    static abstract T Apply<T>(X86Cpu cpu, T a)
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>;
}

/// <summary>INC, DEC, NEG, NOT.</summary>
internal static unsafe class Unary
{
    public static void Register()
    {
        Row<Inc>(Code.Inc_rm8, Code.Inc_rm16);
        Row<Dec>(Code.Dec_rm8, Code.Dec_rm16);
        Row<Neg>(Code.Neg_rm8, Code.Neg_rm16);
        Row<Not>(Code.Not_rm8, Code.Not_rm16);
        InstructionTable.Register(Code.Inc_r16, &Reg<Inc, ushort>);
        InstructionTable.Register(Code.Inc_r32, &Reg<Inc, uint>);
        InstructionTable.Register(Code.Dec_r16, &Reg<Dec, ushort>);
        InstructionTable.Register(Code.Dec_r32, &Reg<Dec, uint>);
    }

    private static void Row<TOp>(Code rm8, Code rm16)
        where TOp : struct, IUnaryOp
    {
        InstructionTable.Register(rm8, &Reg<TOp, byte>, &Mem<TOp, byte>);
        InstructionTable.Register(rm16, &Reg<TOp, ushort>, &Mem<TOp, ushort>);
        InstructionTable.Register(rm16 + 1, &Reg<TOp, uint>, &Mem<TOp, uint>);
        InstructionTable.Register(rm16 + 2, &Reg<TOp, ulong>, &Mem<TOp, ulong>);
    }

    private static void Reg<TOp, T>(X86Cpu cpu, Op* op)
        where TOp : struct, IUnaryOp
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T> =>
        cpu.SetReg(op->Reg0, TOp.Apply(cpu, cpu.Reg<T>(op->Reg0)));

    private static void Mem<TOp, T>(X86Cpu cpu, Op* op)
        where TOp : struct, IUnaryOp
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        T a = cpu.ReadRmw<T>(op->Segment, cpu.Ea(op));
        cpu.WriteRmw(TOp.Apply(cpu, a));
    }

    private readonly struct Inc : IUnaryOp
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(X86Cpu cpu, T a)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
        {
            T result = a + T.One;
            cpu.SetInc(result);
            return result;
        }
    }

    private readonly struct Dec : IUnaryOp
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(X86Cpu cpu, T a)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
        {
            T result = a - T.One;
            cpu.SetDec(result);
            return result;
        }
    }

    private readonly struct Neg : IUnaryOp
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(X86Cpu cpu, T a)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
        {
            T result = T.Zero - a;
            cpu.SetSub(T.Zero, a, result);
            return result;
        }
    }

    private readonly struct Not : IUnaryOp
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(X86Cpu cpu, T a)
            where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T> => ~a;
    }
}
