using System.Numerics;
using System.Runtime.CompilerServices;
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

    private static void LoadGdt(X86Cpu cpu, Op* op) => LoadTable(cpu, op, &cpu.State->Gdtr);

    private static void LoadIdt(X86Cpu cpu, Op* op) => LoadTable(cpu, op, &cpu.State->Idtr);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void LoadTable(X86Cpu cpu, Op* op, DescriptorTable* table)
    {
        if (!cpu.RequireSupervisor())
            return;
        ulong ea = cpu.Ea(op);
        ulong place = (ea + 2) & op->AddressMask;
        ushort limit = cpu.Read<ushort>(op->Segment, ea);
        ulong address;
        if (cpu.Mode64)
        {
            address = cpu.Read<ulong>(op->Segment, place);
            if (!X86Cpu.IsCanonical(address))
                throw cpu.Fault(Vectors.GP, 0);
        }
        else
        {
            address = cpu.Read<uint>(op->Segment, place);
            if ((Code)op->Code is Code.Lgdt_m1632_16 or Code.Lidt_m1632_16)
                address &= 0xFFFFFF;
        }
        table->Base = address;
        table->Limit = limit;
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
