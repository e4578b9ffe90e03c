using System.Numerics;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions;

/// <summary>IN and OUT. The string forms are among <see cref="Strings"/>.</summary>
internal static unsafe class PortIo
{
    public static void Register()
    {
        InstructionTable.Register(Code.In_AL_imm8, &InImm<byte>);
        InstructionTable.Register(Code.In_AX_imm8, &InImm<ushort>);
        InstructionTable.Register(Code.In_EAX_imm8, &InImm<uint>);
        InstructionTable.Register(Code.In_AL_DX, &InDx<byte>);
        InstructionTable.Register(Code.In_AX_DX, &InDx<ushort>);
        InstructionTable.Register(Code.In_EAX_DX, &InDx<uint>);
        InstructionTable.Register(Code.Out_imm8_AL, &OutImm<byte>);
        InstructionTable.Register(Code.Out_imm8_AX, &OutImm<ushort>);
        InstructionTable.Register(Code.Out_imm8_EAX, &OutImm<uint>);
        InstructionTable.Register(Code.Out_DX_AL, &OutDx<byte>);
        InstructionTable.Register(Code.Out_DX_AX, &OutDx<ushort>);
        InstructionTable.Register(Code.Out_DX_EAX, &OutDx<uint>);
    }

    private static void InImm<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T> => In<T>(cpu, (byte)op->Imm);

    private static void InDx<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T> => In<T>(cpu, cpu.Reg<ushort>(Gpr.Dx));

    private static void OutImm<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T> => Out<T>(cpu, (byte)op->Imm);

    private static void OutDx<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T> => Out<T>(cpu, cpu.Reg<ushort>(Gpr.Dx));

    private static void In<T>(X86Cpu cpu, ushort port)
        where T : unmanaged, IBinaryInteger<T>
    {
        if (cpu.MayAccess(port, sizeof(T)))
            cpu.SetReg(Gpr.Ax, T.CreateTruncating(cpu.Door.ReadPort(port, sizeof(T))));
        else
            cpu.Raise(Vectors.GP, 0);
    }

    private static void Out<T>(X86Cpu cpu, ushort port)
        where T : unmanaged, IBinaryInteger<T>
    {
        if (cpu.MayAccess(port, sizeof(T)))
            cpu.Door.WritePort(port, uint.CreateTruncating(cpu.Reg<T>(Gpr.Ax)), sizeof(T));
        else
            cpu.Raise(Vectors.GP, 0);
    }
}
