using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions;

/// <summary>CLC, STC, CMC, CLD, STD, LAHF, SAHF, SALC.</summary>
internal static unsafe class FlagOps
{
    public static void Register()
    {
        InstructionTable.Register(Code.Clc, &Clc);
        InstructionTable.Register(Code.Stc, &Stc);
        InstructionTable.Register(Code.Cmc, &Cmc);
        InstructionTable.Register(Code.Cld, &Cld);
        InstructionTable.Register(Code.Std, &Std);
        InstructionTable.Register(Code.Lahf, &Lahf);
        InstructionTable.Register(Code.Sahf, &Sahf);
        InstructionTable.Register(Code.Salc, &Salc);
    }

    private static void Clc(X86Cpu cpu, Op* op) => cpu.Cf = false;

    private static void Stc(X86Cpu cpu, Op* op) => cpu.Cf = true;

    private static void Cmc(X86Cpu cpu, Op* op) => cpu.Cf = !cpu.Cf;

    private static void Cld(X86Cpu cpu, Op* op) => cpu.State->Rflags &= ~(ulong)Eflags.DF;

    private static void Std(X86Cpu cpu, Op* op) => cpu.State->Rflags |= Eflags.DF;

    private static void Lahf(X86Cpu cpu, Op* op) => cpu.SetReg(Gpr.Ah, (byte)((cpu.ArithmeticFlags & 0xD5) | 2));

    private static void Sahf(X86Cpu cpu, Op* op) =>
        cpu.ArithmeticFlags = (cpu.ArithmeticFlags & Eflags.OF) | cpu.Reg<byte>(Gpr.Ah);

    // Undocumented before 2017 but in every processor: AL = CF ? FFh : 0 (SDM vol. 2, opcode map D6; AMD: SALC).
    private static void Salc(X86Cpu cpu, Op* op) => cpu.SetReg(Gpr.Ax, cpu.Cf ? (byte)0xFF : (byte)0);
}
