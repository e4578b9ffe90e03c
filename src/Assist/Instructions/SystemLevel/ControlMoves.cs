using System.Numerics;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.SystemLevel;

/// <summary>MOV CR, DR and TR, LMSW, SMSW, CLTS, INVLPG, INVD, WBINVD, SWAPGS.</summary>
internal static unsafe class ControlMoves
{
    public static void Register()
    {
        InstructionTable.Register(Code.Mov_r32_cr, &ReadControl<uint>);
        InstructionTable.Register(Code.Mov_r64_cr, &ReadControl<ulong>);
        InstructionTable.Register(Code.Mov_cr_r32, &WriteControl<uint>);
        InstructionTable.Register(Code.Mov_cr_r64, &WriteControl<ulong>);
        InstructionTable.Register(Code.Mov_r32_dr, &ReadDebug<uint>);
        InstructionTable.Register(Code.Mov_r64_dr, &ReadDebug<ulong>);
        InstructionTable.Register(Code.Mov_dr_r32, &WriteDebug<uint>);
        InstructionTable.Register(Code.Mov_dr_r64, &WriteDebug<ulong>);

        // Test registers went with the Pentium; the 486 model does not carry its cache and TLB test machinery either.
        InstructionTable.Register(Code.Mov_r32_tr, &Undefined);
        InstructionTable.Register(Code.Mov_tr_r32, &Undefined);

        InstructionTable.Register(Code.Lmsw_rm16, &Lmsw, &LmswMem);
        InstructionTable.Register(Code.Lmsw_r32m16, &Lmsw, &LmswMem);
        InstructionTable.Register(Code.Lmsw_r64m16, &Lmsw, &LmswMem);
        InstructionTable.Register(Code.Smsw_rm16, &Smsw<ushort>, &SmswMem);
        InstructionTable.Register(Code.Smsw_r32m16, &Smsw<uint>, &SmswMem);
        InstructionTable.Register(Code.Smsw_r64m16, &Smsw<ulong>, &SmswMem);
        InstructionTable.Register(Code.Clts, &Clts);
        InstructionTable.Register(Code.Invlpg_m, &Invlpg);
        InstructionTable.Register(Code.Invd, &Privileged);
        InstructionTable.Register(Code.Wbinvd, &Privileged);
        InstructionTable.Register(Code.Swapgs, &Swapgs);
    }

    private static void Undefined(X86Cpu cpu, Op* op) => cpu.Raise(Vectors.UD);

    /// <summary>INVD, WBINVD: nothing is cached, so the privilege is all there is.</summary>
    private static void Privileged(X86Cpu cpu, Op* op) => cpu.RequireSupervisor();

    /// <summary>#UD for a control register that does not exist on the model or outside 64-bit mode.</summary>
    private static bool RequireControl(X86Cpu cpu, int number)
    {
        bool exists = number switch
        {
            0 or 2 or 3 => true,
            4 => cpu.Model.Has(CpuFeatures.Vme) || cpu.Model.Family > 4,
            8 => cpu.Mode64,
            _ => false,
        };
        if (exists)
            return cpu.RequireSupervisor();
        cpu.Raise(Vectors.UD);
        return false;
    }

    private static void ReadControl<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>
    {
        if (!RequireControl(cpu, op->Reg1))
            return;
        ulong value = op->Reg1 switch
        {
            0 => cpu.State->Cr0,
            2 => cpu.State->Cr2,
            3 => cpu.State->Cr3,
            4 => cpu.State->Cr4,
            _ => (ulong)cpu.Door.TaskPriority >> 4,
        };
        cpu.SetReg(op->Reg0, T.CreateTruncating(value));
    }

    private static void WriteControl<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>
    {
        if (!RequireControl(cpu, op->Reg0))
            return;
        ulong value = ulong.CreateTruncating(cpu.Reg<T>(op->Reg1));
        switch (op->Reg0)
        {
            case 0:
                cpu.WriteCr0(value);
                break;
            case 2:
                cpu.State->Cr2 = value;
                break;
            case 3:
                cpu.WriteCr3(value);
                break;
            case 4:
                cpu.WriteCr4(value);
                break;
            default:
                if (value > 15)
                    throw cpu.Fault(Vectors.GP, 0);
                cpu.State->Cr8 = value;
                cpu.Door.TaskPriority = (byte)(value << 4);
                break;
        }
    }

    private static void ReadDebug<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>
    {
        RequireDebug(cpu, op->Reg1);
        cpu.SetReg(op->Reg0, T.CreateTruncating(cpu.ReadDebugRegister(op->Reg1)));
    }

    private static void WriteDebug<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>
    {
        RequireDebug(cpu, op->Reg0);
        cpu.WriteDebugRegister(op->Reg0, ulong.CreateTruncating(cpu.Reg<T>(op->Reg1)));
    }

    private static void RequireDebug(X86Cpu cpu, int number)
    {
        if (number > 7)
            throw cpu.Fault(Vectors.UD);
    }

    private static void Lmsw(X86Cpu cpu, Op* op) => LoadStatusWord(cpu, cpu.Reg<ushort>(op->Reg0));

    private static void LmswMem(X86Cpu cpu, Op* op)
    {
        if (cpu.RequireSupervisor())
            LoadStatusWord(cpu, cpu.Read<ushort>(op->Segment, cpu.Ea(op)));
    }

    // PE can be set this way, never cleared.
    private static void LoadStatusWord(X86Cpu cpu, ushort value)
    {
        if (!cpu.RequireSupervisor())
            return;
        const ulong Low = ControlRegisters.Cr0MP | ControlRegisters.Cr0EM | ControlRegisters.Cr0TS;
        cpu.WriteCr0((cpu.State->Cr0 & ~Low) | (value & (Low | ControlRegisters.Cr0PE)));
    }

    private static void Smsw<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>
    {
        TableRegisters.CheckUserModeInstructionPrevention(cpu);
        cpu.SetReg(op->Reg0, T.CreateTruncating(cpu.State->Cr0));
    }

    private static void SmswMem(X86Cpu cpu, Op* op)
    {
        TableRegisters.CheckUserModeInstructionPrevention(cpu);
        cpu.Write(op->Segment, cpu.Ea(op), (ushort)cpu.State->Cr0);
    }

    private static void Clts(X86Cpu cpu, Op* op)
    {
        if (!cpu.RequireSupervisor())
            return;
        cpu.State->Cr0 &= ~(ulong)ControlRegisters.Cr0TS;
        cpu.ModeChanged();
    }

    private static void Invlpg(X86Cpu cpu, Op* op)
    {
        if (!cpu.RequireSupervisor())
            return;
        bool based = !cpu.Mode64 || op->Segment >= Seg.Fs;
        cpu.InvalidatePage(cpu.Ea(op) + (based ? cpu.Segment(op->Segment).Base : 0));
    }

    private static void Swapgs(X86Cpu cpu, Op* op)
    {
        if (!cpu.RequireSupervisor())
            return;
        (cpu.State->Gs.Base, cpu.State->KernelGsBase) = (cpu.State->KernelGsBase, cpu.State->Gs.Base);
        cpu.SegmentLoaded(Seg.Gs);
    }
}
