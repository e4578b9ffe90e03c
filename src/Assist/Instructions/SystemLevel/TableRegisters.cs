using System.Numerics;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.SystemLevel;

/// <summary>LGDT, SGDT, LIDT, SIDT, LLDT, SLDT, LTR, STR.</summary>
internal static unsafe class TableRegisters
{
    public static void Register()
    {
        InstructionTable.Register(Code.Lgdt_m1632_16, &LoadGdt);
        InstructionTable.Register(Code.Lgdt_m1632, &LoadGdt);
        InstructionTable.Register(Code.Lgdt_m1664, &LoadGdt);
        InstructionTable.Register(Code.Lidt_m1632_16, &LoadIdt);
        InstructionTable.Register(Code.Lidt_m1632, &LoadIdt);
        InstructionTable.Register(Code.Lidt_m1664, &LoadIdt);
        InstructionTable.Register(Code.Sgdt_m1632_16, &StoreGdt);
        InstructionTable.Register(Code.Sgdt_m1632, &StoreGdt);
        InstructionTable.Register(Code.Sgdt_m1664, &StoreGdt);
        InstructionTable.Register(Code.Sidt_m1632_16, &StoreIdt);
        InstructionTable.Register(Code.Sidt_m1632, &StoreIdt);
        InstructionTable.Register(Code.Sidt_m1664, &StoreIdt);
        InstructionTable.Register(Code.Lldt_rm16, &Lldt, &LldtMem);
        InstructionTable.Register(Code.Lldt_r32m16, &Lldt, &LldtMem);
        InstructionTable.Register(Code.Lldt_r64m16, &Lldt, &LldtMem);
        InstructionTable.Register(Code.Ltr_rm16, &Ltr, &LtrMem);
        InstructionTable.Register(Code.Ltr_r32m16, &Ltr, &LtrMem);
        InstructionTable.Register(Code.Ltr_r64m16, &Ltr, &LtrMem);
        InstructionTable.Register(Code.Sldt_rm16, &Sldt<ushort>, &SldtMem);
        InstructionTable.Register(Code.Sldt_r32m16, &Sldt<uint>, &SldtMem);
        InstructionTable.Register(Code.Sldt_r64m16, &Sldt<ulong>, &SldtMem);
        InstructionTable.Register(Code.Str_rm16, &Str<ushort>, &StrMem);
        InstructionTable.Register(Code.Str_r32m16, &Str<uint>, &StrMem);
        InstructionTable.Register(Code.Str_r64m16, &Str<ulong>, &StrMem);
    }

    /// <summary>#GP(0) for SGDT, SIDT, SLDT, SMSW and STR outside ring 0 when CR4.UMIP is set.</summary>
    public static void CheckUserModeInstructionPrevention(X86Cpu cpu)
    {
        if ((cpu.State->Cr4 & ControlRegisters.Cr4UMIP) != 0 && cpu.Cpl != 0)
            throw cpu.Fault(Vectors.GP, 0);
    }

    private static DescriptorTable ReadTable(X86Cpu cpu, Op* op)
    {
        ulong ea = cpu.Ea(op);
        ulong place = (ea + 2) & op->AddressMask;
        ushort limit = cpu.Read<ushort>(op->Segment, ea);
        if (cpu.Mode64)
        {
            ulong wide = cpu.Read<ulong>(op->Segment, place);
            return X86Cpu.IsCanonical(wide) ? new DescriptorTable { Base = wide, Limit = limit } : throw cpu.Fault(Vectors.GP, 0);
        }
        uint address = cpu.Read<uint>(op->Segment, place);
        bool narrow = (Code)op->Code is Code.Lgdt_m1632_16 or Code.Lidt_m1632_16;
        return new DescriptorTable { Base = narrow ? address & 0xFFFFFF : address, Limit = limit };
    }

    private static void LoadGdt(X86Cpu cpu, Op* op)
    {
        if (cpu.RequireSupervisor())
            cpu.State->Gdtr = ReadTable(cpu, op);
    }

    private static void LoadIdt(X86Cpu cpu, Op* op)
    {
        if (cpu.RequireSupervisor())
            cpu.State->Idtr = ReadTable(cpu, op);
    }

    private static void StoreGdt(X86Cpu cpu, Op* op) => StoreTable(cpu, op, cpu.State->Gdtr);

    private static void StoreIdt(X86Cpu cpu, Op* op) => StoreTable(cpu, op, cpu.State->Idtr);

    // All 32 bits of the base whatever the operand size, as every processor since the 386 does (SDM vol. 2, SGDT).
    private static void StoreTable(X86Cpu cpu, Op* op, DescriptorTable table)
    {
        CheckUserModeInstructionPrevention(cpu);
        ulong ea = cpu.Ea(op);
        ulong place = (ea + 2) & op->AddressMask;
        cpu.ProbeWrite(op->Segment, place, cpu.Mode64 ? 8 : 4);
        cpu.Write(op->Segment, ea, (ushort)table.Limit);
        if (cpu.Mode64)
            cpu.Write(op->Segment, place, table.Base);
        else
            cpu.Write(op->Segment, place, (uint)table.Base);
    }

    private static void Lldt(X86Cpu cpu, Op* op) => cpu.LoadLdt(cpu.Reg<ushort>(op->Reg0));

    private static void LldtMem(X86Cpu cpu, Op* op)
    {
        RequireProtectedSupervisor(cpu);
        cpu.LoadLdt(cpu.Read<ushort>(op->Segment, cpu.Ea(op)));
    }

    private static void Ltr(X86Cpu cpu, Op* op) => cpu.LoadTaskRegister(cpu.Reg<ushort>(op->Reg0));

    private static void LtrMem(X86Cpu cpu, Op* op)
    {
        RequireProtectedSupervisor(cpu);
        cpu.LoadTaskRegister(cpu.Read<ushort>(op->Segment, cpu.Ea(op)));
    }

    private static void RequireProtectedSupervisor(X86Cpu cpu)
    {
        SelectorChecks.RequireProtected(cpu);
        if (cpu.Cpl != 0)
            throw cpu.Fault(Vectors.GP, 0);
    }

    private static ushort Readable(X86Cpu cpu, ushort selector)
    {
        SelectorChecks.RequireProtected(cpu);
        CheckUserModeInstructionPrevention(cpu);
        return selector;
    }

    private static void Sldt<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T> =>
        cpu.SetReg(op->Reg0, T.CreateTruncating(Readable(cpu, cpu.State->Ldtr.Selector)));

    private static void SldtMem(X86Cpu cpu, Op* op) =>
        cpu.Write(op->Segment, cpu.Ea(op), Readable(cpu, cpu.State->Ldtr.Selector));

    private static void Str<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T> =>
        cpu.SetReg(op->Reg0, T.CreateTruncating(Readable(cpu, cpu.State->Tr.Selector)));

    private static void StrMem(X86Cpu cpu, Op* op) =>
        cpu.Write(op->Segment, cpu.Ea(op), Readable(cpu, cpu.State->Tr.Selector));
}
